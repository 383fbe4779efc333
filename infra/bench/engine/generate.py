"""Writes `order.py`, the bench's typed order, from `avro/`: `python -m infra.bench.engine.generate`."""

from __future__ import annotations

import json
from pathlib import Path

from schemas.generate import source

HERE = Path(__file__).parent


def text() -> str:
    """What `order.py` is to hold."""
    return source(HERE / "avro", "from schemas.records import Record").replace(
        "by `schemas.generate`", "by `infra.bench.engine.generate`"
    )


def schema() -> str:
    """The order's Avro definition, as it is registered."""
    return json.dumps(json.loads((HERE / "avro" / "BenchOrder.avsc").read_text()))


if __name__ == "__main__":
    (HERE / "order.py").write_text(text())
