"""The worker of `bestex bench timers`: every record sets a timer for the time in its value; every timer that fires is told."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from streams.engine.agent import Agent, Context, Input, Message, Timer
from streams.engine.worker import WorkerSettings, run


def arm(ctx: Context, messages: Sequence[Message]) -> None:
    for message in messages:
        ctx.set_timer((message.key or b"").decode(), int(message.value or b"0"))


def fire(ctx: Context, timers: Sequence[Timer]) -> None:
    for timer in timers:
        ctx.send_raw(f"{ctx.local}.rang", timer.key.encode(), b"%d" % timer.due, ctx.partition)


if __name__ == "__main__":
    config = json.loads(Path(sys.argv[1]).read_text())
    topic = config["topic"]
    run(
        Agent(
            name=f"timers-{topic}",
            inputs=(Input(topic),),
            process=arm,
            outputs=(f"{topic}.rang",),
            on_timer=fire,
            local=lambda: topic,
        ),
        WorkerSettings(kafka=config["kafka"], registry=config["registry"], home=Path(config["home"]), web_port=0),
    )
