"""Faults of whole venues in the middle of a demo, and what became of them: the breaker's states, and when work had moved elsewhere.

`NAME=KIND@SECONDS` or `NAME=KIND@SECONDS+DURATION`: so many seconds after trading began the venue goes wrong, for ten seconds unless
`DURATION` says otherwise. Kinds are the simulator's: `down`, `hang`, `503`, `slow` (three seconds), `reject`, `feed`.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
from confluent_kafka import TopicPartition

from infra.kafka_log import partitions, reader
from infra.marks import codec
from schemas.codec import DecodeError
from schemas.records import BookUpdate, BookUpdateKind, ChildOrder, VenueHealth

KINDS = ("down", "hang", "503", "slow", "reject", "feed")
DURATION = 10.0
SLOW_MS = 3000
TOPICS = ("venue.health", "venue.orders")
BOOKS = "market.books"  # read as well where a feed is lost: its venue stays well
_SPEC = re.compile(r"(?P<venue>[^=]+)=(?P<kind>\w+)@(?P<at>\d+(\.\d+)?)(\+(?P<duration>\d+(\.\d+)?))?")


@dataclass(frozen=True, slots=True)
class VenueFault:
    """One fault; `at` and `duration` in seconds."""

    venue: str
    kind: str
    at: float
    duration: float = DURATION


def parse(text: str) -> VenueFault:
    """`alpha=down@5` as a fault. Raises `ValueError`."""
    found = _SPEC.fullmatch(text)
    if found is None or found["kind"] not in KINDS:
        raise ValueError(f"{text!r} is not NAME=KIND@SECONDS with a kind of {', '.join(KINDS)}")
    return VenueFault(found["venue"], found["kind"], float(found["at"]), float(found["duration"] or DURATION))


class VenueFaults:
    """Puts the faults in while it is entered, and watches. `report` is filled in as it goes and complete at the exit."""

    def __init__(
        self, faults: Sequence[VenueFault], urls: Mapping[str, str], kafka: Mapping[str, Any], registry: str
    ) -> None:
        if unknown := {fault.venue for fault in faults} - urls.keys():
            raise ValueError(f"no venue {', '.join(sorted(unknown))}; there are {', '.join(sorted(urls))}")
        self._faults, self._urls, self._kafka, self._registry = faults, urls, kafka, registry
        self._began: dict[VenueFault, int] = {}  # microseconds
        self._states: dict[str, list[tuple[int, str]]] = {fault.venue: [] for fault in faults}
        self._children: dict[str, list[int]] = {fault.venue: [] for fault in faults}
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._put, args=(fault,), daemon=True) for fault in faults]
        if faults:
            self._threads.append(threading.Thread(target=self._watch, daemon=True))
        self.error: BaseException | None = None

    def __enter__(self) -> VenueFaults:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        if self.error is not None:
            raise self.error

    def report(self) -> list[dict[str, Any]]:
        """Of each fault: the venue's states from its beginning on, after how many seconds work had moved, and whether it was used again."""
        rows = []
        for fault, began in self._began.items():
            ended = began + round(fault.duration * 1e6)
            during = [at - began for at in self._children[fault.venue] if began <= at < ended]
            rows.append(
                {
                    "venue": fault.venue,
                    "kind": fault.kind,
                    "states": [state for at, state in self._states[fault.venue] if at >= began],
                    "moved_s": round(_moved(during) / 1e6, 2),
                    "used_again": any(at >= ended for at in self._children[fault.venue]),
                }
            )
        return rows

    def _put(self, fault: VenueFault) -> None:
        if self._over.wait(fault.at):
            return
        try:
            asked = {"kind": fault.kind, "seconds": fault.duration}
            if fault.kind == "slow":
                asked["latency_ms"] = SLOW_MS
            self._began[fault] = time.time_ns() // 1000
            httpx.post(f"{self._urls[fault.venue]}/sim/fault", json=asked, timeout=10).raise_for_status()
        except Exception as error:  # handed to whoever waits
            self.error = error

    def _watch(self) -> None:
        try:
            consumer, decode = reader(self._kafka), codec(self._registry).decode
            try:
                topics = [*TOPICS, *([BOOKS] if any(fault.kind == "feed" for fault in self._faults) else ())]
                consumer.assign([TopicPartition(p.topic, p.partition, 0) for p in partitions(consumer, topics)])
                while not self._over.is_set():
                    for message in consumer.consume(2_000, timeout=0.1):
                        value = message.value()
                        if message.error() is None and isinstance(value, bytes):
                            self._take(decode, value)
            finally:
                consumer.close()
        except Exception as error:  # handed to whoever waits
            self.error = error

    def _take(self, decode: Any, value: bytes) -> None:
        try:
            record = decode(value, ChildOrder, VenueHealth, BookUpdate)
        except DecodeError:
            return  # a cancel, or what `bestex verify` reports
        if isinstance(record, ChildOrder):
            if record.venue in self._children:
                self._children[record.venue].append(record.created_at)
        elif isinstance(record, BookUpdate):
            if record.venue in self._states and record.kind is not BookUpdateKind.DIFF:
                stale = record.kind is BookUpdateKind.STALE
                self._say(record.venue, "FEED STALE" if stale else "FEED LIVE", record.received_at)
        elif record.venue in self._states:
            word = record.reason.partition(":")[0] if record.reason.startswith("BREAKER") else ""
            state = " ".join(part for part in (record.status.value, word) if part)
            self._say(record.venue, state, record.at)

    def _say(self, venue: str, state: str, at: int) -> None:
        """A state, if it is another than the last of its kind (feed or health)."""
        said = [one for _, one in self._states[venue] if one.startswith("FEED") is state.startswith("FEED")]
        if not said or said[-1] != state:
            self._states[venue].append((at, state))


def _moved(during: Sequence[int]) -> int:
    """When the first two quiet seconds began: afterwards only the trials of a half-open breaker go there."""
    last = 0
    for at in sorted(during):
        if at - last > 2_000_000:
            break
        last = at
    return last
