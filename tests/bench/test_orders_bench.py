"""What the bench of orders reads of an event, against the codec's own reading."""

from __future__ import annotations

from hypothesis import given

from infra.bench.orders import answered
from schemas.codec import Codec, LocalRegistry
from schemas.records import EventKind, OrderEvent
from tests.strategies import record

CODEC = Codec(LocalRegistry())
ANSWERS = {EventKind.ACCEPTED, EventKind.DENIED, EventKind.DUPLICATE}


@given(record(OrderEvent))
def test_an_answer_is_known_by_its_first_fields(event: OrderEvent) -> None:
    wanted = event.client_order_id if event.kind in ANSWERS else ""
    assert answered(CODEC.encode(event)) == wanted
