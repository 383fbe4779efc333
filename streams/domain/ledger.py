"""An account's money: available, locked for open orders, held by command, and owed.

Rules:

* nothing is ever negative, and money only moves: available + locked + held - owed changes by what comes in or goes out, to the last unit;
* a reservation takes from what is available, all of it or nothing;
* a charge that must be borne because it has happened (a fee in an asset that the account does not hold, a late fill of an order whose
  reservation was given back) takes what is available and leaves the rest *owed*; whatever comes in pays that back first, so
  that nothing is available in an asset in which something is owed;
* `check` states all of it as one function, for tests and for `verify`.
"""

from __future__ import annotations

from collections.abc import Iterable

from schemas.records import AccountState, Balance, BalanceChange, Fill, OrderRecord, Side
from streams.domain.money import MAX, assets_of, notional, worst_cost
from streams.domain.orders import CLOSED


class AmountOutOfRange(Exception):
    """More than a decimal(20,8) holds."""


class Funds:
    """An account's balances while one decision is made: `balances` in, movements, `changes` for each event, `balances()` out."""

    __slots__ = ("_before", "_now", "_told")

    def __init__(self, balances: tuple[Balance, ...]) -> None:
        self._before = balances
        self._now: dict[str, list[int]] = {}  # asset -> [available, locked, owed, held], of the assets touched
        self._told: dict[str, tuple[int, int, int, int]] = {}  # the same, as of the last event

    def _of(self, asset: str) -> list[int]:
        found = self._now.get(asset)
        if found is None:
            found = [0, 0, 0, 0]
            for b in self._before:
                if b.asset == asset:
                    found = [b.available, b.locked, b.owed or 0, b.held or 0]
                    break
            self._now[asset] = found
            self._told[asset] = (found[0], found[1], found[2], found[3])
        return found

    def available(self, asset: str) -> int:
        """What may be reserved or withdrawn."""
        return self._of(asset)[0]

    def total(self, asset: str) -> int:
        """All that is there, whatever it is kept for."""
        one = self._of(asset)
        return one[0] + one[1] + one[3]

    def credit(self, asset: str, amount: int) -> None:
        """Money comes in; what is owed is paid back first. Raises `AmountOutOfRange`."""
        one = self._of(asset)
        back = min(amount, one[2])
        one[2] -= back
        one[0] += amount - back
        if one[0] + one[1] + one[3] >= MAX:
            raise AmountOutOfRange(f"{one[0] + one[1] + one[3]} of {asset}")

    def debit(self, asset: str, amount: int) -> None:
        """Money is gone: from what is available, the rest is owed. Raises `AmountOutOfRange`."""
        one = self._of(asset)
        paid = min(amount, one[0])
        one[0] -= paid
        one[2] += amount - paid
        if one[2] >= MAX:
            raise AmountOutOfRange(f"{one[2]} of {asset} owed")

    def lock(self, asset: str, amount: int) -> bool:
        """Reserve; `False`, and nothing moved, when that much is not available."""
        one = self._of(asset)
        if one[0] < amount:
            return False
        one[0] -= amount
        one[1] += amount
        return True

    def unlock(self, asset: str, amount: int) -> None:
        """Give back what was reserved."""
        self._of(asset)[1] -= amount
        self.credit(asset, amount)

    def spend(self, asset: str, amount: int) -> None:
        """What was reserved is gone."""
        self._of(asset)[1] -= amount

    def hold(self, asset: str, amount: int) -> bool:
        """Set aside until it is released; `False`, and nothing moved, when that much is not available."""
        one = self._of(asset)
        if one[0] < amount:
            return False
        one[0] -= amount
        one[3] += amount
        return True

    def release(self, asset: str, amount: int) -> bool:
        """Give back what was set aside; `False`, and nothing moved, when less is held."""
        one = self._of(asset)
        if one[3] < amount:
            return False
        one[3] -= amount
        self.credit(asset, amount)
        return True

    def changes(self) -> tuple[BalanceChange, ...]:
        """What moved since the last call."""
        found = []
        for asset, (available, locked, owed, held) in self._now.items():
            before = self._told[asset]
            if before != (available, locked, owed, held):
                self._told[asset] = (available, locked, owed, held)
                found.append(
                    BalanceChange(
                        asset=asset,
                        available_delta=available - before[0],
                        locked_delta=locked - before[1],
                        available=available,
                        locked=locked,
                        owed_delta=owed - before[2] or None,
                        owed=owed or None,
                        held_delta=held - before[3] or None,
                        held=held or None,
                    )
                )
        return tuple(found)

    def balances(self) -> tuple[Balance, ...]:
        """All balances as they are now, in the order in which the assets first came."""
        if not self._now:
            return self._before
        now = dict(self._now)
        found = []
        for b in self._before:
            one = now.pop(b.asset, None)
            found.append(b if one is None else _balance(b.asset, one))
        found += [_balance(asset, one) for asset, one in now.items() if any(one)]
        return tuple(found)


def _balance(asset: str, one: list[int]) -> Balance:
    return Balance(asset=asset, available=one[0], locked=one[1], owed=one[2] or None, held=one[3] or None)


def reservation(side: Side, symbol: str, quantity: int, protection: int, fee_rate: int) -> tuple[str, int]:
    """`(asset, amount)` that covers buying or selling `quantity` at `protection` or better, fees included for a buy.

    A seller's fee is taken from what the sale brings. Raises `ValueError` for what is no symbol.
    """
    assets = assets_of(symbol)
    if assets is None:
        raise ValueError(f"{symbol!r} is not a symbol")
    if side is Side.BUY:
        return assets[1], worst_cost(protection, quantity, fee_rate)
    return assets[0], quantity


def settle(funds: Funds, order: OrderRecord, price: int, quantity: int, fee: int, fee_asset: str) -> int:
    """Move a fill's money; what of the order's reservation is left.

    The reservation pays first, then what is available. A negative `fee` is a rebate. What the rest of an open order cannot need any
    more is given back at once, but for one that is to spend an amount.
    """
    value = notional(price, quantity)
    base, quote = assets_of(order.symbol) or ("", "")
    paid_asset, paid, got_asset, got = (
        (quote, value, base, quantity) if order.side is Side.BUY else (base, quantity, quote, value)
    )
    if fee_asset == got_asset:
        got -= fee
    elif fee_asset == paid_asset:
        paid += fee
    elif fee > 0:
        funds.debit(fee_asset, fee)
    else:
        funds.credit(fee_asset, -fee)
    reserved = min(order.locked, max(paid, 0))
    funds.spend(paid_asset, reserved)
    for asset, amount in ((paid_asset, paid - reserved), (got_asset, -got)):
        if amount > 0:
            funds.debit(asset, amount)
        elif amount < 0:
            funds.credit(asset, -amount)
    left = order.locked - reserved
    if order.quote_amount is not None:
        return left  # it is there to be spent
    _, needed = reservation(
        order.side, order.symbol, order.quantity - order.filled - quantity, order.protection, order.fee_rate
    )
    if order.change is not None:  # reserved for the change as well
        rest = order.change.quantity - order.filled - quantity
        changed = order.change.protection, order.change.fee_rate
        needed = max(needed, reservation(order.side, order.symbol, max(0, rest), *changed)[1])
    if left > needed:
        funds.unlock(order.locked_asset, left - needed)
        left = needed
    return left


def check(
    account: AccountState,
    orders: Iterable[OrderRecord],
    transfers: Iterable[tuple[str, int]],
    fills: Iterable[Fill],
) -> list[str]:
    """What is wrong with an account's money, in words; empty when all adds up.

    `orders`: all that the account has; `transfers`: `(asset, amount)` of those applied, withdrawals negative; `fills`: all.
    """
    wrong: list[str] = []
    held = {b.asset: b for b in account.balances}
    flow: dict[str, int] = dict.fromkeys(held, 0)
    for asset, amount in transfers:
        flow[asset] = flow.get(asset, 0) + amount
    for f in fills:
        base, quote = assets_of(f.symbol) or ("", "")
        sign = 1 if f.side is Side.BUY else -1
        for asset, amount in (
            (base, sign * f.quantity),
            (quote, -sign * notional(f.price, f.quantity)),
            (f.fee_asset, -f.fee),
        ):
            flow[asset] = flow.get(asset, 0) + amount
    locked: dict[str, int] = {}
    still_open = 0
    for o in orders:
        if o.state in CLOSED:
            if o.locked:
                wrong.append(f"order {o.order_id} is {o.state} and still locks {o.locked}")
            continue
        still_open += 1
        locked[o.locked_asset] = locked.get(o.locked_asset, 0) + o.locked
        if o.filled >= o.quantity and (o.quantity or not o.quote_amount):
            wrong.append(f"order {o.order_id} is {o.state} with {o.filled} of {o.quantity} filled")
    if still_open != account.open_orders:
        wrong.append(f"{still_open} orders are open, the account says {account.open_orders}")
    for asset in flow.keys() | held.keys() | locked.keys():
        b = held.get(asset) or Balance(asset=asset, available=0, locked=0)
        owed = b.owed or 0
        if min(b.available, b.locked, owed, b.held or 0) < 0:
            wrong.append(f"{asset}: negative: {b}")
        if b.available and owed:
            wrong.append(f"{asset}: {b.available} available while {owed} is owed")
        if b.locked != locked.get(asset, 0):
            wrong.append(f"{asset}: {b.locked} is locked, open orders lock {locked.get(asset, 0)}")
        there = b.available + b.locked + (b.held or 0) - owed
        if there != flow.get(asset, 0):
            wrong.append(f"{asset}: {there} is there, {flow.get(asset, 0)} came and stayed")
    return wrong
