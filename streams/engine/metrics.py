"""What a worker tells about itself: Prometheus metrics, names fixed here and nowhere else.

Counters and histograms are fed once a checkpoint, never once a record; what changes by itself (lag, pending timers) is read when asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

PREFIX = "bestex_engine"
SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
Gauges = Callable[[], Iterable[tuple[str, str, dict[str, str], float]]]


class Metrics(Collector):
    """One registry an agent. `gauges` yields `(name, help, labels, value)` of what is measured when asked."""

    def __init__(self, agent: str, gauges: Gauges) -> None:
        self.registry = CollectorRegistry()
        self._agent, self._gauges = agent, gauges
        self.records = self._counter("records", "Records handled")
        self.batches = self._counter("checkpoints", "Checkpoints committed")
        self.dead_letters = self._counter("dead_letters", "Records put aside")
        self.timers = self._counter("timers_fired", "Timers fired")
        self.failures = self._counter("commit_failures", "Transactions that failed or whose outcome was unknown")
        self.fenced = self._counter("fenced", "Commits refused because somebody else was there after us")
        self.recovered = self._counter("recovered_records", "Changelog records read while opening tasks")
        self.size = self._histogram(
            "checkpoint_records", "Records a checkpoint", (1, 10, 100, 500, 1000, 2000, 4000, 8000)
        )
        self.seconds = self._histogram("checkpoint_seconds", "From taking a batch to its commit", SECONDS)
        self.delay = self._histogram(
            "delay_seconds",
            "From a record's timestamp to when it was handled and committed, the oldest of a batch",
            SECONDS,
        )
        self.late = self._histogram("timer_late_seconds", "From a timer's due time to its commit", SECONDS)
        self.opening = self._histogram("open_seconds", "Fence, recover, seek", SECONDS)
        self.registry.register(self)

    def collect(self) -> Iterator[Any]:
        """Gauges, as they are now."""
        families: dict[str, GaugeMetricFamily] = {}
        for name, words, labels, value in self._gauges():
            family = families.get(name)
            if family is None:
                family = families[name] = GaugeMetricFamily(
                    f"{PREFIX}_{name}", words, labels=["agent", *sorted(labels)]
                )
            family.add_metric([self._agent, *(labels[k] for k in sorted(labels))], value)
        yield from families.values()

    def describe(self) -> Iterator[Any]:
        """None in advance: there is nothing to measure yet."""
        return iter(())

    def text(self) -> bytes:
        """Prometheus' text form."""
        return generate_latest(self.registry)

    def _counter(self, name: str, words: str) -> Any:
        return Counter(f"{PREFIX}_{name}", words, ["agent"], registry=self.registry).labels(self._agent)

    def _histogram(self, name: str, words: str, buckets: tuple[float, ...]) -> Any:
        made = Histogram(f"{PREFIX}_{name}", words, ["agent"], buckets=buckets, registry=self.registry)
        return made.labels(self._agent)
