"""The contents of a case: its organizations and its steps, in order. Reports every mistake at once.

Not here: the fields of a step (`steps`), and files (`case_files`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from fly_billing.pricing.rules.fields import did_you_mean
from fly_billing.testing.rules import values
from fly_billing.testing.rules.steps import VERBS, Step, read_fields, read_step

VERSION = "1"
# Steps that bring organizations of their own.
_BRING_ORGANIZATIONS = ("workspace", "workspace_is_refused", "import_focus")
_ORGANIZATION = {"id": values.text}, {"currency": values.text}
_CASE = {
    "version": values.text,
    "description": values.text,
    "source": values.text,
    "organizations": values.listed(lambda value: read_fields(values.fields(value), *_ORGANIZATION)),
    "may_be_refused": values.truth,
}


@dataclass(frozen=True)
class CaseContents:
    """The contents of a case's file.

    Attributes:
        organizations: The currency of each organization that the case begins with, by id.
        may_be_refused: A clear refusal of a step is as good as the expected values.
    """

    description: str
    organizations: Mapping[str, str]
    may_be_refused: bool
    steps: Sequence[Step]

    def named_files(self) -> Iterator[tuple[Step, PurePosixPath]]:
        """Yield every file of the case that a step names."""
        for step in self.steps:
            for field in VERBS[step.verb].files:
                named = step.values.get(field, ())
                for path in named.values() if isinstance(named, Mapping) else [named] if named else []:
                    yield step, path

    def named_folders(self) -> Iterator[tuple[Step, PurePosixPath]]:
        """Yield every folder that a step names."""
        for step in self.steps:
            for field in VERBS[step.verb].folders:
                yield step, step.values[field]


def read_contents(document: Mapping[str, Any]) -> tuple[CaseContents | None, list[str]]:
    """Read the document of a case.

    Args:
        document: Mappings, lists and texts. A mapping may have the attribute `line`, on which it begins.

    Returns:
        The contents, and a line for each mistake. None instead of contents of another version.
    """
    version = document.get("version", VERSION)
    if version != VERSION:
        return None, [f"version {version!r}: this fly-billing reads cases of version {VERSION}"]
    found, problems = _head(document)
    steps, more = _steps(document.get("steps"))
    organizations = found.get("organizations")
    if organizations is None:
        brings = any(step.verb in _BRING_ORGANIZATIONS for step in steps)
        organizations = () if brings else ({"id": "acme"},)
    ids = [one["id"] for one in organizations]
    twice = sorted({one for one in ids if ids.count(one) > 1})
    more += [f"organizations: {one} is there twice: keep one" for one in twice]
    contents = CaseContents(
        found.get("description", ""),
        {one["id"]: one.get("currency", "USD") for one in organizations},
        found.get("may_be_refused", False),
        steps,
    )
    return contents, [*problems, *more]


def _head(document: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    known = [*_CASE, "steps"]
    problems = [
        f"unknown field {name!r}{did_you_mean(name, known)}; known are {', '.join(known)}"
        for name in document
        if name not in known
    ]
    found = {}
    for name, read in _CASE.items():
        if name in document:
            try:
                found[name] = read(document[name])
            except ValueError as problem:
                problems += [f"{name}: {line}" for line in str(problem).splitlines()]
    return found, problems


def _steps(given: Any) -> tuple[list[Step], list[str]]:
    if not isinstance(given, list) or not given or not all(isinstance(step, Mapping) for step in given):
        return [], ["steps is missing, or no list of steps: write `steps:`, and each step as `- verb: value`"]
    steps: list[Step] = []
    problems: list[str] = []
    for number, step in enumerate(given, start=1):
        line = getattr(step, "line", 0)
        try:
            steps.append(read_step(number, line, step))
        except ValueError as problem:
            problems += [f"line {line}: step {number}: {each}" for each in str(problem).splitlines()]
    if not problems and not any(step.is_check for step in steps):
        problems.append("no step checks anything: add `totals`, `items` or another check")
    return steps, problems
