"""Plain Faust at its best settings: raw bytes and our own decoding, its Cython parts, uvloop, large polls and buffers.

At-least-once, which is what plain Faust has. An output counts as safe when the broker has acknowledged it.
"""

from __future__ import annotations

import sys
from typing import Any

import faust
import uvloop

from infra.bench.engine.work import Progress, config, decode, encode

c = config()
uvloop.install()
app = faust.App(
    c["group"],
    broker=f"kafka://{c['kafka']}",
    store="memory://",
    datadir=c["folder"],
    topic_partitions=4,
    topic_replication_factor=1,
    topic_disable_leader=True,
    web_enabled=False,
    cython_optimizations=True,
    consumer_auto_offset_reset="earliest",
    broker_max_poll_records=5000,
    stream_buffer_maxsize=8192,
    stream_recovery_delay=0.0,
    producer_linger=0.005,
    producer_max_batch_size=262_144,
    producer_compression_type="lz4",
)
raw: Any = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}
source = app.topic(c["topic"], **raw)
out = app.topic(c["out"], partitions=4, **raw)
counts = app.Table("counts", default=int, partitions=4)
progress = Progress()


@app.agent(source)
async def work(stream: Any) -> None:
    producer: Any = app.producer
    producer.buffer.max_messages = 10_000
    async for event in stream.events():
        progress.started()
        order = decode(event.value)
        counts[order["user_id"]] += 1
        sent: Any = await out.send(key=event.key, value=encode(order))
        sent.add_done_callback(lambda _: progress.done(1))


@app.timer(0.3)  # type: ignore[untyped-decorator]  # Faust's own is
async def tell() -> None:
    if progress.first:
        progress.tell()


if __name__ == "__main__":
    sys.argv = [sys.argv[0], "worker", "-l", "error", "--without-web"]
    app.main()
