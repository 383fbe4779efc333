"""The local stack: Kafka, a schema registry, Valkey and ClickHouse as real servers, with nothing to install by hand."""

from infra.settings import Addresses
from infra.stack.stack import Stack, running_addresses
from infra.stack.state import StackBusy, StackError

__all__ = ["Addresses", "Stack", "StackBusy", "StackError", "running_addresses"]
