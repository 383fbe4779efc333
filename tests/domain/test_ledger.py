"""Money: movements against a naive twin, reservations that always suffice, and a check that finds what is wrong."""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.records import (
    AccountState,
    Balance,
    Fill,
    Liquidity,
    OrderRecord,
    OrderState,
    OrderType,
    Side,
    TimeInForce,
)
from streams.domain.ledger import AmountOutOfRange, Funds, check, reservation, settle
from streams.domain.money import MAX, SCALE, assets_of, down_to, notional, up_to, worst_cost

S = SCALE
AMOUNTS = st.integers(0, 1000) | st.integers(0, 10**15)
MOVES = st.lists(
    st.tuples(st.sampled_from(["credit", "debit", "lock", "unlock", "spend"]), st.sampled_from("XYZ"), AMOUNTS)
)


@given(MOVES)
def test_movements_equal_the_twins_and_nothing_is_negative(moves: list[tuple[str, str, int]]) -> None:
    funds = Funds(())
    net: dict[str, int] = defaultdict(int)  # the twin: one number an asset, and what is locked
    locked: dict[str, int] = defaultdict(int)
    told: dict[str, int] = defaultdict(int)
    for what, asset, amount in moves:
        if what in ("unlock", "spend"):
            amount = min(amount, locked[asset])
        if what == "lock" and not funds.lock(asset, amount):
            assert net[asset] - locked[asset] < amount
            continue
        if what != "lock":
            getattr(funds, what)(asset, amount)
        net[asset] += {"credit": amount, "debit": -amount, "spend": -amount}.get(what, 0)
        locked[asset] += {"lock": amount, "unlock": -amount, "spend": -amount}.get(what, 0)
        for change in funds.changes():
            told[change.asset] += change.available_delta + change.locked_delta - (change.owed_delta or 0)
            assert told[change.asset] == change.available + change.locked - (change.owed or 0)
    for b in funds.balances():
        owed = b.owed or 0
        assert b.available >= 0 and b.locked >= 0 and owed >= 0
        assert not (b.available and owed)
        assert b.locked == locked[b.asset]
        assert b.available + b.locked - owed == net[b.asset]
    assert {b.asset for b in funds.balances()} >= {asset for asset, amount in net.items() if amount}


def test_what_a_decimal_cannot_hold_is_refused() -> None:
    funds = Funds((Balance(asset="X", available=MAX - 10, locked=5),))
    funds.credit("X", 4)
    with pytest.raises(AmountOutOfRange):
        funds.credit("X", 1)
    with pytest.raises(AmountOutOfRange):
        Funds(()).debit("X", MAX)


@given(st.integers(1, 10**13), st.integers(1, 10**12), st.integers(0, S // 10))
def test_the_worst_cost_is_exact_rounded_up(price: int, quantity: int, fee: int) -> None:
    exact = Fraction(price * quantity, S) * Fraction(S + fee, S)
    assert 0 <= worst_cost(price, quantity, fee) - exact < 1
    assert 0 <= Fraction(price * quantity, S) - notional(price, quantity) < 1


@given(st.integers(0, 10**12), st.integers(1, 10**9))
def test_steps(price: int, step: int) -> None:
    assert down_to(price, step) % step == 0 and 0 <= price - down_to(price, step) < step
    assert up_to(price, step) % step == 0 and 0 <= up_to(price, step) - price < step


def test_assets() -> None:
    assert assets_of("BTC/USDT") == ("BTC", "USDT")
    assert assets_of("BTC/USDT:USDT") == ("BTC", "USDT")
    assert [assets_of(s) for s in ("", "BTC", "/", "BTC/", "/USDT", "BTC/:USDT")] == [None] * 6


def an_order(side: Side, quantity: int, protection: int, fee_rate: int) -> OrderRecord:
    asset, amount = reservation(side, "BTC/USDT", quantity, protection, fee_rate)
    return OrderRecord(
        order_id="o",
        account_id="a",
        client_order_id="c",
        symbol="BTC/USDT",
        side=side,
        order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.GTC,
        state=OrderState.WORKING,
        quantity=quantity,
        price=protection,
        protection=protection,
        filled=0,
        filled_quote=0,
        locked_asset=asset,
        locked=amount,
        fee_rate=fee_rate,
        children=(),
        planned=True,
        unrouted=0,
        close_reason="",
        seq=1,
        sent_at=0,
        accepted_at=0,
        attempt=1,
    )


@st.composite
def executions(draw: st.DrawFn) -> tuple[OrderRecord, list[tuple[int, int, int, str]]]:
    """An order and fills of it that keep to its protection price and fee rate: `(price, quantity, fee, fee asset)`."""
    side = draw(st.sampled_from(Side))
    protection = draw(st.integers(1, 10**13))
    order = an_order(side, draw(st.integers(1, 10**12)), protection, draw(st.integers(0, S // 50)))
    fills, left = [], order.quantity
    for _ in range(draw(st.integers(0, 6))):
        if not left:
            break
        quantity = draw(st.integers(1, left))
        left -= quantity
        price = draw(st.integers(1, protection) if side is Side.BUY else st.integers(protection, protection * 2))
        asset = draw(st.sampled_from(["BTC", "USDT"] if side is Side.BUY else ["USDT"]))
        value = notional(price, quantity) if asset == "USDT" else quantity
        fills.append((price, quantity, value * draw(st.integers(0, order.fee_rate)) // S, asset))
    return order, fills


@given(executions())
def test_a_reservation_suffices_however_the_fills_are_cut(
    case: tuple[OrderRecord, list[tuple[int, int, int, str]]],
) -> None:
    order, fills = case
    funds = Funds((Balance(asset=order.locked_asset, available=0, locked=order.locked),))
    net: dict[str, int] = defaultdict(int)
    net[order.locked_asset] = order.locked
    for price, quantity, fee, fee_asset in fills:
        left = settle(funds, order, price, quantity, fee, fee_asset)
        order = msgspec.structs.replace(order, filled=order.filled + quantity, locked=left)
        sign = 1 if order.side is Side.BUY else -1
        net["BTC"] += sign * quantity
        net["USDT"] -= sign * notional(price, quantity)
        net[fee_asset] -= fee
        rest = order.quantity - order.filled
        _, needed = reservation(order.side, order.symbol, rest, order.protection, order.fee_rate)
        assert order.locked == needed, "what the rest may cost stays locked, and no more"
    held = {b.asset: b for b in funds.balances()}
    assert all(not b.owed for b in held.values())
    assert held[order.locked_asset].locked == order.locked
    for asset, amount in net.items():
        assert amount == (held[asset].available + held[asset].locked if asset in held else 0)


FEES = st.tuples(st.integers(-(10**9), 10**9), st.sampled_from(["BTC", "USDT", "BNB"]))


@given(executions(), st.lists(FEES, min_size=6, max_size=6), st.integers(0, 10**9))
def test_no_fee_breaks_the_books(
    case: tuple[OrderRecord, list[tuple[int, int, int, str]]], fees: list[tuple[int, str]], have: int
) -> None:
    order, fills = case
    held = tuple(
        Balance(asset=a, available=have, locked=order.locked if a == order.locked_asset else 0)
        for a in ("BTC", "USDT", "BNB")
    )
    funds = Funds(held)
    done = []
    for n, ((price, quantity, _, _), (fee, fee_asset)) in enumerate(zip(fills, fees, strict=False)):
        left = settle(funds, order, price, quantity, fee, fee_asset)
        order = msgspec.structs.replace(order, filled=order.filled + quantity, locked=left)
        done.append(a_fill(str(n), order.side, price, quantity, fee, fee_asset))
    filled = order.filled == order.quantity
    order = msgspec.structs.replace(order, state=OrderState.FILLED if filled else OrderState.WORKING)
    account = AccountState(balances=funds.balances(), seq=1, hash=b"", open_orders=0 if filled else 1)
    came = [(b.asset, b.available + b.locked) for b in held]
    assert check(account, [order], came, done) == []


def a_fill(fill_id: str, side: Side, price: int, quantity: int, fee: int, fee_asset: str) -> Fill:
    return Fill(
        fill_id=fill_id,
        account_id="a",
        order_id="o",
        client_order_id="c",
        child_id="k",
        venue="v",
        symbol="BTC/USDT",
        side=side,
        price=price,
        quantity=quantity,
        fee=fee,
        fee_asset=fee_asset,
        liquidity=Liquidity.TAKER,
        venue_at=0,
        at=0,
    )


def test_the_check_names_what_is_wrong() -> None:
    order = an_order(Side.BUY, S, 100 * S, 0)
    good = AccountState(
        balances=(Balance(asset="USDT", available=900 * S, locked=100 * S),), seq=1, hash=b"", open_orders=1
    )
    came = [("USDT", 1500 * S), ("USDT", -500 * S)]
    assert check(good, [order], came, []) == []

    def wrong(
        account: AccountState = good, orders: tuple[OrderRecord, ...] = (order,), fills: tuple[Fill, ...] = ()
    ) -> str:
        return "; ".join(check(account, orders, came, fills))

    def holding(**changes: int) -> AccountState:
        return msgspec.structs.replace(good, balances=(msgspec.structs.replace(good.balances[0], **changes),))

    assert "came and stayed" in wrong(holding(available=900 * S - 1))
    assert "open orders lock" in wrong(holding(locked=100 * S + 1, available=900 * S - 1))
    assert "negative" in wrong(holding(available=-1))
    assert "while 1 is owed" in wrong(holding(available=900 * S + 1, owed=1))
    assert "the account says 2" in wrong(msgspec.structs.replace(good, open_orders=2))
    assert "still locks" in wrong(orders=(msgspec.structs.replace(order, state=OrderState.CANCELLED),))
    assert "is WORKING with" in wrong(orders=(msgspec.structs.replace(order, filled=S),))
    assert "BTC: 0 is there, 100000000 came" in wrong(fills=(a_fill("1", Side.BUY, 100 * S, S, 0, "USDT"),))
