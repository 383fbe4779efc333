"""The schema registry, through Confluent's client: ids of our schemas, schemas of others' ids.

Subjects are named by the record (`bestex.PlaceOrder`), so that one topic may carry several records and a record means the same
wherever it goes. Each subject is held to BACKWARD: a new version must read what the old one wrote.
"""

from __future__ import annotations

import requests
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient, SchemaRegistryError

from schemas.codec import RegistryUnavailable

FETCH_SECONDS = 3


class ConfluentRegistry:
    """`schemas.codec.Registry` over a server with Confluent's API. `url` may hold `user:password@`."""

    def __init__(self, url: str) -> None:
        self._client = SchemaRegistryClient({"url": url, "timeout": 10})
        # Whoever asks for a schema has records waiting and asks again by itself.
        self._fetching = SchemaRegistryClient({"url": url, "timeout": FETCH_SECONDS, "max.retries": 0})

    def register(self, name: str, schema: str) -> int:
        try:
            return int(self._client.register_schema(name, Schema(schema, "AVRO")))
        except SchemaRegistryError as error:
            if error.http_status_code in (409, 422):
                raise ValueError(f"{name}: the registry refuses the schema: {error.error_message}") from error
            raise RegistryUnavailable(str(error)) from error
        except (OSError, requests.RequestException) as error:
            raise RegistryUnavailable(str(error)) from error
        except Exception as error:
            if type(error).__module__.startswith("httpx"):
                raise RegistryUnavailable(str(error)) from error
            raise

    def fetch(self, schema_id: int) -> str | None:
        try:
            return self._fetching.get_schema(schema_id).schema_str
        except SchemaRegistryError as error:
            if error.http_status_code == 404:
                return None
            raise RegistryUnavailable(str(error)) from error
        except Exception as error:
            if isinstance(error, OSError) or type(error).__module__.startswith(("httpx", "requests")):
                raise RegistryUnavailable(str(error)) from error
            raise

    def hold_backward(self, names: list[str]) -> None:
        """Set BACKWARD on each subject."""
        for name in names:
            self._client.set_compatibility(name, level="BACKWARD")
