"""The venue simulator: an exchange in Binance's spot dialect over real HTTP and WebSocket, run with `python -m connectors.simulator`."""
