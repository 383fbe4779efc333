# /// script
# requires-python = ">=3.11,<3.13"
# dependencies = ["quixstreams==3.28.1", "fastavro>=1.12"]
# ///
"""Quix Streams. `mode`: at-least-once or exactly-once. Runs in an environment of its own, because it pins an older Kafka client."""

from __future__ import annotations

import time
from typing import Any

from quixstreams import Application
from work import Progress, config, decode, encode

c = config()
progress = Progress()
app = Application(
    broker_address=c["kafka"],
    consumer_group=c["group"],
    auto_offset_reset="earliest",
    processing_guarantee=c["mode"],
    state_dir=c["folder"],
    commit_every=10_000,
    commit_interval=5.0,
    consumer_extra_config={"queued.min.messages": 200_000},
    producer_extra_config={
        "linger.ms": 5,
        "compression.type": "lz4",
        "queue.buffering.max.messages": 1_000_000,
        "batch.num.messages": 10_000,
    },
    loglevel="ERROR",
)
pending = 0
checkpointed = app._processing_context.commit_checkpoint


def commit_checkpoint(*args: Any, **kwargs: Any) -> Any:
    """Its own checkpoint, and then what was in it counts as safe."""
    global pending
    before = app._processing_context._checkpoint
    done = checkpointed(*args, **kwargs)
    if app._processing_context._checkpoint is not before and pending:
        progress.done(pending)
        pending = 0
    elif progress.first and time.time() - progress._told > 0.5:
        progress.tell()
    return done


app._processing_context.commit_checkpoint = commit_checkpoint


def work(value: bytes, state: Any) -> bytes:
    global pending
    progress.started()
    order = decode(value)
    user = order["user_id"]
    state.set(user, state.get(user, 0) + 1)
    pending += 1
    return encode(order)


if __name__ == "__main__":
    source = app.topic(c["topic"], key_deserializer="bytes", value_deserializer="bytes")
    out = app.topic(c["out"], key_serializer="bytes", value_serializer="bytes")
    app.dataframe(source).apply(work, stateful=True).to_topic(out)
    app.run()
