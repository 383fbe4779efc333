"""``python -m infra.chdb_server --path DIR --port PORT --users FILE``: ClickHouse's HTTP interface, embedded.

Passwords come from a file (or the variable ``BESTEX_CLICKHOUSE_USERS``), never from the command line, where every user
of the machine could read them. SIGTERM and SIGINT let running requests end and close the data folder.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

from infra.clickhouse_http.engine import Engine, Limits
from infra.clickhouse_http.server import serve
from infra.clickhouse_http.users import User, parse

USERS_VARIABLE = "BESTEX_CLICKHOUSE_USERS"


def main(arguments: list[str] | None = None) -> int:
    """Serve until told to stop; 0 after a clean stop."""
    defaults = Limits()
    parser = argparse.ArgumentParser(prog="python -m infra.chdb_server", description=__doc__)
    parser.add_argument("--path", type=Path, required=True, help="data folder, made if missing; one server at a time")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one; it is printed")
    parser.add_argument("--users", type=Path, help=f"JSON file of users; without it, ${USERS_VARIABLE} holds the JSON")
    parser.add_argument("--memory", type=int, default=defaults.memory, help="bytes the engine may use in all")
    parser.add_argument("--seconds", type=int, default=defaults.seconds, help="seconds a query may run")
    chosen = parser.parse_args(arguments)
    try:
        users = parse(chosen.users.read_text() if chosen.users else os.environ.get(USERS_VARIABLE, ""))
    except (OSError, ValueError) as error:
        parser.error(f"no users: {error}")
    engine = Engine(chosen.path.resolve(), Limits(memory=chosen.memory, seconds=chosen.seconds))
    try:
        asyncio.run(_until_signalled(engine, users, chosen.host, chosen.port))
    finally:
        engine.close()
    return 0


async def _until_signalled(engine: Engine, users: dict[str, User], host: str, port: int) -> None:
    def ready(bound: int) -> None:
        print(f"ready on http://{host}:{bound} (ClickHouse {engine.version}, embedded)", flush=True)

    serving = asyncio.create_task(serve(engine, users, host, port, ready))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, serving.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await serving


if __name__ == "__main__":
    sys.exit(main())
