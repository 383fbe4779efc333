"""Runs every invariant that can be asked of a system, once it has come to rest, and gathers what was found."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from infra.marks import behind
from infra.verify import accounts, invariants, targets
from infra.verify.log import Log, body, load
from schemas.codec import Codec
from schemas.registry import ConfluentRegistry

KEPT = 100  # sentences kept of one invariant; more are counted
GROUPS: Mapping[str, tuple[str, ...]] = {
    "accounts": ("orders.commands", "account.transfers", "account.limits", "orders.sweeps", "exchange.acks"),
    "router": ("orders.routable",),
    "bestex.sink.clickhouse": ("orders.events", "fills", "exchange.acks", "venue.alerts"),
    "bestex.sink.readmodel": ("orders.events", "fills"),
    "bestex.sink.notifier": ("orders.events", "venue.alerts"),
}


@dataclass(frozen=True, slots=True, repr=False)
class Targets:
    """What there is to hold against the log; what is `None` or empty is not asked. `venues`: name -> simulator's REST address."""

    clickhouse: str | None = None
    valkey: str | None = None
    notices: Path | None = None
    venues: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Report:
    """Invariant -> sentences (at most `KEPT`) and how many violations in all; and what the log held."""

    found: Mapping[str, list[str]]
    counts: Mapping[str, int]
    records: Mapping[str, int]
    seconds: float
    quiet: bool
    log: Log

    @property
    def violations(self) -> int:
        return sum(self.counts.values())

    @property
    def first_offender(self) -> str | None:
        return next((f"{name}: {texts[0]}" for name, texts in self.found.items() if texts), None)

    def as_json(self) -> dict[str, Any]:
        """The object of `bestex verify --json`."""
        return {
            "invariants": dict(self.counts),
            "violations": self.violations,
            "first_offender": self.first_offender,
            "records": dict(self.records),
            "at_rest": self.quiet,
            "seconds": round(self.seconds, 2),
        }


def verify(
    kafka: Mapping[str, Any],
    registry: str,
    asked: Targets,
    settle: float = 15.0,
    progress: Callable[[str], None] | None = None,
) -> Report:
    """Judge the system. One that is at work is waited for up to `settle` seconds: until its readers have read all and nothing is added.

    Raises what Kafka, the registry and the targets raise when they do not answer.
    """
    begun, codec = time.monotonic(), Codec(ConfluentRegistry(registry))
    deadline = begun + settle
    tell = progress or (lambda text: None)
    while True:
        tell("waiting for rest")
        rested = at_rest(kafka)
        if rested or time.monotonic() >= deadline:
            tell("reading the log")
            log = load(kafka, codec)
            if (rested and log.quiet) or time.monotonic() >= deadline:
                break
        else:
            time.sleep(0.1)  # between two questions to the brokers
    found, counts = judge(log, codec, asked, tell)
    records = {topic: len(entries) for topic, entries in log.entries.items()}
    return Report(found, counts, records, time.monotonic() - begun, rested and log.quiet, log)


def at_rest(kafka: Mapping[str, Any], groups: Mapping[str, tuple[str, ...]] = GROUPS) -> bool:
    """Whether every reader has read everything."""
    return all(behind(kafka, group, topics) == 0 for group, topics in groups.items())


def judge(
    log: Log, codec: Codec, asked: Targets, tell: Callable[[str], None] = lambda text: None
) -> tuple[dict[str, list[str]], dict[str, int]]:
    """Every invariant's sentences, and how many there are."""
    checks: dict[str, Callable[[], Iterable[str]]] = {
        "commands_answered_once": lambda: invariants.commands_answered_once(log),
        "transitions_legal": lambda: invariants.transitions_legal(log),
        "client_order_ids_unique": lambda: accounts.client_order_ids_unique(log),
        "sequences_without_gap": lambda: invariants.sequences_without_gap(log),
        "hash_chain": lambda: invariants.hash_chain(log, lambda event: body(codec, event)),
        "state_equals_log": lambda: invariants.state_equals_log(log),
        "money_conserved": lambda: invariants.money_conserved(log),
        "fills_equal_parents": lambda: invariants.fills_equal_parents(log),
        "positions_equal_fills": lambda: invariants.positions_equal_fills(log),
        "nothing_left_behind": lambda: invariants.nothing_left_behind(log),
        "portfolio_rebuilt": lambda: accounts.portfolio_rebuilt(log),
    }
    if (clickhouse := asked.clickhouse) is not None:
        checks["clickhouse_equals_log"] = lambda: targets.clickhouse_equals_log(log, clickhouse)
    if (valkey := asked.valkey) is not None:
        checks["read_model_equals_log"] = lambda: targets.read_model_equals_log(log, valkey)
    if (notices := asked.notices) is not None:
        checks["notifier_equals_log"] = lambda: targets.notifier_equals_log(log, notices)
    if asked.venues:
        said = targets.audits(asked.venues)
        checks["children_accepted_once"] = lambda: targets.children_accepted_once(log, said)
        checks["venue_ledgers_equal_fills"] = lambda: targets.venue_ledgers_equal_fills(log, said)
    found, counts = {}, {}
    for name, check in checks.items():
        tell(name.replace("_", " "))
        sentences = iter(check())
        found[name] = list(islice(sentences, KEPT))
        counts[name] = len(found[name]) + sum(1 for _ in sentences)
    return found, counts
