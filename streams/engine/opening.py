"""Opens tasks, always in this order, because whatever went wrong before, this is safe and the only way back:

    fence → recover → seek

(1) the transactional producer is initialised, which shuts out the previous owner and finishes its transaction; (2) the changelogs are
read, committed records only, to their last stable offset; (3) the committed source offsets are read and the consumer is placed there.
Rules:

* local state that cannot be read, does not fit its changelog or is older than its tombstones is wiped and rebuilt from it;
* where to go on is known or the task does not open: state without offsets, or offsets whose records are gone, would mean handling
  records again, or leaving some out, in silence;
* only a task that never did anything begins at the oldest record; so does an input that a task did not have before.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from schemas.codec import Codec
from streams.engine.agent import Agent
from streams.engine.reading import LogReader
from streams.engine.seat import EngineSettings, Place, Positioner, Seat
from streams.engine.store import RocksBacking, StateUnreadable
from streams.engine.task import Task
from streams.engine.transactions import Link, Membership, TransactionalProducer, committed_offsets

log = logging.getLogger(__name__)
MAX_AGE_US = 20 * 3_600_000_000  # below the changelogs' delete.retention.ms


class PositionLost(Exception):
    """Where a task stood in its inputs is not known any more, or the records from there on are gone: an operator must say."""


class Opening:
    """Makes and opens the tasks of one agent in one process. `clock` gives microseconds since the epoch."""

    def __init__(
        self,
        agent: Agent,
        codec: Codec,
        link: Link,
        broadcasts: Mapping[str, Mapping[str, Any]],
        consumer_options: Mapping[str, Any],
        clock: Callable[[], int],
        settings: EngineSettings,
    ) -> None:
        self.agent, self._codec, self._link, self._settings = agent, codec, link, settings
        self._broadcasts, self._options, self._clock = broadcasts, consumer_options, clock
        self.remaining = 0  # changelog records still to read
        self.recovered = 0
        self._epochs = 0

    def seat(self, number: int, membership: Membership, producer: TransactionalProducer) -> Seat:
        """A seat of its own for a partition, with what local state there is."""
        settings, folder = self._settings, self._settings.state_folder
        backing = RocksBacking(folder / self.agent.name / str(number)) if folder else None
        task = Task(
            self.agent,
            number,
            self._codec,
            self._link.partitions,
            self._broadcasts,
            backing,
            settings.cached,
            settings.bug_limit,
        )
        found: Mapping[str, int] = {}
        try:
            found, written = task.state.load()
        except StateUnreadable as error:
            log.warning("%s-%d: local state cannot be read and is rebuilt: %s", self.agent.name, number, error)
            task.state.wipe()
            written = 0
        if written and self._clock() - written > MAX_AGE_US:
            log.warning("%s-%d: local state is older than the changelog's tombstones", self.agent.name, number)
            task.state.wipe()
        closed = asyncio.get_running_loop().create_future()
        # Positions are written with changes only. Those in memory say nothing: they count the markers of what was aborted too.
        return Seat(number, task, producer, membership, closed, lived=bool(found))

    async def open(self, seats: Sequence[Seat], positioner: Positioner) -> None:
        """Fence, recover, seek. Raises `CommitFailed`, `KafkaError`, `RegistryUnavailable`: open again; `PositionLost`."""
        for seat in seats:
            seat.epoch, seat.inbox = -1, {}
        await asyncio.gather(*(seat.producer.fence() for seat in seats))
        if not seats:
            return
        async with LogReader(self._options) as reader:
            await self._recover(seats, reader)
            await self._rewind(seats, reader)
        self._epochs += 1
        epoch = self._epochs
        await positioner.place({(t, s.number): o for s in seats for t, o in s.next.items()}, epoch)
        for seat in seats:
            seat.epoch = epoch

    async def _recover(self, seats: Sequence[Seat], reader: LogReader) -> None:
        agent = self.agent
        where = {
            (agent.changelog(name), seat.number): (seat, name) for seat in seats for name in seat.task.state.stores
        }

        def restore(place: Place, records: Sequence[Any]) -> None:
            seat, name = where[place]
            seat.task.restore(name, ((r.key, r.value) for r in records))
            seat.lived = seat.lived or bool(records)

        starts = {place: seat.task.state.positions.get(name) for place, (seat, name) in where.items()}
        bounds = await reader.bounds(list(starts))
        for seat in seats:
            mine = [place for place, (owner, _) in where.items() if owner is seat]
            if any(not bounds[p][0] <= at <= bounds[p][1] for p in mine if (at := starts[p]) is not None):
                # The changelog began anew, or what is missing in it here was compacted away: only all of it is right.
                log.warning("%s-%d: local state does not fit its changelog and is rebuilt", agent.name, seat.number)
                seat.task.state.wipe()
                starts.update(dict.fromkeys(mine))
        ends, total = await reader.read(starts, restore, what=f"{agent.name}: recovering", told=self._told)
        for place, end in ends.items():
            seat, name = where[place]
            seat.task.state.positions[name] = end
        self.recovered += total
        unreadable = []
        for seat in seats:
            try:
                seat.task.restored()
            except StateUnreadable as error:
                log.warning("%s-%d: local state cannot be read and is rebuilt: %s", agent.name, seat.number, error)
                seat.task.state.wipe()
                unreadable.append(seat)
        if unreadable:
            await self._recover(unreadable, reader)

    def _told(self, remaining: int) -> None:
        self.remaining = remaining

    async def _rewind(self, seats: Sequence[Seat], reader: LogReader) -> None:
        """Where to go on, and the derived state as it was there."""
        agent = self.agent
        places = [(i.topic, seat.number) for seat in seats for i in agent.inputs]
        known = await committed_offsets(self._link, agent.name, places)
        bounds = await reader.bounds(places)
        perishable = {i.topic for i in agent.inputs if i.perishable}
        for seat in seats:
            seat.owing_since = None
            seat.next = {i.topic: known.get((i.topic, seat.number), -1) for i in agent.inputs}
            if seat.lived and not any(at >= 0 for at in seat.next.values()):
                raise PositionLost(
                    f"{agent.name}-{seat.number} has state, but its consumer group has no offsets in {', '.join(seat.next)}: they have "
                    f"expired or were deleted. Beginning at the oldest record would handle every one again. {WAY_OUT}"
                )
            for topic, at in seat.next.items():
                oldest, end = bounds[topic, seat.number]
                if at < 0 or (at < oldest and (oldest == end or topic in perishable)):
                    # An empty log: what retention deleted last may have been the marker behind the last record that was read.
                    seat.next[topic] = oldest
                elif not oldest <= at <= end:
                    raise PositionLost(
                        f"{agent.name}-{seat.number} is to go on at {at} of {topic}[{seat.number}], which now holds [{oldest}, {end}): "
                        f"records were deleted unread, or the topic was made anew. {WAY_OUT}"
                    )
            if agent.local:
                seat.task.local = agent.local()
        back = {i.topic: i.rebuild_us for i in agent.inputs if i.rebuild_us}
        if not (agent.rebuild and back):
            return
        ends = {(topic, s.number): s.next[topic] for s in seats for topic in back}
        starts = await reader.earlier({place: (end, back[place[0]]) for place, end in ends.items()})
        tasks = {s.number: s.task for s in seats}
        await reader.read(
            dict(starts),
            lambda place, records: tasks[place[1]].rebuild(records),
            ends,
            what=f"{agent.name}: rebuilding",
        )


WAY_OUT = 'Set the group\'s offsets to where it is to go on, and start again: see `streams/engine/README.md`, "When positions are lost".'
