"""The bar: consume, work, produce in a loop over librdkafka, with no framework. `mode`: plain or transactional."""

from __future__ import annotations

import time

from confluent_kafka import Consumer, Producer

from infra.bench.engine.work import Progress, config, decode, encode


def main() -> None:
    c = config()
    transactional = c["mode"] == "transactional"
    base = {"bootstrap.servers": c["kafka"]}
    settings = {
        "linger.ms": 5,
        "batch.num.messages": 10_000,
        "queue.buffering.max.messages": 1_000_000,
        "compression.type": "lz4",
    }
    if transactional:
        settings["transactional.id"] = c["group"]
        settings["retry.backoff.ms"] = 2  # the default, 100, is paid whenever one transaction follows another at once
    producer = Producer(base | settings)
    if transactional:
        producer.init_transactions(30)
    consumer = Consumer(
        base
        | {
            "group.id": c["group"],
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "queued.min.messages": 200_000,
            "isolation.level": "read_committed",
        }
    )
    consumer.subscribe([c["topic"]])
    counts: dict[str, int] = {}
    progress, out, log = Progress(), c["out"], c["out"] + ".changelog"
    told, pending = 0.0, 0
    while True:
        messages = consumer.consume(10_000, 0.05)
        if not messages:
            if not transactional and producer.flush(10) == 0 and pending:
                progress.done(pending)
                pending = 0
            if time.time() - told > 0.5:
                told = time.time()
                progress.tell()
            continue
        progress.started()
        if transactional:
            producer.begin_transaction()
        dirty = set()
        for message in messages:
            partition = message.partition() or 0
            order = decode(message.value() or b"")
            user = order["user_id"]
            counts[user] = counts.get(user, 0) + 1
            dirty.add((user, partition))
            producer.produce(out, encode(order), message.key(), partition)
        for user, place in dirty:
            producer.produce(log, b"%d" % counts[user], user, place)
        if transactional:
            producer.send_offsets_to_transaction(
                consumer.position(consumer.assignment()), consumer.consumer_group_metadata()
            )
            producer.commit_transaction()
            progress.done(len(messages))
        else:
            producer.poll(0)
            pending += len(messages)
            if pending > 100_000:
                producer.flush()
                progress.done(pending)
                pending = 0


if __name__ == "__main__":
    main()
