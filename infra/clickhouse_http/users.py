"""Who may use the server: names with passwords, each a writer or a reader. The engine itself knows no users."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from infra.clickhouse_http.wire import AUTHENTICATION_FAILED, Refused


@dataclass(frozen=True, slots=True)
class User:
    """One user; ``readonly`` may only ask."""

    password: str = field(repr=False)
    readonly: bool


def parse(text: str) -> dict[str, User]:
    """Users from JSON: ``{"name": {"password": "…", "readonly": false}}``; raises `ValueError` naming what is wrong."""
    raw = json.loads(text)
    if not isinstance(raw, dict) or not raw:
        raise ValueError('users must be an object: {"name": {"password": "...", "readonly": false}}')
    users = {}
    for name, entry in raw.items():
        if not isinstance(entry, dict) or not isinstance(entry.get("password"), str):
            raise ValueError(f"user {name!r} has no password")
        users[name] = User(entry["password"], bool(entry.get("readonly", False)))
    return users


def authenticate(users: Mapping[str, User], headers: Mapping[str, str], query: Mapping[str, str]) -> User:
    """The user a request names by Basic authorization, ``X-ClickHouse-User``/``-Key`` or URL; raises `Refused`."""
    name = headers.get("X-ClickHouse-User") or query.get("user")
    password = headers.get("X-ClickHouse-Key") or query.get("password")
    authorization = headers.get("Authorization", "")
    if authorization.startswith("Basic "):
        try:
            name, _, password = base64.b64decode(authorization[6:], validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            name = password = None
    name = name or "default"
    user = users.get(name)
    # Compared even for an unknown name, so that the time taken does not tell which names exist.
    expected = user.password if user is not None else "\0"
    if not hmac.compare_digest((password or "").encode(), expected.encode()) or user is None:
        raise Refused(
            AUTHENTICATION_FAILED,
            f"{name}: Authentication failed: password is incorrect, or there is no user with such name",
            "AUTHENTICATION_FAILED",
        )
    return user
