"""Raw frames of each exchange: read as records, their counts and checksums held. The frames are those of the exchanges' documentation."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from connectors.feeds.market import Print
from connectors.feeds.raw import binance, bitfinex, bybit, coinbase, kraken, okx
from connectors.feeds.raw.book import Heard, RawBook
from connectors.feeds.raw.registry import RAW
from connectors.feeds.raw.words import Counted, Said, Traded
from schemas.records import Side

DATA = Path(os.environ.get("BESTEX_DATA", "../shared/data"))
VECTORS = DATA / "vectors" / "known-answers.json"
UNIT = 100_000_000


def test_the_registry_has_every_file_of_the_folder() -> None:
    folder = Path(kraken.__file__).parent
    files = {path.stem for path in folder.glob("*.py")} - {"__init__", "book", "registry", "words"}
    assert files == set(RAW)


@pytest.mark.skipif(not VECTORS.exists(), reason=f"{VECTORS} is absent: set BESTEX_DATA")
@pytest.mark.parametrize("name", ["kraken_v1_doc_book", "kraken_v2_doc_book"])
def test_krakens_own_example_of_a_checksum(name: str) -> None:
    vector = next(v for v in json.loads(VECTORS.read_text()) if v["name"] == name)
    bids, asks = ([tuple(level) for level in vector[side]] for side in ("bids", "asks"))
    assert kraken.checksum(bids, asks) == vector["expected"]


def test_okx_and_bitfinex_alternate_sides_and_sign_the_checksum() -> None:
    from zlib import crc32

    bids, asks = [("3366.1", "7"), ("3366", "6")], [("3366.8", "9")]
    expected = crc32(b"3366.1:7:3366.8:9:3366:6")
    assert okx.checksum(bids, asks) == (expected - 2**32 if expected >= 2**31 else expected)
    expected = crc32(b"3366.1:7:3366.8:-9:3366:6")
    assert bitfinex.checksum(bids, asks) == (expected - 2**32 if expected >= 2**31 else expected)
    many = [(str(n), "1") for n in range(1, 40)]
    assert okx.checksum(many, many) == okx.checksum(many[:25], many[:25]) != okx.checksum(many[:24], many[:24])


def test_kraken_v1() -> None:
    (said,) = kraken.parse(
        b'[1664,{"a":[["13.284500","1396.0","1618678133.383209"]]},'
        b'{"b":[["13.2","1.0","1618678133.5","r"]],"c":"176333288"},"book-1000","WAVES/EUR"]'
    )
    assert said == Said(
        "WAVES/EUR",
        False,
        (("13.2", "1.0"),),
        (("13.284500", "1396.0"),),
        checksum=176333288,
        depth=1000,
        venue_at=1618678133383209,
    )
    (whole,) = kraken.parse(b'[1,{"as":[["2","1","1.0"]],"bs":[["1","1","1.0"]]},"book-10","XBT/USD"]')
    assert isinstance(whole, Said)
    assert (whole.snapshot, whole.bids, whole.asks) == (True, (("1", "1"),), (("2", "1"),))
    (traded,) = kraken.parse(b'[0,[["5541.20000","0.15850568","1534614057.321597","s","l",""]],"trade","XBT/USD"]')
    name = "1534614057.321597-5541.20000-0.15850568"
    assert traded == Traded("XBT/USD", Print(name, 554_120_000_000, 15_850_568, Side.SELL, 1534614057321597))
    assert kraken.parse(b'{"event":"heartbeat"}') == ()
    assert kraken.unified("XBT/USD") == "BTC/USD"
    with pytest.raises(ValueError, match="without its checksum"):
        kraken.parse(b'[1,{"a":[["2","1","1.0"]]},"book-10","XBT/USD"]')


def test_kraken_v2_keeps_numbers_as_printed() -> None:
    (said,) = kraken.parse(
        b'{"channel":"book","type":"update","data":[{"symbol":"MATIC/USD","bids":[{"price":0.5657,"qty":1098.39475580}],'
        b'"asks":[],"checksum":2114181697,"timestamp":"2023-10-06T17:35:55.440295Z"}]}'
    )
    assert said == Said(
        "MATIC/USD", False, (("0.5657", "1098.39475580"),), checksum=2114181697, venue_at=1696613755440295
    )
    (traded,) = kraken.parse(
        b'{"channel":"trade","type":"update","data":[{"symbol":"MATIC/USD","side":"sell","price":0.5117,"qty":40.0,'
        b'"ord_type":"market","trade_id":4665906,"timestamp":"2023-09-25T07:49:37.708706Z"}]}'
    )
    price = 51_170_000
    assert traded == Traded("MATIC/USD", Print("4665906", price, 40 * UNIT, Side.SELL, 1695628177708706))


def test_okx() -> None:
    (said,) = okx.parse(
        b'{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[{"asks":[["8476.98","415","0","13"]],'
        b'"bids":[["8476.97","256","0","12"]],"ts":"1597026383085","checksum":-855196043,"prevSeqId":123450,"seqId":123456}]}'
    )
    assert said == Said(
        "BTC-USDT",
        False,
        (("8476.97", "256"),),
        (("8476.98", "415"),),
        sequence=123456,
        previous=123450,
        checksum=-855196043,
        venue_at=1597026383085000,
    )
    (traded,) = okx.parse(
        b'{"arg":{"channel":"trades","instId":"BTC-USDT"},"data":[{"instId":"BTC-USDT","tradeId":"130639474",'
        b'"px":"42219.9","sz":"0.12060306","side":"buy","ts":"1630048897897"}]}'
    )
    assert traded == Traded("BTC-USDT", Print("130639474", 4_221_990_000_000, 12_060_306, Side.BUY, 1630048897897000))
    assert okx.parse(b'{"event":"subscribe","arg":{"channel":"books","instId":"BTC-USDT"}}') == ()


def test_bybit() -> None:
    (said,) = bybit.parse(
        b'{"topic":"orderbook.50.BTCUSDT","type":"delta","ts":1687940967466,"data":{"s":"BTCUSDT",'
        b'"b":[["30247.20","30.028"],["30245.40","0"]],"a":[["30248.70","0"]],"u":177400507,"seq":66544703342},"cts":1}'
    )
    assert said == Said(
        "BTCUSDT",
        False,
        (("30247.20", "30.028"), ("30245.40", "0")),
        (("30248.70", "0"),),
        sequence=177400507,
        depth=50,
        venue_at=1687940967466000,
    )
    (traded,) = bybit.parse(
        b'{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1672304486868,"data":[{"T":1672304486865,"s":"BTCUSDT",'
        b'"S":"Buy","v":"0.001","p":"16578.50","L":"PlusTick","i":"20f4","BT":false}]}'
    )
    assert traded == Traded("BTCUSDT", Print("20f4", 1_657_850_000_000, 100_000, Side.BUY, 1672304486865000))


def test_coinbase() -> None:
    (said,) = coinbase.parse(
        b'{"channel":"l2_data","client_id":"","timestamp":"2023-02-09T20:32:50.714964855Z","sequence_num":7,"events":[{"type":'
        b'"update","product_id":"BTC-USD","updates":[{"side":"bid","event_time":"x","price_level":"21921.73",'
        b'"new_quantity":"0.06317902"},{"side":"offer","event_time":"x","price_level":"21921.74","new_quantity":"0"}]}]}'
    )
    assert said == Said(
        "BTC-USD",
        False,
        (("21921.73", "0.06317902"),),
        (("21921.74", "0"),),
        sequence=7,
        of="connection",
        venue_at=1675974770714964,
    )
    counted, traded = coinbase.parse(
        b'{"channel":"market_trades","timestamp":"2023-02-09T20:19:35.39625135Z","sequence_num":8,"events":[{"type":"update",'
        b'"trades":[{"trade_id":"5","product_id":"ETH-USD","price":"1260.01","size":"0.3","side":"BUY","time":"2019-08-14T20:42:27.265Z"}]}]}'
    )
    assert counted == Counted(8)
    assert traded == Traded("ETH-USD", Print("5", 126_001_000_000, 30_000_000, Side.SELL, 1565815347265000))


def test_a_connections_count_that_jumps_is_a_gap_whatever_the_channel() -> None:
    reader = RAW["coinbase"].reader()
    for number in (3, 4):
        reader.words(b'{"channel":"heartbeats","sequence_num":%d,"events":[]}' % number)
    assert not reader.gap
    reader.words(b'{"channel":"heartbeats","sequence_num":6,"events":[]}')
    assert reader.gap


def test_bitfinex_reads_numbers_by_the_channels_that_were_subscribed() -> None:
    reader = RAW["bitfinex"].reader()
    with pytest.raises(ValueError, match="not subscribed"):
        reader.words(b"[10092,[7254.5,0,1],2]")
    reader.words(b'{"event":"subscribed","channel":"book","chanId":10092,"symbol":"tBTCUSD","prec":"P0","len":"25"}')
    (whole,) = reader.words(b"[10092,[[7254.7,3,3.3],[7254.8,1,-0.5]],1]")
    assert whole == Said("tBTCUSD", True, (("7254.7", "3.3"),), (("7254.8", "0.5"),), sequence=1, of="connection")
    (gone,) = reader.words(b"[10092,[7254.8,0,-1],2]")
    assert isinstance(gone, Said)
    assert gone.asks == (("7254.8", "0"),)
    (checked,) = reader.words(b'[10092,"cs",-1234567,3]')
    assert isinstance(checked, Said)
    assert (checked.checksum, checked.sequence) == (-1234567, 3)
    assert reader.words(b'[10092,"hb",4]') == (Counted(4),)
    reader.words(b'{"event":"subscribed","channel":"trades","chanId":17470,"symbol":"tBTCUSD"}')
    traded = reader.words(b'[17470,"te",[401597395,1574694478808,-0.005,7245.3],5]')[1]
    assert traded == Traded("tBTCUSD", Print("401597395", 724_530_000_000, 500_000, Side.SELL, 1574694478808000))
    assert not reader.gap
    assert bitfinex.unified("tBTCUST") == "BTC/USDT" and bitfinex.unified("tDUSK:USD") == "DUSK/USD"


def test_binance() -> None:
    (said,) = binance.parse(
        b'{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":5,"u":9,"b":[["1.0","2.0"]],"a":[]}}'
    )
    assert said == Said("BTCUSDT", False, (("1.0", "2.0"),), first=5, sequence=9, previous=4, venue_at=1000)
    quote = binance.ticker(
        b'{"stream":"btcusdt@bookTicker","data":{"u":7,"s":"BTCUSDT","b":"1.0","B":"2","a":"3","A":"4"}}'
    )
    assert quote == binance.Ticker("BTCUSDT", 7, (UNIT, 2 * UNIT), (3 * UNIT, 4 * UNIT))


# ---- the book that they make

WHOLE = Said("X", True, (("10", "1"), ("9", "1")), (("11", "1"), ("12", "1")), sequence=5)


def test_a_count_that_jumps_makes_the_book_stale_until_a_snapshot() -> None:
    book = RawBook()
    assert book.hear(Said("X", False, sequence=5)) is Heard.WAITING
    assert book.hear(WHOLE) is Heard.CHANGED
    assert book.hear(Said("X", False, (("10", "2"),), sequence=6)) is Heard.CHANGED
    assert book.hear(Said("X", False, (("10", "9"),), sequence=6)) is Heard.SEEN
    assert next(iter(book.bids)) == ("10", "2")
    assert book.hear(Said("X", False, (("10", "3"),), sequence=8)) is Heard.GAP
    assert not book.live and not list(book.bids)
    assert book.hear(Said("X", False, sequence=9)) is Heard.WAITING
    assert book.hear(WHOLE) is Heard.CHANGED and book.live


def test_an_exchange_may_count_down_where_it_names_the_message_before() -> None:
    book = RawBook()
    book.hear(WHOLE)
    assert book.hear(Said("X", False, (("10", "2"),), sequence=3, previous=5)) is Heard.CHANGED
    assert book.hear(Said("X", False, sequence=4, previous=5)) is Heard.GAP


def test_a_change_may_reach_into_the_snapshot_but_only_the_first() -> None:
    book = RawBook()
    book.hear(WHOLE)
    assert book.hear(Said("X", False, (("10", "2"),), first=3, sequence=7, previous=2)) is Heard.CHANGED
    assert book.hear(Said("X", False, (("10", "3"),), first=7, sequence=9, previous=6)) is Heard.GAP


def test_a_wrong_checksum_makes_the_book_stale() -> None:
    book = RawBook(kraken.checksum)
    book.hear(WHOLE)
    right = kraken.checksum([("10", "2"), ("9", "1")], [("11", "1"), ("12", "1")])
    assert book.hear(Said("X", False, (("10", "2"),), checksum=right)) is Heard.CHANGED
    assert book.hear(Said("X", False, (("9", "2"),), checksum=right)) is Heard.CHECKSUM
    assert not book.live


def test_levels_beyond_the_depth_are_forgotten() -> None:
    book = RawBook()
    book.hear(WHOLE)
    book.hear(Said("X", False, (("9.5", "1"),), sequence=6, depth=2))
    assert list(book.bids) == [("10", "1"), ("9.5", "1")]


def test_what_counts_nothing_shows_losses_by_deletes_and_wrong_order_by_time() -> None:
    book = RawBook(tight=True, ordered=True)
    book.hear(WHOLE._replace(sequence=None))
    change = Said("X", False, (("10", "2"),), venue_at=8)
    assert book.hear(change) is Heard.CHANGED
    assert book.hear(change) is Heard.SEEN
    assert book.hear(Said("X", False, (("10", "2"),), venue_at=7)) is Heard.GAP
    book.hear(WHOLE._replace(sequence=None))
    assert book.hear(Said("X", False, (("9.5", "0"),), venue_at=9)) is Heard.GAP


def test_numbers_that_cannot_be_make_the_book_stale() -> None:
    book = RawBook()
    book.hear(WHOLE)
    assert book.hear(Said("X", False, (("10", "-2"),), sequence=6)) is Heard.INVALID
    assert not book.live
