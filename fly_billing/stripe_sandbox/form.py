"""Parses Stripe's form encoding: `lines[0][metadata][org]=fly` becomes nested dicts.

Every bracket becomes a dict key, list indices too (`{"0": ...}`). The endpoint's parameters (`params`) decide if a
value is a list or a hash, since `metadata[0]` is a hash. Not here: types, defaults, errors.
"""

from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl


def parse(text: str) -> dict[str, Any]:
    """Return a query string or form body as nested dicts. All values are strings."""
    tree: dict[str, Any] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        _place(tree, steps(name), value)
    return tree


@lru_cache(maxsize=4096)
def steps(name: str) -> tuple[str, ...]:
    """Split `a[b][]` into `("a", "b", "")`. An empty step stands for the next free index."""
    head, bracket, rest = name.partition("[")
    return (head, *rest.removesuffix("]").split("][")) if bracket else (head,)


def _place(tree: dict[str, Any], path: tuple[str, ...], value: str) -> None:
    node = tree
    for step in path[:-1]:
        name = step or str(len(node))
        if not isinstance(node.get(name), dict):
            node[name] = {}
        node = node[name]
    node[path[-1] or str(len(node))] = value
