"""OKX's WebSocket v5: `books` (with `seqId`, `prevSeqId` and checksum) and `trades` on `/ws/v5/public`, `orders` on `/ws/v5/private`.

The private address wants a login first, signed over timestamp and `GET/users/self/verify`. An order's event carries its last fill. A
text `ping` is answered with `pong`; a connection that says nothing for 30 seconds may be closed. Source: OKX API v5, "WebSocket".
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Iterable
from typing import Any, ClassVar
from zlib import crc32

from connectors.simulator.amounts import fixed
from connectors.simulator.dialects.okx import WINDOW_MS, Okx
from connectors.simulator.dialects.streaming import ForeignStreams, Line, Window, parsed, trimmed
from connectors.simulator.exchange import Market, Order, Print, Trade
from connectors.simulator.matching import Level

PRIVATE = "/ws/v5/private"
DEPTH = 400  # levels a side
CHECKED = 25  # of them in a checksum
QUIET = 60  # seconds without a change, after which that is said


class OkxStreams(ForeignStreams):
    paths: ClassVar[tuple[str, ...]] = ("/ws/v5/public", PRIVATE)

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._logged: dict[Line, str] = {}
        self._quiet: dict[Window, int] = {}

    def hear(self, line: Line, text: str) -> None:
        if text == "ping":
            line.say(b"pong")
            return
        asked = parsed(text)
        for argument in asked["args"]:
            {"login": self._login, "subscribe": self._subscribe, "unsubscribe": self._leave}[asked["op"]](
                line, argument
            )

    def _login(self, line: Line, argument: dict[str, Any]) -> None:
        account, stamp = self.foreign.keys.get(str(argument["apiKey"])), str(argument["timestamp"])
        told = f"{stamp}GET/users/self/verify".encode()
        fresh = abs(self.now() - float(stamp) * 1000) <= WINDOW_MS
        if account is not None and fresh and line.path == PRIVATE:
            expected = b64encode(hmac.digest(account.secret.encode(), told, hashlib.sha256))
            if hmac.compare_digest(expected, str(argument.get("sign", "")).encode()):
                self._logged = {known: name for known, name in self._logged.items() if known in self.lines}
                self._logged[line] = account.name
                line.say({"event": "login", "code": "0", "msg": "", "connId": f"{id(line):x}"})
                return
        code, words = ("60009", "Login failed.") if fresh else ("60006", "Timestamp request expired")
        line.say({"event": "error", "code": code, "msg": words})

    def _subscribe(self, line: Line, argument: dict[str, Any]) -> None:
        channel = argument["channel"]
        if channel == "orders":
            if line not in self._logged:
                line.say({"event": "error", "code": "60011", "msg": "Please log in."})
                return
            self._ack(line, "subscribe", argument)
            line.account = self._logged[line]
            return
        rules = self.foreign.rules(argument["instId"])
        if channel not in ("books", "trades") or line.path == PRIVATE:
            raise ValueError(f"channel {channel} doesn't exist")
        self._ack(line, "subscribe", argument)
        if channel == "books":
            self.follow(line, argument["instId"], DEPTH)
        else:
            line.trades.add(rules.id)

    def _leave(self, line: Line, argument: dict[str, Any]) -> None:
        if argument["channel"] == "orders":
            line.account = None
        else:
            symbol = self.foreign.rules(argument["instId"]).id
            line.books.pop(symbol, None) if argument["channel"] == "books" else line.trades.discard(symbol)
        self._ack(line, "unsubscribe", argument)

    def _ack(self, line: Line, event: str, argument: dict[str, Any]) -> None:
        line.say({"event": event, "arg": argument, "connId": f"{id(line):x}"})

    def refused(self, line: Line, error: Exception) -> None:
        line.say({"event": "error", "code": "60012", "msg": f"Invalid request: {error}"})

    # ---- market data

    def heart(self) -> None:
        before, self._quiet = self._quiet, {}
        for line in self.lines:
            for symbol, window in line.books.items():
                self._quiet[window] = quiet = before.get(window, 0) + 1
                if quiet >= QUIET:
                    self.book(line, self.foreign.exchange.markets[symbol], window, [], [])

    def book(self, line: Line, market: Market, window: Window, bids: list[Level], asks: list[Level]) -> None:
        self._quiet[window] = 0
        whole, sequence = not window.told, market.update_id
        row = {
            "asks": _levels(asks),
            "bids": _levels(bids),
            "ts": str(self.now()),
            "checksum": checksum(window.bids.items(), window.asks.items()),
            "prevSeqId": -1 if whole else window.told,
            "seqId": sequence if bids or asks or whole else window.told,
        }
        argument = {"channel": "books", "instId": self.foreign.market_id(market.rules)}
        line.tell({"arg": argument, "action": "snapshot" if whole else "update", "data": [row]})

    def traded(self, line: Line, market: Market, public: Print) -> None:
        symbol = self.foreign.market_id(market.rules)
        row = {
            "instId": symbol,
            "tradeId": str(public.trade_id),
            "px": trimmed(fixed(public.price)),
            "sz": trimmed(fixed(public.quantity)),
            "side": public.taker_side.lower(),
            "ts": str(public.at),
        }
        line.tell({"arg": {"channel": "trades", "instId": symbol}, "data": [row]})

    # ---- the account's

    def ordered(self, line: Line, order: Order, what: str, trade: Trade | None) -> None:
        assert isinstance(self.foreign, Okx), "bound to its own dialect"
        row = self.foreign.row(order) | {
            "tradeId": str(trade.trade_id) if trade else "",
            "fillPx": fixed(trade.price) if trade else "",
            "fillSz": fixed(trade.quantity) if trade else "0",
            "fillFee": fixed(-trade.fee) if trade else "0",
            "fillFeeCcy": trade.fee_asset if trade else "",
            "fillTime": str(trade.at) if trade else "",
            "execType": "" if trade is None else "M" if trade.maker else "T",
            "code": "0",
            "msg": "",
        }
        argument = {"channel": "orders", "instType": "SPOT", "uid": order.account}
        line.say({"arg": argument, "data": [row]}, user=True)


def checksum(bids: Iterable[Level], asks: Iterable[Level]) -> int:
    """Signed CRC32 of the 25 best levels a side as printed, bid and ask in turn; where one side has fewer, the other goes on alone."""
    sides = [
        [":".join(row[:2]) for row, _ in zip(_levels(side), range(CHECKED), strict=False)] for side in (bids, asks)
    ]
    told = [side[n] for n in range(CHECKED) for side in sides if n < len(side)]
    crc = crc32(":".join(told).encode())
    return crc - (1 << 32) if crc >= 1 << 31 else crc


def _levels(levels: Iterable[Level]) -> list[list[str]]:
    return [[trimmed(fixed(price)), trimmed(fixed(quantity)), "0", "1"] for price, quantity in levels]
