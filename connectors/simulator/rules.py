"""What a venue trades and by which rules, and how it refuses: pure values, amounts in exact ints of 1e-8.

The codes and words of a refusal are Binance's, for the adapters and ccxt read both.
"""

from __future__ import annotations

from dataclasses import dataclass

from connectors.simulator.amounts import SCALE, notional

MAX_PRICE = 10**9 * SCALE
INSUFFICIENT = "Account has insufficient balance for requested action."
DUPLICATE = "Duplicate order sent."


class Refusal(Exception):
    """The venue refuses, for sure: nothing happened. `code` and `words` as the dialect has them, `status` is HTTP's."""

    def __init__(self, code: int, words: str, status: int = 400) -> None:
        super().__init__(words)
        self.code, self.words, self.status = code, words, status


@dataclass(frozen=True, slots=True)
class Rules:
    """A symbol of a venue. `symbol` is unified (`BTC/USDT`), `id` the dialect's (`BTCUSDT`)."""

    symbol: str
    tick: int
    lot: int
    min_quantity: int
    min_notional: int
    max_quantity: int

    @property
    def id(self) -> str:
        return self.symbol.replace("/", "")

    @property
    def base(self) -> str:
        return self.symbol.partition("/")[0]

    @property
    def quote(self) -> str:
        return self.symbol.partition("/")[2]

    def check(self, limit: int | None, quantity: int, reference: int | None) -> None:
        """Raises `Refusal` for what the filters forbid. `reference`: what a market order is valued at, None when nothing is known."""
        if limit is not None and (not self.tick <= limit <= MAX_PRICE or limit % self.tick):
            raise Refusal(-1013, "Filter failure: PRICE_FILTER")
        if not self.min_quantity <= quantity <= self.max_quantity or quantity % self.lot:
            raise Refusal(-1013, "Filter failure: LOT_SIZE")
        price = reference if limit is None else limit
        if price is not None and notional(price, quantity) < self.min_notional:
            raise Refusal(-1013, "Filter failure: NOTIONAL")
