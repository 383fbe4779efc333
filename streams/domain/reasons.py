"""What a code says in words, where whoever gives it has nothing more precise to say. Codes are stable; words are for people, and may change."""

from __future__ import annotations

from collections.abc import Mapping

WORDS: Mapping[str, str] = {
    # why an order, or what was left of it, ended
    "CLIENT_CANCEL": "cancelled as its user asked",
    "OPERATOR_CANCEL": "cancelled as an operator asked",
    "TIME_EXPIRED": "its time was over",
    "WINDOW_OVER": "the window of its slices is over",
    "IOC_REMAINDER": "what could be had at once was taken; the rest may not wait",
    "TOO_MANY_PARTS": "it has been sent in as many parts as an order may have",
    "VENUE_CANCELLED": "its venue cancelled it, unasked",
    "CALLED_BACK": "it was called back for a change that then could not be made",
    "VENUE_EXPIRED": "its venue let it expire",
    "VENUE_REJECTED": "its venue refused it",
    "NO_VENUE": "no venue took it",
    # why quantity was given to no venue
    "NO_ELIGIBLE_VENUE": "no venue can be routed to now",
    "NO_LIQUIDITY": "no venue has more within the price",
    "NO_VENUE_FILLS_WHOLE": "no single venue has all of it within the price",
    "BELOW_MINIMUM": "what is left is less than a venue takes",
    "BELOW_LOT": "what is left is less than a lot",
    "WOULD_TAKE": "post-only, and at every venue it would have been filled at once",
    "CHILD_LIMIT": "it would have to go to more venues than one order may",
    "HALTED": "trading is halted",
    "TOO_OLD": "it waited for so long that the market it was priced by is gone",
}


def said(code: str, reason: str) -> str:
    """The reason, or the words for the code where none was given."""
    return reason or WORDS.get(code, "")
