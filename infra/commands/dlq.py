"""`bestex dlq`: records that could not be processed, and what to do with them."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from infra.commands.common import Home, Json, addresses_of, emit, err, out, reported, settings_of, table

app = typer.Typer(no_args_is_help=True, help="Dead letters: list, show, send back to where they came from.")
Topic = Annotated[str | None, typer.Option(help="Of this topic alone, as orders.commands.", show_default=False)]
Cause = Annotated[str | None, typer.Option(help="With this cause alone, as MALFORMED_AVRO.", show_default=False)]
Name = Annotated[str, typer.Argument(help="TOPIC:PARTITION:OFFSET, as `bestex dlq list` shows.", show_default=False)]


def add(parent: typer.Typer) -> None:
    """Hang the commands into `parent`."""
    parent.add_typer(app, name="dlq", rich_help_panel="Operation")


def _kafka(home: Any) -> tuple[dict[str, str], Any]:
    from infra.marks import codec

    settings = settings_of(home)
    addresses = addresses_of(settings)
    return settings.kafka_client(addresses.kafka), codec(addresses.registry)


@app.command("list")
def list_(topic: Topic = None, cause: Cause = None, home: Home = None, json: Json = False) -> None:
    """What was put aside, and why."""
    with reported(json):
        from infra.dlq import letters

        kafka, codec = _kafka(home)
        rows = [letter.row() for letter in letters(kafka, codec, topic, cause)]
        if json:
            emit({"letters": rows, "count": len(rows)})
            return
        from rich.text import Text

        columns = ("name", "cause", "key", "at", "detail")
        shown = table(*columns)
        shown.columns[0].no_wrap = True  # what `dlq show` and `dlq replay` take
        for row in rows:
            shown.add_row(*(Text(str(row[c] or "")) for c in columns))
        out().print(shown)
        out().print(f"[dim]{len(rows)} letters[/]")


@app.command()
def show(name: Name, home: Home = None, json: Json = False) -> None:
    """One letter whole: its origin, its cause, and the bytes as they came."""
    with reported(json):
        from infra.dlq import find

        kafka, codec = _kafka(home)
        letter = find(kafka, codec, name)
        value = letter.letter.value
        shown = {**letter.row(), "value_hex": None if value is None else value.hex()}
        if json:
            emit(shown)
            return
        for field, said in shown.items():
            out().print(f"[dim]{field:>10}[/] ", end="")
            out().print(str(said), markup=False, highlight=False)


@app.command()
def replay(
    name: Annotated[str | None, typer.Argument(help="One letter, TOPIC:PARTITION:OFFSET.", show_default=False)] = None,
    topic: Annotated[
        str | None, typer.Option(help="Instead: all of this topic that were not sent back yet.", show_default=False)
    ] = None,
    cause: Cause = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Send records back to the topic and partition they came from.

    With --topic each letter is sent back once, however often this is called; a letter that is named is sent each time.
    """
    with reported(json):
        from infra.dlq import find, replay, replay_all

        if (name is None) == (topic is None):
            raise ValueError("name one letter, or give --topic")
        kafka, codec = _kafka(home)
        if name is not None:
            partition, offset = replay(kafka, find(kafka, codec, name))
            result: dict[str, Any] = {"replayed": 1, "partition": partition, "offset": offset}
        else:
            sent, passed = replay_all(kafka, codec, topic or "", cause, lambda n: err().print(f"{n} sent back"))
            result = {"replayed": sent, "passed_over": passed}
        if json:
            emit(result)
        else:
            out().print(f"{result['replayed']} sent back")
