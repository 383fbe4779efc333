"""What was written once can be read for ever, and what is written now is what was promised."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import fastavro
import golden
import msgspec
import pytest

from schemas import records
from schemas.codec import Codec, LocalRegistry, schema_text
from schemas.compatibility import backward

GOLDEN = golden.load()


class Learned(LocalRegistry):
    """A registry that knows an old version beside ours."""

    def old(self, schema: object) -> bytes:
        """The frame of the old version."""
        return b"\0" + self.register("old", json.dumps(schema)).to_bytes(4, "big")


@pytest.mark.parametrize("version", GOLDEN, ids=lambda g: g.name)
def test_old_bytes_decode_to_what_was_written(version: golden.Golden) -> None:
    registry = Learned()
    codec = Codec(registry)
    head = registry.old(version.schema)
    for plain, body in version.examples:
        # Fields added since take their defaults, fields taken away are left out.
        expected = msgspec.convert(plain, version.record, strict=True)
        assert codec.decode(head + body, version.record) == expected


@pytest.mark.parametrize("version", GOLDEN, ids=lambda g: g.name)
def test_present_schema_reads_what_this_version_wrote(version: golden.Golden) -> None:
    assert backward(version.schema, json.loads(schema_text(version.record))) == []


@pytest.mark.parametrize("cls", records.RECORDS, ids=lambda cls: cls.__name__)
def test_present_bytes_are_the_golden_ones(cls: type[records.Record]) -> None:
    present = golden.shape(json.loads(schema_text(cls)))
    versions = [g for g in GOLDEN if g.record is cls and golden.shape(g.schema) == present]
    assert len(versions) == 1, f"{cls.__name__} changed: run python tests/schemas/golden.py"
    codec = Codec(LocalRegistry())
    for plain, body in versions[0].examples:
        record = msgspec.convert(plain, cls, strict=True)
        assert codec.encode(record)[golden.HEAD :].hex() == body.hex()
        assert golden.plain(record) == plain


@pytest.mark.parametrize("cls", records.RECORDS, ids=lambda cls: cls.__name__)
def test_definitions_are_sound(cls: type[records.Record]) -> None:
    schema = json.loads(schema_text(cls))
    fastavro.parse_schema(schema)
    assert schema["namespace"] == "bestex" and schema["doc"]
    for field in schema["fields"]:
        if isinstance(field["type"], list):
            assert field["type"][0] == "null" and field.get("default", ...) is None, field["name"]


def test_records_are_what_the_definitions_say() -> None:
    check = subprocess.run(
        [sys.executable, "-m", "schemas.generate", "--check"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert check.returncode == 0, check.stderr
