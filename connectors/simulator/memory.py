"""What a venue still knows after it was killed: every order it accepted, every trade, every end, and so every balance.

One file a venue, one line of JSON an event of the exchange: all the facts of it (`["order", …]`, `["trade", …]`, `["end", …]`,
`["deposit", …]`, `["withdrawal", …]`), written with one call to the operating system before anybody hears of the event. Rules:

* what a client was told is in the file, whenever the process is killed; the machine itself may not crash (nothing is synced);
* a last line without its end was never told to anybody: it is cut off;
* a fact is never changed. Fees stand in the trades, so that other rates in the configuration change no history;
* a venue takes up its file alone: another process that has it open ends the start.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import orjson

from connectors.simulator.exchange import Exchange, Fact


class Unreadable(ValueError):
    """The file cannot be taken up; the words say why."""


class Memory:
    """The file of one venue. Raises `Unreadable`, `OSError`."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._file)
            raise Unreadable(f"{path}: another process has it open") from None

    def write(self, facts: Sequence[Fact]) -> None:
        """Append one event. Raises `OSError`: then the venue must not go on."""
        line = orjson.dumps(facts) + b"\n"
        if os.write(self._file, line) != len(line):
            raise OSError(f"{self._path}: written in part")

    def restore(self, exchange: Exchange, deposits: Mapping[tuple[str, str], int]) -> int:
        """Bring a new exchange to where the file left it, and have it remember from now on; how many events that took.

        `deposits`: (account, asset) -> amount, made where the file knows of none yet. Raises `Unreadable`.
        """
        count, made = 0, set()
        for facts in self._events():
            count += 1
            for fact in facts:
                if fact[0] == "deposit":
                    made.add((fact[1], fact[2]))
                try:
                    exchange.recall(fact)
                except (KeyError, TypeError, ValueError, AssertionError) as error:
                    raise Unreadable(f"{self._path}: line {count}: {error!r}") from error
        new: list[Fact] = [("deposit", *key, amount) for key, amount in deposits.items() if key not in made]
        for missing in new:
            exchange.recall(missing)
        if new:
            self.write(new)
        exchange.resume()
        exchange.remember = self.write
        return count

    def close(self) -> None:
        os.close(self._file)

    def _events(self) -> Iterator[list[list[str | int | None]]]:
        """What the file holds; afterwards it ends with its last whole line."""
        with os.fdopen(os.dup(self._file), "rb") as file:
            file.seek(0)
            whole = 0
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    break
                try:
                    yield orjson.loads(line)
                except orjson.JSONDecodeError as error:
                    raise Unreadable(f"{self._path}: line {number} cannot be read: {error}") from error
                whole += len(line)
        os.ftruncate(self._file, whole)
        os.lseek(self._file, whole, os.SEEK_SET)
