"""ClickHouse's HTTP interface over the embedded chDB engine, so that one client code serves both it and a server."""
