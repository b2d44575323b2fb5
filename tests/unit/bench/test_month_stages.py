"""The stages of `make bench` measure the calls that the assets make."""

from __future__ import annotations

from importlib import import_module

import pytest

from tests.bench.month_stages import OWN_CALLS


@pytest.mark.parametrize(("module", "call"), [(module, call) for module, calls in OWN_CALLS.items() for call in calls])
def test_a_call_that_the_bench_times_is_one_that_the_asset_makes(module: str, call: str) -> None:
    assert callable(getattr(import_module(module), call, None)), f"{module} no longer calls {call}"
