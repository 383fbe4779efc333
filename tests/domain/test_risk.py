"""Risk: what an order must reserve covers every fill that it may get; terms follow the instruments; ids are each their own."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from schemas.records import Instrument, InstrumentStatus, OrderType, PlaceOrder, Quote, Side, TimeInForce
from streams.domain.events import order_id_of, transfer_key
from streams.domain.money import SCALE, worst_cost
from streams.domain.risk import Approval, Denial, Listings, RiskSettings, Terms, assess, show, terms_of, well_formed

S = SCALE


def instrument(venue: str = "a", **changes: object) -> Instrument:
    one = Instrument(
        venue=venue,
        symbol="BTC/USDT",
        base="BTC",
        quote="USDT",
        tick=S // 100,
        lot=1000,
        min_quantity=1000,
        max_quantity=0,
        min_notional=0,
        maker_fee=0,
        taker_fee=S // 1000,
        status=InstrumentStatus.OPEN,
        at=0,
    )
    return msgspec.structs.replace(one, **changes)


ORDERS = st.builds(
    PlaceOrder,
    account_id=st.just("acct"),
    client_order_id=st.text(max_size=3) | st.just("x" * 200),
    symbol=st.just("BTC/USDT"),
    side=st.sampled_from(Side),
    order_type=st.sampled_from(OrderType),
    time_in_force=st.sampled_from(TimeInForce),
    quantity=st.integers(-10, 10**25) | st.integers(1, 10**9).map(lambda n: n * 1000),
    price=st.none() | st.integers(-10, 10**25) | st.integers(1, 10**7).map(lambda n: n * S // 100),
    stop_price=st.none() | st.integers(-10, 10**25) | st.integers(1, 10**7).map(lambda n: n * S // 100),
    scheduled_at=st.none() | st.just(5),
    expires_at=st.none() | st.just(5),
    sent_at=st.just(0),
)
PRICES = st.none() | st.integers(1, 10**14)
QUOTES = st.none() | st.builds(
    Quote, symbol=st.just("BTC/USDT"), bid=PRICES, ask=PRICES, venues=st.just(1), at=st.integers(0, 200_000_000)
)
SETTINGS = st.builds(
    RiskSettings,
    max_quantity=st.none() | st.integers(1, 10**12),
    max_notional=st.none() | st.integers(1, 10**16),
    collar=st.integers(0, S // 2),
    quote_age_us=st.none() | st.integers(0, 10**8),
)


@given(ORDERS, QUOTES, SETTINGS)
def test_any_order_is_denied_with_a_code_or_reserves_what_it_may_cost(
    order: PlaceOrder, quote: Quote | None, settings: RiskSettings
) -> None:
    terms = terms_of("BTC/USDT", [instrument(), instrument("b", tick=S, taker_fee=S // 100)])
    assert isinstance(terms, Terms)
    verdict = well_formed(order) or assess(order, terms, quote, 200_000_000, settings)
    if isinstance(verdict, Denial):
        assert verdict.code.isupper() and verdict.reason
        return
    assert isinstance(verdict, Approval)
    assert order.quantity > 0 and order.quantity % 1000 == 0 and verdict.fee_rate == S // 100
    assert verdict.protection % terms.tick == 0 or order.order_type is OrderType.MARKET
    if order.price is not None:
        assert verdict.protection == order.price
    else:
        # a stop that still waits is protected from where it will trigger, a market order from the market
        touch = order.stop_price
        if touch is None:
            assert quote is not None
            touch = quote.ask if order.side is Side.BUY else quote.bid
        assert touch is not None
        if order.side is Side.BUY:
            assert touch <= verdict.protection <= max(touch, touch * (S + settings.collar) // S)
        else:
            floor = -(-touch * (S - settings.collar) // S)
            assert verdict.protection > 0 and floor <= verdict.protection < max(touch, floor) + terms.tick
    if order.side is Side.BUY:
        assert (verdict.asset, verdict.amount) == ("USDT", worst_cost(verdict.protection, order.quantity, S // 100))
    else:
        assert (verdict.asset, verdict.amount) == ("BTC", order.quantity)
    if settings.max_quantity is not None:
        assert order.quantity <= settings.max_quantity


def test_terms_are_the_finest_of_the_open_venues() -> None:
    coarse = instrument("b", tick=S, lot=S, min_quantity=S, max_quantity=100 * S, min_notional=5, maker_fee=S // 10)
    assert terms_of("BTC/USDT", [instrument(), coarse]) == Terms("BTC", "USDT", S // 100, 1000, 1000, 0, 0, S // 10)
    closed = instrument(status=InstrumentStatus.CLOSED)
    assert terms_of("BTC/USDT", [closed, coarse]) == Terms("BTC", "USDT", S, S, S, 100 * S, 5, S // 10)
    for instruments, code in (
        ([closed], "SYMBOL_CLOSED"),
        ([], "UNKNOWN_SYMBOL"),
        ([instrument(base="ETH")], "UNKNOWN_SYMBOL"),
    ):
        denial = terms_of("BTC/USDT", instruments)
        assert isinstance(denial, Denial) and denial.code == code


def test_listings_follow_the_instruments() -> None:
    live: dict[str, Instrument] = {}
    listings = Listings()

    def tick(now: int) -> int | str:
        terms = listings.terms("BTC/USDT", live, now)
        return terms.code if isinstance(terms, Denial) else terms.tick

    assert tick(0) == "UNKNOWN_SYMBOL"
    live["a|BTC/USDT"] = instrument(tick=500)
    assert tick(1) == 500
    live["a|BTC/USDT"] = instrument(tick=300)
    assert tick(2) == 300
    live["b|BTC/USDT"] = instrument("b", tick=200)
    assert tick(3) == 200
    live["c|BTC/USDT"] = instrument("c", tick=100)
    del live["b|BTC/USDT"]
    assert tick(4) == 300  # the number is the same: found at the next look
    assert tick(3 + Listings.REFRESH_US) == 100
    live["c|BTC/USDT"] = instrument("c", status=InstrumentStatus.CLOSED)
    assert tick(4 + Listings.REFRESH_US) == 300


@given(st.tuples(st.text(), st.text()), st.tuples(st.text(), st.text()))
def test_no_two_pairs_share_an_id(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert (order_id_of(*one) == order_id_of(*other)) is (one == other)
    assert order_id_of(*one) != transfer_key(*one)
    assert len(order_id_of(*one)) == 20 and set(order_id_of(*one)) <= set("abcdefghijklmnopqrstuvwxyz234567")


def test_an_id_stays_what_it_is_from_release_to_release() -> None:
    assert order_id_of("a", "bc") != order_id_of("ab", "c")
    assert order_id_of("acct-1", "o-1") == "m2kama23qs7acfrjwp6g"


def test_amounts_are_shown_as_people_write_them() -> None:
    assert [show(n) for n in (0, 1, S, 150_000_000, 100 * S)] == ["0", "0.00000001", "1", "1.5", "100"]
