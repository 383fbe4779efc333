"""Golden files: what each record looks like in bytes, kept for ever once written.

`golden/<Record>.<n>.json` holds the schema of one version, example records and their Avro bodies (hex, without the frame). A file is
never changed: `python tests/schemas/golden.py` adds one for each record whose present schema has none. A version that was never
released is taken back by deleting its file.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from schemas import records
from schemas.codec import BY_NAME, Codec, LocalRegistry, schema_text
from schemas.records import Record

FOLDER = Path(__file__).parent / "golden"
HEAD = 5  # bytes of the frame


@dataclass(frozen=True)
class Golden:
    """One file. `examples`: record as plain JSON, body."""

    name: str
    record: type[Record]
    schema: Any
    examples: list[tuple[dict[str, Any], bytes]]


def load() -> list[Golden]:
    """All files, by name."""
    found = []
    for path in sorted(FOLDER.glob("*.json")):
        raw = json.loads(path.read_text())
        schema = raw["schema"]
        record = BY_NAME[f"{schema['namespace']}.{schema['name']}"]
        examples = [(e["record"], bytes.fromhex(e["body"])) for e in raw["examples"]]
        found.append(Golden(path.stem, record, schema, examples))
    return found


def plain(record: Record) -> Any:
    """The record as JSON; bytes as base64, enums as their symbols."""
    return json.loads(msgspec.json.encode(record))


def shape(schema: Any) -> Any:
    """The schema without its prose: two of one shape write the same bytes."""
    if isinstance(schema, dict):
        return {key: shape(value) for key, value in schema.items() if key != "doc"}
    return [shape(s) for s in schema] if isinstance(schema, list) else schema


def examples(cls: type[Record]) -> Iterator[Record]:
    """Three values of a record: everything given, as little as possible, and at the limits."""
    schema = json.loads(schema_text(cls))
    for style in ("full", "least", "limits"):
        yield _Maker(style).make(schema)


class _Maker:
    def __init__(self, style: str) -> None:
        self._style, self._count, self._names = style, 0, {}  # type: str, int, dict[str, Any]

    def make(self, schema: Any) -> Any:
        if isinstance(schema, list):
            rest = [branch for branch in schema if branch != "null"]
            value = self.make(rest[0])  # made in any case: it defines names
            return None if self._style == "least" and "null" in schema else value
        if isinstance(schema, str) and schema not in ("string", "int", "long", "boolean", "bytes"):
            return self.make(self._names[schema.rsplit(".", 1)[-1]])
        if isinstance(schema, dict):
            kind = schema.get("logicalType") or schema["type"]
            if kind in ("record", "enum"):
                self._names[schema["name"]] = schema
        else:
            kind = schema
        self._count += 1
        n, limits, least = self._count, self._style == "limits", self._style == "least"
        match kind:
            case "record":
                cls = getattr(records, schema["name"])
                return cls(**{field["name"]: self.make(field["type"]) for field in schema["fields"]})
            case "enum":
                symbols = schema["symbols"]
                return getattr(records, schema["name"])(symbols[-1] if limits else symbols[n % len(symbols)])
            case "array":
                made = tuple(self.make(schema["items"]) for _ in range(3 if limits else 2))
                return () if least else made
            case "decimal":
                return (10**20 - 1) * (-1) ** n if limits else 0 if least else 123_456_789 * n
            case "timestamp-micros":
                return 253_402_300_799_999_999 if limits else 0 if least else 1_700_000_000_000_000 + n
            case "string":
                return "\N{EURO SIGN}\N{SNOWMAN}\0" * 30 if limits else "" if least else f"text-{n}"
            case "bytes":
                return bytes(range(256)) if limits else b"" if least else f"bytes-{n}".encode()
            case "int":
                return (-(2**31), 2**31 - 1)[n % 2] if limits else 0 if least else n
            case "long":
                return (-(2**63), 2**63 - 1)[n % 2] if limits else 0 if least else n * 1000
            case "boolean":
                return not least
        raise ValueError(f"no example of {schema!r}")


def main() -> int:
    """Write what is missing."""
    codec = Codec(LocalRegistry())
    present = load()
    FOLDER.mkdir(exist_ok=True)
    for cls in records.RECORDS:
        schema = json.loads(schema_text(cls))
        versions = [golden for golden in present if golden.record is cls]
        if any(shape(golden.schema) == shape(schema) for golden in versions):
            continue
        numbers = [int(golden.name.rpartition(".")[2]) for golden in versions]
        path = FOLDER / f"{cls.__name__}.{max(numbers, default=0) + 1}.json"
        rows = [{"record": plain(r), "body": codec.encode(r)[HEAD:].hex()} for r in examples(cls)]
        path.write_text(json.dumps({"schema": schema, "examples": rows}, indent=1, ensure_ascii=False) + "\n")
        print(path, file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
