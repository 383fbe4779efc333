"""The local stack: Kafka, a schema registry, Valkey and ClickHouse as real servers, with nothing to install by hand."""
