"""Exchanges' raw WebSocket frames as pure functions: bytes in, words of `connectors.feeds.raw.words` out. One file an exchange."""
