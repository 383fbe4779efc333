"""The agent that the engine's tests run: counts records per key and tells each count. `python counting.py CONFIG.json` is a worker of it.

An input is a raw record whose key names a counter and whose value is any bytes; the output, under the same key, is `<count>:<value>`. A value
that begins with `poison` makes the handler raise, one that begins with `still` has no effect.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from schemas.records import ClientId
from streams.engine.agent import Agent, Context, Input, Look, Message, Table, Timer
from streams.engine.engine import EngineSettings

COUNTS: Table[ClientId] = Table("counts", ClientId)


def count(ctx: Context, messages: Sequence[Message]) -> None:
    counts = ctx.table(COUNTS)
    for message in messages:
        key, value = (message.key or b"").decode(), message.value or b""
        if value.startswith(b"poison"):
            raise RuntimeError("poisoned")
        if value.startswith(b"still"):
            continue
        before = counts.get(key)
        n = 1 + (int(before.order_id) if before else 0)
        counts[key] = ClientId(order_id=str(n))
        ctx.send_raw(f"{topic_of(message)}.out", message.key, b"%d:%s" % (n, value), ctx.partition)
        if value.startswith(b"later"):
            ctx.set_timer(f"{key}/{n}", int(value.split(b"@")[1]))


def rang(ctx: Context, timers: Sequence[Timer]) -> None:
    for timer in timers:
        topic = ctx.local
        ctx.send_raw(f"{topic}.rang", timer.key.encode(), b"%d" % timer.due, ctx.partition)


def topic_of(message: Message) -> str:
    return message.topic


def counting_agent(topic: str, *, typed: bool = False, quiet: bool = False) -> Agent:
    return Agent(
        name=f"count-{topic}",
        inputs=(Input(topic, (ClientId,) if typed else (), quiet=quiet),),
        process=count,
        outputs=(f"{topic}.out", f"{topic}.rang"),
        tables=(COUNTS,),
        on_timer=rang,
        local=lambda: topic,
        views={"count": shown},
    )


def shown(look: Look, key: str, query: Mapping[str, str]) -> dict[str, str] | None:
    """The count of a key, with what was asked."""
    found = look.get(COUNTS, key)
    return None if found is None else {**query, "count": found.order_id}


if __name__ == "__main__":
    from streams.engine.worker import WorkerSettings, run

    config = json.loads(Path(sys.argv[1]).read_text())
    run(
        counting_agent(config["topic"], typed=config.get("typed", False), quiet=config.get("quiet", False)),
        WorkerSettings(
            kafka=config["kafka"],
            registry=config["registry"],
            home=Path(config["home"]),
            instance=config.get("instance"),
            session_seconds=config.get("session_seconds", 6.0),
            web_port=config.get("web_port"),
            engine=EngineSettings(**config.get("engine", {})),
        ),
    )
