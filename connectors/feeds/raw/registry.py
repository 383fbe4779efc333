"""The exchanges whose raw frames can be read, by ccxt's id. A new exchange is one file and one row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from connectors.feeds.raw import binance, bitfinex, bybit, coinbase, kraken, okx
from connectors.feeds.raw.book import Checksum
from connectors.feeds.raw.words import Words


class Reader:
    """Reads the frames of one connection: what an exchange says once and means from then on is remembered here, and the count is kept.

    Raises `ValueError` for what cannot be read; `gap` is whether the connection's count has jumped since it was last set to False.
    """

    def __init__(self, parse: Callable[[bytes], Words]) -> None:
        self._parse = parse
        self._count: int | None = None
        self.gap = False

    def words(self, frame: bytes) -> Words:
        """What a frame says."""
        found = self._parse(frame)
        for word in found:
            number = getattr(word, "sequence", None)
            if number is None or getattr(word, "of", "connection") != "connection":
                continue
            if self._count is not None and number not in (self._count, self._count + 1):
                self.gap = True
            self._count = number
        return found


def _bitfinex() -> Callable[[bytes], Words]:
    channels: dict[int, tuple[str, str]] = {}

    def parse(frame: bytes) -> Words:
        if (said := bitfinex.subscribed(frame)) is not None:
            channels[said[0]] = said[1]
        return bitfinex.parse(frame, channels)

    return parse


@dataclass(frozen=True, slots=True)
class Raw:
    """One exchange: a parser a connection, its checksum if it sends one, its names of symbols."""

    parser: Callable[[], Callable[[bytes], Words]]
    unified: Callable[[str], str]
    checksum: Checksum | None = None

    def reader(self) -> Reader:
        """For a new connection."""
        return Reader(self.parser())


RAW: Mapping[str, Raw] = {
    "binance": Raw(lambda: binance.parse, binance.unified),
    "bitfinex": Raw(_bitfinex, bitfinex.unified, bitfinex.checksum),
    "bybit": Raw(lambda: bybit.parse, binance.unified),
    "coinbase": Raw(lambda: coinbase.parse, coinbase.unified),
    "kraken": Raw(lambda: kraken.parse, kraken.unified, kraken.checksum),
    "okx": Raw(lambda: okx.parse, okx.unified, okx.checksum),
}
