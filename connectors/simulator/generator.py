"""Books from a seed: a mid that walks on the tick grid with levels around it, and trades. Pure; the same seed and calls give the same book.

Inside, prices are whole ticks and quantities whole lots; what comes out is in exact ints of 1e-8. Rules:

* The best bid and ask stand half the spread below and above the mid, so the book is never crossed.
* Quantities grow with depth: `touch_notional` (in quote) at the best price, ten per cent of it more with each level, times 0.5 to 1.5.
* A side keeps `levels` levels. Levels that the mid has passed go, the best price is always filled, the far end is topped up.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from connectors.simulator.amounts import SCALE
from connectors.simulator.matching import Direction, Level
from connectors.simulator.rules import Rules

BPS = 10_000 * SCALE  # rates below are in 1e-8 of a basis point


@dataclass(frozen=True, slots=True)
class Shape:
    """How a generated book looks. `spread`, `gap` (least distance of levels) and `step` (largest move of the mid) in 1e-8 of a basis
    point, `touch_notional` in 1e-8 of the quote."""

    spread: int = 2 * SCALE
    levels: int = 200
    gap: int = SCALE // 5
    step: int = SCALE * 3 // 10
    touch_notional: int = 20_000 * SCALE


class Update(NamedTuple):
    """What changed: first the trade (price, quantity, taker's side), if there was one, then the levels."""

    bids: list[Level]
    asks: list[Level]
    trade: tuple[int, int, Direction] | None


class _Side:
    """Keys are ticks for asks and negated ticks for bids: the smallest is the best."""

    __slots__ = ("changed", "keys", "lots", "sign")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.keys: list[int] = []
        self.lots: dict[int, int] = {}
        self.changed: dict[int, int] = {}

    def put(self, key: int, lots: int) -> None:
        if key not in self.lots:
            insort(self.keys, key)
        self.lots[key] = self.changed[key] = lots

    def drop(self, index: int) -> None:
        key = self.keys.pop(index)
        del self.lots[key]
        self.changed[key] = 0


class GeneratedBook:
    """The displayed book of one symbol. `mid` is the start, in 1e-8; `step` returns what changed since."""

    def __init__(self, rules: Rules, shape: Shape, mid: int, rng: Random) -> None:
        self._rules, self._shape, self._rng = rules, shape, rng
        self._bids, self._asks = _Side(-1), _Side(1)
        self._offset = 0  # of a follower's mid from what it follows, ticks
        self._least = 2 + mid * shape.spread // BPS // rules.tick
        self._mid = max(self._least, mid // rules.tick)
        self._place()

    @property
    def mid(self) -> int:
        """The mid price in 1e-8."""
        return self._mid * self._rules.tick

    def whole(self) -> tuple[list[Level], list[Level]]:
        """All bids and asks."""
        tick, lot = self._rules.tick, self._rules.lot
        bids, asks = ([(k * s.sign * tick, s.lots[k] * lot) for k in s.keys] for s in (self._bids, self._asks))
        return bids, asks

    def step(self, around: int | None = None) -> Update:
        """The next update; the mid walks, or stays near `around` (1e-8) where that is given."""
        rng = self._rng
        for side in (self._bids, self._asks):
            side.changed.clear()
        trade = self._trade() if rng.randrange(4) == 0 else None
        reach = max(1, self._of_mid(self._shape.step))
        if around is None:
            self._mid += rng.randint(-reach, reach)
        else:
            self._offset = self._offset * 9 // 10 + rng.randint(-reach, reach)
            self._mid = around // self._rules.tick + self._offset
        self._mid = max(self._least, self._mid)
        self._place()
        for _ in range(rng.randint(2, 6)):
            side = self._asks if rng.getrandbits(1) else self._bids
            index = rng.randrange(rng.randrange(len(side.keys)) + 1)  # mostly near the best price
            side.put(side.keys[index], self._lots(index))
        return Update(self._changes(self._bids), self._changes(self._asks), trade)

    def _of_mid(self, rate: int) -> int:
        """A rate of the mid in ticks."""
        return self._mid * rate // BPS

    def _lots(self, index: int) -> int:
        """A random quantity for the level at `index`."""
        touch = self._shape.touch_notional * SCALE // (self._mid * self._rules.tick)
        return max(1, touch * (10 + index) * self._rng.randint(50, 150) // (1000 * self._rules.lot))

    def _place(self) -> None:
        spread = max(1, self._of_mid(self._shape.spread))
        best_bid = self._mid - spread // 2
        for side, best in ((self._bids, -best_bid), (self._asks, best_bid + spread)):
            self._arrange(side, best)

    def _arrange(self, side: _Side, best: int) -> None:
        gap = max(1, self._of_mid(self._shape.gap))
        keys = side.keys
        while keys and keys[0] < best:
            side.drop(0)
        while keys and 0 < keys[0] - best < gap:
            side.drop(0)
        if not keys or keys[0] != best:
            side.put(best, self._lots(0))
        while len(keys) > self._shape.levels:
            side.drop(-1)
        while len(keys) < self._shape.levels:
            key = keys[-1] + self._rng.randint(gap, 3 * gap)
            if key * side.sign < 1:
                return
            side.put(key, self._lots(len(keys)))

    def _trade(self) -> tuple[int, int, Direction] | None:
        """Someone takes part of a best level."""
        taker: Direction = "BUY" if self._rng.getrandbits(1) else "SELL"
        side = self._asks if taker == "BUY" else self._bids
        key = side.keys[0]
        if side.lots[key] < 2:
            return None
        lots = self._rng.randrange(1, side.lots[key])
        side.put(key, side.lots[key] - lots)
        return key * side.sign * self._rules.tick, lots * self._rules.lot, taker

    def _changes(self, side: _Side) -> list[Level]:
        tick, lot, sign = self._rules.tick, self._rules.lot, side.sign
        return [(key * sign * tick, lots * lot) for key, lots in side.changed.items()]
