"""The volatility breaker of a symbol: a move of its mid that is too large in too little time halts its market orders for a while.

    ACTIVE ──a move──► HALTED ──halt_us──► HALF_OPEN ──half_open_us──► ACTIVE
                          ▲                    │
                          └───────a move───────┘

Rules:

* a mid is in force until the next one is known: one that stood for an hour and jumps now has moved within a moment;
* what is compared is the newest mid with the lowest and the highest that were in force within the window;
* a halt begins its window anew: the move that caused it does not cause another.
"""

from __future__ import annotations

from collections import deque

from schemas.records import TradingState, TradingStatus
from streams.domain.money import SCALE
from streams.domain.terms import RoutingSettings

ACTOR = "router"


def scope(symbol: str) -> str:
    """The key of a symbol's breaker among the trading states."""
    return f"breaker|{symbol}"


class Moves:
    """The mids of a symbol within a window, of which only those are kept that may still be its lowest or highest."""

    __slots__ = ("_highs", "_lows", "at", "mid")

    def __init__(self) -> None:
        self.mid: int | None = None
        self.at = 0  # when the newest was noted
        self._lows: deque[tuple[int, int]] = deque()  # (in force until, mid), rising
        self._highs: deque[tuple[int, int]] = deque()  # falling

    def note(self, mid: int, at: int, window_us: int) -> None:
        """The mid is `mid` from `at` (microseconds) on."""
        last, self.mid, self.at = self.mid, mid, at
        lows, highs = self._lows, self._highs
        if last is not None:
            while lows and lows[-1][1] >= last:
                lows.pop()
            lows.append((at, last))
            while highs and highs[-1][1] <= last:
                highs.pop()
            highs.append((at, last))
        for ended in (lows, highs):
            while ended and ended[0][0] < at - window_us:
                ended.popleft()

    def move(self) -> int:
        """How far the newest mid lies from the farthest in the window, as a rate in 1e-8 of that one; negative when it fell."""
        if self.mid is None or not self._lows:
            return 0
        low, high = self._lows[0][1], self._highs[0][1]
        up, down = (self.mid - low) * SCALE // low, (self.mid - high) * SCALE // high
        return up if up >= -down else down

    def forget(self) -> None:
        """What was before counts no more."""
        self._lows.clear()
        self._highs.clear()


def halted(symbol: str, move: int, settings: RoutingSettings, now: int) -> TradingState:
    """The state that a move (`Moves.move`) leads to."""
    percent = f"{move * 100 / SCALE:+.2f} % within {settings.move_us / 1e6:g} s"  # for people
    return _state(symbol, TradingStatus.HALTED, f"the mid moved {percent}", now)


def after(said: TradingState, symbol: str, now: int) -> TradingState:
    """What follows a state when its time is over."""
    if said.state is TradingStatus.HALTED:
        return _state(symbol, TradingStatus.HALF_OPEN, "the halt is over", now)
    return _state(symbol, TradingStatus.ACTIVE, "", now)


def _state(symbol: str, state: TradingStatus, reason: str, now: int) -> TradingState:
    return TradingState(scope=scope(symbol), state=state, market_only=True, reason=reason, actor=ACTOR, at=now)
