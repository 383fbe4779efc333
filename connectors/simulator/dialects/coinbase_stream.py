"""Coinbase Advanced Trade's WebSocket: `level2`, `market_trades`, `heartbeats`, and `user`, all on one address.

Every message of a connection counts in `sequence_num`, whatever its channel. A subscription is signed with the key's secret over
timestamp, channel and products (`user` must be). The user channel tells orders with what is filled of them, no trades. Source: Coinbase,
"Advanced Trade WebSocket Channels", "WebSocket Authentication" for legacy keys.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime
from typing import Any, ClassVar

from connectors.simulator.amounts import fixed
from connectors.simulator.dialects.coinbase import STATES, WINDOW
from connectors.simulator.dialects.streaming import ForeignStreams, Line, Window, parsed
from connectors.simulator.exchange import Market, Order, Print, Trade
from connectors.simulator.matching import Level

NEVER = "1970-01-01T00:00:00Z"
MATCHES = 100  # trades in a snapshot
BATCH = 50  # orders in a snapshot's message
FORCES = {"GTC": "GOOD_UNTIL_CANCELLED", "IOC": "IMMEDIATE_OR_CANCEL", "FOK": "FILL_OR_KILL"}
EVERYTHING = 1_000_000  # levels


class CoinbaseStreams(ForeignStreams):
    paths: ClassVar[tuple[str, ...]] = ("/",)

    def hear(self, line: Line, text: str) -> None:
        asked = parsed(text)
        channel, products = asked["channel"], list(asked.get("product_ids") or [])
        if asked["type"] not in ("subscribe", "unsubscribe"):
            raise ValueError("type is subscribe or unsubscribe")
        if asked["type"] == "unsubscribe":
            self._leave(line, channel, products)
            return
        account = self._who(asked, channel, products) if "api_key" in asked or channel == "user" else None
        markets = [self.foreign.exchange.markets[self.foreign.rules(product).id] for product in products]
        if channel == "level2":
            for product in products:
                self.follow(line, product, EVERYTHING)
        elif channel == "market_trades":
            for market in markets:
                line.trades.add(market.rules.id)
                rows = [self._trade(market, row) for row in reversed(market.prints[-MATCHES:])]
                self._say(line, "market_trades", [{"type": "snapshot", "trades": rows}])
        elif channel == "heartbeats":
            line.channels.add("heartbeats")
        elif channel == "user":
            line.account = account
            rows = [self._order(order) for order in self.foreign.exchange.open_of(account or "")]
            for start in range(0, max(1, len(rows)), BATCH):
                self._say(line, "user", [{"type": "snapshot", "orders": rows[start : start + BATCH], "positions": {}}])
        else:
            raise ValueError(f"no channel {channel!r}")
        self._say(line, "subscriptions", [{"subscriptions": {channel: products}}])

    def _who(self, asked: dict[str, Any], channel: str, products: list[str]) -> str:
        account = self.foreign.keys.get(str(asked.get("api_key", "")))
        stamp = str(asked.get("timestamp", "0"))
        told = f"{stamp}{channel}{','.join(products)}".encode()
        if account is not None and abs(self.now() / 1000 - int(stamp)) <= WINDOW:
            expected = hmac.digest(account.secret.encode(), told, hashlib.sha256).hex()
            if hmac.compare_digest(expected.encode(), str(asked.get("signature", "")).encode()):
                return account.name
        raise ValueError("authentication failure")

    def _leave(self, line: Line, channel: str, products: list[str]) -> None:
        gone = {self.foreign.rules(product).id for product in products}
        if channel == "level2":
            line.books = {symbol: window for symbol, window in line.books.items() if symbol not in gone}
        elif channel == "market_trades":
            line.trades -= gone
        elif channel == "user":
            line.account = None
        line.channels.discard(channel)

    def refused(self, line: Line, error: Exception) -> None:
        line.say({"type": "error", "message": str(error)})

    def heart(self) -> None:
        for line in self.lines:
            if "heartbeats" in line.channels:
                self._say(line, "heartbeats", [{"current_time": _iso(self.now()), "heartbeat_counter": self.now()}])

    def _say(self, line: Line, channel: str, events: list[Any], user: bool = False) -> None:
        line.say(self._message(line, channel, events), user)

    def _message(self, line: Line, channel: str, events: list[Any]) -> dict[str, Any]:
        return {
            "channel": channel,
            "client_id": "",
            "timestamp": _iso(self.now()),
            "sequence_num": next(line.count),
            "events": events,
        }

    def book(self, line: Line, market: Market, window: Window, bids: list[Level], asks: list[Level]) -> None:
        at = _iso(self.now()) if window.told else NEVER
        updates = [
            {"side": side, "event_time": at, "price_level": fixed(price), "new_quantity": fixed(quantity)}
            for side, levels in (("bid", bids), ("offer", asks))
            for price, quantity in levels
        ]
        what = "update" if window.told else "snapshot"
        product = self.foreign.market_id(market.rules)
        line.tell(self._message(line, "l2_data", [{"type": what, "product_id": product, "updates": updates}]))

    def traded(self, line: Line, market: Market, public: Print) -> None:
        line.tell(self._message(line, "market_trades", [{"type": "update", "trades": [self._trade(market, public)]}]))

    def _trade(self, market: Market, row: Print) -> dict[str, str]:
        return {
            "trade_id": str(row.trade_id),
            "product_id": self.foreign.market_id(market.rules),
            "price": fixed(row.price),
            "size": fixed(row.quantity),
            "side": "SELL" if row.taker_side == "BUY" else "BUY",  # the maker's
            "time": _iso(row.at),
        }

    def ordered(self, line: Line, order: Order, what: str, trade: Trade | None) -> None:
        self._say(line, "user", [{"type": "update", "orders": [self._order(order)]}], user=True)

    def _order(self, order: Order) -> dict[str, Any]:
        asked = order.asked
        return {
            "order_id": str(order.number),
            "client_order_id": asked.client_id,
            "product_id": self.foreign.market_id(order.rules),
            "product_type": "SPOT",
            "order_side": asked.side,
            "order_type": "Market" if asked.limit is None else "Limit",
            "time_in_force": FORCES[asked.validity],
            "post_only": str(asked.kind == "LIMIT_MAKER").lower(),
            "status": STATES[order.status],
            "limit_price": fixed(asked.limit or 0),
            "stop_price": "0",
            "avg_price": fixed(order.quote * 10**8 // order.filled) if order.filled else "0",
            "cumulative_quantity": fixed(order.filled),
            "leaves_quantity": fixed(asked.quantity - order.filled),
            "filled_value": fixed(order.quote),
            "total_fees": fixed(order.fees),
            "number_of_fills": str(len(order.trades)),
            "outstanding_hold_amount": fixed(order.locked),
            "creation_time": _iso(order.created),
            "end_time": NEVER if order.open else _iso(order.updated),
            "cancel_reason": "",
            "reject_reason": "",
        }


def _iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat().replace("+00:00", "Z")
