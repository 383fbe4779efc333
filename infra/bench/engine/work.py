"""The work that every engine of the bench does: decode a 12-field order, count it per user, encode it, send it on.

It imports nothing of the project, because peers run it in environments of their own. Orders are Confluent-framed Avro, decoded and encoded with
fastavro. Our own contestant runs twice: `bestex_1` as every agent of the engine is written (typed records, the registry's codec, each output to
its key's partition: the same bytes), and `bestex_1_fastavro` with the calls that everyone else makes, so that nothing but the engine differs.

A contestant tells how far it is by `Progress`: a JSON line whenever that changed, with the wall-clock times of its first record and of
its last output that is safe (flushed, or committed).
"""

from __future__ import annotations

import io
import json
import os
import resource
import time
from typing import Any

import fastavro

SCHEMA = fastavro.parse_schema(
    {
        "type": "record",
        "name": "Order",
        "namespace": "bench",
        "fields": [
            {"name": "order_id", "type": "string"},
            {"name": "user_id", "type": "string"},
            {"name": "client_order_id", "type": "string"},
            {"name": "symbol", "type": "string"},
            {"name": "side", "type": {"type": "enum", "name": "Side", "symbols": ["BUY", "SELL"]}},
            {"name": "type", "type": {"type": "enum", "name": "Kind", "symbols": ["MARKET", "LIMIT", "STOP"]}},
            {"name": "tif", "type": {"type": "enum", "name": "Tif", "symbols": ["GTC", "IOC", "FOK"]}},
            {"name": "quantity", "type": "long"},
            {"name": "price", "type": ["null", "long"]},
            {"name": "stop_price", "type": ["null", "long"]},
            {"name": "scheduled_at", "type": ["null", "long"]},
            {"name": "created_at", "type": "long"},
        ],
    }
)
# A zero byte and the id that the registry gave the schema; the harness tells it.
FRAME = b"\0" + int(json.loads(os.environ.get("BENCH", "{}")).get("schema_id", 1)).to_bytes(4, "big")
USERS = 5000
SYMBOLS = ("BTC/USDT", "ETH/USDT", "SOL/USDT", "XRP/USDT")
REPORT_SECONDS = 0.1
_read, _write = fastavro.schemaless_reader, fastavro.schemaless_writer


def order(i: int) -> dict[str, Any]:
    """The i-th order: the same in every run."""
    return {
        "order_id": f"o{i:012d}",
        "user_id": user(i),
        "client_order_id": f"c{i:012d}",
        "symbol": SYMBOLS[i % 4],
        "side": "BUY" if i % 2 else "SELL",
        "type": "LIMIT",
        "tif": "GTC",
        "quantity": (i * 7919) % 10**8 + 1,
        "price": (i * 104729) % 10**12 + 10**8,
        "stop_price": None,
        "scheduled_at": None,
        "created_at": 1_700_000_000_000 + i,
    }


def user(i: int) -> str:
    """Who sends the i-th order."""
    return f"u{(i * 2654435761) % USERS:05d}"


def encode(record: dict[str, Any], frame: bytes = FRAME) -> bytes:
    """Framed Avro."""
    out = io.BytesIO()
    out.write(frame)
    _write(out, SCHEMA, record)
    return out.getvalue()


def decode(value: bytes) -> dict[str, Any]:
    """Of framed Avro."""
    body = io.BytesIO(value)
    body.seek(5)
    return _read(body, SCHEMA, None)  # type: ignore[return-value, unused-ignore]  # a record is a dict


class Progress:
    """Counts what is safe. `done(n)` after a flush or commit, `started()` at the first record."""

    def __init__(self) -> None:
        self.records = 0
        self.first = self.last = 0.0
        self._cpu = 0.0
        self._told = 0.0

    def started(self) -> None:
        """The first record was read; later calls do nothing."""
        if not self.first:
            self.first, self._cpu = time.time(), time.process_time()
            self.tell()

    def done(self, records: int) -> None:
        """So many more are safe."""
        self.records += records
        self.last = time.time()
        if self.last - self._told > REPORT_SECONDS:
            self.tell()

    def tell(self) -> None:
        """Print a line."""
        self._told = time.time()
        report = {
            "pid": os.getpid(),
            "records": self.records,
            "first": self.first,
            "last": self.last,
            "cpu": time.process_time() - self._cpu,
            "rss_mb": peak_mb(),
        }
        os.write(1, json.dumps(report).encode() + b"\n")  # frameworks redirect sys.stdout


def peak_mb() -> float:
    """The most memory this program has held. `getrusage` would also count what the process held before it became this program."""
    try:
        with open("/proc/self/status") as status:  # noqa: PTH123 - peers run this without the project's habits
            return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))
    except (OSError, StopIteration):  # not Linux
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def config() -> dict[str, Any]:
    """What the harness tells a contestant: `kafka`, `topic`, `out`, `group`, `mode`, `folder`, `registry`, `worker`."""
    return json.loads(os.environ["BENCH"])  # type: ignore[no-any-return]  # an object by contract
