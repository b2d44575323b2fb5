"""Reads YAML written by people. Numbers and dates stay text, so that amounts stay exact.

ruamel.yaml reads YAML 1.2; a key that occurs twice is an error. Each field converts its own text
(`pricing.rules.fields`): `0100` is a hundred, `1:30` is not a number, `no` is Norway.
Not here: the contents of a document.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError

__all__ = ["YAMLError", "YamlMapping", "mistake_in_yaml", "read_yaml_document"]


class YamlMapping(dict[str, Any]):
    """A mapping of a document.

    Attributes:
        line: The line on which it begins.
        lines: The line of each field.
    """

    line: int = 0
    lines: Mapping[str, int] = MappingProxyType({})


class _ScalarsAsText(SafeConstructor):
    def construct_entry(self, node: Any) -> Iterator[YamlMapping]:
        entry = YamlMapping()
        entry.line = node.start_mark.line + 1
        entry.lines = {str(name.value): name.start_mark.line + 1 for name, _ in node.value}
        yield entry
        entry.update(self.construct_mapping(node))


_ScalarsAsText.add_constructor("tag:yaml.org,2002:map", _ScalarsAsText.construct_entry)
for _tag in ("int", "float", "timestamp"):
    _ScalarsAsText.add_constructor(f"tag:yaml.org,2002:{_tag}", SafeConstructor.construct_yaml_str)


def read_yaml_document(path: Path) -> Mapping[str, Any]:
    """Return the file's one document: a mapping of texts, lists, mappings, true, false and null.

    An empty file is an empty mapping.

    Raises:
        YAMLError: Names the line, the column and the problem.
        ValueError: The document is not a mapping.
    """
    reader = YAML(typ="safe", pure=True)
    reader.Constructor = _ScalarsAsText
    document = reader.load(path.read_text(encoding="utf-8"))
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ValueError(f"it contains {type(document).__name__}, not fields such as `prices:`")
    return document


def mistake_in_yaml(problem: Exception) -> str:
    """Describe a mistake in one line: `line 3, column 5: ...`."""
    if isinstance(problem, MarkedYAMLError) and problem.problem_mark is not None:
        mark = problem.problem_mark
        while_doing = f"{problem.context}, " if problem.context else ""
        return f"line {mark.line + 1}, column {mark.column + 1}: {while_doing}{problem.problem}"
    return " ".join(str(problem).split())
