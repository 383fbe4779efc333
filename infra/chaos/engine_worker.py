"""The worker that `bestex chaos engine` torments: counts records per key, tells each count, sets timers, and can die at any step.

`python -m infra.chaos.engine_worker CONFIG.json`. On SIGUSR1 it reads the name of a step from the file `fault` in its home and kills itself,
as `kill -9` would, at the next moment a checkpoint reaches that step. With `transactions` false the source offsets are committed
apart from the outputs, as engines without transactions do: the harness must then find doubled records.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from schemas.records import ClientId
from streams.engine import store
from streams.engine.agent import Agent, Context, Input, Message, Table, Timer
from streams.engine.batches import Pair, Place
from streams.engine.engine import EngineSettings
from streams.engine.transactions import Appended, Membership, TransactionalProducer
from streams.engine.worker import AgentApp, WorkerSettings, start

COUNTS: Table[ClientId] = Table("counts", ClientId)
TIMER_EVERY = 50  # one record in so many sets a timer
TIMER_US = 1_500_000


def count(ctx: Context, messages: Sequence[Message]) -> None:
    """`<n>:<value>` for the n-th record of a key."""
    counts, out = ctx.table(COUNTS), f"{messages[0].topic}.out"
    for message in messages:
        key, value = (message.key or b"").decode(), message.value or b""
        if value.startswith(b"poison"):
            raise ValueError("this record cannot be handled")
        before = counts.get(key)
        n = int(before.order_id) + 1 if before else 1
        counts[key] = ClientId(order_id=str(n))
        ctx.send_raw(out, message.key, b"%d:%b" % (n, value), ctx.partition)
        if n % TIMER_EVERY == 0:
            ctx.set_timer(f"{key}/{n}", ctx.now + TIMER_US)


def rang(ctx: Context, timers: Sequence[Timer]) -> None:
    """Tell which timer fired."""
    for timer in timers:
        ctx.send_raw(f"{ctx.local}.rang", timer.key.encode(), b"%d" % (ctx.now - timer.due), ctx.partition)


def agent(topic: str) -> Agent:
    """The agent over an input topic; `<topic>.out` and `<topic>.rang` are its outputs."""
    return Agent(
        name=f"chaos-{topic}",
        inputs=(Input(topic),),
        process=count,
        outputs=(f"{topic}.out", f"{topic}.rang"),
        tables=(COUNTS,),
        on_timer=rang,
        local=lambda: topic,
    )


class Unsafe(TransactionalProducer):
    """Outputs in one transaction, offsets in the next: what happens between the two is at least once, not exactly once."""

    _waiting: tuple[Mapping[Place, int], Membership]

    async def begin(self, offsets: Mapping[Place, int], membership: Membership) -> None:
        self._waiting, self._begun = (offsets, membership), True
        await self.step("begun")

    async def commit(self, records: Mapping[Place, Sequence[Pair]]) -> dict[Place, Appended]:
        appended: dict[Place, Appended] = {}
        for batches in self._batches(records):
            await self._produce(batches, appended)
        if records:
            await self._end(commit=True)
        await self.step("produced")
        await self._send_offsets(*self._waiting)
        await self._end(commit=True)
        self.usable = True
        await self.step("committed")
        return appended


class Tormented(AgentApp):
    """The app with a step that may be its last."""

    transactions = True

    def torment(self, home: Path) -> None:
        self._last_step = ""
        self._fault = home / "fault"
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, self._told)

    def _told(self) -> None:
        self._last_step = self._fault.read_text().strip()

    async def _step(self, name: str) -> None:
        if name == self._last_step:
            os.kill(os.getpid(), signal.SIGKILL)

    async def on_first_start(self) -> None:
        self.torment(self.settings.home)
        await super().on_first_start()

    def engine_made(self) -> None:
        self.engine.step = self._step
        if not self.transactions:
            self.engine.producer = Unsafe


def main(path: Path) -> None:
    """Run the worker that a configuration file describes."""
    store.WRITE_BUFFER = 64 << 10  # so small a table is else written to disk so rarely that a full disk is no fault
    config: dict[str, Any] = json.loads(path.read_text())
    app = Tormented(
        agent(config["topic"]),
        WorkerSettings(
            kafka=config["kafka"],
            registry=config["registry"],
            home=Path(config["home"]),
            instance=config["instance"],
            session_seconds=config["session_seconds"],
            web_port=0,
            engine=EngineSettings(write_seconds=0.5),
        ),
    )
    app.transactions = config.get("transactions", True)
    start(app)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
