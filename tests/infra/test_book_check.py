"""`bestex book check` on the recordings, and on made ones that are wrong: it must say so."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from infra.book_check import CheckError, Faults, check

RECORDINGS = Path(os.environ.get("BESTEX_DATA", "../shared/data")) / "recordings"
KRAKEN = RECORDINGS / "kraken-v1-books-20210417.txt.gz"
SPOT = RECORDINGS / "binance-spot-btcusdt-20240808.gz"
NORMALISED = RECORDINGS / "bitmex-deribit-20190401.jsonl.gz"
recorded = pytest.mark.skipif(not RECORDINGS.is_dir(), reason=f"{RECORDINGS} is absent: set BESTEX_DATA")


@recorded
def test_every_checksum_of_kraken_matches() -> None:
    found = check(KRAKEN)
    assert (found["updates"], found["compared"], found["mismatched"], found["gaps"]) == (4279, 4269, 0, 0)


@recorded
def test_binance_is_what_its_own_quotes_say() -> None:
    found = check(SPOT)
    assert found["compared"] == 3449 and found["equal_ids"] == 564
    assert (found["mismatched"], found["gaps"], found["stale_periods"]) == (0, 0, 0)


@recorded
def test_the_normalised_form() -> None:
    found = check(NORMALISED)
    assert (found["updates"], found["mismatched"], found["symbols"]) == (7489, 0, 2)


@recorded
@pytest.mark.parametrize("path", [KRAKEN, SPOT], ids=["kraken", "binance"])
@pytest.mark.parametrize("kind", ["dropped", "duplicated", "reordered", "corrupted"])
@pytest.mark.parametrize("every", [37, 100])
def test_every_fault_is_detected_and_no_wrong_book_offered(path: Path, kind: str, every: int) -> None:
    found = check(path, Faults(**{kind: every}))
    assert found["injected"][kind] > 25
    assert found["detected"] == found["injected"]
    assert found["mismatched"] == 0
    assert (found["stale_periods"] > 0) is (kind != "duplicated")


@recorded
@pytest.mark.parametrize("kind", ["duplicated", "reordered", "corrupted"])
def test_the_normalised_form_shows_all_but_a_loss(kind: str) -> None:
    found = check(NORMALISED, Faults(**{kind: 50}))
    assert found["detected"] == found["injected"] and found["mismatched"] == 0


def _frames(tmp_path: Path, *frames: object) -> Path:
    path = tmp_path / "made.txt"
    path.write_text("".join(f"{1723161253937085768 + n} {json.dumps(frame)}\n" for n, frame in enumerate(frames)))
    return path


def _diff(first: int, last: int, bids: list[list[str]]) -> object:
    data = {"e": "depthUpdate", "E": 1, "s": "BTCUSDT", "U": first, "u": last, "b": bids, "a": []}
    return {"stream": "btcusdt@depth@100ms", "data": data}


def _quote(at: int, bid: str) -> object:
    return {"stream": "btcusdt@bookTicker", "data": {"u": at, "s": "BTCUSDT", "b": bid, "B": "1", "a": "11", "A": "1"}}


WHOLE = {"lastUpdateId": 5, "bids": [["10", "1"]], "asks": [["11", "1"]]}


def test_a_book_that_differs_from_the_quote_is_mismatched(tmp_path: Path) -> None:
    path = _frames(tmp_path, _diff(3, 4, []), WHOLE, _diff(6, 7, [["10.5", "1"]]), _quote(7, "10.4"), _quote(9, "10"))
    found = check(path)
    assert (found["compared"], found["mismatched"], found["equal_ids"]) == (1, 1, 1)
    path = _frames(tmp_path, _diff(3, 4, []), WHOLE, _diff(6, 7, [["10.5", "1"]]), _quote(6, "10.5"), _quote(9, "10"))
    found = check(path)
    assert (found["compared"], found["mismatched"], found["equal_ids"]) == (1, 0, 0)


def test_a_gap_in_the_recording_itself_is_counted_and_its_book_not_offered(tmp_path: Path) -> None:
    quotes = (_quote(7, "10"), _quote(20, "10"))
    found = check(_frames(tmp_path, _diff(3, 4, []), WHOLE, _diff(9, 12, [["10", "0"]]), *quotes))
    assert (found["gaps"], found["stale_periods"], found["compared"], found["mismatched"]) == (1, 1, 0, 0)


def test_a_wrong_checksum_in_the_recording_is_mismatched(tmp_path: Path) -> None:
    whole = '[1,{"as":[["2","1","1.0"]],"bs":[["1","1","1.0"]]},"book-10","XBT/USD"]'
    path = tmp_path / "kraken.txt"
    path.write_text(
        f'1.5: {whole}\n1618678133.6: {whole}\n1618678134.2: [1,{{"a":[["2","3","2.0"]],"c":"1"}},"book-10","XBT/USD"]\n'[
            5 + len(whole) + 1 :
        ]
    )
    found = check(path)
    assert (found["compared"], found["mismatched"], found["stale_periods"]) == (1, 1, 1)


def test_what_is_no_recording_is_said(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("hello\n")
    with pytest.raises(CheckError, match="neither a raw nor a normalised line"):
        check(path)
    path.write_text("")
    with pytest.raises(CheckError, match="no exchange's messages"):
        check(path)
    path.write_text('1618678133.6: {"event":"x"}\n')
    with pytest.raises(CheckError, match="no parser for 'x'"):
        check(path, exchange="x")
