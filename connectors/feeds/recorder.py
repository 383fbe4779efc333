"""Recording what an exchange says, as it says it: `<local receive time, ns> <message>` a line, gzipped where the name ends in `.gz`.

What `connectors.recordings` reads back, the simulator replays and `bestex book check` checks. Rules:

* a message is written as it came, before anybody has looked into it; only a line break inside one becomes a blank, which is the same JSON;
* Binance's whole books come by REST, each asked for once the stream has told a change of it: bare as the exchange answers where one symbol is recorded,
  else as `{"stream": "<symbol>@snapshot", "data": …}`, because the answer names no symbol;
* a stream that breaks is opened anew, and its books begin again with a snapshot; what was missed shows in the exchange's own count.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

import aiohttp

from connectors.feeds.binance import Binance

log = logging.getLogger(__name__)
CONNECT_SECONDS, PING_SECONDS, PAUSE_SECONDS = 10.0, 20.0, 1.0
_BINANCE = Binance()


@dataclass(frozen=True, slots=True)
class Stream:
    """How one exchange's public stream is asked for. `url` and `hello` are given its names of the symbols; `ping` keeps the stream alive."""

    ws_url: str
    symbol_id: Callable[[str], str]
    hello: Callable[[Sequence[str]], Sequence[Any]] = lambda ids: ()
    url: Callable[[str, Sequence[str]], str] = lambda base, ids: base
    ping: str | None = None
    rest_url: str | None = None


def _dashed(symbol: str) -> str:
    return symbol.replace("/", "-")


def _joined(symbol: str) -> str:
    return symbol.replace("/", "")


def _kraken(symbol: str) -> str:
    return "/".join({"BTC": "XBT", "DOGE": "XDG"}.get(asset, asset) for asset in symbol.split("/"))


def _bitfinex(symbol: str) -> str:
    base, quote = (("UST" if asset == "USDT" else asset) for asset in symbol.split("/"))
    return f"t{base}{':' if len(base) > 3 else ''}{quote}"


def _binance_url(base: str, ids: Sequence[str]) -> str:
    streams = [f"{i.lower()}@{kind}" for i in ids for kind in ("depth@100ms", "trade", "bookTicker")]
    return f"{base.rstrip('/')}/stream?streams={'/'.join(streams)}"


STREAMS: Mapping[str, Stream] = {
    "binance": Stream("wss://stream.binance.com:9443", _joined, url=_binance_url, rest_url="https://api.binance.com"),
    "bitfinex": Stream(
        "wss://api-pub.bitfinex.com/ws/2",
        _bitfinex,
        lambda ids: [
            {"event": "conf", "flags": 65536 + 131072},
            *({"event": "subscribe", "channel": "book", "symbol": i, "prec": "P0", "len": "250"} for i in ids),
            *({"event": "subscribe", "channel": "trades", "symbol": i} for i in ids),
        ],
    ),
    "bybit": Stream(
        "wss://stream.bybit.com/v5/public/spot",
        _joined,
        lambda ids: [
            {"op": "subscribe", "args": [f"{topic}.{i}" for i in ids]} for topic in ("orderbook.200", "publicTrade")
        ],
        ping='{"op":"ping"}',
    ),
    "coinbase": Stream(
        "wss://advanced-trade-ws.coinbase.com",
        _dashed,
        lambda ids: [
            {"type": "subscribe", "channel": channel, "product_ids": list(ids)}
            for channel in ("heartbeats", "level2", "market_trades")
        ],
    ),
    "kraken": Stream(
        "wss://ws.kraken.com",
        _kraken,
        lambda ids: [
            {"event": "subscribe", "pair": list(ids), "subscription": {"name": "book", "depth": 1000}},
            {"event": "subscribe", "pair": list(ids), "subscription": {"name": "trade"}},
        ],
    ),
    "okx": Stream(
        "wss://ws.okx.com:8443/ws/v5/public",
        _dashed,
        lambda ids: [
            {"op": "subscribe", "args": [{"channel": c, "instId": i} for i in ids for c in ("books", "trades")]}
        ],
        ping="ping",
    ),
}


@dataclass(slots=True)
class Recording:
    """What was recorded. `messages` by the symbol-less count; `connections`: how often the stream was opened."""

    messages: int = 0
    snapshots: int = 0
    bytes: int = 0
    connections: int = 0
    errors: list[str] = field(default_factory=list)


async def record(
    exchange: str,
    symbols: Sequence[str],
    out: Path,
    seconds: float,
    clock: Callable[[], int],
    *,
    ws_url: str | None = None,
    rest_url: str | None = None,
    stop: asyncio.Event | None = None,
) -> Recording:
    """Record for `seconds`, or until `stop`. `clock` gives nanoseconds. Raises `ValueError` for an exchange without a row, `OSError`."""
    if exchange not in STREAMS:
        raise ValueError(f"{exchange!r} cannot be recorded; there are {', '.join(STREAMS)}")
    stream, done = STREAMS[exchange], Recording()
    with _written(out) as file:
        async with aiohttp.ClientSession() as http:
            session = _Session(stream, list(symbols), file, clock, done, http, ws_url, rest_url)
            work = asyncio.create_task(session.run())
            waits = [work, *([asyncio.create_task(stop.wait())] if stop is not None else [])]
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            for task in waits:
                task.cancel()
            for ended in await asyncio.gather(*waits, return_exceptions=True):
                if isinstance(ended, Exception):
                    raise ended
    return done


def _written(out: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(out, "wb")) if out.name.endswith(".gz") else out.open("wb")


class _Session:
    def __init__(
        self,
        stream: Stream,
        symbols: list[str],
        file: IO[bytes],
        clock: Callable[[], int],
        done: Recording,
        http: aiohttp.ClientSession,
        ws_url: str | None,
        rest_url: str | None,
    ) -> None:
        self._stream, self._symbols, self._file, self._clock = stream, symbols, file, clock
        self._done, self._http = done, http
        self._ids = [stream.symbol_id(s) for s in symbols]
        self._url = stream.url(ws_url or stream.ws_url, self._ids)
        self._rest = (rest_url or stream.rest_url) if stream.rest_url else None

    async def run(self) -> None:
        """Connection after connection, for ever."""
        while True:
            try:
                await self._connection()
            except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
                why = str(error) or type(error).__name__
                self._done.errors.append(why)
                log.warning("%s: %s", self._url, why)
            await asyncio.sleep(PAUSE_SECONDS)  # between two connections: an exchange counts them

    async def _connection(self) -> None:
        async with asyncio.timeout(CONNECT_SECONDS):
            socket = await self._http.ws_connect(self._url, max_msg_size=64 << 20)
        async with socket, asyncio.TaskGroup() as group:
            self._done.connections += 1
            for message in self._stream.hello(self._ids):
                await socket.send_str(json.dumps(message))
            beat = group.create_task(self._beat(socket))
            asked = set[str]()
            async for came in socket:
                data = came.data.encode() if isinstance(came.data, str) else came.data
                self._write(data)
                if self._rest is not None and len(asked) < len(self._ids) and data.find(b"@depth", 0, 64) > 0:
                    name = data[:64].decode(errors="replace").partition("@")[0].rpartition('"')[2].upper()
                    for symbol, symbol_id in zip(self._symbols, self._ids, strict=True):
                        if symbol_id == name and symbol not in asked:
                            asked.add(symbol)
                            group.create_task(self._snapshot(symbol))
            beat.cancel()
        raise ConnectionError(f"the stream ended (code {socket.close_code})")

    async def _beat(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        while self._stream.ping is not None:
            await asyncio.sleep(PING_SECONDS)
            await socket.send_str(self._stream.ping)

    async def _snapshot(self, symbol: str) -> None:
        """The whole book, until it is there."""
        url = _BINANCE.snapshot_url(self._rest or "", symbol)
        while True:
            try:
                async with self._http.get(url, timeout=aiohttp.ClientTimeout(total=CONNECT_SECONDS)) as answer:
                    answer.raise_for_status()
                    data = (await answer.read()).strip()
                break
            except (aiohttp.ClientError, TimeoutError) as error:
                self._done.errors.append(f"{url}: {error or type(error).__name__}")
            await asyncio.sleep(PAUSE_SECONDS)
        if len(self._symbols) > 1:
            data = b'{"stream":"%s@snapshot","data":%s}' % (self._stream.symbol_id(symbol).lower().encode(), data)
        self._done.snapshots += 1
        self._write(data)

    def _write(self, data: bytes) -> None:
        line = b"%d %s\n" % (self._clock(), data.replace(b"\n", b" "))
        self._file.write(line)
        self._done.messages += 1
        self._done.bytes += len(line)
