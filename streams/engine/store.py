"""Where a task's state lives: RocksDB on disk, a cache of decoded records before it, and the changelog as the truth behind both.

Rules:

* one database a task holds all its tables and the changelog position that they are at, written in one batch: what is found on disk after
  a crash is a state that was, with the position it was at, and only the tail of the changelog is read again;
* the changelog is the log, so the database writes none of its own: a crash loses at most what the changelog still has;
* changes are gathered and written every so often, off the task's path; until then they are served from memory;
* a database that is damaged, ahead of its changelog or older than its tombstones is wiped and rebuilt: it is a copy. One that the disk
  does not let us open (full, no rights, in use) is left as it is, and the worker ends;
* a disk that refuses a write costs nothing but memory: the changes wait, and the write is tried again; a worker whose disk goes on
  refusing ends, for RocksDB itself goes on only after being opened anew, and then stands at an older position.
"""

from __future__ import annotations

import json
import logging
import shutil
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from rocksdict import BlockBasedOptions, Cache, Options, Rdict, WriteBatch, WriteOptions

from schemas.codec import Codec

log = logging.getLogger(__name__)
Changes = Mapping[str, bytes | None]
_EIGHT = struct.Struct(">q")
POSITIONS = b"\0positions"
_UNREAD = object()
FORMAT = 1
BLOCK_CACHE, WRITE_BUFFER = 32 << 20, 16 << 20
BLOOM_BITS = 10  # a key: one in a hundred lookups of what is not there reads a block all the same


class StateUnwritable(Exception):
    """The disk goes on refusing to take state: the worker must start over from what is on it."""


class StateUnreadable(Exception):
    """The database cannot read what it holds: it must be wiped and rebuilt. Says nothing about the record that asked."""


class Backing(Protocol):
    """Encoded values by table and key, with the changelog positions they are at. Reading raises `StateUnreadable`."""

    def get(self, table: str, key: str) -> bytes | None: ...

    def items(self, table: str) -> Iterator[tuple[str, bytes]]: ...

    def write(self, changes: Mapping[str, Changes], positions: Mapping[str, int], now: int) -> None:
        """Take over changes together with the positions they bring the tables to. Raises `OSError` if it could not."""

    def positions(self) -> tuple[dict[str, int], int]:
        """Table -> position as of the last `write`, and when that was (microseconds); empty and 0 for a new one."""

    def wipe(self) -> None:
        """Forget everything."""

    def close(self) -> None: ...


class NoBacking:
    """Memory alone holds the state; it is recovered from the changelog whole."""

    def get(self, table: str, key: str) -> bytes | None:
        return None

    def items(self, table: str) -> Iterator[tuple[str, bytes]]:
        return iter(())

    def write(self, changes: Mapping[str, Changes], positions: Mapping[str, int], now: int) -> None:
        """Nothing to write to."""

    def positions(self) -> tuple[dict[str, int], int]:
        return {}, 0

    def wipe(self) -> None:
        """Nothing to forget."""

    def close(self) -> None:
        """Nothing to let go of."""


class RocksBacking:
    """One RocksDB database. A key is the table's name, a zero byte, and the key."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._db: Any = self._open()  # rocksdict's stubs know neither raw mode nor its own setters

    def get(self, table: str, key: str) -> bytes | None:
        try:
            value: bytes | None = self._db.get(b"%b\0%b" % (table.encode(), key.encode()))
        except Exception as error:  # rocksdict raises plain Exception for whatever the library met
            raise StateUnreadable(f"{self.folder}: {error}") from error
        return value

    def items(self, table: str) -> Iterator[tuple[str, bytes]]:
        prefix = table.encode() + b"\0"
        size = len(prefix)
        rows = self._db.iter()
        rows.seek(prefix)
        while rows.valid() and rows.key().startswith(prefix):
            yield rows.key()[size:].decode(), rows.value()
            rows.next()
        try:
            rows.status()  # an iterator that meets a bad block ends as if there were no more
        except Exception as error:  # as above
            raise StateUnreadable(f"{self.folder}: {error}") from error

    def write(self, changes: Mapping[str, Changes], positions: Mapping[str, int], now: int) -> None:
        batch = WriteBatch(raw_mode=True)
        for table, changed in changes.items():
            prefix = table.encode() + b"\0"
            for key, value in changed.items():
                if value is None:
                    batch.delete(prefix + key.encode())
                else:
                    batch.put(prefix + key.encode(), value)
        batch.put(POSITIONS, json.dumps({"format": FORMAT, "at": now, "positions": dict(positions)}).encode())
        options: Any = WriteOptions()
        options.disable_wal = True
        try:
            self._db.write(batch, options)
        except Exception as error:  # as above
            raise OSError(str(error)) from error

    def positions(self) -> tuple[dict[str, int], int]:
        try:
            raw = self._db.get(POSITIONS)
        except Exception as error:  # as above
            raise StateUnreadable(f"{self.folder}: {error}") from error
        if raw is None:
            return {}, 0
        found = json.loads(raw)
        if found["format"] != FORMAT:
            self.wipe()
            return {}, 0
        return found["positions"], found["at"]

    def wipe(self) -> None:
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        self._db = self._open()

    def close(self) -> None:
        try:
            self._db.flush()
        except Exception as error:  # as above; what is not flushed is read from the changelog again
            log.warning("%s: %s", self.folder, error)
        self._db.close()

    def _open(self) -> Rdict:
        self.folder.mkdir(parents=True, exist_ok=True)
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_write_buffer_size(WRITE_BUFFER)
        options.set_max_write_buffer_number(3)
        options.set_keep_log_file_num(2)
        blocks = BlockBasedOptions()
        blocks.set_block_cache(Cache(BLOCK_CACHE))
        # Most keys that are asked for are new ones (an order's id, to see whether it came before): a filter says so without a read.
        blocks.set_bloom_filter(BLOOM_BITS, block_based=False)
        options.set_memtable_whole_key_filtering(True)
        options.set_memtable_prefix_bloom_ratio(0.1)
        options.set_block_based_table_factory(blocks)
        try:
            return Rdict(str(self.folder), options)
        except Exception as error:
            words = str(error)
            if "lock hold by current process" in words or "/LOCK: " in words:
                raise OSError(f"{self.folder} is used by another process") from error
            if not words.startswith("Corruption") and "No such file" not in words:
                # A disk that is full, or refuses, says nothing about what is on it.
                raise OSError(f"{self.folder} cannot be opened: {words}") from error
            # A copy that is damaged is worth nothing: the changelog has it all.
            log.warning("%s cannot be opened and is rebuilt: %s", self.folder, words)
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True, exist_ok=True)
            return Rdict(str(self.folder), options)


class Store:
    """One table of one task: committed values by key.

    `limit`: how many decoded values are kept in memory when there is a database behind.
    """

    __slots__ = ("_backing", "_bounded", "_cache", "_decode", "encode", "limit", "name", "unwritten")

    def __init__(
        self,
        name: str,
        encode: Callable[[Any], bytes],
        decode: Callable[[bytes], Any],
        backing: Backing | None = None,
        limit: int = 500_000,
    ) -> None:
        self.name, self.encode, self._decode, self.limit = name, encode, decode, limit
        self._bounded = backing is not None
        self._backing: Backing = backing or NoBacking()
        self._cache: dict[str, Any] = {}
        self.unwritten: dict[str, bytes | None] = {}  # newer than what the database holds

    def get(self, key: str) -> Any | None:
        """The committed value, or `None`."""
        value = self._cache.get(key, _UNREAD)
        if value is not _UNREAD:
            return value
        if not self._bounded:
            return None
        raw = self.unwritten[key] if key in self.unwritten else self._backing.get(self.name, key)
        # That there is none is remembered too: what most accounts do not have is asked for with each of their orders.
        value = self._cache[key] = None if raw is None else self._decode(raw)
        self._trim()
        return value

    def apply(self, changes: Mapping[str, Any], encoded: Changes) -> None:
        """Take over committed changes; `None` removes a key. `encoded` holds the same as bytes."""
        cache = self._cache
        for key, value in changes.items():
            if value is None:
                cache.pop(key, None)
            else:
                cache[key] = value
        if self._bounded:
            self.unwritten.update(encoded)
            self._trim()

    def restore(self, changes: Changes) -> None:
        """Records of the changelog, while recovering."""
        cache = self._cache
        if self._bounded:
            self.unwritten.update(changes)
            for key in changes:
                cache.pop(key, None)
            return
        decode = self._decode
        for key, raw in changes.items():
            if raw is None:
                cache.pop(key, None)
            else:
                cache[key] = decode(raw)

    def items(self) -> Iterator[tuple[str, Any]]:
        """All committed pairs."""
        if not self._bounded:
            yield from list(self._cache.items())
            return
        fresh = dict(self.unwritten)
        for key, raw in self._backing.items(self.name):
            if key not in fresh:
                yield key, self._decode(raw)
        for key, changed in fresh.items():
            if changed is not None:
                yield key, self._decode(changed)

    def forget(self) -> None:
        """Drop everything: it is recovered from the beginning."""
        self._cache.clear()
        self.unwritten.clear()

    def _trim(self) -> None:
        if len(self._cache) > self.limit:
            keep = self.limit * 3 // 4
            for key in list(self._cache)[: len(self._cache) - keep]:  # the longest here
                del self._cache[key]


class Unwritten(NamedTuple):
    """Changes by table, the changelog positions they bring the database to, and which database that is."""

    changes: dict[str, dict[str, bytes | None]]
    positions: dict[str, int]
    age: int


class State:
    """All stores of a task with the database behind them; see the module."""

    def __init__(self, stores: Mapping[str, Store], backing: Backing | None = None) -> None:
        self.stores, self.positions = dict(stores), dict[str, int]()
        self._backing: Backing = backing or NoBacking()
        self._writing, self._age = (
            threading.Lock(),
            0,
        )  # of what is taken: that of a database since wiped is not written into the new one

    def load(self) -> tuple[dict[str, int], int]:
        """Where the database stands, and since when; before recovery."""
        found, at = self._backing.positions()
        self.positions = {name: position for name, position in found.items() if name in self.stores}
        return dict(self.positions), at

    def wipe(self) -> None:
        """Start from nothing."""
        with self._writing:
            self._age += 1
            for store in self.stores.values():
                store.forget()
            self.positions = {}
            self._backing.wipe()

    def take_unwritten(self) -> Unwritten:
        """What a `write` would bring to the database, as of now."""
        changes = {name: dict(s.unwritten) for name, s in self.stores.items() if s.unwritten}
        return Unwritten(changes, dict(self.positions), self._age)

    def write(self, taken: Unwritten, now: int) -> None:
        """Write what `take_unwritten` gave; may run in a thread beside the task. Raises `OSError`."""
        with self._writing:
            if taken.age == self._age:
                self._backing.write(taken.changes, taken.positions, now)

    def written(self, taken: Unwritten) -> None:
        """The write succeeded: what has not changed since need not be kept apart any more."""
        for name, changed in taken.changes.items() if taken.age == self._age else ():
            unwritten = self.stores[name].unwritten
            for key, raw in changed.items():
                if unwritten.get(key, b"") is raw:
                    del unwritten[key]

    @property
    def waiting(self) -> int:
        """How many changes are not in the database yet."""
        return sum(len(s.unwritten) for s in self.stores.values())

    def close(self) -> None:
        """Let go of the database."""
        self._backing.close()


def store_of(name: str, value: type[Any], codec: Codec, backing: Backing | None, limit: int) -> Store:
    """A store of records, or of 64-bit integers."""
    if value is int:
        return Store(name, _EIGHT.pack, lambda raw: _EIGHT.unpack(raw)[0], backing, limit)
    return Store(name, codec.encode, lambda raw: codec.decode(raw, value), backing, limit)
