"""Where a shard of a table lives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from schemas.codec import Codec
from schemas.records import Record


class Store(Protocol):
    """One shard: committed values by key. Values are records; `encode` gives the bytes that the changelog holds."""

    def get(self, key: str) -> Any | None:
        """The committed value, or `None`."""

    def apply(self, changes: Mapping[str, Any]) -> None:
        """Take over committed changes; `None` removes a key."""

    def restore(self, key: str, value: bytes | None) -> None:
        """A record of the changelog."""

    def items(self) -> Iterator[tuple[str, Any]]:
        """All committed pairs."""

    def encode(self, value: Any) -> bytes:
        """The changelog's bytes of a value."""

    def __len__(self) -> int: ...


class MemoryStore:
    """A shard in a dictionary."""

    __slots__ = ("_codec", "_values", "encode", "value")

    def __init__(self, codec: Codec, value: type[Record]) -> None:
        self._codec, self.value = codec, value
        self._values: dict[str, Any] = {}
        self.encode = codec.encode

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: str) -> Any | None:
        return self._values.get(key)

    def apply(self, changes: Mapping[str, Any]) -> None:
        for key, value in changes.items():
            if value is None:
                self._values.pop(key, None)
            else:
                self._values[key] = value

    def restore(self, key: str, value: bytes | None) -> None:
        if value is None:
            self._values.pop(key, None)
        else:
            self._values[key] = self._codec.decode(value, self.value)

    def items(self) -> Iterator[tuple[str, Any]]:
        return iter(self._values.items())
