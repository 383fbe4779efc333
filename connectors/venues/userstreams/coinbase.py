"""Coinbase Advanced Trade's `user` channel, with `heartbeats` so that silence means something.

    {"channel": "user", "client_id": "", "timestamp": "2023-02-09T20:33:57.609931463Z", "sequence_num": 0, "events": [{"type": "snapshot",
     "orders": [{"order_id": "XXX", "client_order_id": "YYY", "cumulative_quantity": "0", "leaves_quantity": "0.000994", "avg_price": "0",
     "total_fees": "0", "status": "OPEN", "product_id": "BTC-USD", "order_side": "BUY", "number_of_fills": "0"}]}]}

It tells orders and how much of them is filled, no trades: those are asked for. `sequence_num` counts everything on the connection, so
that a heartbeat shows what was lost before it. Keys with a shared secret sign `timestamp + channel + products`; the others send a JWT.
Source: Coinbase, "Advanced Trade WebSocket Channels", "WebSocket Authentication".
"""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any, ClassVar

from connectors.venues.outcomes import OrderView, VenueEvent, VenueOrderStatus
from connectors.venues.units import exact, iso_us
from connectors.venues.userstreams.runner import Heard, StreamBroken, UserStream

STATUS = {
    "PENDING": VenueOrderStatus.OPEN,
    "QUEUED": VenueOrderStatus.OPEN,
    "OPEN": VenueOrderStatus.OPEN,
    "CANCEL_QUEUED": VenueOrderStatus.OPEN,
    "FILLED": VenueOrderStatus.FILLED,
    "CANCELLED": VenueOrderStatus.CANCELLED,
    "EXPIRED": VenueOrderStatus.EXPIRED,
    "FAILED": VenueOrderStatus.REJECTED,
}


class CoinbaseUser(UserStream):
    address: ClassVar[str] = "wss://advanced-trade-ws-user.coinbase.com"
    _count: int | None = None

    async def opening(self) -> list[str]:
        self._count = None
        return [json.dumps(self._subscription(channel)) for channel in ("heartbeats", "user")]

    def _subscription(self, channel: str) -> dict[str, Any]:
        asked: dict[str, Any] = {"type": "subscribe", "product_ids": [], "channel": channel}
        seconds = self.account.now_ms() // 1000
        if self.account.token is not None:
            return asked | {"jwt": self.account.token(seconds)}
        told = f"{seconds}{channel}"
        signature = hmac.digest(self.account.secret.encode(), told.encode(), hashlib.sha256).hex()
        return asked | {"api_key": self.account.api_key, "timestamp": str(seconds), "signature": signature}

    def read(self, message: str) -> Heard:
        raw = json.loads(message)
        if raw.get("type") == "error":
            raise StreamBroken(f"refused: {raw.get('message')}")
        number, heard = int(raw["sequence_num"]), Heard()
        if self._count is not None and number > self._count + 1:
            heard.gap = True
        self._count = max(number, -1 if self._count is None else self._count)
        if raw["channel"] == "user":
            at = iso_us(raw["timestamp"])
            for event in raw["events"]:
                heard.up |= event["type"] == "snapshot"
                heard.events += [_event(order, at) for order in event.get("orders") or ()]
        return heard


def _event(order: dict[str, Any], at: int) -> VenueEvent:
    status = STATUS.get(order["status"])
    if status is None:
        raise ValueError(f"unknown order status {order['status']!r}")
    filled = exact(order["cumulative_quantity"])
    return VenueEvent(OrderView(order["client_order_id"], order["order_id"], status, filled, at), None)
