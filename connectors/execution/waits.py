"""Waiting for something that may not come."""

from __future__ import annotations

import asyncio
import contextlib


async def at_most(seconds: float, event: asyncio.Event) -> None:
    """Wait until an event is set, so long at most.

    Not `asyncio.wait_for`: that of Python 3.11 swallows a cancellation which comes in the moment in which the event is set.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
