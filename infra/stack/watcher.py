"""Ends an attached stack whose owner died without a word (``kill -9``, a crash of the interpreter).

Started beside the parts as ``python -m infra.stack.watcher OWNER_PID HOME``. It looks once a second whether it is
still its owner's child. A pipe or the kernel's parent-death signal would tell sooner, but the first is kept open by any
process the owner forks, and the second is Linux's alone and counts the death of a *thread* as the parent's.

SIGTERM ends it at once, as it ends any process that does not ask otherwise: a handler that set an event could come while the main
thread holds that event's lock, and then neither would go on.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from infra.stack import process
from infra.stack.state import load

_LOOK_SECONDS = 1.0


def main(owner: int, home: Path) -> None:
    """Return once the owner has died and its parts are ended."""
    while os.getppid() == owner:
        time.sleep(_LOOK_SECONDS)  # between two looks
    state = load(home)
    if state.owner is not None and state.owner.pid == owner:
        process.end(state.running())


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
