"""The Avro body of a record, without registry and frame: what the event log's hashes are taken over.

It is the same bytes that `schemas.codec.Codec.encode` puts behind its five bytes of frame, whatever id the registry gave the schema.
"""

from __future__ import annotations

import io
import json
from functools import cache
from typing import Any

import fastavro

from schemas.codec import schema_text, without_logical_types
from schemas.records import Record


@cache
def _schema(cls: type[Record]) -> Any:
    return fastavro.parse_schema(without_logical_types(json.loads(schema_text(cls))))


def avro_body(record: Record) -> bytes:
    """The body of `record`. Raises `ValueError` for a value that its schema cannot hold."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, _schema(type(record)), record.to_wire())
    return out.getvalue()
