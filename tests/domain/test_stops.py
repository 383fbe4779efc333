"""The order of armed stops against a naive list, with tables that are ahead or behind."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from schemas.records import OrderType, RouteRequest, Side, TimeInForce
from streams.domain.stops import PAGES, Stops, listed, page, page_key, replaces


def stop(order_id: str, side: Side, price: int, attempt: int = 1, accepted_at: int = 0, late: int = 0) -> RouteRequest:
    return RouteRequest(
        order_id=order_id,
        account_id="a",
        symbol="X/Y",
        side=side,
        order_type=OrderType.MARKET,
        time_in_force=TimeInForce.IOC,
        quantity=1,
        price=1,
        attempt=attempt,
        accepted_at=accepted_at,
        stop_price=price,
        asked_at=accepted_at + late,
    )


STEPS = st.lists(
    st.tuples(
        st.sampled_from(("arm", "arm", "trade", "drop")),
        st.integers(0, 9),
        st.sampled_from(list(Side)),
        st.integers(1, 12),
    ),
    max_size=60,
)


@given(STEPS)
def test_reaches_what_a_plain_list_reaches_in_its_order(steps: list[tuple[str, int, Side, int]]) -> None:
    stops, table = Stops(), dict[str, RouteRequest]()
    for n, (what, who, side, price) in enumerate(steps):
        name = f"o{who}"
        if what == "arm":
            request = stop(name, side, price, attempt=n + 1, accepted_at=n, late=price % 3 * 5)
            table[name] = request
            stops.arm(request)
            stops.arm(request)
        elif what == "drop":
            table.pop(name, None)
        else:
            due = [
                r
                for r in table.values()
                if (r.asked_at or 0) <= n
                and r.stop_price is not None
                and (r.stop_price <= price if r.side is Side.BUY else r.stop_price >= price)
            ]
            buys = sorted((r for r in due if r.side is Side.BUY), key=lambda r: (r.stop_price, r.accepted_at))
            sells = sorted((r for r in due if r.side is Side.SELL), key=lambda r: (-(r.stop_price or 0), r.accepted_at))
            assert stops.reached(price, table.get, n) == buys + sells
            if who % 2:  # committed; otherwise the batch is processed again, and must find the same
                for r in due:
                    del table[r.order_id]
            else:
                assert stops.reached(price, table.get, n) == buys + sells
    for price in range(13):
        stops.reached(price, lambda _: None, 0)
    stops.reached(0, lambda _: None, 0)
    assert len(stops) == 0, "what the table does not have is forgotten"


def test_a_later_attempt_takes_the_place_of_an_earlier() -> None:
    old, new = stop("o", Side.BUY, 5, attempt=1), stop("o", Side.BUY, 9, attempt=2)
    assert replaces(None, old) and replaces(old, new) and replaces(old, old) and not replaces(new, old)
    stops = Stops()
    stops.arm(old)
    stops.arm(new)
    assert stops.reached(8, {"o": new}.get, 0) == []
    assert stops.reached(9, {"o": new}.get, 0) == [new]


def test_pages() -> None:
    assert page("X/Y", "one") in {page_key("X/Y", n) for n in range(PAGES)}
    assert listed(("a", "b"), "a", True) == ("b", "a")
    assert listed(("a", "b"), "a", False) == ("b",)
