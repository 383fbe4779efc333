"""What every `bestex bench` shares: the machine it ran on, a stack of its own, and the shape of the answer."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # publishes no types

from infra.settings import Addresses, Settings
from infra.stack.stack import Stack

Tell = Callable[[str], None]
WARM_SECONDS = 60.0


def machine() -> dict[str, Any]:
    """Cores that may be used, memory, Python, processor."""
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "python": platform.python_version(),
        "cpu": _processor(),
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:  # not Linux
        return platform.processor()
    return platform.processor()


@contextmanager
def broker(tell: Tell) -> Iterator[Addresses]:
    """Kafka and the registry, for this bench alone; the environment's when it names both."""
    settings = Settings.from_env()
    if settings.kafka and settings.registry:
        yield Addresses(settings.kafka, settings.registry, "", "")
        return
    with tempfile.TemporaryDirectory(prefix="bestex-bench-") as home:
        alone = Settings(home=Path(home), valkey="redis://none", clickhouse="http://none")
        with Stack(alone.home, alone, lambda part, state: tell(f"{part}: {state}")) as stack:
            yield stack.addresses


def answer(
    bench: str, runs: int, results: dict[str, Any], ratios: dict[str, float] | None = None, **more: Any
) -> dict[str, Any]:
    """The object that is printed for machines."""
    return {"bench": bench, "runs": runs, "results": results, "ratios": ratios or {}, "machine": machine(), **more}


def engine(quick: bool, runs: int, only: Sequence[str], tell: Tell) -> dict[str, Any]:
    """Every engine on one work; see `infra.bench.engine.harness`."""
    from infra.bench.engine.harness import bench, contestants

    contestants(only)  # before anything is started for them
    records = 60_000 if quick else 400_000
    runs = 1 if quick else runs
    with broker(tell) as addresses:
        outcomes = bench(addresses, records, runs, tell, only)
    best = {name: max(found, key=lambda o: o.events_per_s) for name, found in outcomes.items()}
    ours = best.get("bestex_1")
    ratios = {
        name: round(ours.events_per_s / other.events_per_s, 2)
        for name, other in best.items()
        if ours is not None and name != "bestex_1"
    }
    return answer(
        "engine",
        runs,
        {name: round(o.events_per_s) for name, o in best.items()},
        ratios,
        cpu_s_per_million={name: round(o.cpu_s_per_million, 1) for name, o in best.items()},
        peak_mb={name: round(o.peak_mb) for name, o in best.items()},
        all_runs={name: [round(o.events_per_s) for o in found] for name, found in outcomes.items()},
        records=records,
    )


def latency(quick: bool, runs: int, tell: Tell) -> dict[str, Any]:
    """Produce to visible, at two rates; the median run by p99.

    The broker is warm, as one that runs for days is: for about a minute under load its JVM compiles, on the cores that are measured.
    """
    from infra.bench.engine.timing import latency as measure

    runs, seconds = (1, 5.0) if quick else (runs, 20.0)
    found: dict[str, list[dict[str, float]]] = {"2000": [], "10000": []}
    with broker(tell) as addresses:
        tell("warming the broker up")
        measure(addresses, 10_000, 5.0 if quick else WARM_SECONDS, tell)
        for _ in range(runs):
            for rate, rows in found.items():
                rows.append(measure(addresses, int(rate), seconds, tell))
                tell(f"{rate}/s: {rows[-1]}")
    results = {rate: sorted(rows, key=lambda r: r["p99_ms"])[len(rows) // 2] for rate, rows in found.items()}
    return answer("latency", runs, results, all_runs=found)


def recovery(quick: bool, tell: Tell) -> dict[str, Any]:
    """Restart, rebuild, takeover."""
    from infra.bench.engine.timing import recovery as measure

    with broker(tell) as addresses:
        return answer("recovery", 1, measure(addresses, 50_000 if quick else 1_000_000, tell))


def timers(quick: bool, tell: Tell) -> dict[str, Any]:
    """Many pending, how late they fire."""
    from infra.bench.engine.timing import timers as measure

    with broker(tell) as addresses:
        pending, seconds = (50_000, 8.0) if quick else (1_000_000, 100.0)
        return answer("timers", 1, dict(measure(addresses, pending, seconds, tell)))


def books(quick: bool, runs: int, tell: Tell) -> dict[str, Any]:
    """Level updates through a book, ours and peers'; memory; record to quote."""
    from infra.bench.books import measure

    runs = 2 if quick else runs
    with broker(tell) as addresses:
        found = measure(quick, runs, addresses, tell)
    ours = found["level_updates_per_s"]
    peers = ("ccxt_level_updates_per_s", "sorted_level_updates_per_s")
    return answer("books", runs, found, {name: round(ours / found[name], 2) for name in peers})


def route(quick: bool, runs: int, tell: Tell) -> dict[str, Any]:
    """Routing decisions on one core."""
    from infra.bench.route import measure

    runs = 2 if quick else runs
    return answer("route", runs, measure(quick, runs, tell))


def orders(quick: bool, runs: int, tell: Tell) -> dict[str, Any]:
    """Commands through risk and routing to the venues' doors."""
    from infra.bench.orders import measure

    runs = 1 if quick else runs
    with broker(tell) as addresses:
        return answer("orders", runs, measure(quick, runs, addresses, tell))


def venues(quick: bool, runs: int, tell: Tell) -> dict[str, Any]:
    """Orders through ccxt and httpx; market data through the fast path and ccxt.pro."""
    from infra.bench.venues import measure

    runs = 1 if quick else runs
    results, ratios = measure(quick, runs, tell)
    return answer("venues", runs, results, ratios)
