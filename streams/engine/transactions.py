"""A task's transactional producer: everything of a checkpoint in one Kafka transaction, in three round trips.

    fence ── InitProducerId: ends what a predecessor left open, and shuts it out for ever
    begin ── TxnOffsetCommit, with the group generation, while the batch is being processed
    commit ─ Produce (outputs and changelogs) → EndTxn
    abort ── EndTxn: nothing came of it, and the producer can begin again

All tasks of a process share one client; each speaks over a connection of a small pool, because a broker serves one request of a
connection at a time. Rules:

* the offsets go first: while the markers of the last transaction are being written the group coordinator says "not yet" at once, where a
  broker that is produced to would wait its own back-off of 20 ms;
* in the middle of a transaction only that is tried again of which the broker says that nothing happened: "not yet"
  (`CONCURRENT_TRANSACTIONS`), and "not here" of a partition whose leader moves; any other error leaves the producer unusable until `fence`, which is always safe;
* an error of EndTxn is an unknown outcome: only fencing and then reading the committed offsets tells what happened;
* `Fenced` means that a newer producer, or a newer generation of the group, was seen: who owns the task, the group says (`Link.member`);
* `Unwritable` and `TimedOut` say something about what was to be written: trying just the same again would be without end.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from aiokafka import errors
from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.structs import TopicPartition

from streams.engine import batches
from streams.engine.batches import LZ4, Pair, Place, rounds
from streams.engine.protocol import EndTxn, Heartbeat, InitProducerId, OffsetFetch, Produce, TxnOffsetCommit

BESIDE = 500  # so many records are worth a thread of their own: compressing lets go of the interpreter
POOL = 8
FENCE_SECONDS, ROUND_SECONDS, GRACE_SECONDS = 60.0, 30.0, 2.0
NOT_YET_SECONDS = 0.001  # the markers of the transaction before are still being written
NO_ERROR, NOT_YET = 0, 51
FENCED_CODES = frozenset({47, 90})  # INVALID_PRODUCER_EPOCH, PRODUCER_FENCED
SUPERSEDED_CODES = frozenset({22, 25, 82})  # ILLEGAL_GENERATION, UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID
UNWRITABLE_CODES = frozenset({10, 18, 87})  # MESSAGE_TOO_LARGE, RECORD_LIST_TOO_LARGE, INVALID_RECORD
REBALANCING = 27
NOT_HERE_CODES = frozenset({14, 15, 16})  # the coordinator is loading, unknown, or another
MOVING_CODES = frozenset({3, 5, 6})  # the broker does not lead the partition (any more, or yet): nothing was appended
AGAIN_CODES = MOVING_CODES | {NOT_YET}
MOVING_SECONDS = 10.0


class CommitFailed(Exception):
    """The transaction is not known to be committed. `fence` before anything else."""


class Fenced(CommitFailed):
    """Another producer with our transactional id, or a newer generation of the group, was there after us."""


class Unwritable(CommitFailed):
    """The broker will never take what was to be written."""


class TimedOut(CommitFailed):
    """A broker did not answer in time."""


@dataclass(frozen=True, slots=True)
class Membership:
    """Who we are in the consumer group when a task is opened: the broker refuses offsets of an older generation."""

    group: str
    generation: int
    member: str
    instance: str | None


class Appended(NamedTuple):
    """Where a commit's records begin and end in a partition: offsets `[first, end)`."""

    first: int
    end: int


Step = Callable[[str], Awaitable[None]]


async def no_step(name: str) -> None:
    """The default observer of a commit's steps."""


class Link:
    """The process's connection to the brokers, shared by all tasks. `options` are keyword arguments of `AIOKafkaClient`."""

    def __init__(self, **options: Any) -> None:
        self.client = AIOKafkaClient(**options)
        self._coordinators: dict[tuple[int, str], int] = {}

    async def start(self, topics: Sequence[str]) -> None:
        """Connect and learn where the partitions of `topics` are."""
        batches.install()
        await self.client.bootstrap()
        self.client.set_topics(topics)
        await self.client._maybe_wait_metadata()
        await self.client.force_metadata_update()

    async def stop(self) -> None:
        await self.client.close()

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has. Raises `LookupError` for a topic that does not exist."""
        found = self.client.cluster.partitions_for_topic(topic)
        if not found:
            raise LookupError(f"there is no topic {topic}")
        return len(found)

    def leader(self, place: Place) -> int:
        node = self.client.cluster.leader_for_partition(TopicPartition(*place))
        if node is None or node < 0:
            raise CommitFailed(f"{place[0]}[{place[1]}] has no leader")
        return int(node)

    async def coordinator(self, kind: int, key: str) -> int:
        """The node that coordinates a group or a transactional id."""
        known = self._coordinators.get((kind, key))
        if known is None:
            known = self._coordinators[kind, key] = await self.client.coordinator_lookup(kind, key)
        return known

    def forget(self, kind: int, key: str) -> None:
        """The coordinator moved."""
        self._coordinators.pop((kind, key), None)

    async def refresh(self) -> None:
        """Leaders moved: ask again."""
        await self.client.force_metadata_update()

    async def send(self, node: int, request: Any, lane: Any) -> Any:
        """The answer to a request. Raises `TimeoutError`."""
        sent = asyncio.ensure_future(self.client.send(node, request, group=lane))
        try:
            for seconds in (ROUND_SECONDS, GRACE_SECONDS):
                # What held the loop up may have held up the answer too: it is here, and was not read yet.
                done, _ = await asyncio.wait({sent}, timeout=seconds)
                if done:
                    return sent.result()
        finally:
            sent.cancel()
        raise TimeoutError

    async def member(self, who: Membership) -> bool:
        """Whether the group holds `who` for its member still, asked of its coordinator. Raises `CommitFailed` if none answers."""
        request = Heartbeat(who.group, who.generation, who.member, who.instance, {})
        deadline, wait = time.monotonic() + FENCE_SECONDS, 0.005
        while True:
            try:
                node = await self.coordinator(CoordinationType.GROUP, who.group)
                code = (await self.send(node, request, "offsets")).error_code
            except (errors.KafkaError, TimeoutError):
                code = 16
            if code in (NO_ERROR, REBALANCING):
                return True
            if code in SUPERSEDED_CODES:
                return False
            if code not in NOT_HERE_CODES or time.monotonic() > deadline:
                raise CommitFailed(
                    f"the group {who.group} does not say who is a member: {errors.for_code(code).__name__}"
                )
            self.forget(CoordinationType.GROUP, who.group)
            await asyncio.sleep(wait)
            wait = min(wait * 2, 0.5)


class TransactionalProducer:
    """One task's. `timeout_ms`: when a broker gives up on a transaction whose owner went silent."""

    def __init__(
        self, link: Link, transactional_id: str, lane: int, timeout_ms: int = 60_000, compression: int = LZ4
    ) -> None:
        self.transactional_id = transactional_id
        self._link, self._timeout_ms, self._compression = link, timeout_ms, compression
        self._lane = ("transactions", lane % POOL)
        self._id = self._epoch = -1
        self.usable = self._begun = False
        self.step: Step = no_step

    async def fence(self) -> None:
        """Shut out every older producer of this id and finish its transaction. Raises `CommitFailed` if no broker lets us."""
        self.usable = self._begun = False
        deadline, wait = time.monotonic() + FENCE_SECONDS, 0.005
        while True:
            try:
                node = await self._link.coordinator(CoordinationType.TRANSACTION, self.transactional_id)
                # Always as a newcomer: naming our old epoch would let the broker take this for a retry.
                answer = await self._send(node, InitProducerId(self.transactional_id, self._timeout_ms, -1, -1, {}))
                code = answer.error_code
            except (errors.KafkaError, TimeoutError) as error:
                answer, code, why = None, -2, repr(error)
                self._link.forget(CoordinationType.TRANSACTION, self.transactional_id)
            if answer is not None and code == NO_ERROR:
                self._id, self._epoch, self.usable = answer.producer_id, answer.producer_epoch, True
                return
            if code in NOT_HERE_CODES:
                self._link.forget(CoordinationType.TRANSACTION, self.transactional_id)
            elif code not in (NOT_YET, -2):
                raise CommitFailed(f"{self.transactional_id}: cannot be fenced: {errors.for_code(code).__name__}")
            if time.monotonic() > deadline:
                raise CommitFailed(
                    f"{self.transactional_id}: not fenced in {FENCE_SECONDS:.0f} s: {why if code == -2 else code}"
                )
            await asyncio.sleep(wait)
            wait = min(wait * 2, 0.5)

    async def begin(self, offsets: Mapping[Place, int], membership: Membership) -> None:
        """Open a transaction by sending the next source offsets into it; records may be prepared meanwhile.

        Raises `CommitFailed` or `Fenced`.
        """
        if not self.usable:
            raise CommitFailed(f"{self.transactional_id} must be fenced first")
        self.usable = False
        with _as_commit_failed(self.transactional_id):
            await self._send_offsets(offsets, membership)
        self._begun = True
        await self.step("begun")

    async def commit(self, records: Mapping[Place, Sequence[Pair]]) -> dict[Place, Appended]:
        """Write `records` into the transaction that `begin` opened and commit it; where the records went.

        Raises `CommitFailed` or `Fenced`: nothing, or everything, may have happened.
        """
        if not self._begun:
            raise CommitFailed(f"{self.transactional_id}: no transaction was begun")
        self._begun = False
        appended: dict[Place, Appended] = {}
        with _as_commit_failed(self.transactional_id):
            for batches in await self._built(records):
                await self._produce(batches, appended)
            await self.step("produced")
            await self._end(commit=True)
        self.usable = True
        await self.step("committed")
        return appended

    async def abort(self) -> None:
        """End the transaction that `begin` opened: nothing came of it. Raises `CommitFailed`."""
        if not self._begun:
            raise CommitFailed(f"{self.transactional_id}: no transaction was begun")
        self._begun = False
        with _as_commit_failed(self.transactional_id):
            await self._end(commit=False)
        self.usable = True

    # ---- the three rounds

    async def _built(self, records: Mapping[Place, Sequence[Pair]]) -> list[dict[Place, tuple[bytes, int]]]:
        """The batches; of many records beside the loop, which meanwhile serves other tasks."""
        if sum(map(len, records.values())) < BESIDE:
            return self._batches(records)
        return await asyncio.to_thread(self._batches, records)

    def _batches(self, records: Mapping[Place, Sequence[Pair]]) -> list[dict[Place, tuple[bytes, int]]]:
        return rounds(records, self._id, self._epoch, self._compression)

    async def _produce(self, batches: Mapping[Place, tuple[bytes, int]], appended: dict[Place, Appended]) -> None:
        left, deadline = dict(batches), time.monotonic() + MOVING_SECONDS
        while True:
            by_node: dict[int, list[Place]] = {}
            for place in left:
                by_node.setdefault(self._link.leader(place), []).append(place)
            answers = await asyncio.gather(*(self._produce_to(node, left, places) for node, places in by_node.items()))
            codes = set()
            for place, code, base in (row for answer in answers for row in answer):
                if code in AGAIN_CODES and time.monotonic() < deadline:
                    codes.add(code)
                    continue
                self._check(code, f"producing to {place[0]}[{place[1]}]")
                before = appended.get(place)
                appended[place] = Appended(before.first if before else base, base + left.pop(place)[1])
            if not left:
                return
            await asyncio.sleep(NOT_YET_SECONDS)
            if codes & MOVING_CODES:
                await self._link.refresh()

    async def _produce_to(
        self, node: int, batches: Mapping[Place, tuple[bytes, int]], places: Sequence[Place]
    ) -> list[tuple[Place, int, int]]:
        """One request; `(place, error code, base offset)` of each place."""
        topics: dict[str, list[tuple[int, bytes, dict[int, bytes]]]] = {}
        for place in places:
            topics.setdefault(place[0], []).append((place[1], batches[place][0], {}))
        request = Produce(
            self.transactional_id, -1, int(ROUND_SECONDS * 1000), [(t, ps, {}) for t, ps in topics.items()], {}
        )
        answer = await self._send(node, request)
        return [((topic, p[0]), p[1], p[2]) for topic, partitions, _ in answer.topics for p in partitions]

    async def _send_offsets(self, offsets: Mapping[Place, int], membership: Membership) -> None:
        topics: dict[str, list[Any]] = {}
        for (topic, partition), offset in offsets.items():
            topics.setdefault(topic, []).append((partition, offset, -1, "", {}))
        request = TxnOffsetCommit(
            self.transactional_id,
            membership.group,
            self._id,
            self._epoch,
            membership.generation,
            membership.member,
            membership.instance,
            [(t, ps, {}) for t, ps in topics.items()],
            {},
        )
        node = await self._link.coordinator(CoordinationType.GROUP, membership.group)
        while True:
            answer = await self._send(node, request)
            codes = {code for _, partitions, _ in answer.topics for _, code, _ in partitions}
            if codes & NOT_HERE_CODES:
                self._link.forget(CoordinationType.GROUP, membership.group)
            if NOT_YET not in codes:
                break
            await asyncio.sleep(NOT_YET_SECONDS)
        for code in codes:
            self._check(code, f"offsets of {membership.group}")

    async def _end(self, *, commit: bool) -> None:
        node = await self._link.coordinator(CoordinationType.TRANSACTION, self.transactional_id)
        while True:
            answer = await self._send(node, EndTxn(self.transactional_id, self._id, self._epoch, commit, {}))
            if answer.error_code != NOT_YET:
                break
            await asyncio.sleep(NOT_YET_SECONDS)
        if answer.error_code in NOT_HERE_CODES:
            self._link.forget(CoordinationType.TRANSACTION, self.transactional_id)
        self._check(answer.error_code, "ending the transaction")
        self._id, self._epoch = answer.producer_id, answer.producer_epoch

    def _check(self, code: int, what: str) -> None:
        if code == NO_ERROR:
            return
        words = f"{self.transactional_id}: {what}: {errors.for_code(code).__name__}"
        if code in FENCED_CODES or code in SUPERSEDED_CODES:
            raise Fenced(words)
        if code in UNWRITABLE_CODES:
            raise Unwritable(words)
        raise CommitFailed(words)

    async def _send(self, node: int, request: Any) -> Any:
        return await self._link.send(node, request, self._lane)


@contextmanager
def _as_commit_failed(who: str) -> Iterator[None]:
    try:
        yield
    except (TimeoutError, errors.RequestTimedOutError) as error:
        raise TimedOut(f"{who}: no answer in {ROUND_SECONDS:.0f} s") from error
    except errors.KafkaError as error:
        raise CommitFailed(f"{who}: {error!r}") from error


async def committed_offsets(link: Link, group: str, places: Sequence[Place]) -> dict[Place, int]:
    """The group's next offsets, once no transaction over them is undecided; a place without one is left out."""
    topics: dict[str, list[int]] = {}
    for topic, partition in places:
        topics.setdefault(topic, []).append(partition)
    request = OffsetFetch(group, [(t, ps, {}) for t, ps in topics.items()], True, {})
    deadline, wait = time.monotonic() + FENCE_SECONDS, 0.005
    while True:
        try:
            node = await link.coordinator(CoordinationType.GROUP, group)
            answer = await link.send(node, request, "offsets")
            codes = {p[4] for _, ps, _ in answer.topics for p in ps} | {answer.error_code}
        except (errors.KafkaError, TimeoutError):
            codes = {16}
        if codes <= {NO_ERROR}:
            return {(t, p[0]): p[1] for t, ps, _ in answer.topics for p in ps if p[1] >= 0}
        if codes & NOT_HERE_CODES:
            link.forget(CoordinationType.GROUP, group)
        if time.monotonic() > deadline:
            raise CommitFailed(f"offsets of {group} cannot be read: {codes}")
        await asyncio.sleep(wait)
        wait = min(wait * 2, 0.5)
