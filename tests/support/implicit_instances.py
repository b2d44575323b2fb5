"""The instances that Dagster opens by itself, for the resources of a context that was built without an instance.

`with build_sensor_context()` does not always close them: `sensor(context, resource=...)` runs in a second context,
which nothing closes. Pass the resources to `build_sensor_context(resources=...)` instead.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

_open: set[int] = set()
_watched: set[str] = set()


def open_instances() -> frozenset[int]:
    """Return those that are open now; watching begins with the first call after a test imported Dagster."""
    module = sys.modules.get("dagster._core.execution.build_resources")
    if module and module.__name__ not in _watched:
        _watched.add(module.__name__)
        _watch(module)
    return frozenset(_open)


def _watch(module: ModuleType) -> None:
    opened = module.ephemeral_instance_if_missing

    @contextmanager
    def watched(instance: Any) -> Iterator[Any]:
        with opened(instance) as usable:
            if instance is None:
                _open.add(id(usable))
            try:
                yield usable
            finally:
                _open.discard(id(usable))

    vars(module)["ephemeral_instance_if_missing"] = watched
