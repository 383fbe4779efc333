"""How much a dead letter carries: the record it is about, whole, though that was as large as its own topic lets records be.

A letter is larger than its record by the cause, so its topic takes larger ones than the others (`MOST_BYTES`, set where topics are made), and
who writes letters tells its client so. Only a record that is still too large (a client may be let to send what compresses well) goes
without its value: it stays where the letter says it came from. A letter that does not fit would otherwise be tried for ever.
"""

from __future__ import annotations

MOST_BYTES = 8 << 20  # of a letter with its frame, before compression
_LEFT = "too large to be carried: read it at its origin)"
ROOM = 64 << 10  # for all of it but key and value, and for what a batch adds


def carried(
    key: bytes | None, value: bytes | None, detail: str, most: int = MOST_BYTES - ROOM
) -> tuple[bytes | None, str]:
    """The value and the detail of a letter about a record: as they are, or nothing and the reason for that, where they are more than `most`."""
    size = len(value or b"")  # the key counts twice: the letter holds it, and is sent under it
    if 2 * len(key or b"") + size + len(detail) <= most:
        return value, detail
    return None, f"{detail[:1000]} (the value of {size} bytes is {_LEFT}"


def left_behind(value: bytes | None, detail: str) -> bool:
    """Whether a letter is without its record's value because that was too large (and not because the record had none)."""
    return value is None and detail.endswith(_LEFT)
