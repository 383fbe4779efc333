"""The pipeline: every process between a producer and its fills, told where the others are, started, asked, ended.

    simulate ─► feed ─► router ◄─► accounts ─► execute ─► simulate;  accounts ─► clickhouse, readmodel, notifier

`Pipeline` runs it inside a command that stays (``bestex demo``); ``python -m infra.pipeline --config FILE`` is the same in a process of
its own that ``bestex up`` leaves behind. What a running pipeline is (its venues, where its files are) is told by `Running`, written
beside the supervisor's state.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from infra.demo.world import World
from infra.settings import Addresses, Settings
from infra.stack import process
from infra.stack.state import ProcessId, write_private
from infra.supervisor import PipelineError, Progress, Spec, Supervisor
from sinks.leaving import told_to_leave

FOLDER = "pipeline"
STATE = "running.json"
READY_SECONDS = 90.0
WORKERS = ("accounts", "router")
SINKS = ("clickhouse", "readmodel", "notifier")
# Few claims at once: what waits its turn waits in Kafka, where it does not grow too old to be sent.
EXECUTION = {"instance": "execute", "claim_limit": 64, "breaker_seconds": 5.0, "balance_seconds": 5.0}
PARTS = ("simulate", "feed", *WORKERS, "execute", *(f"sink-{name}" for name in SINKS))


@dataclass(slots=True)
class Running:
    """What is known of a home's pipeline. `venues`: name -> REST address of the simulators; `error`: why it did not come up."""

    owner: ProcessId
    ready: bool = False
    error: str | None = None
    venues: dict[str, str] = field(default_factory=dict)
    symbols: list[str] = field(default_factory=list)
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)
    started: float = 0.0

    @classmethod
    def load(cls, home: Path) -> Running | None:
        """The pipeline last written down in `home`, alive or not."""
        try:
            raw = json.loads((home / FOLDER / STATE).read_text())
            return cls(**{**raw, "owner": ProcessId(**raw["owner"])})
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            return None

    def save(self, home: Path) -> None:
        """Write it down for other commands, for the owner's eyes only."""
        write_private(home / FOLDER / STATE, json.dumps(asdict(self), indent=1))


class Pipeline:
    """The parts of one home over running servers. Use as a context manager: leaving ends every part."""

    def __init__(
        self,
        home: Path,
        addresses: Addresses,
        world: World,
        *,
        settings: Settings | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.home, self.addresses, self.world = home.resolve(), addresses, world
        settings = settings or Settings()
        self.settings = settings
        self.kafka = settings.kafka_client(addresses.kafka)
        self.notices = self.home / FOLDER / "notices.jsonl"
        self.supervisor = Supervisor(self.home / FOLDER, progress)
        self.running = Running(ProcessId.of(os.getpid()), venues=world.rest_urls(), symbols=list(world.symbols))

    def __enter__(self) -> Pipeline:
        self.supervisor.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.supervisor.stop()

    def start(self, seconds: float = READY_SECONDS) -> None:
        """Start all parts and return when all are ready. Raises `PipelineError`."""
        self.running.started = time.time()
        self.running.save(self.home)
        for spec in self.specs():
            self.supervisor.start(spec)
        self.supervisor.await_ready(PARTS, seconds)
        self.running.ready = True
        self.note()

    def note(self) -> None:
        """Write down how the parts do, for ``bestex status``."""
        self.running.parts = self.supervisor.status()
        self.running.save(self.home)

    def specs(self) -> list[Spec]:
        """Every part with its configuration, in the order of starting."""
        base = {"kafka": self.kafka, "registry": self.addresses.registry}
        since = time.time_ns() // 1000
        return [
            # A venue that is killed still knows what it took: real ones do.
            Spec(
                "simulate",
                "connectors.simulator",
                {**self.world.simulator(base), "state": str(self.home / FOLDER / "state" / "venues")},
                wave=3,
            ),
            *(self._worker(name, base) for name in WORKERS),
            Spec(
                "feed",
                "connectors.feeds",
                {**base, "venues": self.world.feeds(), "snapshot_seconds": 5, **self._limits()},
                ready=self._fed,
            ),
            Spec(
                "execute",
                "connectors.execution",
                {**base, "venues": self.world.execution(), "settings": {**EXECUTION, **self.settings.execution}},
                wave=2,
                ready=lambda: self._healthy(since),
            ),
            *(self._sink(name, base) for name in SINKS),
        ]

    def _limits(self) -> dict[str, str]:
        """Real venues count what they are asked: the budget is then shared."""
        return {"limits": self.addresses.valkey} if self.world.live else {}

    def _worker(self, name: str, base: Mapping[str, Any]) -> Spec:
        # One folder and one name each: a worker that is started again has its partitions back at once.
        own = self.settings.agent(name)
        config = {**base, "home": str(self.home / FOLDER / "state" / name), "instance": name, **own}
        return Spec(name, "streams.worker", config, (name,), wave=1)

    def _sink(self, name: str, base: Mapping[str, Any]) -> Spec:
        targets: dict[str, dict[str, Any]] = {
            "clickhouse": {"clickhouse": self.addresses.clickhouse},
            "readmodel": {"valkey": self.addresses.valkey},
            "notifier": {"file": str(self.notices)},
        }
        return Spec(
            f"sink-{name}",
            "sinks",
            {**base, **targets[name], "instance": name},
            (name,),
            wave=4,
            ready=lambda: self._reading(f"bestex.sink.{name}"),
        )

    # ---- asking those that do not say by themselves

    def _fed(self) -> bool:
        """Every symbol has a quote made of all venues' books: simulator, feed and router have met."""
        from infra import marks

        quotes = marks.quotes(self.kafka, self.addresses.registry)
        return all(s in quotes and quotes[s].venues >= len(self.world.venues) for s in self.world.symbols)

    def _healthy(self, since: int) -> bool:
        """Every venue was found in health since the start, and its instruments are known."""
        from infra import marks

        health = marks.health(self.kafka, self.addresses.registry)
        return all(
            name in health and health[name].at >= since and health[name].status == "ACTIVE" for name in self.world.names
        )

    def _reading(self, group: str) -> bool:
        from infra import marks

        return marks.members(self.kafka, group) > 0


def run(config: Mapping[str, Any]) -> int:
    """The body of the background process: come up, stay until SIGTERM, end everything."""
    stop = told_to_leave()
    raw = config["world"]
    world = World(
        tuple(raw["venues"]),
        tuple(raw["symbols"]),
        raw["seed"],
        raw["speed"],
        {name: (key, secret) for name, (key, secret) in raw["keys"].items()},
        tuple(raw.get("live", ())),
    )
    settings = Settings(
        kafka_options=config["kafka_options"],
        accounts=config.get("accounts", {}),
        router=config.get("router", {}),
        execution=config.get("execution", {}),
    )
    pipeline = Pipeline(
        Path(config["home"]),
        Addresses(**config["addresses"]),
        world,
        settings=settings,
        progress=lambda part, text: print(f"{time.strftime('%H:%M:%S')} {part}: {text}", file=sys.stderr, flush=True),
    )
    with pipeline:
        try:
            pipeline.start()
        except PipelineError as error:
            pipeline.running.error = str(error)
            pipeline.note()
            return 1
        while not stop.wait(1.0):
            # A disk that is full for a while must not end a pipeline that runs: what is noted is only for those who look.
            with suppress(OSError):
                pipeline.note()
    return 0


def launch(home: Path, addresses: Addresses, world: World, settings: Settings, progress: Progress) -> Running:
    """Start the background process and return when all its parts are ready. Raises `PipelineError`; nothing is left running then."""
    folder = home.resolve() / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "home": str(home.resolve()),
        "addresses": asdict(addresses),
        "world": asdict(world),
        "kafka_options": dict(settings.kafka_options),
        "accounts": dict(settings.accounts),
        "router": dict(settings.router),
        "execution": dict(settings.execution),
    }
    write_private(folder / "pipeline.json", json.dumps(config, indent=1))
    (folder / STATE).unlink(missing_ok=True)
    log = folder / "logs" / "pipeline.log"
    at = process.log_size(log)
    child = process.spawn(process.python("-m", "infra.pipeline", "--config", str(folder / "pipeline.json")), log)
    deadline = process.Deadline(READY_SECONDS + 30)
    told = at
    while True:
        told = _tell(log, told, progress)
        running = Running.load(home)
        if running is not None and running.ready:
            return running
        ended = child.poll() is not None
        if ended or deadline.left() <= 0:
            end(home)
            why = running.error if running is not None and running.error else process.tail(log, at)
            raise PipelineError(why or "the pipeline did not come up in time")
        deadline.pause(0.1)


def _tell(log: Path, at: int, progress: Progress) -> int:
    """Pass on what the background process has logged since byte `at`; the byte it is told up to."""
    if not log.exists():
        return at
    with log.open("rb") as file:
        file.seek(at)
        for line in file.read().splitlines(keepends=True):
            if not line.endswith(b"\n"):
                break
            at += len(line)
            part, _, text = line.decode(errors="replace").strip().partition(" ")[2].partition(": ")
            if part in PARTS:
                progress(part, text)
    return at


def end(home: Path) -> bool:
    """End the background process of `home`, and whatever of its parts a crash left; whether there was anything."""
    from infra.supervisor import end_orphans

    running = Running.load(home)
    found = running is not None and running.owner.alive()
    if running is not None and found:
        process.end({"pipeline": running.owner}, 90.0)
    return bool(end_orphans((home / FOLDER).resolve())) or found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Runs every part of the pipeline until it is told to end.")
    parser.add_argument("--config", type=Path, required=True, metavar="FILE.json")
    sys.exit(run(json.loads(parser.parse_args().config.read_text())))
