"""The HTTP side: ClickHouse's interface as clickhouse-connect, curl and JDBC speak it, over `Engine`.

Reading is by GET or POST, writing by POST only. Queries run on threads; an INSERT's body is passed on as it arrives; a
SELECT in a format that can be cut is sent as it is made. A client that goes away has its query killed.

Not there, on purpose: sessions (``session_id`` is accepted and ignored: nothing set by one request is seen by the
next), temporary tables across requests, ClickHouse's own block compression (``compress=1``), roles and quotas. The
read-only user is kept from mistakes, not from malice: this server is for one machine's loopback interface.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from aiohttp import web

from infra.clickhouse_http import wire
from infra.clickhouse_http.engine import STREAMED_FORMATS, Connection, Engine
from infra.clickhouse_http.statements import InsertHead, Unclear, insert_head, output_format, reads_only, refusal
from infra.clickhouse_http.users import User, authenticate
from infra.clickhouse_http.wire import Refused

# Of the URL, for the HTTP layer; everything else there is a setting or a parameter.
_NOT_SETTINGS = frozenset(
    {
        "query",
        "database",
        "default_format",
        "user",
        "password",
        "session_id",
        "session_timeout",
        "session_check",
        "query_id",
        "quota_key",
        "compress",
        "decompress",
        "buffer_size",
        "wait_end_of_query",
        "role",
        "stacktrace",
        "client_protocol_version",
        "send_progress_in_http_headers",
        "http_headers_progress_interval_ms",
        "enable_http_compression",
        "cancel_http_readonly_queries_on_client_close",
        "readonly",
        "log_comment",
    }
)
THREADS = 8
MAX_WAITING = 64
MAX_FORM_BYTES = 64 << 20
_HEAD_BYTES = 256 << 10  # as ClickHouse's max_query_size: a statement's head is within it
_APPEND_BYTES = 1 << 20
_MAX_STATEMENT_BYTES = 64 << 20
_SHUTDOWN_SECONDS = 8.0

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(slots=True)
class _Request:
    """One request, understood: what to run, as whom, with what."""

    query_id: str
    tag: str
    user: User
    readonly: bool
    database: str | None
    settings: dict[str, str]
    params: dict[str, str]
    headers: dict[str, str]
    began: int


class Server:
    """Routes ``/`` and ``/ping`` onto one engine."""

    def __init__(self, engine: Engine, users: Mapping[str, User]) -> None:
        self._engine = engine
        self._users = users
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="query")
        self._slots = asyncio.Semaphore(THREADS)
        self._waiting = 0

    def application(self) -> web.Application:
        """The aiohttp application."""
        application = web.Application(client_max_size=MAX_FORM_BYTES)
        application.router.add_get("/ping", self._ping)
        application.router.add_get("/replicas_status", self._ping)
        application.router.add_route("*", "/", self._handle)
        return application

    async def _ping(self, request: web.Request) -> web.Response:
        return web.Response(text="Ok.\n")

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.method in ("GET", "HEAD") and "query" not in request.query:
            return web.Response(text="Ok.\n")
        query_id = request.query.get("query_id") or str(uuid.uuid4())
        headers = {
            "X-ClickHouse-Query-Id": query_id,
            "X-ClickHouse-Timezone": self._engine.timezone,
            "X-ClickHouse-Server-Display-Name": "bestex",
        }
        try:
            if request.method not in ("GET", "HEAD", "POST"):
                raise Refused(wire.NOT_IMPLEMENTED, f"method {request.method} is not supported", "NOT_IMPLEMENTED")
            if "1" in (request.query.get("compress"), request.query.get("decompress")):
                raise Refused(
                    wire.NOT_IMPLEMENTED, "compress=1 is not supported: use Content-Encoding", "NOT_IMPLEMENTED"
                )
            user = authenticate(self._users, request.headers, request.query)
            if self._waiting >= MAX_WAITING:
                raise Refused(wire.TOO_MANY_QUERIES, "Too many simultaneous queries", "TOO_MANY_SIMULTANEOUS_QUERIES")
            understood = self._understand(request, user, query_id, headers)
            self._waiting += 1
            try:
                async with self._slots:
                    return await self._answer(request, understood)
            finally:
                self._waiting -= 1
        except ConnectionError:
            raise  # the client is gone: nobody is left to tell
        except (Refused, RuntimeError, ValueError) as error:  # the engine's errors are RuntimeErrors
            text = wire.error_text(error)
            code = wire.error_code(text)
            headers["X-ClickHouse-Exception-Code"] = str(code)
            return web.Response(status=wire.http_status(code), text=text + "\n", headers=headers)

    def _understand(self, request: web.Request, user: User, query_id: str, headers: dict[str, str]) -> _Request:
        query = request.query
        # The tag must be this request's alone: a client may repeat its query_id.
        tag = " ".join(filter(None, (query.get("log_comment"), f"{query_id}/{uuid.uuid4().hex[:8]}")))
        return _Request(
            query_id=query_id,
            tag=tag,
            user=user,
            readonly=user.readonly or request.method != "POST" or query.get("readonly", "0") != "0",
            database=query.get("database") or request.headers.get("X-ClickHouse-Database"),
            settings={k: v for k, v in query.items() if k not in _NOT_SETTINGS and not k.startswith("param_")},
            params={k.removeprefix("param_"): v for k, v in query.items() if k.startswith("param_")},
            headers=headers,
            began=time.perf_counter_ns(),
        )

    async def _answer(self, request: web.Request, asked: _Request) -> web.StreamResponse:
        head = request.query.get("query", "").encode()
        body = self._body(request, asked)
        if head:
            head += b"\n"  # as ClickHouse joins the URL's query and the body
        in_url = insert_head(head, complete=True) if head else None
        if isinstance(in_url, InsertHead):
            return await self._insert(asked, in_url, head[in_url.data_at :], body)
        verdict = insert_head(head, complete=False)
        async for piece in body:
            head += piece
            verdict = insert_head(head, complete=False)
            if verdict is not Unclear.MORE or len(head) > _HEAD_BYTES:
                break
        if verdict is Unclear.MORE:
            verdict = insert_head(head, complete=True)
        if isinstance(verdict, InsertHead) and verdict.format != "Values":
            return await self._insert(asked, verdict, head[verdict.data_at :], body)
        async for piece in body:
            head += piece
            if isinstance(verdict, InsertHead) and len(head) > _HEAD_BYTES:
                return await self._insert(asked, verdict, head[verdict.data_at :], body)
            if len(head) > _MAX_STATEMENT_BYTES:
                raise Refused(62, "the statement is too long: send data with INSERT … FORMAT", "SYNTAX_ERROR")
        sql = head.decode().strip().rstrip(";").rstrip()
        return await self._query(request, asked, sql)

    async def _body(self, request: web.Request, asked: _Request) -> AsyncIterator[bytes]:
        """The decoded body, piece by piece; of a form, its ``query`` (its parameters join the request's)."""
        if request.content_type == "multipart/form-data":
            form = await request.post()
            for name, value in form.items():
                if name.startswith("param_") and isinstance(value, str):
                    asked.params[name.removeprefix("param_")] = value
            text = form.get("query", "")
            if isinstance(text, str) and text:
                yield text.encode()
            return
        decoder, any_came = wire.BodyDecoder(request.headers.get("Content-Encoding", "")), False
        async for piece in request.content.iter_any():
            any_came = True
            plain = decoder.decode(piece)
            if plain:
                yield plain
        if any_came:
            decoder.finish()

    async def _insert(
        self, asked: _Request, head: InsertHead, first: bytes, body: AsyncIterator[bytes]
    ) -> web.StreamResponse:
        if asked.readonly:
            raise Refused(wire.READONLY, "Cannot execute this query in readonly mode", "READONLY")
        async with _Lease(self, asked) as lease:
            inserter: Any = await lease.run(lease.connection.begin_insert, head.statement, head.format)
            try:
                pending = bytearray(first)
                async for piece in body:
                    pending += piece
                    if len(pending) >= _APPEND_BYTES:
                        await lease.run(inserter.append, bytes(pending))
                        pending.clear()
                if pending:
                    await lease.run(inserter.append, bytes(pending))
                written = await lease.run(inserter.finish)
            except BaseException:
                # Half an insert is none: nothing is committed before finish.
                await lease.run_to_end(inserter.cancel)
                raise
        return web.Response(headers=_summary(asked, written=(written.rows_written, written.bytes_written)))

    async def _query(self, request: web.Request, asked: _Request, sql: str) -> web.StreamResponse:
        if asked.readonly and (reason := refusal(sql)) is not None:
            raise Refused(wire.READONLY, reason, "READONLY")
        reading = reads_only(sql)
        fmt = (
            output_format(sql)
            or request.query.get("default_format")
            or request.headers.get("X-ClickHouse-Format")
            or "TabSeparated"
        )
        content_type = wire.CONTENT_TYPES.get(fmt.lower(), wire.DEFAULT_CONTENT_TYPE)
        headers = {"Content-Type": content_type} | ({"X-ClickHouse-Format": fmt} if reading else {})
        async with _Lease(self, asked) as lease:
            whole = request.query.get("wait_end_of_query", "0") == "1" or request.method == "HEAD"
            if reading and not whole and fmt.lower() in STREAMED_FORMATS:
                return await self._stream(request, asked, lease, sql, fmt, headers)
            result = await lease.run(lease.connection.query, sql, fmt, asked.params)
            data = result.data
            if reading and not data and fmt.lower() == "native":
                data = await lease.run(lease.connection.empty_native, sql, fmt, asked.params)
        return web.Response(body=data, headers=headers | _summary(asked, read=(result.rows_read, result.bytes_read)))

    async def _stream(
        self,
        request: web.Request,
        asked: _Request,
        lease: _Lease,
        sql: str,
        fmt: str,
        headers: dict[str, str],
    ) -> web.StreamResponse:
        opened = lease.connection.stream(sql, fmt, asked.params)
        following = await lease.run(opened.__enter__)
        closed = False
        try:
            block = await lease.run(following)
            if not block and fmt.lower() == "native":
                await lease.run_to_end(opened.__exit__, None, None, None)
                closed = True
                data = await lease.run(lease.connection.empty_native, sql, fmt, asked.params)
                return web.Response(body=data, headers=headers | _summary(asked))
            response = web.StreamResponse(headers=headers | _summary(asked))
            await response.prepare(request)
            try:
                while block is not None:
                    await response.write(block)
                    block = await lease.run(following)
            except RuntimeError as error:
                # The status is sent already. As ClickHouse does: the error as text, then break off, so that no client
                # takes a part for the whole.
                await response.write(wire.error_text(error).encode())
                if request.transport is not None:
                    request.transport.abort()
                return response
            await response.write_eof()
            return response
        finally:
            if not closed:
                await lease.run_to_end(opened.__exit__, None, None, None)

    async def _in_thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: function(*args, **kwargs))


class _Lease:
    """A connection held for one request. A call that is cancelled is killed in the engine and waited for, because the
    connection cannot be closed under a running thread."""

    def __init__(self, server: Server, asked: _Request) -> None:
        self._server = server
        self._asked = asked
        self._opened = server._engine.connection(asked.database, asked.settings, asked.tag, asked.readonly)
        self.connection: Connection

    async def __aenter__(self) -> _Lease:
        self.connection = await self.run_to_end(self._opened.__enter__)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.run_to_end(self._opened.__exit__, None, None, None)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run in a thread; on cancellation kill the query, wait for the thread, then go on being cancelled."""
        call = asyncio.ensure_future(self._server._in_thread(function, *args, **kwargs))
        try:
            return await asyncio.shield(call)
        except asyncio.CancelledError:
            # Not through the pool: its threads may all be busy with what is to be killed.
            await asyncio.shield(asyncio.to_thread(self._server._engine.kill, self._asked.tag))
            await asyncio.wait([call])
            raise

    async def run_to_end(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run in a thread something short that must not be left half done."""
        call = asyncio.ensure_future(self._server._in_thread(function, *args, **kwargs))
        try:
            return await asyncio.shield(call)
        except asyncio.CancelledError:
            await asyncio.wait([call])
            raise


def _summary(asked: _Request, read: tuple[int, int] = (0, 0), written: tuple[int, int] = (0, 0)) -> dict[str, str]:
    """The response's ClickHouse headers. ``written`` counts a view's rows too and knows no deduplication."""
    numbers = {
        "read_rows": read[0],
        "read_bytes": read[1],
        "written_rows": written[0],
        "written_bytes": written[1],
        "total_rows_to_read": 0,
        "result_rows": written[0],
        "result_bytes": written[1],
        "elapsed_ns": time.perf_counter_ns() - asked.began,
    }
    return asked.headers | {"X-ClickHouse-Summary": json.dumps({name: str(value) for name, value in numbers.items()})}


async def serve(engine: Engine, users: Mapping[str, User], host: str, port: int, ready: Callable[[int], None]) -> None:
    """Serve until cancelled, then let running requests end; ``ready`` gets the port that was bound."""
    runner = web.AppRunner(
        Server(engine, users).application(),
        access_log=None,
        auto_decompress=False,  # decoded here, piece by piece, lz4 and zstd included
        handler_cancellation=True,
        shutdown_timeout=_SHUTDOWN_SECONDS,
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        ready(runner.addresses[0][1])
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()
