"""`python -m streams.worker NAME --config FILE.json`: one worker process of an agent. The only place that knows all agents.

The file holds `kafka` (librdkafka properties), `registry` (URL), `home` (folder for local state), and optionally `instance`, `replication`,
`session_seconds`, `engine` (fields of `EngineSettings`) and `agent` (fields of the agent's own settings,
see `AGENTS`). When all tasks given to the process are
open it prints `{"ready": [partitions]}`. SIGTERM and SIGINT finish the open checkpoints, leave the group and exit with 0.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from streams.agents.accounts import accounts_agent
from streams.agents.router import router_agent
from streams.domain.risk import RiskSettings
from streams.domain.terms import RoutingSettings
from streams.engine.agent import Agent
from streams.engine.engine import EngineSettings
from streams.engine.worker import WorkerSettings, run

# Name -> how its agent is made, and from what settings.
AGENTS: Mapping[str, tuple[Callable[[Any], Agent], type]] = {
    "accounts": (accounts_agent, RiskSettings),
    "router": (router_agent, RoutingSettings),
}


def read(path: Path) -> tuple[WorkerSettings, dict[str, Any]]:
    """The worker's settings and the agent's own. Raises `OSError`, `ValueError`, `TypeError`."""
    config = json.loads(path.read_text())
    agent = config.pop("agent", {})
    config["home"] = Path(config["home"])
    config["engine"] = EngineSettings(**config.get("engine", {}))
    return WorkerSettings(**config), agent


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description="Runs one worker of an agent.")
    parser.add_argument("name", choices=sorted(AGENTS))
    parser.add_argument("--config", type=Path, required=True, metavar="FILE.json")
    chosen = parser.parse_args()
    settings, agent = read(chosen.config)
    make, kind = AGENTS[chosen.name]
    run(make(msgspec.convert(agent, kind)), settings)


if __name__ == "__main__":
    main()
