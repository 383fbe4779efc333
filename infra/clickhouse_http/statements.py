"""Reading just enough ClickHouse SQL to serve it over HTTP: is it an INSERT with data, may a reader run it, which
output format does it name. No I/O.

The text is cut into tokens first, so that a keyword inside a string, a quoted name or a comment is never taken for one.
An INSERT's data follows its head in the same body, in any bytes at all, so the head is read without looking past it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

_TOKEN = re.compile(
    rb"""(?P<space>\s+|--[^\n]*\n|\#!?[^\n]*\n|/\*.*?\*/)
       | (?P<quoted>'(?:[^'\\]|\\.|'')*' | "(?:[^"\\]|\\.|"")*" | `(?:[^`\\]|\\.|``)*`)
       | (?P<word>[A-Za-z_][A-Za-z0-9_$]*)
       | (?P<number>[0-9][A-Za-z0-9_.]*)
       | (?P<other>.)""",
    re.DOTALL | re.VERBOSE,
)
# What begins a quotation or comment, or may once the next byte is there.
_UNFINISHED = re.compile(rb"['\"`#]|--|/\*|[-/]\Z")
_SEPARATOR = re.compile(rb"[ \t]*;?[ \t]*(?:\r?\n)?")

# What a reader may run. SET readonly alone lets KILL through.
_READING = frozenset({"SELECT", "WITH", "SHOW", "DESC", "DESCRIBE", "EXPLAIN", "EXISTS", "CHECK"})
# Functions that reach outside the database; with readonly=1 the engine still runs several of them.
_OUTSIDE = re.compile(
    r"(?:file|filesystem|url|s3|gcs|azure|hdfs|iceberg|delta|hudi|paimon|remote|cluster|mysql|postgresql|mongodb|redis"
    r"|sqlite|jdbc|odbc|executable|python|ytsaurus|arrowflight|loop|fuzz)\w*",
    re.IGNORECASE,
)


class Unclear(Enum):
    """The head of the statement ends inside what would decide: more bytes are needed."""

    MORE = "more"


@dataclass(frozen=True, slots=True)
class InsertHead:
    """An INSERT whose rows follow as data: the statement without FORMAT, the format's name, where the data begins."""

    statement: str
    format: str
    data_at: int


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: bytes
    start: int
    end: int


def insert_head(head: bytes, complete: bool) -> InsertHead | Unclear | None:
    """Read the head of a body; ``None`` if it is no INSERT with data (``INSERT … SELECT`` is a plain statement).

    ``complete`` says that no more bytes will come, so that the answer is never `Unclear`.
    """
    depth, first = 0, True
    tokens = _significant(head)
    for token in tokens:
        at_end = token.end == len(head) and not complete
        if token.kind == "word" and at_end:
            return Unclear.MORE  # the word may go on
        if token.kind == "other" and not complete and _UNFINISHED.match(head, token.start):
            return Unclear.MORE  # a quotation or comment whose end has not come
        word = token.text.decode(errors="replace").upper() if token.kind == "word" else ""
        if first:
            if word != "INSERT":
                return None
            first = False
        elif token.text in (b"(", b")"):
            depth += 1 if token.text == b"(" else -1
        elif depth == 0 and word in ("SELECT", "WITH", "WATCH"):
            return None
        elif depth == 0 and word == "VALUES":
            return InsertHead(_text(head[: token.start]), "Values", token.end)
        elif depth == 0 and word == "FORMAT":
            name = next(tokens, None)
            if name is None or (name.end == len(head) and not complete):
                return Unclear.MORE if not complete else None
            data_at = _after_separator(head, name.end)
            if not complete and head[data_at - 1 :] != b"\n" and head[data_at:] in (b"", b"\r"):
                return Unclear.MORE  # the line's end may still be coming
            return InsertHead(_text(head[: token.start]), _text(name.text), data_at)
    return None if complete else Unclear.MORE


def output_format(sql: str) -> str | None:
    """The format a query names itself (``… FORMAT CSV``), outside all parentheses and quotations."""
    depth, found, expecting = 0, None, False
    for token in _significant(sql.encode()):
        if token.text in (b"(", b"["):
            depth += 1
        elif token.text in (b")", b"]"):
            depth -= 1
        elif expecting and token.kind == "word":
            found = token.text.decode()
        expecting = depth == 0 and token.kind == "word" and token.text.upper() == b"FORMAT"
    return found


def reads_only(sql: str) -> bool:
    """Whether the statement begins as one that returns rows (SELECT, SHOW, …)."""
    for token in _significant(sql.encode()):
        if token.text != b"(":
            return token.text.decode(errors="replace").upper() in _READING
    return False


def refusal(sql: str) -> str | None:
    """Why a reader may not run this, or ``None``. Guards against mistakes, not against a hostile user."""
    if not reads_only(sql):
        return "Cannot execute this query in readonly mode"
    tokens = list(_significant(sql.encode()))
    for token, after in zip(tokens, [*tokens[1:], None], strict=True):
        text = token.text.decode(errors="replace").strip('`"')
        following = after.text if after is not None else b""
        if following == b"(" and token.kind in ("word", "quoted") and _OUTSIDE.fullmatch(text):
            return f"Function {text} reaches outside the database: not in readonly mode"
        if text.upper() == "OUTFILE" and token.kind == "word":
            return "INTO OUTFILE is not possible in readonly mode"
    return None


def is_select(sql: str) -> bool:
    """Whether it is a SELECT whose columns DESCRIBE can tell."""
    for token in _significant(sql.encode()):
        if token.text != b"(":
            return token.text.upper() in (b"SELECT", b"WITH")
    return False


def without_format(sql: str, name: str) -> str:
    """The query without its trailing ``FORMAT name``."""
    return re.sub(rf"\bformat\s+{re.escape(name)}\s*;?\s*$", "", sql, flags=re.IGNORECASE)


def quoted(text: str) -> str:
    """A string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def identifier(name: str) -> str:
    """A quoted name."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _after_separator(head: bytes, at: int) -> int:
    """Where data begins after a format's name: past blanks, a semicolon and one line end."""
    separator = _SEPARATOR.match(head, at)
    return separator.end() if separator is not None else at


def _significant(text: bytes) -> Iterator[_Token]:
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or "other"
        if kind != "space":
            yield _Token(kind, match[0], match.start(), match.end())


def _text(raw: bytes) -> str:
    return raw.decode().strip()
