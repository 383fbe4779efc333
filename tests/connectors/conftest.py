"""The local stack for the tests of this folder, where no wider fixture gives one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.settings import Addresses, Settings
from infra.stack.stack import Stack

if not (Path(__file__).parent.parent / "conftest.py").exists():

    @pytest.fixture(scope="session")
    def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Addresses]:
        """Kafka, registry, Valkey and ClickHouse; BESTEX_TEST_STACK names a file with the addresses of a running one."""
        if running := os.environ.get("BESTEX_TEST_STACK"):
            yield Addresses(**json.loads(Path(running).read_text()))
            return
        home = tmp_path_factory.mktemp("stack")
        with Stack(home, Settings(home=home), lambda part, text: None) as started:
            yield started.addresses
