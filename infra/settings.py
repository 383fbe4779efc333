"""Where the parts of a running system are, read once from the environment.

Every component is an address. An address that is given is used as it is; one that is not given is for the local
stack (``infra.stack``) to fill in. The rules kept here:

* settings are frozen values, read in one place and passed on, so that nothing below reads the environment;
* a secret may come from a file (``NAME_FILE`` beside ``NAME``), as container platforms mount them;
* ``repr`` never shows a password, because settings end in logs and tracebacks.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

PREFIX = "BESTEX_"
KAFKA_OPTION_PREFIX = "BESTEX_KAFKA_"
DEFAULT_HOME = ".bestex"
# Words in a librdkafka property's name that mark its value as secret.
_SECRET_WORDS = ("password", "secret", "pem", "key", "token")


class SettingsError(ValueError):
    """The environment cannot be understood: names the variable and what is wrong with it."""


def redacted(url: str) -> str:
    """The URL with its password, if any, replaced by ``***``."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username or ''}:***@{host}"))


@dataclass(frozen=True, slots=True, repr=False)
class Addresses:
    """Where the four components answer.

    ``kafka``: bootstrap servers (``host:port[,host:port]``); ``registry``: base URL of the Confluent-compatible API;
    ``valkey``: ``redis://`` URL; ``clickhouse``: ``http://user:password@host:port``.
    """

    kafka: str
    registry: str
    valkey: str
    clickhouse: str

    def __repr__(self) -> str:
        return (
            f"Addresses(kafka={self.kafka!r}, registry={redacted(self.registry)!r}, "
            f"valkey={redacted(self.valkey)!r}, clickhouse={redacted(self.clickhouse)!r})"
        )

    def as_environment(self) -> dict[str, str]:
        """The variables that make another process use these addresses (passwords included)."""
        return {
            "BESTEX_KAFKA": self.kafka,
            "BESTEX_REGISTRY": self.registry,
            "BESTEX_VALKEY": self.valkey,
            "BESTEX_CLICKHOUSE": self.clickhouse,
        }


@dataclass(frozen=True, slots=True, repr=False)
class Settings:
    """What the environment says. An address that is ``None`` is the local stack's to provide."""

    home: Path = Path(DEFAULT_HOME)
    kafka: str | None = None
    registry: str | None = None
    valkey: str | None = None
    clickhouse: str | None = None
    kafka_options: Mapping[str, str] = field(default_factory=dict)
    registry_user: str | None = None
    registry_password: str | None = None
    accounts: Mapping[str, Any] = field(default_factory=dict)
    router: Mapping[str, Any] = field(default_factory=dict)
    execution: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Settings:
        """Read ``BESTEX_*``; raises `SettingsError` for a secret's file that cannot be read, or a value given twice.

        ``BESTEX_KAFKA_<NAME>`` becomes librdkafka's property of that name in lower case with dots, as in
        ``BESTEX_KAFKA_SASL_USERNAME`` for ``sasl.username``.
        """
        env = os.environ if env is None else env
        options = {}
        for name in sorted(env):
            # BESTEX_KAFKA_FILE would be the file of the address itself, no property.
            if name.startswith(KAFKA_OPTION_PREFIX) and name != "BESTEX_KAFKA_FILE":
                plain = name.removesuffix("_FILE")
                value = _value(env, plain)
                if value is not None:
                    options[plain.removeprefix(KAFKA_OPTION_PREFIX).lower().replace("_", ".")] = value
        return cls(
            home=Path(_value(env, "BESTEX_HOME") or DEFAULT_HOME),
            kafka=_value(env, "BESTEX_KAFKA"),
            registry=(url := _value(env, "BESTEX_REGISTRY")) and url.rstrip("/"),
            valkey=_value(env, "BESTEX_VALKEY"),
            clickhouse=_value(env, "BESTEX_CLICKHOUSE"),
            kafka_options=options,
            registry_user=_value(env, "BESTEX_REGISTRY_USER"),
            registry_password=_value(env, "BESTEX_REGISTRY_PASSWORD"),
            accounts=_json(env, "BESTEX_ACCOUNTS"),
            router=_json(env, "BESTEX_ROUTER"),
            execution=_json(env, "BESTEX_EXECUTION"),
        )

    def agent(self, name: str) -> dict[str, Any]:
        """What a worker's configuration says of its agent's own settings: nothing where none were given."""
        own = {"accounts": self.accounts, "router": self.router}.get(name)
        return {"agent": dict(own)} if own else {}

    def kafka_client(self, bootstrap: str | None = None) -> dict[str, str]:
        """librdkafka properties that connect a client; ``bootstrap`` is used where no address was set."""
        servers = self.kafka or bootstrap
        if servers is None:
            raise SettingsError("no Kafka address: set BESTEX_KAFKA or start the local stack")
        return {**self.kafka_options, "bootstrap.servers": servers}

    def registry_client(self, url: str | None = None) -> dict[str, str]:
        """confluent-kafka's SchemaRegistryClient configuration; ``url`` is used where no address was set."""
        base = self.registry or url
        if base is None:
            raise SettingsError("no registry address: set BESTEX_REGISTRY or start the local stack")
        if self.registry_user is None:
            return {"url": base}
        return {"url": base, "basic.auth.user.info": f"{self.registry_user}:{self.registry_password or ''}"}

    def __repr__(self) -> str:
        options = {
            name: "***" if any(word in name for word in _SECRET_WORDS) else value
            for name, value in self.kafka_options.items()
        }
        shown = {
            name: redacted(url)
            for name in ("registry", "valkey", "clickhouse")
            if (url := getattr(self, name)) is not None
        }
        return (
            f"Settings(home={str(self.home)!r}, kafka={self.kafka!r}, addresses={shown}, kafka_options={options}, "
            f"registry_user={self.registry_user!r})"
        )


def _json(env: Mapping[str, str], name: str) -> dict[str, Any]:
    """The JSON object in the file that a variable names; empty without it."""
    path = env.get(name)
    if not path:
        return {}
    try:
        found = json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise SettingsError(f"{name}: {path} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise SettingsError(f"{name}: {path} holds no JSON object")
    return found


def _value(env: Mapping[str, str], name: str) -> str | None:
    """The variable, or the content of the file that ``NAME_FILE`` names; empty counts as not given."""
    direct, path = env.get(name) or None, env.get(f"{name}_FILE") or None
    if path is None:
        return direct
    if direct is not None:
        raise SettingsError(f"{name} and {name}_FILE are both set: give one of them")
    try:
        return Path(path).read_text().rstrip("\r\n") or None
    except OSError as error:
        raise SettingsError(f"{name}_FILE: cannot read {path}: {error.strerror}") from error
