"""OKX's `orders` channel, v5, behind a login.

    {"arg": {"channel": "orders", "instType": "SPOT", "uid": "614488474791936"}, "data": [{"instId": "BTC-USDT", "ordId":
     "312269865356374016", "clOrdId": "b1", "state": "partially_filled", "accFillSz": "0.001", "tradeId": "242589207", "fillPx": "999",
     "fillSz": "0.001", "fillFee": "-0.001", "fillFeeCcy": "USDT", "fillTime": "1597026383084", "execType": "M", "uTime":
     "1597026383085"}]}

The login is signed over timestamp and `GET/users/self/verify`. An event carries the last fill, whose `fillFee` is negative when paid.
Nothing is counted. A connection hears nothing by itself: a text `ping` is answered with `pong`. Before maintenance a `notice` says that
the connection will be closed. Source: OKX API v5, "Order channel", "Login", "Notification".
"""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import b64encode
from typing import Any, ClassVar

from connectors.venues.outcomes import OrderView, VenueEvent, VenueOrderStatus, VenueTrade
from connectors.venues.units import exact
from connectors.venues.userstreams.runner import Heard, StreamBroken, UserStream
from schemas.records import Liquidity

STATUS = {
    "live": VenueOrderStatus.OPEN,
    "partially_filled": VenueOrderStatus.OPEN,
    "filled": VenueOrderStatus.FILLED,
    "canceled": VenueOrderStatus.CANCELLED,
    "mmp_canceled": VenueOrderStatus.CANCELLED,
}


class OkxUser(UserStream):
    address: ClassVar[str] = "wss://ws.okx.com:8443/ws/v5/private"
    sandbox: ClassVar[str | None] = "wss://wspap.okx.com:8443/ws/v5/private"
    ping: ClassVar[str | None] = "ping"

    async def opening(self) -> list[str]:
        account, stamp = self.account, str(self.account.now_ms() // 1000)
        told = f"{stamp}GET/users/self/verify".encode()
        sign = b64encode(hmac.digest(account.secret.encode(), told, hashlib.sha256)).decode()
        row = {"apiKey": account.api_key, "passphrase": account.password, "timestamp": stamp, "sign": sign}
        return [json.dumps({"op": "login", "args": [row]})]

    def read(self, message: str) -> Heard:
        if message == "pong":
            return Heard()
        raw = json.loads(message)
        match raw.get("event"):
            case "login":
                asked = {"op": "subscribe", "args": [{"channel": "orders", "instType": "SPOT"}]}
                return Heard(say=[json.dumps(asked)])
            case "subscribe":
                return Heard(up=True)
            case "error" | "notice":
                raise StreamBroken(f"{raw['event']}: {raw.get('code')} {raw.get('msg')}")
            case None:
                return Heard([_event(row) for row in raw["data"]])
        return Heard()


def _event(row: dict[str, Any]) -> VenueEvent:
    status = STATUS.get(row["state"])
    if status is None:
        raise ValueError(f"unknown order state {row['state']!r}")
    view = OrderView(row["clOrdId"], row["ordId"], status, exact(row["accFillSz"] or None), int(row["uTime"]) * 1000)
    if not row.get("tradeId"):
        return VenueEvent(view, None)
    trade = VenueTrade(
        trade_id=row["tradeId"],
        venue_order_id=row["ordId"],
        price=exact(row["fillPx"]),
        quantity=exact(row["fillSz"]),
        fee=-exact(row["fillFee"]),
        fee_asset=row["fillFeeCcy"],
        liquidity={"M": Liquidity.MAKER, "T": Liquidity.TAKER}.get(row.get("execType", ""), Liquidity.NOT_KNOWN),
        at=int(row["fillTime"]) * 1000,
    )
    return VenueEvent(view, trade)
