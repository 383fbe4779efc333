"""Orders that a venue only lists, looked for together: one reading of a listing answers all who had asked before it began.

Each looking for itself, as many readings as there are orders in doubt, of as many rows as the day has orders, would not come to an end at a
busy venue after a crash. Rules:

* an order that is in a reading is there; that one is not says something only to who had asked before the reading began, and only
  if the listing was read to its end;
* those whose time of sending is bounded are looked for apart from those of whom only a beginning is known, so that they are not looked for in
  the listing of a whole day;
* where a listing has more than can be asked for (`NotWhole`), each of those not found whose time is bounded is looked for alone, in the
  listing of its own time. One without a bound would read the same listing again: it is told that nothing can be said.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

from connectors.venues.dialect import Named
from connectors.venues.outcomes import NotWhole, OrderView

Group = tuple[str, bool]  # a symbol, and whether the time of sending is bounded


class Reading(NamedTuple):
    """What a listing has of the orders looked for, by our id on the wire; `failure`: why it says nothing of the others."""

    found: Mapping[str, OrderView]
    failure: Exception | None = None


_LATER = NotWhole("of those not found another reading tells")
Read = Callable[[str, Sequence[Named]], Awaitable[Reading]]
Asked = tuple[Named, "asyncio.Future[OrderView | None]"]


class Search:
    """`read` reads the listing of a symbol for orders of which each has a client id; it raises nothing but `CancelledError`."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._waiting: dict[Group, list[Asked]] = {}
        self._readers: dict[Group, asyncio.Task[None]] = {}

    async def find(self, symbol: str, named: Named) -> OrderView | None:
        """The order, or `None` when it is not listed. Raises what kept the listing from being read to its end."""
        group = symbol, named.until is not None
        answer: asyncio.Future[OrderView | None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(group, []).append((named, answer))
        if group not in self._readers:
            self._readers[group] = asyncio.create_task(self._serve(group))
        return await answer

    async def close(self) -> None:
        """Read no more. Who still waits is told `CancelledError`."""
        readers, self._readers = list(self._readers.values()), {}
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
        for _, answer in (one for asked in self._waiting.values() for one in asked):
            answer.cancel()  # of readers that had not begun
        self._waiting.clear()

    async def _serve(self, group: Group) -> None:
        asked: list[Asked] = []
        try:
            while asked := [one for one in self._waiting.pop(group, ()) if not one[1].done()]:
                reading = await self._read(group[0], [named for named, _ in asked])
                again = group[1] and len(asked) > 1 and isinstance(reading.failure, NotWhole)
                _tell(asked, Reading(reading.found, _LATER) if again else reading)
                for one in asked if again else ():
                    if not one[1].done():
                        _tell([one], await self._read(group[0], [one[0]]))
        except BaseException as error:
            for _, answer in (*asked, *self._waiting.pop(group, ())):
                if not answer.done():
                    answer.set_exception(error) if isinstance(error, Exception) else answer.cancel()
            raise
        finally:
            self._readers.pop(group, None)


def _tell(asked: Sequence[Asked], reading: Reading) -> None:
    """Answer those of whom a reading says something."""
    for named, answer in asked:
        view = reading.found.get(named.client_id or "")
        if answer.done():
            continue
        if view is not None or reading.failure is None:
            answer.set_result(view)
        elif reading.failure is not _LATER:
            answer.set_exception(reading.failure)
