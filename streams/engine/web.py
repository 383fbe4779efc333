"""A worker's web side: `/metrics`, `/live`, `/ready`; committed state to look at and never to change: `/state/TABLE/KEY`, `/view/NAME/KEY`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

from schemas.codec import RegistryUnavailable
from schemas.partitioner import partition_of
from streams.engine.agent import Broadcast, Table
from streams.engine.engine import Engine
from streams.engine.store import StateUnreadable
from streams.engine.task import Task

STUCK_SECONDS = 60.0


class Web:
    """Serves one engine. `port` 0 takes a free one; `start` returns it."""

    def __init__(self, engine: Engine, host: str, port: int) -> None:
        self._engine, self._host, self._port = engine, host, port
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/live", self._live)
        app.router.add_get("/ready", self._ready)
        app.router.add_get("/state/{table}/{key}", self._state)
        app.router.add_get("/view/{view}/{key}", self._view)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)

    async def start(self) -> int:
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()
        port: int = self._runner.addresses[0][1]
        return port

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=self._engine.metrics.text(), content_type="text/plain", charset="utf-8")

    async def _live(self, request: web.Request) -> web.Response:
        """Not alive: records of any one task wait and it has committed nothing for a minute, or something cannot be gone on with."""
        stuck = self._engine.stuck_seconds()
        failed = self._engine.failed.done()
        alive = not failed and stuck < STUCK_SECONDS
        return web.json_response({"alive": alive, "stuck_seconds": round(stuck, 1)}, status=200 if alive else 503)

    async def _ready(self, request: web.Request) -> web.Response:
        open_tasks = sorted(n for n, seat in self._engine.seats.items() if seat.epoch >= 0)
        ready = self._engine.is_open
        return web.json_response({"ready": ready, "tasks": open_tasks}, status=200 if ready else 503)

    async def _state(self, request: web.Request) -> web.Response:
        table, key = request.match_info["table"], request.match_info["key"]
        engine = self._engine
        if table not in {t.name for t in engine.agent.tables}:
            return _refused(404, "UNKNOWN_TABLE", f"{engine.agent.name} has no table {table}")
        for seat in engine.seats.values():
            try:
                value = seat.task.stores[table].get(key)
            except (RegistryUnavailable, StateUnreadable) as error:
                return _refused(503, "UNREADABLE", f"{key} cannot be read now: {error}")
            if value is not None:
                return web.json_response(text=_json(value))
        partitions = engine.link.partitions(engine.agent.inputs[0].topic)
        number = partition_of(key.encode(), partitions)
        where = "" if number in engine.seats else f"; partition {number} is another worker's"
        return _refused(404, "NOT_FOUND", f"no {key} in {table} here{where}")

    async def _view(self, request: web.Request) -> web.Response:
        """What the agent shows of a key, as of now."""
        name, key, engine = request.match_info["view"], request.match_info["key"], self._engine
        view = engine.agent.views.get(name)
        if view is None:
            return _refused(404, "UNKNOWN_VIEW", f"{engine.agent.name} has no view {name}")
        number = partition_of(key.encode(), engine.link.partitions(engine.agent.inputs[0].topic))
        seat = engine.seats.get(number)
        if seat is None:
            return _refused(404, "NOT_FOUND", f"partition {number}, where {key} is, is another worker's")
        try:
            found = view(_Look(seat.task), key, dict(request.query))
        except (RegistryUnavailable, StateUnreadable) as error:
            return _refused(503, "UNREADABLE", f"{key} cannot be read now: {error}")
        if found is None:
            return _refused(404, "NOT_FOUND", f"no {key} in {name}")
        return web.json_response(text=_json(found))


class _Look:
    """`streams.engine.agent.Look` into one task."""

    def __init__(self, task: Task) -> None:
        self._task, self.now = task, time.time_ns() // 1000

    def get(self, table: Table[Any], key: str) -> Any:
        return self._task.stores[table.name].get(key)

    def broadcast(self, broadcast: Broadcast[Any]) -> Mapping[str, Any]:
        return self._task._broadcasts[broadcast.topic]


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _refused(status: int, code: str, words: str) -> web.Response:
    return web.json_response({"error": {"code": code, "message": words}}, status=status)
