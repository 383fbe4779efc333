"""Our engine, exactly once: the same work as an agent, in a worker process as in production."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from infra.bench.engine.order import BenchOrder
from infra.bench.engine.work import FRAME, Progress, config, decode, encode
from streams.engine.agent import Agent, Context, Input, Message, Table
from streams.engine.engine import EngineSettings
from streams.engine.worker import AgentApp, WorkerSettings, start

c = config()
COUNTS: Table[int] = Table("counts", int)
OUT = c["out"]
progress = Progress()


def work(ctx: Context, messages: Sequence[Message]) -> None:
    """With the engine's own codec, as its users have it."""
    progress.started()
    counts, send, read = ctx.table(COUNTS), ctx.outbox(OUT, ctx.partition), BenchOrder.read
    for _, _, _, _, key, value, _ in messages:
        order, _ = read(value or b"", 5)
        user = order.user_id
        counts[user] = (counts.get(user) or 0) + 1
        send((key, FRAME + order.body()))


def work_fastavro(ctx: Context, messages: Sequence[Message]) -> None:
    """With the codec that the peers use, so that the engines alone differ."""
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
    agent = Agent(
        name=c["group"],
        inputs=(Input(c["topic"]),),
        process=work_fastavro if c["mode"] == "fastavro" else work,
        outputs=(OUT,),
        tables=(COUNTS,),
    )
    settings = WorkerSettings(
        kafka={"bootstrap.servers": c["kafka"]},
        registry=c["registry"],
        home=Path(c["folder"]),
        engine=EngineSettings(**c.get("engine", {})),
    )
    app = AgentApp(agent, settings)
    app.task(lambda: tell(app))
    start(app)
