"""Writes `records.py` from the Avro definitions, so that no record is ever written by hand.

Run it after changing a file in `avro/`:  `uv run python -m schemas.generate`.
`--check` writes nothing and exits 1 when `records.py` is not what the definitions say.

Rules: decimals become exact ints of 1e-8, timestamps ints of microseconds since the epoch, enums `StrEnum`s, records frozen
structs with keyword arguments. Each record writes and reads its own Avro encoding, without a dict or a look at a schema in between,
which halves what a record costs; `from_wire` takes what fastavro makes of another version of the schema.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
AVRO = HERE / "avro"
TARGET = HERE / "records.py"

HEADER = '''"""Typed records of the flow. Generated from `avro/` by `schemas.generate`: do not edit.

Decimals are exact ints of 1e-8, timestamps ints of microseconds since the epoch (UTC). `body` and `read` are Avro's binary encoding of
each record, written out field by field.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar, Final

import msgspec

from schemas.binary import BOOLEANS, INTS, LENGTHS, LONGS, MAX_MONEY, MONEY, TEXTS, TIMES, bytes_, from_bytes, length, long, money, to_money, to_time


'''

BASE = '''\
class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Base of every generated record. Immutable all through, so it can be in no cycle: the collector is told to pass it by."""

    AVRO: ClassVar[str] = ""

    def body(self) -> bytes:
        """The Avro body, without a frame. Raises what Python raises for a value that the schema cannot hold.

        An array of records may be given in its encoding, by its field's name, where that is at hand.
        """
        raise NotImplementedError

    @classmethod
    def read(cls, d: bytes, i: int) -> tuple[Record, int]:
        """The record whose body begins at `i`, and where it ends; may be past the end of `d`, if the body is cut short.

        Raises what Python raises for bytes that are no such body.
        """
        raise NotImplementedError

    @classmethod
    def read_brief(cls, d: bytes, i: int) -> tuple[Record, int]:
        """The same for who only acts on the record: the reasons that some carry are passed over, and left empty."""
        return cls.read(d, i)

    @classmethod
    def from_wire(cls, d: dict[str, Any]) -> Record:
        """The record from what an Avro reader gives that takes no notice of logical types."""
        raise NotImplementedError
'''

PRIMITIVES = {"string": "str", "int": "int", "long": "int", "boolean": "bool", "bytes": "bytes"}
# Records that come by the hundred in an array: there they are read and written without a call for each. Their amounts hardly come again, and
# remembering how they are written would only cost.
IN_MASSES = {"Level"}
# Fields that who acts on a record does not look at, arrays and what may be absent: its `read_brief` steps over them and leaves them empty.
PASSED_OVER = {"RoutePlan": ("candidates", "average_price", "best_single_venue", "side", "quantity")}
LOCALS = {"cls", "d", "i", "j", "n", "s"}  # names of variables in the generated code: no field may have one


def tuple_of(expression: str) -> str:
    """The expression that makes a tuple by applying `expression` to each item."""
    return "tuple({})" if expression == "{}" else f"tuple({expression.replace('{}', 'x')} for x in {{}})"


@dataclass(frozen=True, slots=True)
class Kind:
    """How one type is handled, `{}` standing for the value.

    `pieces` are the expressions whose bytes, joined, are its encoding; `read` the statements that leave the value in `{}` and move `i`;
    `wire` the expression that takes it from what an Avro reader gives; `skip` the statements that move `i` past it; `many`: it is an array
    of records.
    """

    annotation: str
    pieces: tuple[str, ...]
    read: tuple[str, ...]
    wire: str
    skip: tuple[str, ...]
    many: bool = False
    inline: tuple[str, tuple[str, ...]] | None = (
        None  # of a record `IN_MASSES`: `pieces` as one, and `read`, without a call
    )

    @property
    def whole(self) -> str:
        """One expression for all pieces."""
        return self.pieces[0] if len(self.pieces) == 1 else f"{self.annotation}_({{}})"


_LENGTH = ("n = d[i]", "i += 1", "if n & 129:", "    n, i = length(d, i)", "j = i + (n >> 1)")
_OVER_LENGTH = (
    "n = d[i]",
    "if n & 129:",
    "    n, i = length(d, i + 1)",
    "    i += n >> 1",
    "else:",
    "    i += 1 + (n >> 1)",
)
_OVER_LONG = ("while d[i] > 127:", "    i += 1", "i += 1")
_LONG = ("n = d[i]", "i += 1", "if n < 128:", "    {} = (n >> 1) ^ -(n & 1)", "else:", "    {}, i = long(d, i - 1)")
KINDS: Mapping[str, Kind] = {
    "string": Kind(
        "str",
        ("TEXTS[{}]",),
        (*_LENGTH, "{} = d[i:j].decode()", "i = j"),
        "{}",
        _OVER_LENGTH,
    ),
    "bytes": Kind("bytes", ("LENGTHS[len({})]", "{}"), (*_LENGTH, "{} = d[i:j]", "i = j"), "{}", _OVER_LENGTH),
    "int": Kind("int", ("INTS[{}]",), _LONG, "{}", _OVER_LONG),
    "long": Kind("int", ("LONGS[{}]",), _LONG, "{}", _OVER_LONG),
    "boolean": Kind("bool", ('(b"\\1" if {} else b"\\0")',), ("{} = BOOLEANS[d[i]]", "i += 1"), "{}", ("i += 1",)),
    "time": Kind("int", ("TIMES[{}]",), ("{}, i = to_time(d, i)",), "{}", _OVER_LONG),
    "money": Kind(
        "int",
        ("MONEY[{}]",),
        (
            "n = d[i]",
            "i += 1",
            "if n == 2:",  # most often nothing
            "    {} = d[i]",
            "    if {} > 127:",
            "        {} -= 256",
            "    i += 1",
            "else:",
            "    if n & 129:",
            "        n, i = length(d, i)",
            "    j = i + (n >> 1)",
            '    {} = from_bytes(d[i:j], "big", signed=True)',
            "    if n > 16 and not -MAX_MONEY < {} < MAX_MONEY:",
            '        raise ValueError("a decimal that does not fit decimal(20,8)")',
            "    i = j",
        ),
        "to_money({})",
        _OVER_LENGTH,
    ),
}


class Generator:
    """Walks the schemas in the order of their names and collects the source of each type once."""

    def __init__(self) -> None:
        self.blocks: list[str] = []
        self.kinds: dict[str, tuple[str, str]] = {}  # name -> (kind, definition), to refuse two meanings of one name
        self.skips: dict[str, tuple[str, ...]] = {}  # record -> the statements that move past one
        self.masses: dict[str, list[tuple[str, Kind]]] = {}  # record of `IN_MASSES` -> its fields
        self.top: list[str] = []

    def kind_of(self, t: Any) -> Kind:
        """How the type `t` is handled; defines what it defines."""
        if isinstance(t, list):
            if len(t) != 2 or t[0] != "null":
                raise ValueError(f"only unions of null and one type are used, not {t}")
            return optional(self.kind_of(t[1]))
        if isinstance(t, dict):
            if t.get("logicalType") == "decimal":
                if (t["precision"], t["scale"]) != (20, 8):
                    raise ValueError("money is decimal(20,8)")
                return KINDS["money"]
            if t.get("logicalType") == "timestamp-micros":
                return KINDS["time"]
            if "logicalType" in t:
                raise ValueError(f"{t['logicalType']} is not used")
            if t["type"] == "array":
                return array(self.kind_of(t["items"]))
            if t["type"] == "enum":
                self.enum(t)
                return enum(t["name"])
            if t["type"] == "record":
                self.record(t)
                return self.known(t["name"])
            return self.kind_of(t["type"])
        if t in PRIMITIVES:
            return KINDS[t]
        name = t.rsplit(".", 1)[-1]
        return enum(name) if self.kinds[name][0] == "enum" else self.known(name)

    def known(self, name: str) -> Kind:
        """How a record that was met is handled."""
        return record(name, self.skips[name], self.masses.get(name))

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
        name, symbols = t["name"], t["symbols"]
        if len(symbols) > 64:
            raise ValueError(f"{name}: an index is one byte")
        lines = [f"class {name}(StrEnum):", f'    """{t["doc"]}"""', ""]
        lines += [f'    {s} = "{s}"' for s in symbols]
        lines += ["", "", f"{table(name)}: Final = {{"]
        lines += [f'    {name}.{s}: b"\\x{2 * i:02x}",' for i, s in enumerate(symbols)]
        lines += ["}", f"{table(name)}_AT: Final = {{index[0]: symbol for symbol, index in {table(name)}.items()}}"]
        self.blocks.append("\n".join(lines))

    def record(self, t: dict[str, Any]) -> None:
        if self.seen("record", t):
            return
        fields = [(f, self.kind_of(f["type"])) for f in t["fields"]]
        if taken := LOCALS & {f["name"] for f, _ in fields}:
            raise ValueError(f"{t['name']}: a field cannot be named {', '.join(taken)}")
        lines = [f"class {t['name']}(Record, frozen=True, kw_only=True):", f'    """{t["doc"]}"""', ""]
        lines.append(f'    AVRO: ClassVar[str] = "bestex.{t["name"]}"')
        for f, kind in fields:
            default = " = None" if "default" in f and f["default"] is None else ""
            note = f"  # {f['doc']}" if f.get("doc") and len(f["doc"]) < 80 else ""
            lines.append(f"    {f['name']}: {kind.annotation}{default}{note}")
        many = [f["name"] for f, kind in fields if kind.many]
        ready = "".join([f", {name}: bytes | None = None" for name in many])
        lines += [
            "",
            f"    def body(self{', *' if many else ''}{ready}) -> bytes:",
            '        return b"".join(',
            "            (",
        ]
        for f, kind in fields:
            pieces = [piece.replace("{}", "self." + f["name"]) for piece in kind.pieces]
            if t["name"] in IN_MASSES:
                pieces = [_made_anew(piece) for piece in pieces]
            if kind.many:
                pieces = [f"{f['name']} if {f['name']} is not None else {piece}" for piece in pieces]
            lines += [f"                {piece}," for piece in pieces]
        lines += ["            )", "        )"]
        self.skips[t["name"]] = tuple(line for _, kind in fields for line in kind.skip)
        if t["name"] in IN_MASSES:
            self.masses[t["name"]] = [(f["name"], kind) for f, kind in fields]
        lines += self.reader(t["name"], "read", fields, ())
        if t["name"] in PASSED_OVER:
            lines += self.reader(t["name"], "read_brief", fields, PASSED_OVER[t["name"]])
        lines += [
            "",
            "    @classmethod",
            f"    def from_wire(cls, d: dict[str, Any]) -> {t['name']}:",
            "        return cls(",
        ]
        for f, kind in fields:
            source = 'd["' + f["name"] + '"]'
            lines.append(f"            {f['name']}={kind.wire.replace('{}', source)},")
        lines.append("        )")
        self.blocks.append("\n".join(lines))

    def reader(
        self, name: str, method: str, fields: Sequence[tuple[Mapping[str, Any], Kind]], passed_over: Sequence[str]
    ) -> list[str]:
        lines = ["", "    @classmethod", f"    def {method}(cls, d: bytes, i: int) -> tuple[{name}, int]:"]
        for f, kind in fields:
            how = kind.skip if f["name"] in passed_over else kind.read
            lines += [f"        {line.replace('{}', f['name'])}" for line in how]
        lines += ["        return cls("]
        for f, kind in fields:
            empty = "()" if kind.many else "None"
            lines.append(f"            {f['name']}={empty if f['name'] in passed_over else f['name']},")
        lines += ["        ), i"]
        return lines


def table(enum: str) -> str:
    """The name of the table of an enum's encodings."""
    return "_" + re.sub(r"(?<=[a-z])(?=[A-Z])", "_", enum).upper()


def enum(name: str) -> Kind:
    """An enum is its symbol's index, one byte."""
    read = (f"{{}} = {table(name)}_AT[d[i]]", "i += 1")
    return Kind(name, (f"{table(name)}[{{}}]",), read, f"{name}({{}})", ("i += 1",))


def record(name: str, skip: tuple[str, ...], masses: Sequence[tuple[str, Kind]] | None = None) -> Kind:
    """A record is its fields, which `masses` gives of one that is handled without a call."""
    inline = None
    if masses is not None:
        pieces = [_made_anew(piece.replace("{}", f"{{}}.{field}")) for field, kind in masses for piece in kind.pieces]
        read = [line.replace("{}", f"{{}}_{field}") for field, kind in masses for line in kind.read]
        fields = ", ".join([f"{field}={{}}_{field}" for field, _ in masses])
        inline = " + ".join(pieces), (*read, f"{{}} = {name}({fields})")
    read_it = (f"{{}}, i = {name}.read(d, i)",)
    return Kind(name, ("{}.body()",), read_it, f"{name}.from_wire({{}})", skip, inline=inline)


def _made_anew(piece: str) -> str:
    """A piece that does not remember how an amount is written."""
    return re.sub(r"MONEY\[([\w.{}]+)\]", r"money(\1)", piece)


def optional(kind: Kind) -> Kind:
    """A union of null and a type is the branch's index and the value."""
    return Kind(
        f"{kind.annotation} | None",
        (f'b"\\0" if {{}} is None else b"\\2" + {kind.whole}',),
        (
            f"{{}}: {kind.annotation} | None = None",
            "i += 1",
            "if d[i - 1]:",
            "    if d[i - 1] != 2:",
            '        raise ValueError("no such branch")',
            *(f"    {line}" for line in kind.read),
        ),
        kind.wire if kind.wire == "{}" else f"None if {{}} is None else {kind.wire}",
        (
            "i += 1",
            "if d[i - 1]:",
            "    if d[i - 1] != 2:",
            '        raise ValueError("no such branch")',
            *(f"    {line}" for line in kind.skip),
        ),
    )


def array(item: Kind) -> Kind:
    """An array is blocks of items, each after its count, and a zero; a negative count is followed by the block's size."""
    whole, read = item.inline or (item.whole, item.read)
    items = f"*[{whole.replace('{}', 'x')} for x in {{}}]"
    return Kind(
        f"tuple[{item.annotation}, ...]",
        (f'(b"".join((LENGTHS[len({{}})], {items}, b"\\0")) if {{}} else b"\\0")',),
        (
            f"{{}}_: list[{item.annotation}] = []",
            "n, i = long(d, i)",
            "while n:",
            "    if n < 0:",
            "        _, i = long(d, i)",
            "    for _ in range(abs(n)):",
            *(f"        {line.replace('{}', '{}_item')}" for line in read),
            "        {}_.append({}_item)",
            "    n, i = long(d, i)",
            "{} = tuple({}_)",
        ),
        tuple_of(item.wire),
        (
            "n, i = long(d, i)",
            "while n:",
            "    if n < 0:",
            "        n, i = long(d, i)",
            "        if n < 0:",
            '            raise ValueError("a negative size")',
            "        i += n",
            "    else:",
            "        for _ in range(n):",
            *(f"            {line}" for line in item.skip),
            "    n, i = long(d, i)",
        ),
        item.pieces == ("{}.body()",),
    )


def source(folder: Path = AVRO, base: str = BASE) -> str:
    """The whole text of `records.py`, formatted. `base`: where the records' base class comes from."""
    g = Generator()
    for path in sorted(folder.glob("*.avsc")):
        schema = json.loads(path.read_text())
        if schema["name"] != path.stem:
            raise ValueError(f"{path.name} defines {schema['name']}")
        g.record(schema)
        g.top.append(schema["name"])
    names = ", ".join(g.top) + ("," if len(g.top) == 1 else "")
    tail = f"RECORDS: tuple[type[Record], ...] = ({names})"
    text = (
        "\n\n\n".join([HEADER.rstrip() + ("\n\n\n" if base is BASE else "\n") + base.rstrip(), *g.blocks, tail]) + "\n"
    )
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
