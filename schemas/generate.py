"""Writes `records.py` from the Avro definitions, so that no record is ever written by hand.

Run it after changing a file in `avro/`:  `uv run python -m schemas.generate`.
`--check` writes nothing and exits 1 when `records.py` is not what the definitions say.

Rules: decimals become exact ints of 1e-8, timestamps ints of microseconds since the epoch, enums `StrEnum`s, records frozen
structs with keyword arguments. `to_wire` gives what fastavro writes with the logical types taken off; `from_wire` reads it back.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
AVRO = HERE / "avro"
TARGET = HERE / "records.py"

HEADER = '''"""Typed records of the flow. Generated from `avro/` by `schemas.generate`: do not edit.

Decimals are exact ints of 1e-8, timestamps ints of microseconds since the epoch (UTC).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar

import msgspec


MAX_MONEY = 10**20  # decimal(20,8) holds less than this, in units of 1e-8


def _m(value: int) -> bytes:
    """An int of 1e-8 as Avro's decimal bytes (two's complement, big-endian, shortest)."""
    if not -MAX_MONEY < value < MAX_MONEY:
        raise ValueError(f"{value} units of 1e-8 do not fit decimal(20,8)")
    return value.to_bytes(((value if value >= 0 else ~value).bit_length() + 8) // 8, "big", signed=True)


def _u(raw: bytes) -> int:
    """The int of 1e-8 in Avro's decimal bytes."""
    value = int.from_bytes(raw, "big", signed=True)
    if not -MAX_MONEY < value < MAX_MONEY:
        raise ValueError(f"a decimal of {len(raw)} bytes does not fit decimal(20,8)")
    return value


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Base of every generated record."""

    AVRO: ClassVar[str] = ""

    def to_wire(self) -> dict[str, Any]:
        """What the Avro writer takes."""
        raise NotImplementedError

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> Record:
        """The record from what the Avro reader gives."""
        raise NotImplementedError
'''

PRIMITIVES = {"string": "str", "int": "int", "long": "int", "boolean": "bool", "bytes": "bytes"}


def each(container: str, expression: str) -> str:
    """The expression that makes a `container` by applying `expression` to each item."""
    if expression == "{}":
        return container + "({})"
    body = expression.replace("{}", "x") + " for x in {}"
    return f"[{body}]" if container == "list" else f"{container}({body})"


class Generator:
    """Walks the schemas in the order of their names and collects the source of each type once."""

    def __init__(self) -> None:
        self.blocks: list[str] = []
        self.kinds: dict[str, tuple[str, str]] = {}  # name -> (kind, definition), to refuse two meanings of one name
        self.top: list[str] = []

    def type_of(self, t: Any) -> tuple[str, str, str]:
        """`(annotation, expression to the wire, expression from the wire)`, with `{}` for the value."""
        if isinstance(t, list):
            if len(t) != 2 or t[0] != "null":
                raise ValueError(f"only unions of null and one type are used, not {t}")
            annotation, to, back = self.type_of(t[1])
            return (
                f"{annotation} | None",
                "{}" if to == "{}" else f"None if {{}} is None else {to}",
                "{}" if back == "{}" else f"None if {{}} is None else {back}",
            )
        if isinstance(t, dict):
            if t.get("logicalType") == "decimal":
                if (t["precision"], t["scale"]) != (20, 8):
                    raise ValueError("money is decimal(20,8)")
                return "int", "_m({})", "_u({})"
            if "logicalType" in t:
                return "int", "{}", "{}"
            if t["type"] == "array":
                annotation, to, back = self.type_of(t["items"])
                return f"tuple[{annotation}, ...]", each("list", to), each("tuple", back)
            if t["type"] == "enum":
                self.enum(t)
                return t["name"], "{}", f"{t['name']}({{}})"
            if t["type"] == "record":
                self.record(t)
                return t["name"], "{}.to_wire()", f"{t['name']}.from_wire({{}})"
            return self.type_of(t["type"])
        if t in PRIMITIVES:
            return PRIMITIVES[t], "{}", "{}"
        name = t.rsplit(".", 1)[-1]
        kind = self.kinds[name][0]
        if kind == "enum":
            return name, "{}", f"{name}({{}})"
        return name, "{}.to_wire()", f"{name}.from_wire({{}})"

    def seen(self, kind: str, t: dict[str, Any]) -> bool:
        text = json.dumps([t.get("fields") and [f["name"] for f in t["fields"]], t.get("symbols")])
        if t["name"] in self.kinds:
            if self.kinds[t["name"]] != (kind, text):
                raise ValueError(f"{t['name']} is defined in two ways")
            return True
        self.kinds[t["name"]] = (kind, text)
        return False

    def enum(self, t: dict[str, Any]) -> None:
        if self.seen("enum", t):
            return
        lines = [f"class {t['name']}(StrEnum):", f'    """{t["doc"]}"""', ""]
        lines += [f'    {s} = "{s}"' for s in t["symbols"]]
        self.blocks.append("\n".join(lines))

    def record(self, t: dict[str, Any]) -> None:
        if self.seen("record", t):
            return
        fields = [(f, *self.type_of(f["type"])) for f in t["fields"]]
        lines = [f"class {t['name']}(Record, frozen=True, kw_only=True):", f'    """{t["doc"]}"""', ""]
        lines.append(f'    AVRO: ClassVar[str] = "bestex.{t["name"]}"')
        for f, annotation, _, _ in fields:
            default = " = None" if "default" in f and f["default"] is None else ""
            note = f"  # {f['doc']}" if f.get("doc") and len(f["doc"]) < 80 else ""
            lines.append(f"    {f['name']}: {annotation}{default}{note}")
        lines += ["", "    def to_wire(self) -> dict[str, Any]:", "        return {"]
        lines += [f'            "{f["name"]}": {to.replace("{}", "self." + f["name"])},' for f, _, to, _ in fields]
        lines += ["        }", "", "    @classmethod", f"    def from_wire(cls, d: dict[str, Any]) -> {t['name']}:"]
        lines.append("        return cls(")
        for f, _, _, back in fields:
            source = 'd["' + f["name"] + '"]'
            lines.append(f"            {f['name']}={back.replace('{}', source)},")
        lines.append("        )")
        self.blocks.append("\n".join(lines))


def source() -> str:
    """The whole text of `records.py`, formatted."""
    g = Generator()
    for path in sorted(AVRO.glob("*.avsc")):
        schema = json.loads(path.read_text())
        if schema["name"] != path.stem:
            raise ValueError(f"{path.name} defines {schema['name']}")
        g.record(schema)
        g.top.append(schema["name"])
    names = ", ".join(g.top)
    tail = f"RECORDS: tuple[type[Record], ...] = ({names})"
    text = "\n\n\n".join([HEADER.rstrip(), *g.blocks, tail]) + "\n"
    return subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--line-length", "120", "--stdin-filename", "records.py", "-"],
        input=text,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def main() -> int:
    text = source()
    if "--check" in sys.argv:
        current = TARGET.read_text() if TARGET.exists() else ""
        if current != text:
            print("schemas/records.py is not what schemas/avro says: run python -m schemas.generate", file=sys.stderr)
            return 1
        return 0
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
