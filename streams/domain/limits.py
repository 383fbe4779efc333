"""What holds for an account rather than for one order: what may be traded at all, how much in all, how fast. A refusal is a `Denial`.

Rules:

* a limit is what `SetLimits` says of the account, else what it says of everybody, else the settings;
* trading states stack: the whole system, the symbol, the breaker of the symbol, the account; the strictest counts. While HALTED nothing
  new goes out, while REDUCING only sales do (on spot a sale of what is held is what reduces), while HALF_OPEN a market order has half the collar;
  cancels are never judged;
* what counts over several symbols is counted in the reporting currency, at the consolidated mid; where there is none, the order is denied;
* rates count commands within a second of the clock, those that were denied too.
"""

from __future__ import annotations

from dataclasses import replace as with_values
from typing import NamedTuple

from schemas.records import OrderRecord, OrderType, SetLimits, Side, TradingState, TradingStatus, Usage
from streams.domain import risk
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
_NOTHING_YET = Usage(day=0, notional=0, second=0, orders=0, modifies=0)


class Standing(NamedTuple):
    """What holds for one account now. `own` and `default` are its limits and everybody's, as far as they were set."""

    settings: RiskSettings
    own: SetLimits | None
    default: SetLimits | None

    def get(self, name: str) -> int | None:
        """A limit by the name that `SetLimits` and `RiskSettings` have for it; `None` is none."""
        for said in (self.own, self.default):
            if said is not None and (value := getattr(said, name)) is not None:
                return int(value)
        value = getattr(self.settings, name, None)
        return None if value is None else int(value)

    def of_order(self) -> RiskSettings:
        """The settings that an order is assessed with."""
        if self.own is None and self.default is None:
            return self.settings
        collar = next((x.collar for x in (self.own, self.default) if x is not None and x.collar is not None), None)
        return with_values(
            self.settings,
            max_quantity=self.get("max_quantity"),
            max_notional=self.get("max_notional"),
            collar=self.settings.collar if collar is None else collar,
            band=self.settings.band if collar is None else collar,
        )


def standing(step: Step) -> Standing:
    """What holds for the step's account."""
    return Standing(step.world.settings, step.world.limits(step.account_id), step.world.defaults)


def admitted(
    step: Step, of: Standing, symbol: str, side: Side, order_type: OrderType
) -> tuple[RiskSettings, Denial | None]:
    """The settings to assess an order with, and why it may not even be: who asks, and what may be traded now."""
    settings = of.of_order()
    if (of.own is not None and of.own.sanctioned) or (of.default is not None and of.default.sanctioned):
        return settings, Denial(SANCTIONED, "the account is under sanctions")
    least, tier = of.get("min_tier") or 0, (of.own.kyc_tier if of.own is not None else 0) or 0
    if tier < least:
        return settings, Denial(KYC_TIER, f"the account's tier is {tier}, an order needs {least}")
    market = order_type in MARKETS
    found = [(x.state, "the account") for x in (of.own,) if x is not None and x.state is not None]
    for scope in ("system", f"symbol|{symbol}", f"breaker|{symbol}"):
        said = step.world.states.get(scope)
        if said is not None and _counts(said, market, step.cause.now):
            found.append((said.state, scope))
    for state, scope in found:
        if state is TradingStatus.HALTED:
            return settings, Denial(HALTED, f"trading is halted: {scope}")
        if state is TradingStatus.REDUCING and side is Side.BUY:
            return settings, Denial(REDUCING, f"only sales are taken: {scope}")
        if state is TradingStatus.HALF_OPEN and market:
            settings = with_values(settings, collar=settings.collar // 2)
    return settings, None


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
    """Whether positions and the day bear an order, which counts from now on. `order` may be what the step's order is to become."""
    denial = _positions(step, of, order, approval) if order.side is Side.BUY else None
    return denial or _day(step, of, order, approval)


def _day(step: Step, of: Standing, order: OrderRecord, approval: Approval) -> Denial | None:
    most = of.get("max_day_notional")
    if most is None:
        return None
    _, quote = assets_of(order.symbol) or ("", "")
    now = step.the_order()
    before = (
        notional(now.protection, now.quantity - now.filled) if now.locked else 0
    )  # of an order that is being changed
    more = notional(approval.protection, max(0, approval.quantity - order.filled)) - before
    value = worth(step, quote, max(0, more))
    if value is None:
        return Denial(risk.NO_PRICE, f"{quote} has no price in {of.settings.currency}")
    usage, day = step.usage or _NOTHING_YET, step.cause.now // DAY
    total = value + (usage.notional if usage.day == day else 0)
    if total > most or total >= MAX:
        return Denial(DAILY_NOTIONAL, f"orders of {show(most)} {of.settings.currency} may be placed a day")
    step.usage = Usage(day=day, notional=total, second=usage.second, orders=usage.orders, modifies=usage.modifies)
    return None


def _positions(step: Step, of: Standing, order: OrderRecord, approval: Approval) -> Denial | None:
    base = (assets_of(order.symbol) or ("", ""))[0]
    account = step.before.account
    buying = {b.asset: b.amount for b in (account.buying or ())} if account is not None else {}
    # an order that is being changed counts among the open buys already
    now = step.the_order()
    more = approval.quantity - (now.quantity if now.locked else now.filled)
    for said in (of.own, of.default):
        listed = next((m.amount for m in (said.max_positions or ()) if m.asset == base), None) if said else None
        if listed is not None:
            if step.funds.total(base) + buying.get(base, 0) + more > listed:
                return Denial(POSITION_LIMIT, f"{show(listed)} {base} may be held and bought")
            break  # the account's own word counts, not everybody's
    most = of.get("max_account_position")
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
    """An amount in the reporting currency, or `None` where nothing says what it is worth."""
    currency = step.world.settings.currency
    if asset == currency or not amount:
        return amount
    rate = risk.mid(step.world.quote(f"{asset}/{currency}"), step.cause.now, step.world.settings)
    return None if rate is None else notional(rate, amount)
