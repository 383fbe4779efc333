"""Buys for an amount of quote: as near to it as lots allow, and never beyond it.

Rules:

* all of the amount is reserved, and what is left of it stays so until the order ends. A round asks for what the rest surely pays for at the
  round's protection price, with the highest fee: whatever is filled, it is never more than the amount;
* the better the fills are than the protection price, the more a round leaves. So a round asks close to the touch, and only one that comes after a
  miss goes as far as the collar allows;
* when all that a round asked for is filled, what is left is spent by another, until it does not buy what any venue takes, within the order's
  attempts. Then the order is FILLED: its quantity is what the amount has bought;
* FOK has one round, which goes as far as the collar allows.
"""

from __future__ import annotations

from typing import NamedTuple

from schemas.records import OrderRecord
from streams.domain import limits, risk
from streams.domain.decision import Step
from streams.domain.money import notional
from streams.domain.risk import Denial

AMOUNT_SPENT = "AMOUNT_SPENT"


class Round(NamedTuple):
    """What to ask for next, at which protection price; `wide`: as far as the collar allows."""

    quantity: int
    protection: int
    wide: bool


def next_round(step: Step, order: OrderRecord, left: int, wide: bool) -> Round | Denial:
    """The round that `left` of the amount pays for; `QUANTITY_TOO_SMALL` when it buys nothing that a venue takes."""
    settings, denial = limits.admitted(step, limits.standing(step), order.symbol, order.side, order.order_type)
    if denial is not None:
        return denial
    terms = step.world.terms(order.symbol)
    if isinstance(terms, Denial):
        return terms
    priced = risk.priced(order, terms, step.world.quote(order.symbol), step.cause.now, settings)
    if isinstance(priced, Denial):
        return priced
    touch, collar = priced
    protection = collar if wide else min(collar, risk.near(touch, terms.tick))
    quantity = risk.bought(left, protection, terms)
    small = quantity < terms.min_quantity or notional(touch, quantity) < terms.min_notional
    if quantity <= 0 or small:
        return Denial(risk.QUANTITY_TOO_SMALL, "what is left of the amount buys nothing that a venue takes")
    return Round(quantity, protection, wide)


def missed(order: OrderRecord) -> bool:
    """Whether the last round did not get all that it asked for."""
    return order.unrouted > 0 or any(c.filled < c.quantity for c in order.children[order.settled or 0 :])
