"""Our engine, exactly once: the same work as an agent, in a worker process as in production."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from infra.bench.engine.generate import schema
from infra.bench.engine.order import BenchOrder
from infra.bench.engine.work import Progress, config, decode, encode
from streams.engine.agent import Agent, Context, Input, Message, Table
from streams.engine.engine import EngineSettings
from streams.engine.worker import AgentApp, WorkerSettings, start

c = config()
COUNTS: Table[int] = Table("counts", int)
OUT = c["out"]
progress = Progress()


def work(ctx: Context, messages: Sequence[Message]) -> None:
    """As every agent of the engine is written: typed records in and out, through the registry, each sent to its key's partition."""
    progress.started()
    counts = ctx.table(COUNTS)
    for message in messages:
        order = message.record
        user = order.user_id
        counts[user] = (counts.get(user) or 0) + 1
        ctx.send(OUT, user, order)


def work_fastavro(ctx: Context, messages: Sequence[Message]) -> None:
    """Bytes in and out, and the codec that the peers use, so that the engines alone differ."""
    progress.started()
    counts, send = ctx.table(COUNTS), ctx.outbox(OUT, ctx.partition)
    for _, _, _, _, key, value, _ in messages:
        order = decode(value or b"")
        user = order["user_id"]
        counts[user] = (counts.get(user) or 0) + 1
        send((key, encode(order)))


async def tell(app: AgentApp) -> None:
    """Tell what is committed."""
    while True:
        await asyncio.sleep(0.02)
        safe = app.engine.counters.records if hasattr(app, "engine") else 0
        if safe > progress.records:
            progress.done(safe - progress.records)
        elif progress.first:
            progress.tell()
            await asyncio.sleep(0.3)


if __name__ == "__main__":
    bare = c["mode"] == "fastavro"
    agent = Agent(
        name=c["group"],
        inputs=(Input(c["topic"]) if bare else Input(c["topic"], (BenchOrder,), key=lambda order: order.user_id),),
        process=work_fastavro if bare else work,
        outputs=(OUT,),
        tables=(COUNTS,),
    )
    settings = WorkerSettings(
        kafka={"bootstrap.servers": c["kafka"]},
        registry=c["registry"],
        home=Path(c["folder"]),
        engine=EngineSettings(**c.get("engine", {})),
    )
    app = AgentApp(agent, settings, {BenchOrder: schema()})
    app.task(lambda: tell(app))
    start(app)
