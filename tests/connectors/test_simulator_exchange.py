"""The exchange without its servers: money is conserved whatever happens, and orders end as they should."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.simulator.amounts import SCALE, fixed, notional, parse
from connectors.simulator.exchange import Exchange, Market, NewOrder, Order, Print, Trade
from connectors.simulator.rules import Refusal, Rules

RULES = Rules("BTC/USDT", SCALE // 100, SCALE // 1000, SCALE // 1000, 5 * SCALE, 9000 * SCALE)
ACCOUNTS = ("a", "b")


class Heard:
    """What a listener was told."""

    def __init__(self) -> None:
        self.reports: list[tuple[str, str, str, int]] = []
        self.changed: dict[tuple[str, str], tuple[int, int]] = {}
        self.prints: list[Print] = []

    def report(self, order: Order, what: str, trade: Trade | None, cancel_id: str) -> None:
        self.reports.append((order.asked.client_id, what, order.status, trade.quantity if trade else 0))

    def balances(self, account: str, changed: Mapping[str, tuple[int, int]], at: int) -> None:
        self.changed |= {(account, asset): amounts for asset, amounts in changed.items()}

    def printed(self, market: Market, public: Print) -> None:
        self.prints.append(public)

    def moved(self, market: Market) -> None: ...


def venue(
    usdt: int = 100_000 * SCALE, btc: int = 100 * SCALE, in_quote: bool = False
) -> tuple[Exchange, Market, Heard]:
    heard = Heard()
    it = Exchange([RULES], 80_000, 100_000, heard, fees_in_quote=in_quote)
    for account in ACCOUNTS:
        it.ledger.deposit(account, "USDT", usdt)
        it.ledger.deposit(account, "BTC", btc)
    market = it.market("BTCUSDT")
    it.show(market, [(99 * SCALE, 2 * SCALE)], [(100 * SCALE, 2 * SCALE), (101 * SCALE, 3 * SCALE)], 1, True)
    return it, market, heard


def order(cid: str, quantity: int = SCALE, limit: int | None = 100 * SCALE, **fields: object) -> NewOrder:
    base = NewOrder("BTCUSDT", cid, "BUY", "LIMIT" if limit else "MARKET", "GTC", quantity, limit)
    return base._replace(**fields)  # type: ignore[arg-type]


@given(st.integers(0, 10**19), st.integers(0, 10**12), st.integers(0, 10**12))
def test_amounts(value: int, price: int, quantity: int) -> None:
    assert parse(fixed(value)) == value
    assert notional(price, quantity) * SCALE <= price * quantity < (notional(price, quantity) + 1) * SCALE
    part = quantity // 3
    assert notional(price, part) + notional(price, quantity - part) <= notional(price, quantity)


def test_amounts_are_strict() -> None:
    for wrong in ("", "-1", "1e3", "0.123456789", ".5", "1.", " 1", "+1", "NaN", "\u0661"):
        with pytest.raises(ValueError):
            parse(wrong)
    assert parse("1.230000000000") == 123_000_000 and fixed(-150_000_000) == "-1.50000000"


def test_fee_is_taken_from_what_is_received() -> None:
    it, _, heard = venue()
    bought = it.place("a", order("c-1", 3 * SCALE, 101 * SCALE), 2)
    assert (bought.status, bought.filled, bought.quote) == ("FILLED", 3 * SCALE, 301 * SCALE)
    assert [(t.price, t.quantity, t.fee, t.fee_asset, t.maker) for t in bought.trades] == [
        (100 * SCALE, 2 * SCALE, SCALE // 500, "BTC", False),
        (101 * SCALE, SCALE, SCALE // 1000, "BTC", False),
    ]
    sold = it.place("a", order("c-2", SCALE, 99 * SCALE, side="SELL"), 3)
    assert [(t.fee, t.fee_asset) for t in sold.trades] == [(99 * SCALE // 1000, "USDT")]
    assert it.ledger.of("a") == {
        "USDT": ((100_000 - 301 + 99) * SCALE - 99 * SCALE // 1000, 0),
        "BTC": (102 * SCALE - 3 * SCALE // 1000, 0),
    }
    assert heard.changed["a", "BTC"] == it.ledger.of("a")["BTC"]
    assert it.conserved()


def test_a_fee_in_quote_is_paid_beside_the_price_and_locked_with_it() -> None:
    it, market, heard = venue(in_quote=True)
    resting = it.place("a", order("c-0", SCALE, 50 * SCALE), 2)
    assert resting.locked == 50 * SCALE + 50 * SCALE // 1000, "as the taker it might still be"
    bought = it.place("a", order("c-1", 3 * SCALE, 101 * SCALE), 2)
    assert [(t.quantity, t.fee, t.fee_asset) for t in bought.trades] == [
        (2 * SCALE, 200 * SCALE // 1000, "USDT"),
        (SCALE, 101 * SCALE // 1000, "USDT"),
    ]
    sold = it.place("a", order("c-2", SCALE, 99 * SCALE, side="SELL"), 3)
    assert [(t.fee, t.fee_asset) for t in sold.trades] == [(99 * SCALE // 1000, "USDT")]
    it.show(market, [], [(50 * SCALE, SCALE)], 4)
    assert [(t.fee, t.fee_asset, t.maker) for t in resting.trades] == [(50 * SCALE * 8 // 10_000, "USDT", True)]
    fees = (301 * SCALE + 99 * SCALE) // 1000 + 50 * SCALE * 8 // 10_000
    assert it.ledger.of("a") == {
        "USDT": ((100_000 - 301 + 99 - 50) * SCALE - fees, 0),
        "BTC": (103 * SCALE, 0),
    }
    assert it.ledger.fees == {"USDT": fees, "BTC": 0} and heard.changed["a", "USDT"] == it.ledger.of("a")["USDT"]
    assert it.conserved()
    with pytest.raises(Refusal, match="insufficient"):  # the money is there for the price, not for the fee
        it.place("b", order("c-3", 1000 * SCALE, 100 * SCALE), 5)


def test_maker_pays_the_makers_fee_and_both_ends_share_a_trade() -> None:
    it, market, heard = venue()
    resting = it.place("b", order("m", SCALE, 99 * SCALE + SCALE // 2), 2)
    it.place("a", order("t", SCALE, 99 * SCALE, side="SELL"), 3)
    (mine,) = resting.trades
    assert mine.maker and mine.price == 99 * SCALE + SCALE // 2 and mine.fee == 80_000 * mine.quantity // SCALE
    assert resting.status == "FILLED" and it.orders[2].trades[0].trade_id == mine.trade_id
    assert [p.trade_id for p in market.prints] == [mine.trade_id]
    assert heard.reports[1:] == [
        ("t", "NEW", "NEW", 0),
        ("m", "TRADE", "FILLED", SCALE),
        ("t", "TRADE", "FILLED", SCALE),
    ]
    assert it.conserved()


def test_partial_fill_then_resting_remainder() -> None:
    it, market, _ = venue()
    resting = it.place("a", order("c", 5 * SCALE), 2)
    assert (resting.status, resting.filled, resting.locked) == ("PARTIALLY_FILLED", 2 * SCALE, 300 * SCALE)
    assert market.book.bids.best() == (100 * SCALE, 3 * SCALE)
    it.printed(market, 100 * SCALE, 4 * SCALE, "SELL", 3)  # someone sells through our price
    assert (resting.status, resting.filled, resting.trades[-1].maker) == ("FILLED", 5 * SCALE, True)
    assert [(p.price, p.quantity) for p in market.prints[-2:]] == [(100 * SCALE, 3 * SCALE), (100 * SCALE, SCALE)]
    assert not it.open and it.conserved()


@pytest.mark.parametrize(
    ("asked", "status", "filled"),
    [
        (order("c", 5 * SCALE, validity="IOC"), "EXPIRED", 2 * SCALE),
        (order("c", 5 * SCALE, 101 * SCALE, validity="FOK"), "FILLED", 5 * SCALE),
        (order("c", 6 * SCALE, 101 * SCALE, validity="FOK"), "EXPIRED", 0),
        (order("c", 9 * SCALE, None), "EXPIRED", 5 * SCALE),
        (order("c", 5 * SCALE, None, side="SELL"), "EXPIRED", 2 * SCALE),
        (order("c", SCALE, 98 * SCALE, kind="LIMIT_MAKER"), "NEW", 0),
    ],
)
def test_how_orders_end(asked: NewOrder, status: str, filled: int) -> None:
    it, _, _ = venue()
    done = it.place("a", asked, 2)
    assert (done.status, done.filled) == (status, filled)
    assert bool(done.locked) == done.open and len(it.open) == done.open
    assert it.accepted == {"c": 1} and it.conserved()


@pytest.mark.parametrize(
    ("asked", "code", "words"),
    [
        (order("c", symbol="DOGEUSDT"), -1121, "Invalid symbol."),
        (order("c", 10**7 + 1), -1013, "Filter failure: LOT_SIZE"),
        (order("c", 9001 * SCALE), -1013, "Filter failure: LOT_SIZE"),
        (order("c", limit=100 * SCALE + 1), -1013, "Filter failure: PRICE_FILTER"),
        (order("c", SCALE // 100), -1013, "Filter failure: NOTIONAL"),
        (order("c", SCALE // 100, None), -1013, "Filter failure: NOTIONAL"),
        (order("c", 5000 * SCALE), -2010, "Account has insufficient balance for requested action."),
        (order("c", 101 * SCALE, side="SELL"), -2010, "Account has insufficient balance for requested action."),
        (order("c", kind="LIMIT_MAKER"), -2010, "Order would immediately match and take."),
        (order("taken"), -2010, "Duplicate order sent."),
    ],
)
def test_what_is_refused_leaves_no_trace(asked: NewOrder, code: int, words: str) -> None:
    it, market, heard = venue()
    it.cancel(it.place("a", order("taken", SCALE, 50 * SCALE), 2), "x", 3)
    before = it.ledger.of("a"), market.update_id, len(heard.reports)
    with pytest.raises(Refusal) as refusal:
        it.place("a", asked, 4)
    assert (refusal.value.code, refusal.value.words) == (code, words)
    assert (it.ledger.of("a"), market.update_id, len(heard.reports)) == before
    assert it.accepted == {"taken": 1} and it.conserved()
    assert it.place("b", order("taken"), 5).status == "FILLED"  # ids are an account's own


def test_cancel() -> None:
    it, _, heard = venue()
    resting = it.place("a", order("c", SCALE, 50 * SCALE), 2)
    assert it.find("a", "BTCUSDT", None, "c") is resting is it.find("a", "BTCUSDT", resting.number, None)
    assert it.find("b", "BTCUSDT", resting.number, None) is None is it.find("a", "BTCUSDT", resting.number, "other")
    it.cancel(resting, "x", 3)
    assert heard.reports[-1] == ("c", "CANCELED", "CANCELED", 0)
    assert resting.status == "CANCELED" and it.ledger.of("a")["USDT"] == (100_000 * SCALE, 0)
    with pytest.raises(Refusal, match="Unknown order"):
        it.cancel(resting, "x", 4)
    filled = it.place("a", order("d"), 5)
    with pytest.raises(Refusal, match="Unknown order"):
        it.cancel(filled, "x", 6)
    assert it.conserved()


prices = st.integers(9_000, 11_000).map(lambda cents: cents * SCALE // 100)
quantities = st.integers(1, 9_000).map(lambda lots: lots * SCALE // 1000)
levels = st.lists(st.tuples(prices, st.one_of(st.just(0), st.integers(1, 5 * SCALE))), max_size=5)
orders = st.builds(
    NewOrder,
    st.just("BTCUSDT"),
    st.uuids().map(str),
    st.sampled_from(["BUY", "SELL"]),
    st.sampled_from(["LIMIT", "LIMIT", "MARKET", "LIMIT_MAKER"]),
    st.sampled_from(["GTC", "IOC", "FOK"]),
    quantities,
    prices,
).map(lambda o: o._replace(limit=None) if o.kind == "MARKET" else o)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("place"), st.sampled_from(ACCOUNTS), orders),
        st.tuples(st.just("show"), levels, levels, st.booleans()),
        st.tuples(st.just("printed"), prices, quantities, st.sampled_from(["BUY", "SELL"])),
        st.tuples(st.just("cancel"), st.integers(0, 20)),
        st.tuples(st.just("overtake")),
    ),
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(steps, st.booleans())
def test_money_is_conserved(script: list[tuple], in_quote: bool) -> None:  # type: ignore[type-arg]
    it, market, heard = venue(usdt=3_000 * SCALE, btc=30 * SCALE, in_quote=in_quote)
    for at, (what, *args) in enumerate(script):
        if what == "place":
            try:
                it.place(args[0], args[1], at)
            except Refusal as refusal:
                assert refusal.code in (-1013, -2010)
        elif what == "show":
            bids, asks, whole = args
            it.show(market, dict(bids).items(), dict(asks).items(), at, whole)
        elif what == "printed":
            price, quantity, taker = args
            it.printed(market, price, quantity, taker, at)
        elif what == "overtake":
            it.overtake()
        elif it.open:
            it.cancel(list(it.open.values())[args[0] % len(it.open)], "x", at)
        assert it.conserved()
        assert set(it.open) == set(market.book.orders)
        for known, amounts in heard.changed.items():
            assert amounts == it.ledger.of(known[0])[known[1]]
    ours: dict[int, int] = {}
    for one in it.orders.values():
        assert sum(t.quantity for t in one.trades) == one.filled <= one.asked.quantity
        assert sum(t.quote for t in one.trades) == one.quote
        if one.asked.limit is not None:
            sign = 1 if one.asked.side == "BUY" else -1
            assert all(t.price * sign <= one.asked.limit * sign for t in one.trades)
        for t in one.trades:
            ours[t.trade_id] = t.quantity
    told = {p.trade_id: p.quantity for p in heard.prints}
    assert ours.items() <= told.items() and len(told) == len(heard.prints)
    # every account's balance is its deposits and trades
    for account in ACCOUNTS:
        rows = [(o, t) for o in it.orders.values() if o.account == account for t in o.trades]
        bought = sum(t.quantity for _, t in rows if t.side == "BUY") - sum(
            t.quantity for _, t in rows if t.side == "SELL"
        )
        paid = sum(t.quote for _, t in rows if t.side == "BUY") - sum(t.quote for _, t in rows if t.side == "SELL")
        fees = {asset: sum(t.fee for _, t in rows if t.fee_asset == asset) for asset in ("BTC", "USDT")}
        assert sum(it.ledger.of(account)["BTC"]) == 30 * SCALE + bought - fees["BTC"]
        assert sum(it.ledger.of(account)["USDT"]) == 3_000 * SCALE - paid - fees["USDT"]
