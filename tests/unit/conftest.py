"""Shared by the unit tests: a machine whose clock is not in UTC. Keeps out: servers (`tests/conftest.py`)."""

import time
from collections.abc import Iterator

import pytest


@pytest.fixture
def machine_in_honolulu() -> Iterator[None]:
    """Set the machine's own time ten hours behind UTC."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "HST10")
        time.tzset()
        yield
    time.tzset()
