"""Following a book and conflating it, against a venue that loses, doubles and disorders what it says."""

from __future__ import annotations

import random

import pytest
from feed_venue import SCALE, Reader, VenueBook
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.feeds.binance import Binance
from connectors.feeds.follower import Follower
from connectors.feeds.market import Depth, Print
from connectors.feeds.publisher import conflate
from connectors.feeds.registry import EXCHANGES, exchange
from schemas.records import BookUpdate, BookUpdateKind, Side

STALE, SNAPSHOT, DIFF = BookUpdateKind.STALE, BookUpdateKind.SNAPSHOT, BookUpdateKind.DIFF

ACTIONS = ("move", "move", "move", "lose", "double", "swap", "ask", "answer", "again", "break", "check")


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(ACTIONS), max_size=120), st.integers(0, 2**32))
def test_what_is_published_is_always_the_venues_book(actions: list[str], seed: int) -> None:
    venue = VenueBook(random.Random(seed))
    follower = Follower("alpha", "BTC/USDT", Binance())
    reader = Reader(venue.history)
    answers: list[Depth] = []
    held: Depth | None = None
    at = 0

    def take(updates: list[BookUpdate]) -> None:
        for update in updates:
            assert update.received_at == at
            reader.take(update)

    for action in [*actions, "break", "ask", "answer", "move"]:
        at += 1
        if action in ("move", "lose", "double", "swap"):
            change = venue.move()
            if action == "swap" and held is None:
                held = change
            elif action != "lose":
                take(follower.change(change, at))
                if action == "double":
                    take(follower.change(change, at))
                if held is not None:
                    take(follower.change(held, at))
                    held = None
        elif action == "ask":
            answers.append(venue.snapshot())
        elif action == "answer" and answers:
            take(follower.snapshot(answers.pop(), at))
        elif action == "again":
            take(follower.again(at))
        elif action == "break":
            take(follower.broken(at))
            assert not follower.live
        elif action == "check":
            follower.check_on()
            answers.append(venue.snapshot())
        assert follower.live is (reader.book is not None)
    assert reader.book == venue.now()


def followed(venue: VenueBook) -> tuple[Follower, Reader]:
    follower, reader = Follower("alpha", "BTC/USDT", Binance()), Reader(venue.history)
    for update in follower.snapshot(venue.snapshot(), 1):
        reader.take(update)
    return follower, reader


@pytest.mark.parametrize("stream_is_behind", [False, True])
def test_a_check_finds_a_book_that_is_not_the_venues(stream_is_behind: bool) -> None:
    venue = VenueBook(random.Random(1))
    follower, reader = followed(venue)
    price = min(venue.asks)
    said = venue.move()
    # The venue says one thing and means another: no gap shows it.
    lie = Depth(said.first_id, said.last_id, None, said.bids, (*said.asks, (price, 12345)), None)
    follower.change(lie, 2)
    follower.check_on()
    assert not follower.behind
    if stream_is_behind:
        later = venue.move()
        assert follower.snapshot(venue.snapshot(), 3) == []
        assert follower.behind
        told = follower.change(later, 4)[1:]
    else:
        told = follower.snapshot(venue.snapshot(), 3)
    assert [update.kind for update in told] == [STALE, SNAPSHOT]
    assert follower.mismatches == 1 and not follower.behind
    for update in told:
        reader.take(update)
    assert reader.book == venue.now()


def test_a_check_of_a_true_book_says_nothing() -> None:
    venue = VenueBook(random.Random(1))
    follower, _ = followed(venue)
    follower.check_on()
    early = venue.snapshot()
    for _ in range(5):
        assert [u.kind for u in follower.change(venue.move(), 2)] == [DIFF]
    assert follower.snapshot(early, 3) == []
    follower.check_on()
    assert follower.snapshot(venue.snapshot(), 3) == []
    follower.check_on()
    late = venue.move()
    assert follower.snapshot(venue.snapshot(), 3) == []
    assert [u.kind for u in follower.change(late, 4)] == [DIFF]
    assert follower.mismatches == 0 and not follower.behind


def test_a_crossed_book_is_not_told_again() -> None:
    venue = VenueBook(random.Random(1))
    follower, _ = followed(venue)
    change = venue.move()
    follower.change(Depth(change.first_id, change.last_id, None, ((max(venue.asks), SCALE),), (), None), 2)
    assert [u.kind for u in follower.again(3)] == [STALE]
    assert not follower.live and follower.mismatches == 1


def test_a_long_book_is_cut_where_it_is_published() -> None:
    levels = tuple((price * SCALE, SCALE) for price in range(1, 3001))
    follower = Follower("alpha", "BTC/USDT", Binance(), depth=10)
    (told,) = follower.snapshot(Depth(None, 5, None, levels[:1500], levels[1500:], None), 1)
    assert [level.price // SCALE for level in told.bids] == list(range(1500, 1490, -1))
    assert [level.price // SCALE for level in told.asks] == list(range(1501, 1511))


@given(st.lists(st.sampled_from(("move", "move", "move", "again", "break")), max_size=60), st.integers(0, 2**32))
def test_conflation_ends_with_the_same_book(actions: list[str], seed: int) -> None:
    venue = VenueBook(random.Random(seed))
    follower, reader = followed(venue)
    waiting: list[BookUpdate] = []
    plain = Reader(venue.history)
    for update in follower.again(1):
        plain.take(update)
    for action in actions:
        if action == "break":
            told = follower.broken(2)
            told += follower.snapshot(venue.snapshot(), 2)
        else:
            told = follower.again(2) if action == "again" else follower.change(venue.move(), 2)
        for update in told:
            plain.take(update)
            waiting = conflate(waiting, update)
            assert len(waiting) <= 3
    if [u.kind for u in waiting[:1]] == [SNAPSHOT]:
        reader.last_id = (
            None  # the changes before it were merged into it: to the reader it jumps, which a reader must bear
        )
    for update in waiting:
        reader.take(update)
    assert (reader.book, reader.last_id) == (plain.book, plain.last_id)


def test_a_stale_book_is_never_lost_in_conflation() -> None:
    venue = VenueBook(random.Random(3))
    follower, _ = followed(venue)
    waiting: list[BookUpdate] = []
    for told in (follower.change(venue.move(), 2), follower.broken(3), follower.snapshot(venue.snapshot(), 4)):
        for update in told:
            waiting = conflate(waiting, update)
    assert [u.kind for u in waiting] == [STALE, SNAPSHOT]


# --- Binance's dialect


def test_binance_messages() -> None:
    binance = exchange("binance")
    assert binance is EXCHANGES["binance"]
    assert binance.message(
        b'{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1723161255208,"s":"BTCUSDT","U":1,"u":3,"pu":9,'
        b'"b":[["61737.63000000","0.00000000"]],"a":[["61837.64","1.54698"]],"new":{"field":1}}}'
    ) == ("BTCUSDT", Depth(1, 3, 9, ((6173763000000, 0),), ((6183764000000, 154698000),), 1723161255208000))
    assert binance.message(
        b'{"data":{"e":"trade","E":1723161255343,"s":"BTCUSDT","t":37,"p":"61837.63","q":"0.02","T":1723161255342,"m":true},'
        b'"stream":"btcusdt@trade"}'
    ) == ("BTCUSDT", Print("37", 6183763000000, 2000000, Side.SELL, 1723161255342000))
    assert binance.message(b'{"stream":"btcusdt@bookTicker","data":{"u":1}}') is None
    assert binance.snapshot(b'{"lastUpdateId":12,"bids":[["1","2"]],"asks":[]}') == Depth(
        None, 12, None, ((SCALE, 2 * SCALE),), (), None
    )
    assert (
        binance.stream_url("ws://a:1/", ["BTC/USDT", "ETH/BTC"])
        == "ws://a:1/stream?streams=btcusdt@depth@100ms/btcusdt@trade/ethbtc@depth@100ms/ethbtc@trade"
    )
    assert binance.snapshot_url("http://a:1", "BTC/USDT") == "http://a:1/api/v3/depth?symbol=BTCUSDT&limit=1000"


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_bytes_break_the_parsers(data: bytes) -> None:
    for parse in (Binance().message, Binance().snapshot):
        with pytest.raises(ValueError):
            parse(data)


def test_the_rules_of_continuity() -> None:
    binance = Binance()

    def change(first: int, last: int, previous: int | None = None) -> Depth:
        return Depth(first, last, previous, (), (), None)

    # spot: right after a snapshot of update 10 a change may reach back into it; later each begins where the last ended
    assert binance.covered(10, change(8, 10)) and not binance.covered(10, change(8, 11))
    assert binance.follows(10, change(11, 12), fresh=True) and binance.follows(10, change(8, 11), fresh=True)
    assert not binance.follows(10, change(12, 13), fresh=True)
    assert binance.follows(10, change(11, 12), fresh=False) and not binance.follows(10, change(8, 11), fresh=False)
    # futures: ids have holes, so only the change before tells
    assert binance.follows(10, change(50, 60, previous=10), fresh=False)
    assert not binance.follows(10, change(11, 60, previous=9), fresh=False)
    assert binance.follows(10, change(5, 60, previous=3), fresh=True)
    assert not binance.follows(10, change(11, 60, previous=9), fresh=True)


def test_an_unknown_exchange_is_named() -> None:
    with pytest.raises(ValueError, match="no feed for 'ftx'"):
        exchange("ftx")
