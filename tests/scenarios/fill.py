"""`python -m tests.scenarios.fill FILE.md`: writes what comes of its scenarios into the cells that hold a `?`, for their author to judge.

A scenario is written by hand as far as its commands; what the agents make of them is then read, not believed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.scenarios.house import House
from tests.scenarios.language import read

UNKNOWN = "?"


def fill(path: Path) -> None:
    """Fill the file in place."""
    lines = path.read_text().splitlines()
    for one in read(path):
        house = House(one)
        for step in one.steps:
            came = house.step(step)
            given = (step.events, step.fills, step.orders)
            cells = [new if old == UNKNOWN else old for old, new in zip(given, came, strict=True)]
            lines[step.line - 1] = f"| {step.command} | {' | '.join(cells)} |"
        has = house.has()
        for who, text in one.then.items():
            lines[one.then_lines[who] - 1] = f"| {who} | {has.get(who, '') if text == UNKNOWN else text} |"
    path.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    for name in sys.argv[1:]:
        fill(Path(name))
