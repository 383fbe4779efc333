"""Posts each notice to a webhook, as JSON with its key as the header `Idempotency-Key`.

Rules:

* an account's notices go in their order, one after the other, and so do a venue's; accounts and venues go side by side;
* no answer, 408, 425, 429, a server's error or a redirect is tried again with back-off, no sooner than `Retry-After` asks;
* any other 4xx says that this notice will never be taken: its record is dead-lettered with the status, and the rest goes on;
* offsets are committed after the whole batch was answered, so a crash posts at most one batch again, under the same keys;
* the URL may hold a secret: it is not logged.
"""

from __future__ import annotations

import asyncio
import string
import time
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar
from urllib.parse import quote

import httpx

from sinks.base import Later, Place, Refused, Row, Settings, Sink
from sinks.notices import line, notice
from sinks.notifier import PROMPT, TOPICS

AT_ONCE = 16
ANSWER_SECONDS = 10.0
LONGEST_WAIT = 300.0
_AGAIN = frozenset({408, 425, 429})
_HEADER_SAFE = string.punctuation.replace("%", "")


class WebhookNotifier(Sink):
    """`url`: where to post; credentials in it become an Authorization header."""

    topics: ClassVar = TOPICS
    settings: ClassVar[Settings] = PROMPT

    def __init__(self, url: str) -> None:
        self._url = httpx.URL(url)
        if self._url.scheme not in ("http", "https") or not self._url.host:
            raise ValueError("webhook: not an http or https URL")
        self._loop = asyncio.Runner()
        self._client: httpx.AsyncClient | None = None
        # What was answered of the batch in hand, so that trying again does not post it again: its refusal, if any.
        self._answered: dict[tuple[str, int, int], tuple[str, str] | None] = {}

    def setup(self) -> None:
        """Make the client; that the receiver answers shows with the first notice."""
        if self._client is None:
            limits = httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE)
            self._client = httpx.AsyncClient(timeout=ANSWER_SECONDS, limits=limits)

    def resume(self, committed: Mapping[Place, int]) -> Mapping[Place, int]:
        """The receiver cannot say: the group's offsets hold."""
        self._answered = {}
        return {}

    def write(self, batch: Sequence[Row]) -> None:
        """Post what was not answered yet. Raises `Later`, `Refused`."""
        by_line: dict[str, list[tuple[Row, dict[str, Any]]]] = {}
        for row in batch:
            if _id(row) not in self._answered and (told := notice(row.record)):
                by_line.setdefault(line(told), []).append((row, told))
        if by_line:
            self._loop.run(self._post_all(list(by_line.values())))
        if refused := [(row, *why) for row in batch if (why := self._answered.get(_id(row)))]:
            raise Refused(refused)
        self._answered = {}

    def close(self) -> None:
        """Let go of connections."""
        if self._client is not None:
            self._loop.run(self._client.aclose())
        self._loop.close()

    async def _post_all(self, lines: list[list[tuple[Row, dict[str, Any]]]]) -> None:
        at_once = asyncio.Semaphore(AT_ONCE)

        async def one(notices: list[tuple[Row, dict[str, Any]]]) -> None:
            async with at_once:
                for row, told in notices:
                    self._answered[_id(row)] = await self._post(told)

        results = await asyncio.gather(*map(one, lines), return_exceptions=True)
        problems = [r for r in results if r is not None]
        for problem in problems:
            if not isinstance(problem, Later):
                raise problem
        if problems:
            raise max((p for p in problems if isinstance(p, Later)), key=lambda p: p.after)

    async def _post(self, told: Mapping[str, Any]) -> tuple[str, str] | None:
        """`None` when it was taken, the refusal (code, detail) when it never will be. Raises `Later`."""
        assert self._client is not None  # set up before
        key = quote(told["key"], safe=_HEADER_SAFE)
        try:
            response = await self._client.post(self._url, json=told, headers={"Idempotency-Key": key})
        except httpx.TransportError as error:
            raise Later(f"webhook: {type(error).__name__}") from error
        if response.is_success:
            return None
        if response.is_client_error and response.status_code not in _AGAIN:
            return f"WEBHOOK_{response.status_code}", response.text[:500]
        raise Later(f"webhook: status {response.status_code}", _retry_after(response.headers.get("Retry-After")))


def _retry_after(text: str | None) -> float:
    """Seconds of a Retry-After header, which holds seconds or a date; 0 for none that can be read."""
    if not text:
        return 0.0
    try:
        seconds = float(text) if text.strip().isdigit() else parsedate_to_datetime(text).timestamp() - time.time()
    except ValueError:
        return 0.0
    return min(max(seconds, 0.0), LONGEST_WAIT)


def _id(row: Row) -> tuple[str, int, int]:
    return row.topic, row.partition, row.offset
