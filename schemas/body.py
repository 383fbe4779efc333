"""The Avro body of a record, without registry and frame: what the event log's hashes are taken over.

It is the same bytes that `schemas.codec.Codec.encode` puts behind its five bytes of frame, whatever id the registry gave the schema.
"""

from __future__ import annotations

from schemas.records import Record


def avro_body(record: Record) -> bytes:
    """The body of `record`. Raises `ValueError` for a value that its schema cannot hold."""
    try:
        return record.body()
    except (TypeError, AttributeError, KeyError, OverflowError) as error:
        raise ValueError(f"{record.AVRO} cannot be written: {type(error).__name__}: {error}") from error
