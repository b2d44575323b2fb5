"""Reads single files of a workspace into entries, and collects mistakes. Not here: which files there are (`files`)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fly_billing.errors import ActionableError
from fly_billing.foreign_text import visible
from fly_billing.pricing.rules.decimal_commas import refuse_decimal_commas
from fly_billing.pricing.rules.fields import refuse_unknown
from fly_billing.pricing.rules.partly_read import read_partly
from fly_billing.pricing.yaml_documents import YAMLError, YamlMapping, mistake_in_yaml, read_yaml_document
from fly_billing.workspace.entries import Entry, problems_of_entry
from fly_billing.workspace.stand_ins import stand_ins


class WorkspaceHasMistakes(ActionableError):
    """The files of a workspace have mistakes. The message has a line for each; nothing was applied.

    Attributes:
        problems: The lines.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True)
class PlacedEntry:
    """An entry of a file.

    Attributes:
        place: Its file and line, with which errors begin: `terms.yaml: line 3: `.
        entry: As far as it can be read: with stand-ins for the unread fields.
        unread: The fields with mistakes.
        key: Its name among all of its kind, as far as it can be read.
    """

    place: str
    entry: Entry
    unread: frozenset[str]
    key: str

    @property
    def has_key(self) -> bool:
        return self.unread.isdisjoint(self.entry.KEY)


@dataclass
class WorkspaceReading:
    """The state of reading one folder.

    Attributes:
        problems: A line for each mistake that was found.
        entries: The entries of organizations and terms.
        unsure: Kinds of which there may be more records than could be read: naming an unknown one is no mistake.
    """

    folder: Path
    problems: list[str] = field(default_factory=list)
    entries: list[PlacedEntry] = field(default_factory=list)
    unsure: set[str] = field(default_factory=set)

    def report(self, place: str, problem: str) -> None:
        """Add the mistakes of a file or an entry, one for each line."""
        self.problems += [visible(f"{place.removesuffix(': ')}: {line}") for line in problem.splitlines()]

    def document(self, name: str, *kinds: str) -> Mapping[str, Any]:
        """Read a YAML file, which has records of these kinds. A missing one is empty; so is one with a mistake."""
        path = self.folder / name
        if not path.is_file():
            return {}
        try:
            if problem := encoding_problem(path):
                raise ValueError(problem)
            return read_yaml_document(path)
        except (OSError, ValueError, YAMLError) as mistake:
            self.report(name, mistake_in_yaml(mistake))
            self.unsure |= {*kinds}
            return {}

    def refuse_unknown_parts(self, document: Mapping[str, Any], name: str, kinds: Mapping[str, str]) -> None:
        """Report parts of a document that nothing reads. `kinds`: the kind of records of each part."""
        try:
            refuse_unknown(document, frozenset(kinds), name)
        except ValueError as problem:
            self.report(name, str(problem))
            self.unsure |= {kind for part, kind in kinds.items() if part not in document}

    def listed(
        self, document: Mapping[str, Any], part: str, name: str, kind: str
    ) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield the entries of a part of a document, each with its place. Their records are of this kind."""
        entries = document.get(part)
        if entries is None:
            return
        listed = entries if isinstance(entries, list) else [entries]
        found = [entry for entry in listed if isinstance(entries, list) and isinstance(entry, YamlMapping)]
        if len(found) < len(listed):
            self.report(name, f"{part} must be a list of entries with fields")
            self.unsure.add(kind)
        for entry in found:
            yield f"{name}: line {entry.line}: ", entry

    def entry(
        self, model: type[Entry], data: Mapping[str, Any], place: str, *, absent: Collection[str] = ()
    ) -> PlacedEntry | None:
        """Read an entry as far as it can be read. Reports its mistakes. None: nothing of it can be read.

        Args:
            absent: Fields whose absence was reported already.
        """
        found = read_partly(partial(_read_whole, model), data, stand_ins(model), model.model_fields)
        for problem in found.problems:
            if problem.reason.removesuffix(" is missing") not in absent:
                self.report(place, f"{model.title(data)}: {problem}")
        if not found.unread.isdisjoint(model.KEY):
            self.unsure.add(model.KIND)
        if found.entry is None:
            return None
        has_key = found.unread.isdisjoint(model.KEY)
        key = found.entry.record_key if has_key else model.readable_key(data)
        return PlacedEntry(place, found.entry, found.unread, key)


def _read_whole(model: type[Entry], data: Mapping[str, Any]) -> Entry:
    """Read an entry without mistakes. Raises ValueError with the first one."""
    refuse_decimal_commas(data)
    try:
        entry = model.model_validate(dict(data))
    except ValidationError as problem:
        raise ValueError(problems_of_entry(model, problem)[0]) from None
    entry.check()
    return entry


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
