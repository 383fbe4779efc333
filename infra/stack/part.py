"""What every part of the stack is: something that is prepared, started, asked, and found at an address."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path

Ports = Mapping[str, int]
Tell = Callable[[str], None]
HOST = "127.0.0.1"


class NotReady(Exception):
    """The part does not answer yet; the message is what was seen last."""


class Part(ABC):
    """One server of the local stack, keeping all it writes in ``folder``."""

    name: str
    port_names: tuple[str, ...] = ("port",)
    # Seconds from start to the first good answer, on a slow and busy machine.
    ready_seconds: float = 60.0
    # Seconds it may take to end in good order before it is forced to.
    grace_seconds: float = 20.0
    # It lives for minutes: to start soon is worth more than to be fast in the long run.
    brief: bool = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abstractmethod
    def prepare(self, ports: Ports, tell: Tell) -> None:
        """Fetch programs and make data folders; may be repeated, may take long, tells what it does."""

    @abstractmethod
    def command(self, ports: Ports) -> list[str]:
        """The command that runs the server in the foreground."""

    @abstractmethod
    def ask(self, ports: Ports) -> None:
        """Ask the server something only a working one can answer; raises `NotReady`."""

    @abstractmethod
    def address(self, ports: Ports) -> str:
        """Where clients find it, in the form of `infra.settings.Addresses`."""

    def environment(self) -> dict[str, str]:
        """Variables added to the server's environment."""
        return {}
