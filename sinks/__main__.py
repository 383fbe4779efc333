"""`python -m sinks NAME --config FILE.json`: one sink process.

The file holds `kafka` (bootstrap servers, or librdkafka configuration), `registry` (URL), what the sink needs (`clickhouse` and
`database`; `valkey` and `valkey_prefix`; `webhook` or `file`), and optionally `topic_prefix`, `group`, `instance` (see `sinks.runner`)
and `settings` (fields of `sinks.base.Settings`). SIGTERM and SIGINT drain and leave with 0; what cannot be gone on with leaves with 1, and
starting again recovers.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from schemas.codec import Codec
from schemas.registry import ConfluentRegistry
from sinks.leaving import told_to_leave
from sinks.registry import SINKS, load
from sinks.runner import Runner

log = logging.getLogger("sinks")


def kafka(config: Mapping[str, Any]) -> dict[str, Any]:
    """librdkafka configuration of the file's `kafka` and `group`."""
    given = config["kafka"]
    properties = {"bootstrap.servers": given} if isinstance(given, str) else dict(given)
    return properties | ({"group.id": config["group"]} if config.get("group") else {})


def main(name: str, config: Mapping[str, Any]) -> None:
    """Run until a signal says to leave."""
    stop = told_to_leave()
    sink = load(name, config)
    runner = Runner(
        name,
        sink,
        kafka(config),
        lambda: Codec(ConfluentRegistry(config["registry"])),
        lambda: time.time_ns() // 1000,
        replace(sink.settings, **config.get("settings", {})),
        prefix=config.get("topic_prefix", ""),
        instance=config.get("instance"),
    )
    runner.run(stop)
    log.info("%s: left", name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m sinks", description="Carries records to a target outside the cluster."
    )
    parser.add_argument("name", choices=sorted(SINKS))
    parser.add_argument("--config", type=Path, required=True, metavar="FILE.json")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for client in ("httpx", "httpx2"):  # a line a request
        logging.getLogger(client).setLevel(logging.WARNING)
    try:
        main(arguments.name, json.loads(arguments.config.read_text()))
    except Exception:
        log.exception("%s: cannot go on", arguments.name)
        sys.exit(1)
