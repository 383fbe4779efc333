"""Runs one agent in one process: connects, checks the topics, starts Faust's worker, ends it when something cannot be gone on with."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import uvloop
from aiokafka.helpers import create_ssl_context
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from schemas.codec import Codec
from schemas.records import Record
from schemas.registry import ConfluentRegistry
from schemas.topics import dead_letters
from streams.engine.agent import Agent
from streams.engine.broadcasts import Broadcasts
from streams.engine.engine import Engine, EngineSettings
from streams.engine.faust_app import App, FaustPositioner
from streams.engine.task import TIMERS
from streams.engine.transactions import Link
from streams.engine.web import Web

log = logging.getLogger(__name__)
ADMIN_SECONDS = 30.0
# A changelog is read whole at recovery, so it is compacted early and its tombstones outlive any worker's absence.
CHANGELOG = {
    "cleanup.policy": "compact",
    "segment.ms": "600000",
    "min.cleanable.dirty.ratio": "0.2",
    "delete.retention.ms": "86400000",
    "max.message.bytes": "2097152",
}


class Unfit(Exception):
    """The cluster's topics do not fit the agent: says which and how."""


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """`kafka`: librdkafka properties; `registry`: URL; `home`: folder for local state.

    `web_port`: of metrics, health and state (0 takes a free one, None serves none).
    `instance`: a name that is stable over restarts and unique in the group; with it a quick restart moves no partition (seconds).
    """

    kafka: Mapping[str, str]
    registry: str
    home: Path
    instance: str | None = None
    replication: int = 1
    session_seconds: float = 10.0
    rebalance_seconds: float = 30.0
    local_state: bool = True
    web_host: str = "127.0.0.1"
    web_port: int | None = None
    engine: EngineSettings = field(default_factory=EngineSettings)


def aiokafka_options(kafka: Mapping[str, str], client: str) -> dict[str, Any]:
    """librdkafka's properties as keyword arguments of aiokafka's clients. Raises `ValueError` for one that has no counterpart."""
    names = {
        "bootstrap.servers": "bootstrap_servers",
        "security.protocol": "security_protocol",
        "sasl.mechanism": "sasl_mechanism",
        "sasl.mechanisms": "sasl_mechanism",
        "sasl.username": "sasl_plain_username",
        "sasl.password": "sasl_plain_password",
    }
    certificates = {"ssl.ca.location", "ssl.certificate.location", "ssl.key.location", "ssl.key.password"}
    unknown = set(kafka) - set(names) - certificates - {"client.id"}
    if unknown:
        raise ValueError(f"Kafka properties that the workers do not know: {', '.join(sorted(unknown))}")
    options: dict[str, Any] = {names[k]: v for k, v in kafka.items() if k in names}
    options["client_id"] = kafka.get("client.id", client)
    protocol = options.get("security_protocol", "PLAINTEXT").upper()
    options["security_protocol"] = protocol
    if "SSL" in protocol:
        options["ssl_context"] = create_ssl_context(
            cafile=kafka.get("ssl.ca.location"),
            certfile=kafka.get("ssl.certificate.location"),
            keyfile=kafka.get("ssl.key.location"),
            password=kafka.get("ssl.key.password"),
        )
    return options


def prepare_topics(agent: Agent, kafka: Mapping[str, str], replication: int) -> dict[str, int]:
    """Make the changelogs that are missing; the partition counts of all topics the agent uses. Raises `Unfit`."""
    admin = AdminClient(dict(kafka))
    known = {name: len(t.partitions) for name, t in admin.list_topics(timeout=ADMIN_SECONDS).topics.items()}
    inputs = [i.topic for i in agent.inputs]
    needed = [*inputs, *agent.outputs, *(b.topic for b in agent.broadcasts), *map(dead_letters, inputs)]
    missing = sorted({t for t in needed if t not in known})
    if missing:
        raise Unfit(f"{agent.name}: there are no topics {', '.join(missing)}")
    counts = {topic: known[topic] for topic in inputs}
    if len(set(counts.values())) != 1:
        raise Unfit(f"{agent.name}: its inputs must have one number of partitions, but have {counts}")
    partitions = counts[inputs[0]]
    logs = [agent.changelog(t.name) for t in agent.tables] + ([agent.changelog(TIMERS)] if agent.on_timer else [])
    wrong = {name: known[name] for name in logs if name in known and known[name] != partitions}
    if wrong:
        raise Unfit(f"{agent.name}: changelogs must have {partitions} partitions like the inputs, but have {wrong}")
    new = [NewTopic(n, partitions, replication, config=CHANGELOG) for n in logs if n not in known]
    for name, made in (admin.create_topics(new) if new else {}).items():
        try:
            made.result(ADMIN_SECONDS)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise Unfit(f"{name} cannot be created: {error.args[0].str()}") from error
    return {name: known.get(name, partitions) for name in [*needed, *logs]}


def clock() -> int:
    """Microseconds since the epoch."""
    return time.time_ns() // 1000


class AgentApp(App):
    """The app with all that its engine needs, started and stopped with it."""

    def __init__(
        self, agent: Agent, settings: WorkerSettings, records: Mapping[type[Record], str] | None = None
    ) -> None:
        """`records`: those of the agent that are not of the flow, with their schemas."""
        self.definition, self.settings, self._records = agent, settings, records or {}
        options = aiokafka_options(settings.kafka, agent.name)
        super().__init__(
            agent.name,
            options,
            [i.topic for i in agent.inputs],
            datadir=str(settings.home / "faust"),
            web_enabled=False,
            broker_session_timeout=settings.session_seconds,
            broker_heartbeat_interval=max(0.3, settings.session_seconds / 5),
            broker_rebalance_timeout=settings.rebalance_seconds,
            broker_request_timeout=max(90.0, settings.session_seconds),
            consumer_group_instance_id=settings.instance,
        )
        self._watch: asyncio.Task[None] | None = None

    async def on_start(self) -> None:
        agent, settings = self.definition, self.settings
        topics = await asyncio.to_thread(prepare_topics, agent, settings.kafka, settings.replication)
        codec = await asyncio.to_thread(lambda: Codec(ConfluentRegistry(settings.registry), self._records))
        codec.on_demand = False  # the loop waits for no registry: whoever meets an unknown schema asks for it beside
        self.link = Link(**self.kafka_options)
        await self.link.start(list(topics))
        self.broadcasts = Broadcasts(agent.broadcasts, self.kafka_options, codec)
        await self.broadcasts.start()
        engine = settings.engine
        if engine.state_folder is None and settings.local_state:
            engine = replace(engine, state_folder=settings.home / "state")
        self.engine = Engine(agent, codec, self.link, self.broadcasts.tables, self.kafka_options, clock, engine)
        self.engine.attach(FaustPositioner(self))
        self.engine_made()
        self.engine.opened = self._announce
        self._web: Web | None = None
        self._web_port: int | None = None
        if settings.web_port is not None:
            self._web = Web(self.engine, settings.web_host, settings.web_port)
            self._web_port = await self._web.start()
        self._watch = asyncio.create_task(self._until_failed())
        await super().on_start()

    def engine_made(self) -> None:
        """For those who add to the app: the engine exists, nothing is open yet."""

    async def _until_failed(self) -> None:
        following = asyncio.create_task(self.broadcasts.run())
        try:
            await asyncio.wait({following, self.engine.failed}, return_when=asyncio.FIRST_EXCEPTION)
        except asyncio.CancelledError:
            following.cancel()
            raise
        reason = next(e for f in (self.engine.failed, following) if f.done() and (e := f.exception()) is not None)
        log.critical("%s cannot go on: %s", self.definition.name, reason, exc_info=reason)
        await self.engine.close(keep=False)
        # What is committed is committed and what is not is read again: there is nothing that a longer farewell would save.
        logging.shutdown()
        os._exit(1)

    def _announce(self, partitions: list[int]) -> None:
        """One line on stdout for whoever started us: all tasks given to this process are open."""
        print(json.dumps({"ready": partitions, "web_port": self._web_port}), flush=True)

    async def on_stop(self) -> None:
        await super().on_stop()
        if self._web is not None:
            await self._web.stop()
        if self._watch is not None:
            self._watch.cancel()
        await self.broadcasts.stop()
        await self.link.stop()


def run(agent: Agent, settings: WorkerSettings) -> None:
    """Run until SIGTERM or SIGINT, which drain; does not return: the process exits with 0, or 1 for what could not be gone on with."""
    start(AgentApp(agent, settings))


def start(app: AgentApp) -> None:
    """The same for an app that was added to."""
    app.settings.home.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for noisy in ("aiokafka", "faust", "mode", "httpx", "httpx2"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    uvloop.install()
    # A batch makes tens of thousands of objects that live for milliseconds and form no cycles; collecting at Python's default pace
    # took a third of a busy worker's time.
    gc.set_threshold(200_000, 20, 100)
    gc.freeze()
    worker = app.Worker(loglevel=None, override_logging=False, quiet=True, debug=False, redirect_stdouts=False)
    worker.spinner = None  # it would write to stdout, which is for the line that says we are ready
    worker.execute_from_commandline()
