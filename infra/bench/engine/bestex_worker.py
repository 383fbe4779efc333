"""Our engine, exactly once: the same work as an agent, in a worker process as in production."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from infra.bench.engine.work import Progress, config, decode, encode
from schemas.records import ClientId
from streams.engine.agent import Agent, Context, Input, Message, Table
from streams.engine.engine import EngineSettings
from streams.engine.worker import AgentApp, WorkerSettings, start

c = config()
COUNTS: Table[ClientId] = Table("counts", ClientId)
OUT = c["out"]
progress = Progress()


def work(ctx: Context, messages: Sequence[Message]) -> None:
    progress.started()
    counts, send, partition = ctx.table(COUNTS), ctx.send_raw, ctx.partition
    for message in messages:
        order = decode(message.value or b"")
        user = order["user_id"]
        before = counts.get(user)
        counts[user] = ClientId(order_id=str(int(before.order_id) + 1 if before else 1))
        send(OUT, message.key, encode(order), partition)


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
    agent = Agent(name=c["group"], inputs=(Input(c["topic"]),), process=work, outputs=(OUT,), tables=(COUNTS,))
    settings = WorkerSettings(
        kafka={"bootstrap.servers": c["kafka"]},
        registry=c["registry"],
        home=Path(c["folder"]),
        engine=EngineSettings(**c.get("engine", {})),
    )
    app = AgentApp(agent, settings)
    app.task(lambda: tell(app))
    start(app)
