"""What every command shares: where it prints, how it fails, which system it speaks to.

People read tables on standard output; machines get one JSON object as its last line with ``--json``. Progress and logs go to standard
error. The exit code is 0 only when all is well.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:  # for annotations alone: importing these is what a command does when it runs
    from collections.abc import Iterator

    from rich.console import Console

    from infra.settings import Addresses, Settings

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line, for machines.")]
Home = Annotated[
    Path | None,
    typer.Option("--home", help="Folder of the local system [default: BESTEX_HOME, else .bestex].", show_default=False),
]


class Failure(Exception):
    """A command could not do what it was asked; the message is for the user."""


def settings_of(home: Path | None) -> Settings:
    """What the environment says, with the home that the command line names."""
    from dataclasses import replace

    from infra.settings import Settings

    settings = Settings.from_env()
    return settings if home is None else replace(settings, home=home)


def addresses_of(settings: Settings) -> Addresses:
    """Where the system answers: the environment's addresses, else those of the stack that runs in the home. Raises `Failure`."""
    from infra.settings import Addresses

    given = (settings.kafka, settings.registry, settings.valkey, settings.clickhouse)
    if all(given):
        return Addresses(*(address or "" for address in given))
    from infra.stack import running_addresses

    found = running_addresses(settings.home, settings)
    if found is None:
        raise Failure(
            f"nothing runs in {settings.home}: start it with `bestex up`, or say where the parts are "
            "(BESTEX_KAFKA, BESTEX_REGISTRY, BESTEX_VALKEY, BESTEX_CLICKHOUSE)"
        )
    return found


def emit(value: Mapping[str, Any]) -> None:
    """The last line of standard output."""
    print(json.dumps(value, default=str), flush=True)


def out() -> Console:
    """Where people read results."""
    from rich.console import Console

    return Console()


def err() -> Console:
    """Where progress goes."""
    from rich.console import Console

    return Console(stderr=True)


def progress_lines() -> Callable[[str, str], None]:
    """A progress function that prints one line a step to standard error."""
    console = err()
    return lambda part, text: console.print(f"[dim]{part:>10}[/] {text}", highlight=False)


def fail(message: str, as_json: bool, **more: Any) -> NoReturn:
    """End the command: the reason to standard error, and as JSON where that was asked for."""
    err().print(f"[red]error:[/] {message}", highlight=False)
    if as_json:
        emit({"error": message, **more})
    raise typer.Exit(1)


@contextmanager
def reported(as_json: bool) -> Iterator[None]:
    """Turn what a command may meet (no system, a broker or server that does not answer, a bad value) into a message and exit code 1."""
    try:
        yield
    except (typer.Exit, typer.Abort):
        raise
    except KeyboardInterrupt:
        err().print("[yellow]interrupted[/]")
        raise typer.Exit(130) from None
    except Exception as error:
        if os.environ.get("BESTEX_DEBUG"):
            raise
        module = type(error).__module__.partition(".")[0]
        known = isinstance(error, (Failure, ValueError, OSError, RuntimeError)) or module in {
            "confluent_kafka",
            "cimpl",
            "httpx",
            "redis",
            "requests",
            "schemas",
        }
        if not known:
            raise
        fail(str(error) or type(error).__name__, as_json)


def eprint(text: str) -> None:
    """A plain line to standard error."""
    print(text, file=sys.stderr, flush=True)
