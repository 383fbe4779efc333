"""Where exchanges come in, and orders go out to them. All that is imported from ccxt is imported after `lean` has opened it."""

from connectors import lean

lean.install()
