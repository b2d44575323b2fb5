"""Reads single files of a workspace into entries, and collects mistakes. Not here: which files there are (`files`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fly_billing.errors import ActionableError
from fly_billing.foreign_text import visible
from fly_billing.pricing.yaml_documents import YAMLError, mistake_in_yaml, read_yaml_document
from fly_billing.workspace.entries import Entry, problems_of_entry


class WorkspaceHasMistakes(ActionableError):
    """The files of a workspace have mistakes. The message has a line for each; nothing was applied.

    Attributes:
        problems: The lines.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass
class WorkspaceReading:
    """The state of reading one folder.

    Attributes:
        problems: A line for each mistake that was found.
        entries: The entries that were read, each with its place: `terms.yaml: line 3: `.
        unread_organizations: Ids of organizations whose own line has a mistake.
        unread_books: Names of price books whose files have mistakes.
    """

    folder: Path
    problems: list[str] = field(default_factory=list)
    entries: list[tuple[str, Entry]] = field(default_factory=list)
    unread_organizations: set[str] = field(default_factory=set)
    unread_books: set[str] = field(default_factory=set)

    def report(self, place: str, problem: str) -> None:
        """Add the mistakes of a file or an entry, one for each line."""
        self.problems += [visible(f"{place.removesuffix(': ')}: {line}") for line in problem.splitlines()]

    def document(self, name: str) -> Mapping[str, Any]:
        """Read a YAML file. A missing one is empty; so is one with a mistake, which is reported."""
        path = self.folder / name
        if not path.is_file():
            return {}
        if problem := encoding_problem(path):
            self.report(name, problem)
            return {}
        try:
            return read_yaml_document(path)
        except (OSError, ValueError, YAMLError) as mistake:
            self.report(name, mistake_in_yaml(mistake))
            return {}

    def listed(self, document: Mapping[str, Any], part: str, name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield the entries of a part of a document, each with its place."""
        entries = document.get(part)
        if entries is None:
            return
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            self.report(name, f"{part} must be a list of entries with fields")
            return
        for entry in entries:
            yield f"{name}: line {entry.line}: ", entry

    def entry(self, model: type[Entry], data: Mapping[str, Any], place: str) -> Entry | None:
        """Read an entry and check its values. Returns None if it has mistakes, which are reported."""
        try:
            entry = model.model_validate(dict(data))
            if entry.MAKES is not None:
                entry.record(place)
            return entry
        except ValidationError as problem:
            lines = problems_of_entry(model, problem)
        except ValueError as problem:
            lines = [str(problem)]
        for line in lines:
            self.report(place, f"{model.title(data)}: {line}")
        return None


def encoding_problem(path: Path) -> str | None:
    """Return why a file can't be read as text: it is empty, or not UTF-8."""
    content = path.read_bytes()
    if not content.strip():
        return "it is empty: was it lost? A comment is enough"
    try:
        content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = content[: problem.start].count(b"\n") + 1
        return f"line {line}: it is not UTF-8 (byte 0x{content[problem.start]:02x}): save it as UTF-8"
    return None
