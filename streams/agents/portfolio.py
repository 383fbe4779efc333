"""The accounts agent's view of one account: `/view/account/ID?in=USD`. Balances, what they are worth by live quotes, positions, open orders.

Amounts are decimal strings. A value tells by which symbols it was worked out and how old the oldest of their quotes is; what no quote speaks of is
named in `unknown`, and not in the total.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas.records import AccountState, Position, Quote, VenuePosition
from streams.domain import fx
from streams.domain.money import SCALE
from streams.domain.positions import average_price
from streams.engine.agent import Broadcast, Look, Table, View


def account_view(accounts: Table[AccountState], positions: Table[Position], quotes: Broadcast[Quote]) -> View:
    """The view over the agent's own tables."""

    def view(look: Look, account_id: str, query: Mapping[str, str]) -> dict[str, Any] | None:
        state = look.get(accounts, account_id)
        if state is None:
            return None
        found: dict[str, Any] = {
            "account_id": account_id,
            "seq": state.seq,
            "open_orders": state.open_orders,
            "balances": {
                b.asset: {
                    "available": text(b.available),
                    "locked": text(b.locked),
                    "held": text(b.held or 0),
                    "owed": text(b.owed or 0),
                }
                for b in state.balances
            },
            "positions": {
                symbol: position(p)
                for symbol in state.symbols or ()
                if (p := look.get(positions, f"{account_id}|{symbol}")) is not None
            },
        }
        if currency := query.get("in"):
            held = {b.asset: b.available + b.locked + (b.held or 0) - (b.owed or 0) for b in state.balances}
            found |= worth(held, currency, look.broadcast(quotes), look.now)
        return found

    return view


def worth(held: Mapping[str, int], currency: str, quotes: Mapping[str, Quote], now: int) -> dict[str, Any]:
    """What amounts by asset are worth: `in`, `worth` by asset, `total`, and the assets of which no rate is known."""
    rows, total = fx.valued(held, currency, quotes)
    return {
        "in": currency,
        "worth": {row.asset: _worth(row, now) for row in rows},
        "total": text(total),
        "unknown": [row.asset for row in rows if row.value is None],
    }


def _worth(row: fx.Valued, now: int) -> dict[str, Any]:
    by = row.rate
    at = by.at if by is not None else None
    return {
        "value": None if row.value is None else text(row.value),
        "rate": None if by is None else text(by.of(SCALE)),
        "by": [] if by is None else list(by.symbols),
        "age_s": None if at is None else round((now - at) / 1e6, 3),
    }


def position(p: Position) -> dict[str, Any]:
    """A position in all, its fees, and its part at each venue."""
    return {
        **_part(p),
        "fees": {f.asset: text(f.amount) for f in p.fees},
        "venues": {v.venue: _part(v) for v in p.venues},
    }


def _part(p: Position | VenuePosition) -> dict[str, str | None]:
    average = average_price(p)
    return {
        "quantity": text(p.quantity),
        "average_price": None if average is None else text(average),
        "realised": text(p.realised),
    }


def text(units: int) -> str:
    """Units of 1e-8 as the shortest decimal."""
    whole, rest = divmod(abs(units), SCALE)
    return ("-" if units < 0 else "") + f"{whole}.{rest:08d}".rstrip("0").rstrip(".")
