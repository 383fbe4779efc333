"""`bestex`: the one command. This file names the commands and imports what they need only when they run."""

from __future__ import annotations

import sys
from typing import Any

import typer
from typer.rich_utils import rich_format_error

from infra.commands import (
    accounts,
    bench,
    demo,
    dlq,
    offline,
    orders,
    parts,
    query,
    record,
    system,
    tca,
    venues,
    verify,
)
from infra.commands.common import emit

app = typer.Typer(
    name="bestex",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="""[bold]Orders in, best execution out.[/]

    A stream-processing pipeline on Kafka: order commands go in as Avro records, are checked, reserved for, split over the
    venues that execute them best, and come out as fills, notifications and rows in ClickHouse.

    [bold]Start here[/]

      bestex demo              everything once, with a report

      bestex up                everything, staying; then publish orders of your own

      bestex order place ...   one order

      bestex query "SELECT count() FROM fills"

    Every command takes [cyan]--json[/]: then the last line of its output is one JSON object. The exit code is 0 only when all is well.
    """,
)
demo.add(app)
system.add(app)
orders.add(app)
accounts.add(app)
query.add(app)
tca.add(app)
verify.add(app)
offline.add(app)
record.add(app)
parts.add(app)
dlq.add(app)
bench.add(app)
venues.add(app)


# What typer raises for a command line that it cannot use; its own name for it is private.
UsageError: Any = typer.BadParameter.__base__


def main() -> None:
    """The entry point. A command line that cannot be used ends with 2, and is said as JSON too where that was asked for."""
    try:
        sys.exit(app(standalone_mode=False))
    except UsageError as error:
        rich_format_error(error)
        if "--json" in sys.argv:
            emit({"error": error.format_message(), "code": "USAGE"})
        sys.exit(2)
    except typer.Abort:
        sys.exit(130)


if __name__ == "__main__":
    main()
