"""Told to leave by a signal, said to a program of threads by an event that is safe to set.

A Python signal handler runs in the main thread between any two of its instructions. If those are inside `Event.wait`, which holds the
event's lock, a handler that calls `Event.set` waits for that lock for ever: a process that SIGTERM hangs. So the handlers here do nothing.
The interpreter writes each signal's number to a socket the moment it comes, and a thread that reads it sets the event.
"""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Sequence


def told_to_leave(numbers: Sequence[signal.Signals] = (signal.SIGTERM, signal.SIGINT)) -> threading.Event:
    """An event that is set when one of the signals comes, again each time that it was cleared. To be called once, by the main thread.

    Not for a program whose main thread runs asyncio: its loop has the same means, `add_signal_handler`.
    """
    leave = threading.Event()
    reader, writer = socket.socketpair()
    writer.setblocking(
        False
    )  # a signal never waits: of those that find the socket full, the ones before it say the same
    for number in numbers:
        signal.signal(number, _come)
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    threading.Thread(
        target=_listen, args=(reader, writer, frozenset(numbers), leave), name="signals", daemon=True
    ).start()
    return leave


def _come(number: int, frame: object) -> None:
    """Without a handler of Python's the interpreter tells nobody."""


def _listen(reader: socket.socket, writer: socket.socket, numbers: frozenset[int], leave: threading.Event) -> None:
    with reader, writer:  # the writing end lives as long as this thread
        while came := reader.recv(4096):
            if numbers.intersection(came):
                leave.set()
