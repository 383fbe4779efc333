"""Kraken's `executions` channel, WebSocket v2.

    {"channel": "executions", "type": "update", "data": [{"order_id": "OK4GJX-KSTLS-7DZZO5", "cl_ord_id": "…", "exec_id":
     "TSPKWL-QIMHZ-5ZWUOL", "exec_type": "trade", "trade_id": 365573, "symbol": "BTC/USD", "side": "sell", "last_qty": 0.005,
     "last_price": 26599.9, "liquidity_ind": "m", "cum_qty": 0.005, "order_status": "filled", "timestamp": "2023-09-22T10:33:05.709982Z",
     "fees": [{"asset": "USD", "qty": 0.345797}]}], "sequence": 8}

It needs a token of the REST call `GetWebSocketsToken`. `sequence` counts the messages of the subscription; `exec_id` is the trade's id in
`TradesHistory`. A heartbeat comes every second. Source: Kraken, "Executions", WebSocket API v2.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, ClassVar

from connectors.venues import fees
from connectors.venues.dialect import Send, dig
from connectors.venues.outcomes import OrderView, VenueEvent, VenueOrderStatus, VenueTrade
from connectors.venues.units import exact, iso_us
from connectors.venues.userstreams.runner import Heard, StreamBroken, UserStream
from schemas.records import Liquidity

STATUS = {
    "pending_new": VenueOrderStatus.OPEN,
    "new": VenueOrderStatus.OPEN,
    "partially_filled": VenueOrderStatus.OPEN,
    "filled": VenueOrderStatus.FILLED,
    "canceled": VenueOrderStatus.CANCELLED,
    "expired": VenueOrderStatus.EXPIRED,
}


class KrakenUser(UserStream):
    address: ClassVar[str] = "wss://ws-auth.kraken.com/v2"
    ping: ClassVar[str | None] = '{"method":"ping"}'
    _count: int | None = None

    async def opening(self) -> list[str]:
        self._count = None
        answer = await self.account.ask(Send("POST", ("private",), "GetWebSocketsToken", {}))
        params = {
            "channel": "executions",
            "token": dig(answer, "result.token"),
            "snap_orders": True,
            "snap_trades": False,
        }
        return [json.dumps({"method": "subscribe", "params": params})]

    def read(self, message: str) -> Heard:
        raw, heard = json.loads(message, parse_float=Decimal), Heard()
        if raw.get("method") == "subscribe":
            if not raw["success"]:
                raise StreamBroken(f"refused: {raw.get('error')}")
            heard.up = True
        elif raw.get("channel") == "executions":
            number = int(raw["sequence"])
            heard.gap = self._count is not None and number > self._count + 1
            self._count = max(number, self._count or 0)
            heard.events = [_event(row) for row in raw["data"]]
        return heard


def _event(row: dict[str, Any]) -> VenueEvent:
    status = STATUS.get(row["order_status"])
    if status is None:
        raise ValueError(f"unknown order status {row['order_status']!r}")
    at, number = iso_us(row["timestamp"]), row["order_id"]
    view = OrderView(row.get("cl_ord_id") or "", number, status, exact(row.get("cum_qty")), at)
    if row["exec_type"] != "trade":
        return VenueEvent(view, None)
    base, _, quote = row["symbol"].partition("/")
    price = exact(row["last_price"])
    fee = fees.told(((one["asset"], exact(one["qty"])) for one in row.get("fees") or ()), base, quote, price)
    trade = VenueTrade(
        trade_id=row["exec_id"],
        venue_order_id=number,
        price=price,
        quantity=exact(row["last_qty"]),
        fee=None if fee is None else fee.cost,
        fee_asset=None if fee is None else fee.asset,
        liquidity={"m": Liquidity.MAKER, "t": Liquidity.TAKER}.get(row.get("liquidity_ind", ""), Liquidity.NOT_KNOWN),
        at=at,
        estimated=fee is None or fee.estimated,
    )
    return VenueEvent(view, trade)
