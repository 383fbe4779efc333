"""The bytes around a query: bodies decoded as they arrive, errors as ClickHouse reports them, empty Native results.

Source: ClickHouse's HTTP interface and its Native format, revision 0, as clients see them. No I/O.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable

import lz4.frame
import zstandard

_CODE = re.compile(r"Code: (\d+)\.")
_UNKNOWN_CODE = 1001  # STD_EXCEPTION
AUTHENTICATION_FAILED = 516
READONLY = 164
UNKNOWN_SETTING = 115
TOO_MANY_QUERIES = 202
CANNOT_DECOMPRESS = 271
NOT_IMPLEMENTED = 48
# As ClickHouse maps its error codes to HTTP; all others are 500.
_STATUS = {
    **dict.fromkeys((6, 26, 27, 38, 41, 53, 62, 72, 117, 321), 400),  # cannot parse, wrong types, syntax
    194: 401,  # a password is required
    **dict.fromkeys((192, 193, 516), 403),  # unknown user, wrong password
    **dict.fromkeys((46, 47, 50, 56, 60, 63, 73, 81, 115, 152), 404),  # unknown function, table, setting, …
    159: 408,  # TIMEOUT_EXCEEDED
    48: 501,
    202: 503,
}
CONTENT_TYPES = {
    "json": "application/json; charset=UTF-8",
    "jsoncompact": "application/json; charset=UTF-8",
    "jsoneachrow": "application/x-ndjson; charset=UTF-8",
    "csv": "text/csv; charset=UTF-8",
    "csvwithnames": "text/csv; charset=UTF-8",
    "tabseparated": "text/tab-separated-values; charset=UTF-8",
    "native": "application/octet-stream",
    "rowbinary": "application/octet-stream",
    "parquet": "application/octet-stream",
    "arrow": "application/octet-stream",
    "arrowstream": "application/octet-stream",
}
DEFAULT_CONTENT_TYPE = "text/plain; charset=UTF-8"


class Refused(Exception):
    """An error with ClickHouse's code and name, raised by the HTTP side rather than the engine."""

    def __init__(self, code: int, text: str, name: str) -> None:
        super().__init__(f"Code: {code}. DB::Exception: {text}. ({name})")


def error_text(error: BaseException) -> str:
    """ClickHouse's own words, without what the engine's Python layers put before them."""
    text = str(error)
    at = text.find("Code: ")
    return text[at:] if at >= 0 else f"Code: {_UNKNOWN_CODE}. DB::Exception: {text}. (STD_EXCEPTION)"


def error_code(text: str) -> int:
    """The code in an error text, for ``X-ClickHouse-Exception-Code``."""
    found = _CODE.match(text)
    return int(found[1]) if found else _UNKNOWN_CODE


def http_status(code: int) -> int:
    """The HTTP status of an error code."""
    return _STATUS.get(code, 500)


class BodyDecoder:
    """Undoes a request's ``Content-Encoding`` piece by piece; raises `Refused` for an unknown or damaged one."""

    def __init__(self, encoding: str) -> None:
        self.encoding = encoding.strip().lower()
        self._lz4 = lz4.frame.LZ4FrameDecompressor()
        self._finished: Callable[[], bool] = lambda: True
        match self.encoding:
            case "" | "identity":
                self._decode: Callable[[bytes], bytes] = bytes
            case "gzip" | "deflate":
                inflate = zlib.decompressobj(31 if self.encoding == "gzip" else zlib.MAX_WBITS)
                self._decode, self._finished = inflate.decompress, lambda: inflate.eof
            case "zstd":
                self._decode = zstandard.ZstdDecompressor().decompressobj(read_across_frames=True).decompress
            case "lz4":
                self._decode, self._finished = self._lz4_frames, lambda: self._lz4.eof
            case _:
                raise Refused(NOT_IMPLEMENTED, f"Content-Encoding {encoding} is not supported", "NOT_IMPLEMENTED")

    def decode(self, data: bytes) -> bytes:
        """The plain bytes that these add; may be none yet."""
        try:
            return self._decode(data)
        except (zlib.error, zstandard.ZstdError, RuntimeError) as error:
            raise Refused(
                CANNOT_DECOMPRESS, f"the {self.encoding} body is damaged: {error}", "CANNOT_DECOMPRESS"
            ) from error

    def finish(self) -> None:
        """Call at the body's end: a compressed body cut short must not pass for a short insert."""
        if not self._finished():
            raise Refused(CANNOT_DECOMPRESS, f"the {self.encoding} body is cut short", "CANNOT_DECOMPRESS")

    def _lz4_frames(self, data: bytes) -> bytes:
        pieces = []
        while data:  # clients send one frame a block
            if self._lz4.eof:
                self._lz4 = lz4.frame.LZ4FrameDecompressor()
            pieces.append(self._lz4.decompress(data))
            data = (self._lz4.unused_data or b"") if self._lz4.eof else b""
        return b"".join(pieces)


def native_header(columns: Iterable[tuple[str, str]]) -> bytes:
    """A Native block of no rows: names and types, which a server sends for an empty result and the engine does not."""
    named = list(columns)
    parts = [_varint(len(named)), _varint(0)]
    for column in named:
        for text in column:
            raw = text.encode()
            parts += [_varint(len(raw)), raw]
    return b"".join(parts)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
