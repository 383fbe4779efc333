"""The bench of venues in a small form: both contestants on one stream, the same books, and a comparison that notices when they are not."""

from __future__ import annotations

import pytest

from infra.bench import venues
from infra.bench.venues_peer import Recording, digest


def test_both_contestants_make_the_same_book_of_one_stream() -> None:
    results, ratios = venues.streams(1, 1, lambda text: None)
    assert results["compared"] > 0 and results["levels"] > 10 * results["messages"] > 10_000
    for name in ("fast", "fast_diffs", "fast_avro", "ccxt"):
        assert results[f"{name}_level_updates_per_s"] > results[f"{name}_messages_per_s"] > 0
    assert ratios["ccxt_level_updates_per_s"] > 1.0


def test_books_that_differ_are_noticed() -> None:
    truth = [[[2, 1]], [[3, 1]]]
    same = {"stale": 0, "end": digest(truth), "looks": {"7": [[[2, 1]], [[3, 1]]]}}
    venues._equal(same, same, truth)
    for other in (
        {**same, "end": digest([[], []])},
        {**same, "looks": {"7": [[[2, 9]], [[3, 1]]]}},
        {**same, "looks": {}},
    ):
        with pytest.raises(RuntimeError):
            venues._equal(same, other, truth)
    with pytest.raises(RuntimeError):
        venues._equal({**same, "stale": 1}, same, truth)


def test_a_stream_is_made_where_none_is_at_hand() -> None:
    made = Recording(None, 2)
    assert made.levels > 100_000 and made.last == 100 + 2 * 3399 and len(made.events) == 2 * 3399
