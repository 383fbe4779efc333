"""Transaction-cost analysis over ClickHouse: what trading cost against what could have been, in groups. Exact sums, asked of `tca_fills`.

Rules:

* a positive cost is worse for the account than its benchmark, whichever side it traded; a positive saving is better;
* amounts of different quote assets are never added: each group has one;
* a fill without a benchmark (no mid when its order came, a plan of an old version, no single venue with all of the quantity, a fee in
  a third asset) takes no part in that figure, neither in its sum nor in what the sum is divided by; how many took part is said;
* figures in basis points are sums divided by sums, so that a large fill weighs more than a small one.

    arrival   Σ side · (price − mid at arrival) · quantity  /  Σ mid at arrival · quantity
    plan      Σ side · (price − price planned for the child) · quantity  /  Σ planned price · quantity
    fee       Σ fee in the quote asset  /  Σ price · quantity
    saving    Σ (side · (best single venue's all-in price − price) · quantity − fee)  /  Σ best single price · quantity

with side +1 for a buy, −1 for a sell. The first is the execution cost of Perold's implementation shortfall, the arrival price being the
mid of the consolidated best bid and offer when the order was first routed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from enum import StrEnum
from typing import Any

SIZES = (1_000, 10_000, 100_000, 1_000_000)  # bounds of the buckets, in the quote asset
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_DIGITS = 90  # sums of products of 38 digits each


class By(StrEnum):
    """What fills are grouped by."""

    venue = "venue"
    side = "side"
    size = "size"
    symbol = "symbol"
    account = "account"


_KEYS: Mapping[By, str] = {
    By.venue: "venue",
    By.side: "side",
    By.size: "toString(multiIf({}, {}))".format(
        ", ".join(f"order_notional < {bound}, {number}" for number, bound in enumerate(SIZES)), len(SIZES)
    ),
    By.symbol: "symbol",
    By.account: "account_id",
}
# What a group is told of -> its sum, the sum that it is divided by, and how many fills took part.
_FIGURES: Mapping[str, tuple[str, str, str]] = {
    "arrival": ("arrival_cost", "arrival_notional", "arrival_cost"),
    "plan": ("plan_cost", "planned_notional", "plan_cost"),
    "fee": ("fee", "notional", "fee"),
    "saving": ("saving", "single_notional", "saving"),
}


@dataclass(frozen=True, slots=True)
class Figure:
    """One cost of a group: its sum in the quote asset, the same in basis points of its benchmark (`None` without one), fills counted."""

    amount: Decimal
    of: Decimal
    fills: int

    @property
    def bps(self) -> float | None:
        with localcontext(prec=_DIGITS):
            return None if not self.of else float(round(self.amount * 10_000 / self.of, 4))


@dataclass(frozen=True, slots=True)
class Group:
    """The fills of one key (`None`: all of them) in one quote asset."""

    key: str | None
    quote: str
    fills: int
    orders: int
    notional: Decimal
    figures: Mapping[str, Figure]

    def as_json(self, by: By) -> dict[str, Any]:
        """One object of `bestex tca --json`; amounts are decimal strings."""
        told: dict[str, Any] = {} if self.key is None else {by.value: self.key}
        told |= {"quote": self.quote, "fills": self.fills, "orders": self.orders, "notional": _text(self.notional)}
        for name, figure in self.figures.items():
            told |= {f"{name}_bps": figure.bps, name: _text(figure.amount), f"{name}_fills": figure.fills}
        return told


def analyse(
    address: str, by: By = By.venue, since: datetime | None = None, database: str | None = None
) -> tuple[list[Group], list[Group]]:
    """The groups, and all fills together, each quote asset by itself. Raises what `infra.query.ask` raises."""
    groups = _groups(address, _KEYS[by], since, database)
    if by is By.size:
        groups = [_named(g) for g in groups]
    return groups, _groups(address, "NULL", since, database)


def since_of(text: str | None, now: datetime) -> datetime | None:
    """A time back from now (`90s`, `15m`, `2h`, `7d`) or an ISO time (UTC where it names no zone). Raises `ValueError`."""
    if text is None:
        return None
    if text[:-1].isdigit() and text[-1] in _UNITS:
        return now - timedelta(seconds=int(text[:-1]) * _UNITS[text[-1]])
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"--since {text} is neither an ISO time nor a time back from now as in 15m, 2h, 7d") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _groups(address: str, key: str, since: datetime | None, database: str | None) -> list[Group]:
    from infra.query import (
        DATABASE,
        ask,
    )  # here: `bestex --help` shows what `By` has, and loads no HTTP client for that

    sums = ", ".join(
        f"toString(ifNull(sum({amount}), 0)), toString(ifNull(sumIf({of}, {amount} IS NOT NULL), 0)), count({there})"
        for amount, of, there in _FIGURES.values()
    )
    where = "" if since is None else "WHERE at >= {since:DateTime64(6, 'UTC')} "
    parameters = {} if since is None else {"since": since.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")}
    answer = ask(
        address,
        f"SELECT {key} AS key, quote, count(), uniqExact(order_id), toString(sum(notional)), {sums} "
        f"FROM tca_fills {where}GROUP BY key, quote ORDER BY quote, key",
        database or DATABASE,
        **parameters,
    )
    return [_group(row) for row in answer.rows]


def _group(row: Sequence[Any]) -> Group:
    key, quote, fills, orders, notional, *rest = row
    figures = {
        name: Figure(Decimal(rest[at]), Decimal(rest[at + 1]), int(rest[at + 2]))
        for name, at in zip(_FIGURES, range(0, len(rest), 3), strict=True)
    }
    return Group(key, quote, int(fills), int(orders), Decimal(notional), figures)


def _named(group: Group) -> Group:
    number = int(group.key or 0)
    low, high = ([0, *SIZES][number], [*SIZES, None][number])
    name = f"{low:,}-{high:,}" if high is not None else f"{low:,}+"
    return Group(name, group.quote, group.fills, group.orders, group.notional, group.figures)


def _text(amount: Decimal) -> str:
    with localcontext(prec=_DIGITS):
        return format(amount.normalize(), "f")
