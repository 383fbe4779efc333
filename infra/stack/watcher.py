"""Ends an attached stack whose owner died without a word (``kill -9``, a crash of the interpreter).

Started beside the parts as ``python -m infra.stack.watcher OWNER_PID HOME``. It looks once a second whether it is
still its owner's child. A pipe or the kernel's parent-death signal would tell sooner, but the first is kept open by any
process the owner forks, and the second is Linux's alone and counts the death of a *thread* as the parent's.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

from infra.stack import process
from infra.stack.state import load

_LOOK_SECONDS = 1.0


def main(owner: int, home: Path) -> None:
    """Return when told to (SIGTERM), or once the owner has died and its parts are ended."""
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: told.set())
    while not told.wait(_LOOK_SECONDS):
        if os.getppid() != owner:
            state = load(home)
            if state.owner is not None and state.owner.pid == owner:
                process.end(state.running())
            return


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
