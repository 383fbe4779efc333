"""What a venue's answer to a request means, and the plain values an adapter speaks in.

Rules:

* NOT_SENT: the request never left. The order may go elsewhere.
* REJECTED: the venue refused, for sure. A well-formed 4xx answer says so; where a venue refuses with HTTP 200, its own code and a kind
  of refusal that can be named.
* ACCEPTED: a well-formed answer that names our order.
* UNKNOWN: everything else. The order may or may not exist; only the venue can tell, later.

Exception classes alone do not tell: ccxt turns a truncated body into the same class as a refusal. So the transport pins the
answer it saw (`Answer`) onto whatever is raised, and `classify` decides by the answer first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from ccxt.base import errors  # type: ignore[import-untyped, unused-ignore]  # upstream ships no types

from schemas.records import Liquidity


class OutcomeKind(StrEnum):
    """What is known after a request."""

    NOT_SENT = "NOT_SENT"
    REJECTED = "REJECTED"
    ACCEPTED = "ACCEPTED"
    UNKNOWN = "UNKNOWN"


class VenueOrderStatus(StrEnum):
    """Where the venue says an order is."""

    OPEN = "OPEN"
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"
    REJECTED = "REJECTED"


@dataclass(frozen=True, slots=True)
class OrderView:
    """An order as the venue shows it. Quantities in 1e-8, `at` in microseconds of the venue's clock.

    `child_id`: ours where it is known here, else the client's id as it is on the wire. `symbol`: unified, where the answer tells it.
    """

    child_id: str
    venue_order_id: str
    status: VenueOrderStatus
    filled: int
    at: int | None
    symbol: str = ""


class Listing(list[OrderView]):
    """What rests at a venue. `partial`: it may have more, so that one which is not here is not therefore gone."""

    def __init__(self, views: Iterable[OrderView] = (), partial: bool = False) -> None:
        super().__init__(views)
        self.partial = partial


@dataclass(frozen=True, slots=True)
class VenueTrade:
    """One execution. Money in 1e-8; `trade_id` is unique per venue and symbol; `at` in microseconds of the venue's clock.

    A trade has one fee in one asset; see `connectors.venues.fees` for which. `estimated`: the venue did not tell it so.
    """

    trade_id: str
    venue_order_id: str
    price: int
    quantity: int
    fee: int | None
    fee_asset: str | None
    liquidity: Liquidity
    at: int | None
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of placing or cancelling. `view` is set when ACCEPTED; `code` is stable, `reason` for people."""

    kind: OutcomeKind
    view: OrderView | None = None
    trades: tuple[VenueTrade, ...] = ()
    code: str = ""
    reason: str = ""
    http_status: int | None = None
    venue_code: str | None = None


@dataclass(frozen=True, slots=True)
class NotFound:
    """The venue says, in a well-formed answer, that it has no such order."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """The venue did not say. `ours`: it was not asked, for a reason of our own; that says nothing about it."""

    code: str
    reason: str
    ours: bool = False


@dataclass(frozen=True, slots=True)
class StreamUp:
    """The user stream is subscribed (again): what happened before is not replayed, so reconcile by asking."""


@dataclass(frozen=True, slots=True)
class VenueEvent:
    """An order changed. `trade` is set when a trade changed it."""

    view: OrderView
    trade: VenueTrade | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back over HTTP. `body` is the parsed JSON, None when it is not JSON."""

    status: int
    body: object


# what reading an odd answer may raise
UNREADABLE = (TypeError, AttributeError, ArithmeticError, LookupError, ValueError)


class NotSent(errors.NetworkError):  # type: ignore[misc, unused-ignore]  # the base is untyped upstream
    """The request never left this process."""


class NotWhole(errors.BadResponse):  # type: ignore[misc, unused-ignore]  # the base is untyped upstream
    """A listing has more than was read: what is not in it may be there all the same."""


class Refused(NotSent):
    """We refused to send; the first argument is a stable code."""


def unsaid(error: BaseException, outcome: Outcome) -> Unknown:
    """What is known of a question that ended so."""
    return Unknown(outcome.code, outcome.reason, isinstance(error, Refused))


# They are answers of the venue although ccxt files them under NetworkError.
_SURE_NETWORK = (errors.DDoSProtection, errors.RateLimitExceeded, errors.InvalidNonce)
_UNSURE = (
    errors.NetworkError,
    errors.OperationFailed,
    errors.BadResponse,
    errors.NullResponse,
    errors.CancelPending,
)
# What a refusal is when it comes with HTTP 200, where a bare ExchangeError may be anything.
_NAMED = (
    errors.InsufficientFunds,
    errors.InvalidOrder,
    errors.BadRequest,
    errors.AuthenticationError,
    errors.PermissionDenied,
    errors.OperationRejected,
    errors.MarketClosed,
    *_SURE_NETWORK,
)


def code_of(error: BaseException) -> str:
    """`InsufficientFunds` -> `INSUFFICIENT_FUNDS`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(error).__name__).upper()


def venue_code_of(answer: Answer | None) -> tuple[str | None, str]:
    """The venue's own code and words, where its answer has them under the common names."""
    if answer is None or not isinstance(answer.body, dict):
        return None, ""
    code = answer.body.get("code")
    return (None if code is None else str(code)), str(answer.body.get("msg", ""))


ReadCode = Callable[["Answer | None"], tuple[str | None, str]]


def classify(
    error: BaseException,
    unsure_codes: frozenset[str] = frozenset(),
    read: ReadCode = venue_code_of,
    sure_codes: frozenset[str] = frozenset(),
) -> Outcome:
    """The outcome of a request that raised.

    `unsure_codes`: the venue's codes that do not say whether it acted. `read`: the venue's code and words in its answer; where it is
    the venue's own, a refusal may come with HTTP 200 too, and must be one that can be named, or of `sure_codes`.
    """
    if isinstance(error, NotSent):
        code = str(error.args[0]) if isinstance(error, Refused) else "NOT_SENT"
        return Outcome(OutcomeKind.NOT_SENT, code=code, reason=str(error.args[-1]))
    answer: Answer | None = getattr(error, "answer", None)
    reason = (str(error) if isinstance(error, errors.BaseError | ValueError) else repr(error))[:500]
    if answer is None:
        if isinstance(error, errors.ArgumentsRequired | errors.NotSupported | errors.BadSymbol):
            return Outcome(OutcomeKind.NOT_SENT, code=code_of(error), reason=reason)
        return Outcome(OutcomeKind.UNKNOWN, code=code_of(error), reason=reason)
    venue_code, words = read(answer)
    told = venue_code is not None and venue_code not in unsure_codes
    if read is venue_code_of:
        kind = isinstance(error, _SURE_NETWORK) or not isinstance(error, _UNSURE)
        refused = told and kind and 400 <= answer.status < 500
    else:
        kind = isinstance(error, _NAMED) or venue_code in sure_codes
        refused = told and kind and (answer.status == 200 or 400 <= answer.status < 500)
    sure = isinstance(error, errors.BaseError) and (answer.status in (418, 429) or refused)
    return Outcome(
        OutcomeKind.REJECTED if sure else OutcomeKind.UNKNOWN,
        code=code_of(error),
        reason=words or reason,
        http_status=answer.status,
        venue_code=venue_code,
    )
