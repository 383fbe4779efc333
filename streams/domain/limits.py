"""What holds for an account rather than for one order: what may be traded at all, how much in all, how fast. A refusal is a `Denial`.

Rules:

* a limit is what `SetLimits` last said of the account, else what it says of everybody, else the settings;
* trading states stack: the whole system, the symbol, the breaker of the symbol, everybody, the account; the strictest counts. While HALTED nothing
  new goes out, while REDUCING only sales do (on spot a sale of what is held is what reduces), while HALF_OPEN a market order has half the collar;
  cancels are never judged;
* what counts over several symbols is counted in the reporting currency, by live quotes (see `fx`); where there is none, the order is denied;
* rates count commands within a second of the clock, those that were denied too;
* a day's notional is that of the orders which went in, counted whether there is a limit or not: one that comes later that day knows of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace as with_values
from typing import NamedTuple

from schemas.records import (
    OrderRecord,
    OrderState,
    OrderType,
    Quote,
    SetLimits,
    Side,
    TradingState,
    TradingStatus,
    Usage,
)
from streams.domain import fx, risk
from streams.domain.decision import Step
from streams.domain.money import MAX, assets_of, notional
from streams.domain.risk import Approval, Denial, RiskSettings, show

HALTED = "HALTED"
REDUCING = "REDUCING"
SANCTIONED = "SANCTIONED"
KYC_TIER = "KYC_TIER"
TOO_MANY_OPEN_ORDERS = "TOO_MANY_OPEN_ORDERS"
DAILY_NOTIONAL = "DAILY_NOTIONAL"
POSITION_LIMIT = "POSITION_LIMIT"
ACCOUNT_POSITION = "ACCOUNT_POSITION"
ORDER_RATE = "ORDER_RATE"
MODIFY_RATE = "MODIFY_RATE"
INVALID_LIMITS = "INVALID_LIMITS"

SECOND, DAY = 1_000_000, 86_400_000_000
EVERYBODY = "*"
MARKETS = (OrderType.MARKET, OrderType.STOP)
_NOT_BEGUN = (OrderState.INITIALIZED, OrderState.SCHEDULED)
_NOTHING_YET = Usage(day=0, notional=0, second=0, orders=0, modifies=0)


class Standing(NamedTuple):
    """What holds for one account now. `own` and `default` are its limits and everybody's, as far as they were set.

    `limits`: what comes of them, by the names that `SetLimits` and `RiskSettings` have for them, `None` is none; `of_order`: the
    settings that an order is assessed with.
    """

    settings: RiskSettings
    own: SetLimits | None
    default: SetLimits | None
    limits: Mapping[str, int | None]
    of_order: RiskSettings

    def get(self, name: str) -> int | None:
        """A limit by its name."""
        return self.limits[name]

    @property
    def states(self) -> list[tuple[TradingStatus, str]]:
        """The trading states of everybody and of the account, as far as they are set, and whose they are."""
        of = ((self.default, "everybody"), (self.own, "the account"))
        return [(said.state, whose) for said, whose in of if said is not None and said.state is not None]

    @property
    def sanctioned(self) -> bool:
        """Whether the account, or everybody, is under sanctions."""
        return any(said is not None and bool(said.sanctioned) for said in (self.own, self.default))


_NAMES = (
    "min_tier",
    "max_quantity",
    "max_notional",
    "max_open_orders",
    "max_day_notional",
    "max_account_position",
    "order_rate",
    "modify_rate",
)


def _standing(settings: RiskSettings, own: SetLimits | None, default: SetLimits | None) -> Standing:
    said = [x for x in (own, default) if x is not None]

    def limit(name: str) -> int | None:
        found = [value for x in said if (value := getattr(x, name)) is not None]
        value = found[0] if found else getattr(settings, name, None)
        return None if value is None else int(value)

    limits = {name: limit(name) for name in _NAMES}
    if not said:
        return Standing(settings, own, default, limits, settings)
    collar = next((x.collar for x in said if x.collar is not None), None)
    of_order = with_values(
        settings,
        max_quantity=limits["max_quantity"],
        max_notional=limits["max_notional"],
        collar=settings.collar if collar is None else collar,
        band=settings.band if collar is None else collar,
    )
    return Standing(settings, own, default, limits, of_order)


class _Known(dict[tuple[int, int, int], Standing]):
    """What was worked out before, by the very objects that it comes of, which it keeps: no other has their ids meanwhile."""

    MOST = 4096

    def of(self, settings: RiskSettings, own: SetLimits | None, default: SetLimits | None) -> Standing:
        """What holds under these."""
        key = (id(settings), id(own), id(default))
        found = self.get(key)
        if found is None:
            if len(self) >= self.MOST:
                self.clear()
            found = self[key] = _standing(settings, own, default)
        return found


_KNOWN = _Known()


def standing(step: Step) -> Standing:
    """What holds for the step's account."""
    return _KNOWN.of(step.world.settings, step.world.limits(step.account_id), step.world.defaults)


def admitted(
    step: Step, of: Standing, symbol: str, side: Side, order_type: OrderType
) -> tuple[RiskSettings, Denial | None]:
    """The settings to assess an order with, and why it may not even be: who asks, and what may be traded now."""
    settings = of.of_order
    if of.sanctioned:
        return settings, Denial(SANCTIONED, "the account is under sanctions")
    least, tier = of.get("min_tier") or 0, (of.own.kyc_tier if of.own is not None else 0) or 0
    if tier < least:
        return settings, Denial(KYC_TIER, f"the account's tier is {tier}, an order needs {least}")
    market, states = order_type in MARKETS, step.world.states
    found = of.states
    for scope in ("system", f"symbol|{symbol}", f"breaker|{symbol}") if states else ():
        said = states.get(scope)
        if said is not None and _counts(said, market, step.cause.now):
            found.append((said.state, f"{scope}: {said.reason}" if said.reason else scope))
    for state, scope in sorted(found, key=_strictness):
        if state is TradingStatus.HALTED:
            return settings, Denial(HALTED, f"trading is halted: {scope}")
        if state is TradingStatus.REDUCING and side is Side.BUY:
            return settings, Denial(REDUCING, f"only sales are taken: {scope}")
        if state is TradingStatus.HALF_OPEN and market:
            settings = with_values(settings, collar=settings.collar // 2)
    return settings, None


def _strictness(found: tuple[TradingStatus, str]) -> bool:
    """A halt comes before all others: what it stops waits for its end, whatever else stands against it."""
    return found[0] is not TradingStatus.HALTED


def stands(step: Step, order: OrderRecord) -> Denial | None:
    """Why nothing more of an order that was accepted may go out now, if so. `HALTED` is over by itself, and is waited for."""
    return admitted(step, standing(step), order.symbol, order.side, order.order_type)[1]


def _counts(said: TradingState, market: bool, now: int) -> bool:
    return (said.until is None or now < said.until) and (market or not said.market_only)


def counted(step: Step, of: Standing, modify: bool = False) -> Denial | None:
    """Count a command against its rate; why it is too much."""
    name = "modify_rate" if modify else "order_rate"
    most = of.get(name)
    if most is None:
        return None
    second = step.cause.now // SECOND
    usage = step.usage or _NOTHING_YET
    orders, modifies = (usage.orders, usage.modifies) if usage.second == second else (0, 0)
    orders, modifies = orders + (not modify), modifies + modify
    step.usage = Usage(day=usage.day, notional=usage.notional, second=second, orders=orders, modifies=modifies)
    if (modifies if modify else orders) > most:
        return Denial(MODIFY_RATE if modify else ORDER_RATE, f"{most} a second are taken")
    return None


def room(step: Step, of: Standing) -> Denial | None:
    """Whether one more order may be open."""
    most = of.get("max_open_orders")
    if most is not None and step.before.account is not None and step.before.account.open_orders >= most:
        return Denial(TOO_MANY_OPEN_ORDERS, f"{most} orders may be open")
    return None


def within(step: Step, of: Standing, order: OrderRecord, approval: Approval) -> Denial | None:
    """Whether positions and the day bear an order. `order` may be what the step's order is to become."""
    denial = _positions(step, of, order, approval) if order.side is Side.BUY else None
    return denial or _day(step, of, order, approval)


def count(step: Step, of: Standing, order: OrderRecord, approval: Approval) -> None:
    """What an order is worth is of this day from now on. It was approved, and reserved for; the step's order is still what it was."""
    total = _today(step, of, order, approval)
    if total is None or total >= MAX:
        return  # what has no price cannot be counted, and is denied where a limit asks for it
    usage = step.usage or _NOTHING_YET
    day = step.cause.now // DAY
    step.usage = Usage(day=day, notional=total, second=usage.second, orders=usage.orders, modifies=usage.modifies)


def _day(step: Step, of: Standing, order: OrderRecord, approval: Approval) -> Denial | None:
    most = of.get("max_day_notional")
    if most is None:
        return None
    total = _today(step, of, order, approval)
    if total is None:
        return Denial(risk.NO_PRICE, f"{order.symbol} has no price in {of.settings.currency}")
    if total > most or total >= MAX:
        return Denial(DAILY_NOTIONAL, f"orders of {show(most)} {of.settings.currency} may be placed a day")
    return None


def _today(step: Step, of: Standing, order: OrderRecord, approval: Approval) -> int | None:
    """What the day's orders are worth with this one, or `None` where that has no price."""
    _, quote = assets_of(order.symbol) or ("", "")
    now = step.the_order()
    # what is being changed has counted already
    before = 0 if now.state in _NOT_BEGUN else notional(now.protection, now.quantity - now.filled)
    more = notional(approval.protection, max(0, approval.quantity - order.filled)) - before
    value = worth(step, quote, max(0, more))
    usage = step.usage or _NOTHING_YET
    return None if value is None else value + (usage.notional if usage.day == step.cause.now // DAY else 0)


def _positions(step: Step, of: Standing, order: OrderRecord, approval: Approval) -> Denial | None:
    most = of.get("max_account_position")
    by_asset = (of.own and of.own.max_positions) or (of.default and of.default.max_positions)
    if most is None and not by_asset:
        return None
    base = (assets_of(order.symbol) or ("", ""))[0]
    account = step.before.account
    buying = {b.asset: b.amount for b in (account.buying or ())} if account is not None else {}
    # an order that is being changed counts among the open buys already
    now = step.the_order()
    more = approval.quantity - (0 if now.state in _NOT_BEGUN else now.quantity)
    for said in (of.own, of.default):
        listed = next((m.amount for m in (said.max_positions or ()) if m.asset == base), None) if said else None
        if listed is not None:
            if step.funds.total(base) + buying.get(base, 0) + more > listed:
                return Denial(POSITION_LIMIT, f"{show(listed)} {base} may be held and bought")
            break  # the account's own word counts, not everybody's
    if most is None:
        return None
    total, currency = 0, of.settings.currency
    assets = {b.asset for b in account.balances} if account is not None else set()
    for asset in assets | buying.keys() | {base}:
        if asset == currency:
            continue
        amount = step.funds.total(asset) + buying.get(asset, 0) + (more if asset == base else 0)
        value = worth(step, asset, amount)
        if value is None:
            return Denial(risk.NO_PRICE, f"{asset} has no price in {currency}")
        total += value
    if total > most:
        return Denial(ACCOUNT_POSITION, f"positions of {show(most)} {currency} may be held and bought")
    return None


def worth(step: Step, asset: str, amount: int) -> int | None:
    """An amount in the reporting currency by quotes that are young enough, or `None` where nothing says what it is worth."""
    settings, world, now = step.world.settings, step.world, step.cause.now
    if asset == settings.currency or not amount:
        return amount

    def fresh(symbol: str) -> Quote | None:
        quote = world.quote(symbol)
        return None if risk.mid(quote, now, settings) is None else quote

    by = fx.rate(fresh, asset, settings.currency, settings.through)
    return None if by is None else by.of(amount)
