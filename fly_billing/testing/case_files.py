"""Finds and reads the folders of cases. Reports every mistake of all folders at once, a line each.

Not here: the format of a case (`rules.cases`), and running it (`case_runner`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fly_billing.errors import ActionableError
from fly_billing.foreign_text import visible
from fly_billing.pricing.rules.fields import did_you_mean
from fly_billing.pricing.yaml_documents import YAMLError, mistake_in_yaml, read_yaml_document
from fly_billing.testing.rules.cases import CaseContents, read_contents

# A case is a folder with one of these files.
CASE_FILES = ("case.yaml", "case.yml", "case.json")
_DATA = (".yaml", ".yml", ".json", ".jsonl", ".csv", ".parquet")
_BOOKS = ("book", "book_is_refused")


class CasesHaveMistakes(ActionableError):
    """Cases can't be run as they are. The message has a line for each mistake; nothing was run.

    Attributes:
        problems: The lines.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True)
class BillingCase:
    """A case without mistakes.

    Attributes:
        file: The name of its case file.
    """

    folder: Path
    file: str
    contents: CaseContents

    @property
    def name(self) -> str:
        return self.folder.name


def read_case(folder: Path) -> BillingCase:
    """Read the case in a folder. Raises CasesHaveMistakes."""
    names = [name for name in CASE_FILES if (folder / name).is_file()]
    if not names:
        raise CasesHaveMistakes([visible(f"{folder}: no case here: it has no {CASE_FILES[0]}")])
    if len(names) > 1:
        raise CasesHaveMistakes([visible(f"{folder}: it has {' and '.join(names)}: keep one")])
    path = folder / names[0]
    try:
        document = read_yaml_document(path)
    except (OSError, ValueError, YAMLError) as problem:
        raise CasesHaveMistakes([visible(f"{path}: {mistake_in_yaml(problem)}")]) from None
    contents, problems = read_contents(document)
    if contents is not None:
        problems += [f"line {line}: {text}" if line else text for line, text in _file_problems(folder, contents)]
    if contents is None or problems:
        raise CasesHaveMistakes([visible(f"{path}: {problem}") for problem in problems])
    return BillingCase(folder.resolve(), names[0], contents)


def _file_problems(folder: Path, contents: CaseContents) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each mistake about files: a missing one, and one that nothing reads."""
    files = sorted(path.name for path in folder.iterdir() if path.is_file() and path.suffix in _DATA)
    named = set()
    for step, path in contents.named_files():
        named.add(path.parts[0] if path.parts else "")
        if not (folder / path).is_file():
            yield step.line, f"step {step.number}: {step.verb}: no file {path}{did_you_mean(str(path), files)}"
    for step, path in contents.named_folders():
        if not (folder / path).is_dir():
            yield step.line, f"step {step.number}: {step.verb}: no folder {path}"
    has_book = any(step.verb in _BOOKS for step in contents.steps)  # which may read any table
    for name in files:
        if name not in {*named, *CASE_FILES} and not (has_book and name.endswith(".csv")):
            yield 0, f"nothing reads {name}: name it in a step, or remove it"


def read_cases(folders: Sequence[Path]) -> list[BillingCase]:
    """Read every case in and below these folders, each once, by path.

    Raises:
        CasesHaveMistakes: Has a line for each mistake of all cases. A folder without cases is a mistake.
    """
    cases: dict[Path, BillingCase] = {}
    problems: list[str] = []
    for folder in folders:
        found = case_folders(folder)
        if not found:
            problems.append(visible(f"{folder}: no case here or below: a case is a folder with a {CASE_FILES[0]}"))
        for path in found:
            if path.resolve() not in cases:
                try:
                    cases[path.resolve()] = read_case(path)
                except CasesHaveMistakes as mistakes:
                    problems += mistakes.problems
    if problems:
        raise CasesHaveMistakes(list(dict.fromkeys(problems)))
    return list(cases.values())


def case_folders(folder: Path) -> list[Path]:
    """Return the folders of cases: this one, or those below it."""
    return sorted({path.parent for name in CASE_FILES for path in folder.rglob(name)})
