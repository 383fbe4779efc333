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
    from rich.table import Table

    from infra.settings import Addresses, Settings

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line, for machines.")]
Home = Annotated[
    Path | None,
    typer.Option("--home", help="Folder of the local system [default: BESTEX_HOME, else .bestex].", show_default=False),
]


# A negative quantity is a bad quantity, and not an option that nobody knows.
NUMBERS = {"ignore_unknown_options": True}


class Failure(Exception):
    """A command could not do what it was asked; the message is for the user, the code is stable."""

    def __init__(self, message: str, code: str = "INVALID_VALUE") -> None:
        super().__init__(message)
        self.code = code


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
    from infra.stack.stack import running_addresses

    found = running_addresses(settings.home, settings)
    if found is None:
        raise Failure(
            f"nothing runs in {settings.home}, or not all of it: start it with `bestex up`, or say where the parts are "
            "(BESTEX_KAFKA, BESTEX_REGISTRY, BESTEX_VALKEY, BESTEX_CLICKHOUSE)",
            "NOT_RUNNING",
        )
    return found


def must_be_exchanges(*names: str) -> None:
    """Raises `Failure` for names that no exchange has."""
    from connectors.venues.exchanges import DIALECTS

    unknown = [name for name in names if name not in DIALECTS]
    if unknown:
        raise Failure(f"no such exchange: {', '.join(unknown)}; there are {', '.join(DIALECTS)}", "UNKNOWN_EXCHANGE")


def emit(value: Mapping[str, Any]) -> None:
    """The last line of standard output."""
    print(json.dumps(value, default=str), flush=True)


def out() -> Console:
    """Where people read results."""
    from rich.console import Console

    return Console()


def table(*columns: str) -> Table:
    """A table of the given columns. What is too wide is folded, never cut: names in it are copied into the next command."""
    from rich.table import Table

    empty = Table(box=None, header_style="dim")
    for column in columns:
        empty.add_column(column, overflow="fold")
    return empty


def err() -> Console:
    """Where progress goes."""
    from rich.console import Console

    return Console(stderr=True)


def progress_lines() -> Callable[[str, str], None]:
    """A progress function that prints one line a step to standard error."""
    console = err()
    return lambda part, text: console.print(f"[dim]{part:>10}[/] {text}", highlight=False)


def fail(message: str, as_json: bool, code: str = "FAILED", **more: Any) -> NoReturn:
    """End the command: the reason to standard error, and as JSON, with its stable code, where that was asked for."""
    err().print("[red]error:[/]", end=" ")
    err().print(message, markup=False, highlight=False)
    if as_json:
        emit({"error": message, "code": code, **more})
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
        if as_json:
            emit({"error": "interrupted", "code": "INTERRUPTED"})
        raise typer.Exit(130) from None
    except Exception as error:
        if os.environ.get("BESTEX_DEBUG"):
            raise
        code = _code(error)
        if code is None:
            import traceback

            traceback.print_exc()
            fail(f"{type(error).__name__}: {error}", as_json, "INTERNAL")
        fail(str(error) or type(error).__name__, as_json, code)


def _code(error: Exception) -> str | None:
    """What went wrong, for machines; `None` for what no command is to meet."""
    if isinstance(error, Failure):
        return error.code
    if isinstance(error, ValueError):
        return "INVALID_VALUE"
    if isinstance(error, OSError) or type(error).__module__.partition(".")[0] in _SERVERS:
        return "UNREACHABLE"
    return "FAILED" if isinstance(error, RuntimeError) else None


_SERVERS = {
    "confluent_kafka",
    "cimpl",
    "httpx",
    "redis",
    "requests",
    "schemas",
}  # whose errors are about those they ask


def eprint(text: str) -> None:
    """A plain line to standard error."""
    print(text, file=sys.stderr, flush=True)
