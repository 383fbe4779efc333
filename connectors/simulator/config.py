"""The configuration of the simulator, read strictly: an unknown field or a wrong value ends the start with words that name it.

Prices, quantities and rates are decimal strings. Secrets may be named by file
(`api_key_file`, `secret_file`), and so may recordings; relative names start at the configuration's folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from connectors.simulator.amounts import SCALE, fixed, parse
from connectors.simulator.generator import Shape
from connectors.simulator.matching import Level
from connectors.simulator.rules import Rules

DIALECTS = ("binance", "coinbase", "kraken", "okx")
FEES_IN_QUOTE = ("coinbase", "kraken")
IDS_BY_END = ("kraken",)  # where trades are asked for by their ids alone


class ConfigError(ValueError):
    """What is wrong, and where."""


@dataclass(frozen=True, slots=True)
class Account:
    """A client of the venue. `name` is how the audit calls it; balances in 1e-8."""

    name: str
    api_key: str = field(repr=False)
    secret: str = field(repr=False)
    balances: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Generated:
    """Books that walk from `mid` (unified symbol -> 1e-8)."""

    mid: Mapping[str, int]
    shape: Shape
    updates_per_s: float


@dataclass(frozen=True, slots=True)
class Following:
    """Books generated around the mid of another venue of this process."""

    of: str
    shape: Shape
    updates_per_s: float


@dataclass(frozen=True, slots=True)
class Recording:
    """Books as they were recorded; `venue` is which venue of a file that holds several."""

    file: Path
    venue: str | None


@dataclass(frozen=True, slots=True)
class Static:
    """Books that stand as they are given until somebody sets them: unified symbol -> bids and asks, (price, quantity) in 1e-8."""

    sides: Mapping[str, tuple[tuple[Level, ...], tuple[Level, ...]]]


@dataclass(frozen=True, slots=True)
class Published:
    """Books as a feed publishes them in Kafka: a real exchange's, with fills that are simulated. `venue`: whose, if not of our name."""

    kafka: Mapping[str, Any]
    registry: str
    venue: str | None


@dataclass(frozen=True, slots=True)
class VenueSettings:
    """One venue. Fees are rates in 1e-8; `latency` in seconds; port 0 takes a free one; `limits`: see `budget`. `dialect`: of `DIALECTS`."""

    name: str
    port: int
    maker_fee: int
    taker_fee: int
    latency: float
    symbols: tuple[Rules, ...]
    accounts: tuple[Account, ...]
    books: Generated | Following | Recording | Static | Published
    limits: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    dialect: str = "binance"

    @property
    def fees_in_quote(self) -> bool:
        """Whether the exchange charges a buyer in quote too, beside what the trade costs."""
        return self.dialect in FEES_IN_QUOTE

    @property
    def ids_by_end(self) -> bool:
        """Whether each end of a trade has its own id."""
        return self.dialect in IDS_BY_END


@dataclass(frozen=True, slots=True)
class Settings:
    """The process. `speed`: how many recorded seconds pass in one. `state`: the folder in which the venues remember; None: they do not."""

    seed: int
    speed: float
    venues: tuple[VenueSettings, ...]
    state: Path | None = None


def settings(raw: Mapping[str, Any], folder: Path) -> Settings:
    """Raises `ConfigError`."""
    top = _Fields(raw, "configuration")
    venues = tuple(_venue(v, folder) for v in top.take("venues"))
    found = Settings(int(top.take("seed", 0)), _positive(top.take("speed", 1.0), "speed"), venues)
    if (state := top.take("state", None)) is not None:
        found = replace(found, state=folder / str(state))
    top.end()
    names = [v.name for v in venues]
    if not names or len(set(names)) != len(names):
        raise ConfigError("venues need names, each its own")
    by_name = {v.name: v for v in venues}
    for venue in venues:
        seen, at = set(), venue
        while isinstance(at.books, Following):
            if at.name in seen:
                raise ConfigError(f"venue {venue.name}: follows itself")
            seen.add(at.name)
            if at.books.of not in by_name:
                raise ConfigError(f"venue {at.name}: follows {at.books.of!r}, which is not here")
            followed = by_name[at.books.of]
            if missing := {r.symbol for r in at.symbols} - {r.symbol for r in followed.symbols}:
                raise ConfigError(f"venue {at.name}: {followed.name} does not trade {', '.join(sorted(missing))}")
            at = followed
    return found


class _Fields:
    """A JSON object whose every field must be taken."""

    def __init__(self, raw: object, where: str) -> None:
        if not isinstance(raw, Mapping):
            raise ConfigError(f"{where}: not an object")
        self._left, self.where = dict(raw), where

    def take(self, name: str, *default: Any) -> Any:
        if name in self._left:
            return self._left.pop(name)
        if default:
            return default[0]
        raise ConfigError(f"{self.where}: {name} is missing")

    def end(self) -> None:
        if self._left:
            raise ConfigError(f"{self.where}: no such field: {', '.join(sorted(self._left))}")


def _amount(raw: object, where: str) -> int:
    try:
        if isinstance(raw, bool):
            raise ValueError("not a number")
        return parse(f"{Decimal(str(raw)):f}")
    except (ValueError, InvalidOperation):
        raise ConfigError(f"{where}: {raw!r} is not a decimal of at most eight places") from None


def _positive(raw: object, where: str) -> float:
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not raw > 0:
        raise ConfigError(f"{where}: {raw!r} is not a positive number")
    return float(raw)


def _limit(raw: object, where: str) -> tuple[int, float]:
    if not isinstance(raw, list) or len(raw) != 2 or not isinstance(raw[0], int) or raw[0] < 1:
        raise ConfigError(f"{where}: [how many, in how many seconds]")
    return raw[0], _positive(raw[1], where)


def _venue(raw: object, folder: Path) -> VenueSettings:
    top = _Fields(raw, "venue")
    name = str(top.take("name"))
    top.where = f"venue {name}"
    latency = top.take("latency_ms", 0)
    found = VenueSettings(
        name=name,
        port=int(top.take("port", 0)),
        maker_fee=_amount(top.take("maker_fee", "0.001"), f"venue {name}: maker_fee"),
        taker_fee=_amount(top.take("taker_fee", "0.001"), f"venue {name}: taker_fee"),
        latency=_positive(latency, f"venue {name}: latency_ms") / 1000 if latency else 0.0,
        symbols=tuple(_rules(s, name) for s in top.take("symbols")),
        accounts=tuple(_accounts(top.take("accounts", []), name, folder)),
        books=_books(top.take("books"), name, folder),
        dialect=str(top.take("dialect", "binance")),
        limits={str(n): _limit(v, f"venue {name}: limit {n}") for n, v in top.take("limits", {}).items()},
    )
    top.end()
    if found.dialect not in DIALECTS:
        raise ConfigError(f"venue {name}: dialect is one of {', '.join(DIALECTS)}")
    if not found.symbols or len({r.id for r in found.symbols}) != len(found.symbols):
        raise ConfigError(f"venue {name}: symbols, each once")
    if isinstance(found.books, Generated) and (missing := {r.symbol for r in found.symbols} - found.books.mid.keys()):
        raise ConfigError(f"venue {name}: books have no mid for {', '.join(sorted(missing))}")
    return found


def _rules(raw: object, venue: str) -> Rules:
    top = _Fields(raw, f"venue {venue}: symbol")
    symbol = str(top.take("symbol"))
    top.where = where = f"venue {venue}: {symbol}"
    lot = _amount(top.take("lot", "0.00001"), f"{where}: lot")
    rules = Rules(
        symbol=symbol,
        tick=_amount(top.take("tick", "0.01"), f"{where}: tick"),
        lot=lot,
        min_quantity=_amount(top.take("min_quantity", fixed(lot)), f"{where}: min_quantity"),
        min_notional=_amount(top.take("min_notional", "0"), f"{where}: min_notional"),
        max_quantity=_amount(top.take("max_quantity", "1000000"), f"{where}: max_quantity"),
    )
    top.end()
    if not rules.base or not rules.quote or not rules.tick or not rules.lot or not rules.min_quantity:
        raise ConfigError(f"{where}: BASE/QUOTE with tick, lot and min_quantity above zero")
    return rules


def _accounts(raw: Iterable[object], venue: str, folder: Path) -> Iterable[Account]:
    keys: set[str] = set()
    for number, one in enumerate(raw, 1):
        top = _Fields(one, f"venue {venue}: account {number}")
        name = str(top.take("name", f"account-{number}"))
        credentials = []
        for what in ("api_key", "secret"):
            file = top.take(f"{what}_file", None)
            credentials.append((folder / file).read_text().strip() if file else str(top.take(what)))
        balances = {str(a): _amount(v, f"{top.where}: {a}") for a, v in top.take("balances", {}).items()}
        top.end()
        if credentials[0] in keys:
            raise ConfigError(f"venue {venue}: two accounts with one api_key")
        keys.add(credentials[0])
        yield Account(name, credentials[0], credentials[1], balances)


def _shape(top: _Fields) -> tuple[Shape, float]:
    default = Shape()

    def rate(name: str, otherwise: int) -> int:
        given = top.take(name, None)
        return otherwise if given is None else _amount(given, f"{top.where}: {name}")

    shape = Shape(
        spread=rate("spread_bps", default.spread),
        levels=int(top.take("levels", default.levels)),
        gap=rate("gap_bps", default.gap),
        step=rate("step_bps", default.step),
        touch_notional=rate("touch_notional", default.touch_notional),
    )
    if shape.levels < 1 or shape.touch_notional < SCALE // 100:
        raise ConfigError(f"{top.where}: levels and touch_notional must be above zero")
    return shape, _positive(top.take("updates_per_s", 20), f"{top.where}: updates_per_s")


def _books(raw: object, venue: str, folder: Path) -> Generated | Following | Recording | Static | Published:
    top = _Fields(raw, f"venue {venue}: books")
    kind = top.take("kind")
    books: Generated | Following | Recording | Static | Published
    if kind == "generated":
        mid = {str(s): _amount(m, f"{top.where}: mid of {s}") for s, m in top.take("mid").items()}
        books = Generated(mid, *_shape(top))
        if not all(books.mid.values()):
            raise ConfigError(f"{top.where}: a mid is above zero")
    elif kind == "follow":
        books = Following(str(top.take("of")), *_shape(top))
    elif kind == "recording":
        of = top.take("venue", None)
        books = Recording(folder / str(top.take("file")), None if of is None else str(of))
    elif kind == "static":
        found = {str(symbol): sides(book, f"{top.where}: {symbol}") for symbol, book in top.take("books").items()}
        books = Static(found)
    elif kind == "published":
        whose = top.take("venue", None)
        books = Published(dict(top.take("kafka")), str(top.take("registry")), None if whose is None else str(whose))
    else:
        raise ConfigError(f"{top.where}: kind is generated, recording, follow, static or published, not {kind!r}")
    top.end()
    return books


def sides(raw: object, where: str) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
    """The levels of a book that is given as `{"bids": [[price, quantity], …], "asks": […]}`, in decimal strings. Raises `ConfigError`."""
    top = _Fields(raw, where)
    bids, asks = (tuple(_level(x, where) for x in top.take(side, [])) for side in ("bids", "asks"))
    top.end()
    if bids and asks and max(bids)[0] >= min(asks)[0]:
        raise ConfigError(f"{where}: the best bid is not below the best ask")
    return bids, asks


def _level(raw: object, where: str) -> Level:
    if not isinstance(raw, list) or len(raw) != 2:
        raise ConfigError(f"{where}: a level is [price, quantity]")
    price, quantity = (_amount(part, where) for part in raw)
    if not price or not quantity:
        raise ConfigError(f"{where}: price and quantity of a level are above zero")
    return price, quantity
