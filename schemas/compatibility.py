"""Whether a new version of a schema reads what the old one wrote: the registry's BACKWARD, without a registry.

The registry decides when a process starts; this decides before the change is merged. It knows the part of Avro's schema resolution that
our definitions use (source: Avro 1.12 specification, "Schema Resolution") and refuses what it does not know. Beyond Avro, a logical type
must stay what it is: a decimal of another scale reads without an error and means another amount.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_PROMOTED = {
    "int": {"long", "float", "double"},
    "long": {"float", "double"},
    "float": {"double"},
    "string": {"bytes"},
    "bytes": {"string"},
}
_PRIMITIVES = {"null", "boolean", "int", "long", "float", "double", "bytes", "string"}
_NAMED = {"record", "enum", "fixed"}


def backward(old: Any, new: Any) -> list[str]:
    """What stops a reader with schema `new` from reading data written with `old`, each with its field's path; empty if nothing does.

    Schemas are parsed JSON.
    """
    return _Check(_names(old), _names(new)).problems(old, new, "")


def _names(schema: Any, found: dict[str, Any] | None = None) -> dict[str, Any]:
    """Simple name -> definition of every named type inside."""
    found = {} if found is None else found
    if isinstance(schema, list):
        for branch in schema:
            _names(branch, found)
    elif isinstance(schema, dict):
        if schema.get("type") in _NAMED:
            found[schema["name"]] = schema
        for field in schema.get("fields", ()):
            _names(field["type"], found)
        for key in ("items", "values", "type"):
            if isinstance(schema.get(key), dict | list):
                _names(schema[key], found)
    return found


def _kind(schema: Any) -> str:
    if isinstance(schema, list):
        return "union"
    return str(schema["type"]) if isinstance(schema, dict) else str(schema)


def _logical(schema: Any) -> tuple[Any, ...] | None:
    if isinstance(schema, dict) and "logicalType" in schema:
        return schema["logicalType"], schema.get("precision"), schema.get("scale", 0)
    return None


class _Check:
    def __init__(self, old_names: Mapping[str, Any], new_names: Mapping[str, Any]) -> None:
        self._old_names, self._new_names = old_names, new_names
        self._open: set[tuple[str, str]] = set()

    def problems(self, old: Any, new: Any, at: str) -> list[str]:
        old, new = _resolved(old, self._old_names), _resolved(new, self._new_names)
        was, now = _kind(old), _kind(new)
        where = at.lstrip(".") or "the record"
        if was == "union":
            return [p for branch in old for p in self.problems(branch, new, at)]
        if now == "union":
            tried = [self.problems(old, branch, at) for branch in new]
            if any(not found for found in tried):
                return []
            # The branch of the same kind tells most about what is wrong.
            same = [
                found
                for branch, found in zip(new, tried, strict=True)
                if _kind(_resolved(branch, self._new_names)) == was
            ]
            return same[0] if same else [f"{where}: {was} is no branch of the union any more"]
        if _logical(old) != _logical(new):
            return [f"{where}: {_logical(old)} became {_logical(new)}"]
        if was == now == "record":
            return self._record(old, new, at)
        if was == now == "enum":
            return self._enum(old, new, where)
        if was == now == "array":
            return self.problems(old["items"], new["items"], f"{at}[]")
        if (was == now and was in _PRIMITIVES) or now in _PROMOTED.get(was, ()):
            return []
        return [f"{where}: {was} became {now}"]

    def _record(self, old: Any, new: Any, at: str) -> list[str]:
        pair = (old["name"], new["name"])
        if old["name"] != new["name"]:
            return [f"{at.lstrip('.') or 'the record'}: record {old['name']} became {new['name']}"]
        if pair in self._open:  # a record within itself
            return []
        self._open.add(pair)
        written = {field["name"]: field["type"] for field in old["fields"]}
        found = []
        for field in new["fields"]:
            name = f"{at}.{field['name']}"
            if field["name"] in written:
                found += self.problems(written[field["name"]], field["type"], name)
            elif "default" not in field:
                found.append(f"{name.lstrip('.')}: new and without a default")
        self._open.discard(pair)
        return found

    def _enum(self, old: Any, new: Any, where: str) -> list[str]:
        if old["name"] != new["name"]:
            return [f"{where}: enum {old['name']} became {new['name']}"]
        gone = [symbol for symbol in old["symbols"] if symbol not in new["symbols"]]
        if gone and "default" not in new:
            return [f"{where}: {', '.join(gone)} can no longer be read"]
        return []


def _resolved(schema: Any, names: Mapping[str, Any]) -> Any:
    """The definition behind a name."""
    if isinstance(schema, str) and schema not in _PRIMITIVES:
        return names[schema.rsplit(".", 1)[-1]]
    if isinstance(schema, dict) and isinstance(schema["type"], dict | list):
        return _resolved(schema["type"], names)
    return schema
