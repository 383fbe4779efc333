"""`python -m connectors.execution --config FILE.json`: one execution connector process.

The file holds `kafka` (librdkafka configuration), `registry` (URL), `venues` (fields of `VenueConfig`; `secret_file`, `api_key_file`
and `password_file` name files that hold them) and optionally `settings` (fields of `ExecutionSettings`). SIGTERM and SIGINT drain and leave
with 0; what cannot be gone on with leaves with 1, and starting again recovers.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import uvloop

from connectors.execution.connector import run_execution
from connectors.execution.settings import ExecutionSettings
from connectors.venues.adapter import VenueConfig


def venue(raw: Mapping[str, Any], folder: Path) -> VenueConfig:
    """A venue's configuration. Raises `ValueError` for a field that there is none of."""
    given = dict(raw)
    for name in ("api_key", "secret", "password"):
        if file := given.pop(f"{name}_file", None):
            given[name] = (folder / file).read_text().strip()
    unknown = set(given) - {f.name for f in fields(VenueConfig)}
    if unknown:
        raise ValueError(f"venue {given.get('name')}: no such field: {', '.join(sorted(unknown))}")
    if given.get("symbols") is not None:
        given["symbols"] = tuple(given["symbols"])
    return VenueConfig(**given)


def read(path: Path) -> tuple[dict[str, Any], list[VenueConfig], ExecutionSettings]:
    """The configuration, its venues and its settings. Raises `ValueError`, `TypeError`, `OSError`."""
    config = json.loads(path.read_text())
    settings = ExecutionSettings(**config.get("settings", {}))
    return config, [venue(v, path.parent) for v in config["venues"]], settings


async def main(config: Mapping[str, Any], venues: list[VenueConfig], settings: ExecutionSettings) -> None:
    """Run until a signal says to leave."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await run_execution(config["kafka"], config["registry"], venues, settings.group, stop, settings)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Sends child orders to venues and reports what became of them.")
    parser.add_argument("--config", type=Path, required=True, metavar="FILE.json")
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for name in ("httpx", "httpx2"):  # a line a request
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        uvloop.run(main(*read(parser.parse_args().config)))
    except Exception:
        logging.getLogger("connectors.execution").exception("cannot go on")
        sys.exit(1)
