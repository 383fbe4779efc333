"""Kraken's WebSocket v2: `book` with its CRC32, `trade`, and `executions`, which counts its messages in `sequence`.

The private channel wants a token of the REST call `GetWebSocketsToken`. A book holds the subscribed depth; what falls beyond it is
dropped by both ends unsaid. Numbers are JSON numbers printed to the pair's decimals, and the checksum is over them as printed. Source:
Kraken, "Spot Websockets (v2)", "Book checksum".
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, ClassVar
from zlib import crc32

import orjson

from connectors.simulator.amounts import fixed
from connectors.simulator.dialects.kraken import Kraken, decimals
from connectors.simulator.dialects.streaming import ForeignStreams, Line, Window, parsed
from connectors.simulator.exchange import Market, Order, Print, Trade
from connectors.simulator.matching import Level
from connectors.simulator.rules import Rules

CHECKED = 10  # levels a side in a checksum
DEPTHS = (10, 25, 100, 500, 1000)
PRINTS = 50  # trades in a snapshot
STATUS = {
    "NEW": "new",
    "PARTIALLY_FILLED": "partially_filled",
    "FILLED": "filled",
    "CANCELED": "canceled",
    "EXPIRED": "canceled",
}
WHAT = {"NEW": "new", "TRADE": "trade", "CANCELED": "canceled", "EXPIRED": "canceled"}


class KrakenStreams(ForeignStreams):
    paths: ClassVar[tuple[str, ...]] = ("/v2",)
    falls_silently = True

    def bind(self, *bound: Any) -> None:
        super().bind(*bound)
        # WebSocket v2 calls assets as the world does, BTC and not XBT
        self.names = {m.rules.symbol: self.foreign.market_id(m.rules) for m in self.foreign.exchange.markets.values()}

    def greet(self, line: Line) -> None:
        system = {"api_version": "v2", "connection_id": id(line), "system": "online", "version": "2.0.0"}
        line.say({"channel": "status", "type": "update", "data": [system]})

    def hear(self, line: Line, text: str) -> None:
        asked = parsed(text)
        method, params = asked["method"], asked.get("params") or {}
        if method == "ping":
            line.say({"method": "pong", "req_id": asked.get("req_id")})
            return
        if method not in ("subscribe", "unsubscribe"):
            raise ValueError("EGeneral:Unknown method")
        channel, symbols = params["channel"], list(params.get("symbol") or [])
        rules = {symbol: self.foreign.rules(self.names.get(symbol, symbol)) for symbol in symbols}
        if channel not in ("book", "trade", "executions"):
            raise ValueError("EGeneral:Invalid channel")
        account = self._of(params) if channel == "executions" else None
        if channel == "book" and (params.get("depth") or 10) not in DEPTHS:
            raise ValueError("EGeneral:Invalid depth")
        for symbol in symbols or [None]:
            self._ack(line, asked, {"channel": channel} | ({} if symbol is None else {"symbol": symbol}))
        line.channels.add(channel)
        if method == "unsubscribe":
            for one in rules.values():
                line.books.pop(one.id, None) if channel == "book" else line.trades.discard(one.id)
            line.account = None if channel == "executions" else line.account
        elif channel == "executions":
            line.account = account
            rows = self.foreign.exchange.open_of(account or "") if params.get("snap_orders", True) else []
            self._private(line, "snapshot", [self._execution(order, "new", None) for order in rows])
        else:
            for symbol, one in rules.items():
                if channel == "book":
                    self.follow(line, self.names[symbol], params.get("depth") or 10)
                    continue
                line.trades.add(one.id)
                if params.get("snapshot", True):
                    market = self.foreign.exchange.markets[one.id]
                    line.say(self._trades("snapshot", market, market.prints[-PRINTS:]))

    def _of(self, params: dict[str, Any]) -> str:
        assert isinstance(self.foreign, Kraken), "bound to its own dialect"
        account = self.foreign.holder(str(params.get("token", "")))
        if account is None:
            raise ValueError("ESession:Invalid session")
        return account

    def _ack(self, line: Line, asked: dict[str, Any], result: dict[str, Any]) -> None:
        line.say({"method": asked["method"], "req_id": asked.get("req_id"), "result": result, "success": True})

    def refused(self, line: Line, error: Exception) -> None:
        line.say({"method": "subscribe", "error": str(error), "success": False})

    def heart(self) -> None:
        for line in self.lines:
            if line.channels:
                line.say(b'{"channel":"heartbeat"}')

    # ---- market data

    def book(self, line: Line, market: Market, window: Window, bids: list[Level], asks: list[Level]) -> None:
        rules, what = market.rules, "update" if window.told else "snapshot"
        check = checksum(rules, window.bids.items(), window.asks.items())
        told = (
            f'{{"channel":"book","type":"{what}","data":[{{"symbol":"{rules.symbol}",'
            f'"bids":[{_levels(rules, bids)}],"asks":[{_levels(rules, asks)}],'
            f'"checksum":{check},"timestamp":"{_iso(self.now())}"}}]}}'
        )
        line.tell(told.encode())

    def traded(self, line: Line, market: Market, public: Print) -> None:
        line.tell(self._trades("update", market, [public]))

    def _trades(self, what: str, market: Market, rows: Iterable[Print]) -> bytes:
        rules = market.rules
        told = ",".join(
            f'{{"symbol":"{rules.symbol}","side":"{row.taker_side.lower()}","price":{printed(row.price, rules.tick)},'
            f'"qty":{printed(row.quantity, rules.lot)},"ord_type":"market","trade_id":{row.trade_id},'
            f'"timestamp":"{_iso(row.at)}"}}'
            for row in rows
        )
        return f'{{"channel":"trade","type":"{what}","data":[{told}]}}'.encode()

    # ---- the account's

    def ordered(self, line: Line, order: Order, what: str, trade: Trade | None) -> None:
        self._private(line, "update", [self._execution(order, WHAT[what], trade)], user=True)

    def _private(self, line: Line, what: str, rows: list[bytes], user: bool = False) -> None:
        told = b'{"channel":"executions","type":"%s","data":[%s],"sequence":%d}'
        line.say(told % (what.encode(), b",".join(rows), next(line.count) + 1), user)

    def _execution(self, order: Order, what: str, trade: Trade | None) -> bytes:
        asked = order.asked
        row: dict[str, Any] = {
            "order_id": str(order.number),
            "cl_ord_id": asked.client_id,
            "symbol": order.rules.symbol,
            "side": asked.side.lower(),
            "order_type": "market" if asked.limit is None else "limit",
            "time_in_force": asked.validity,
            "exec_type": what,
            "order_status": STATUS[order.status],
            "order_qty": _number(asked.quantity),
            "cum_qty": _number(order.filled),
            "cum_cost": _number(order.quote),
            "timestamp": _iso(order.updated),
        }
        if asked.limit is not None:
            row["limit_price"] = _number(asked.limit)
        if trade is not None:
            row |= {
                "exec_id": str(trade.trade_id),
                "trade_id": trade.trade_id,
                "last_qty": _number(trade.quantity),
                "last_price": _number(trade.price),
                "cost": _number(trade.quote),
                "liquidity_ind": "m" if trade.maker else "t",
                "fees": [{"asset": trade.fee_asset, "qty": _number(trade.fee)}],
            }
        return orjson.dumps(row)


def printed(value: int, step: int) -> str:
    """As Kraken prints: so many decimals as the step has."""
    places = decimals(step)
    return fixed(value)[: -(8 - places) or None].rstrip(".")


def checksum(rules: Rules, bids: Iterable[Level], asks: Iterable[Level]) -> int:
    """CRC32 of the ten best levels a side, best first: asks, then bids, each number without its dot and leading zeros."""
    told = []
    for side in (asks, bids):
        for (price, quantity), _ in zip(side, range(CHECKED), strict=False):
            for text in (printed(price, rules.tick), printed(quantity, rules.lot)):
                told.append(text.replace(".", "").lstrip("0"))
    return crc32("".join(told).encode())


def _levels(rules: Rules, levels: Iterable[Level]) -> str:
    return ",".join(
        f'{{"price":{printed(price, rules.tick)},"qty":{printed(quantity, rules.lot)}}}' for price, quantity in levels
    )


def _number(value: int) -> orjson.Fragment:
    return orjson.Fragment(fixed(value))


def _iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
