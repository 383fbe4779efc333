"""``python -m infra.stack up|down|status|lock``: the stack without the rest of the command line, for scripts.

``up`` prints the addresses as one JSON object, passwords included, and leaves the stack running.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

from infra.settings import Settings
from infra.stack.artifacts import relock
from infra.stack.stack import Stack
from infra.stack.state import StackError


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 if it did what was asked."""
    parser = argparse.ArgumentParser(prog="python -m infra.stack", description=__doc__)
    parser.add_argument("command", choices=("up", "down", "status", "lock"))
    parser.add_argument("--home", type=Path, help="data folder (default: BESTEX_HOME, else .bestex)")
    chosen = parser.parse_args(arguments)
    if chosen.command == "lock":
        relock()
        return 0
    settings = Settings.from_env()
    settings = replace(settings, home=chosen.home or settings.home)
    stack = Stack(settings.home, settings, lambda part, text: print(f"{part}: {text}", file=sys.stderr), detached=True)
    try:
        if chosen.command == "up":
            print(json.dumps(asdict(stack.start())))
        elif chosen.command == "down":
            stack.stop()
        else:
            print(json.dumps(stack.status()))
    except StackError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
