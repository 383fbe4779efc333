"""Opens ccxt's packages without all that is in them.

`import ccxt` imports every exchange that it knows, and its `async_support` and `pro` each do so again: 400 modules, some five seconds of
processor time and 200 MB at each start of a process that trades at one of them. Here the three packages are there as ccxt ships them, but
what they would import at once is imported when it is asked for. As with ccxt's own, a package's attribute of an exchange's name is the
exchange's class, and that of an error's name the error.
"""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any

BASES = {  # package -> where what it has beside exchanges and errors comes from
    "ccxt": "ccxt.base.exchange",
    "ccxt.async_support": "ccxt.async_support.base.exchange",
    "ccxt.pro": "ccxt.async_support.base.exchange",
}


class _Package(ModuleType):
    def __getattr__(self, name: str) -> Any:
        package = self.__name__
        if not name.startswith("_"):
            try:
                importlib.import_module(f"{package}.{name}")
                return self.__dict__[name]
            except ModuleNotFoundError as missing:
                if missing.name != f"{package}.{name}":
                    raise
            for holder in ("ccxt.base.errors", BASES[package]):
                found = importlib.import_module(holder).__dict__
                if name in found:
                    return found[name]
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def __setattr__(self, name: str, value: object) -> None:
        """The import system binds a submodule once it is loaded: an exchange's gives way to its class."""
        super().__setattr__(name, getattr(value, name, value) if isinstance(value, ModuleType) else value)


def install() -> None:
    """Before anything imports from ccxt. Does nothing about a package that is loaded already."""
    for name in BASES:
        if name in sys.modules:
            continue
        spec = find_spec(name)
        if spec is None:
            raise ModuleNotFoundError(f"there is no {name}", name=name)
        package = module_from_spec(spec)
        package.__class__ = _Package
        sys.modules[name] = package
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, package)
