"""What every test may ask for: the real servers, wherever they run.

`stack` gives the addresses of Kafka, the registry, Valkey and ClickHouse. They are, in this order, those of the file that
`BESTEX_TEST_STACK` names (a JSON object as `python -m infra.stack up` prints it), containers where `BESTEX_TEST_DOCKER=1`, or a
local stack in a temporary home that ends with the test run. A test that needs no server does not ask and starts none.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from infra.settings import Addresses, Settings
from infra.stack.docker import docker_stack
from infra.stack.stack import Stack

# How long an example takes says how busy the machine is, and nothing about what is tested.
settings.register_profile("bestex", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("bestex")
# Tests start hundreds of processes, and each would compile our own modules anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Two processes, with a set of servers each, share the tests, file by file; what is asked for by its name needs one."""
    return 2 if config.args_source is pytest.Config.ArgsSource.TESTPATHS else 0


def _tell(part: str, text: str) -> None:
    print(f"{part}: {text}", file=sys.stderr)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Addresses]:
    """The four addresses, for all tests of this process: use names of your own, for others are at work there too."""
    if running := os.environ.get("BESTEX_TEST_STACK"):
        yield Addresses(**json.loads(Path(running).read_text()))
    elif os.environ.get("BESTEX_TEST_DOCKER") == "1":
        with docker_stack() as addresses:
            yield addresses
    else:
        home = tmp_path_factory.mktemp("stack")
        with Stack(home, Settings(home=home), _tell, brief=True) as local:
            yield local.addresses
