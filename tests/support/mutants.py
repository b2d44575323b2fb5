"""Prints how many changes of the billing rules are noticed, by module: the last step of `make mutants`.

A change is noticed if a unit test fails or if mypy rejects it (`tests.support.mutant_types`). The last column is the
percentage among those that mypy accepts, so it is for the tests alone.

`mutmut show NAME` prints a change that no test noticed; `mutmut run 'fly_billing.money*'` tries one module again.
"""

from __future__ import annotations

import re
import sys

from mutmut.mutation.data import SourceFileMutationData
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.stats import status_by_exit_code
from mutmut.utils.file_utils import walk_mutatable_files

REQUIRED_PERCENT = 98
REJECTED = "caught by type check"
NOTICED = {"killed", "timeout", REJECTED}  # a timeout is an infinite loop, which counts as noticed


def main() -> None:
    lines, unnoticed, guards, total, rejected = [], [], [], 0, 0
    for path in sorted(walk_mutatable_files()):
        module = SourceFileMutationData(path=path)
        module.load()
        changes = {name: status_by_exit_code[code] for name, code in module.exit_code_by_key.items()}
        survived = [name for name, status in changes.items() if status not in NOTICED]
        guards += [name for name in survived if is_guard_only(get_diff_for_mutant(name, path=path))]
        changes = {name: status for name, status in changes.items() if name not in guards}
        left = [f"{name}: {status}" for name, status in changes.items() if status not in NOTICED]
        by_mypy = sum(status == REJECTED for status in changes.values())
        if changes:
            lines.append(_line(str(path), len(changes), by_mypy, len(left)))
        total += len(changes)
        rejected += by_mypy
        unnoticed += left
    tried = [text for text in unnoticed if not text.endswith("not checked")]
    print("change a guard only:", *guards, "", sep="\n")
    columns = " ".join(f"{title:>8}" for title in ("mutants", "by mypy", "by tests", "survived", "percent", "tests %"))
    print(*tried, "", f"{'module':60} {columns}", sep="\n")
    print(*lines, _line("all", total, rejected, len(unnoticed)), sep="\n")
    if not total or 100 * (total - len(unnoticed)) < REQUIRED_PERCENT * total:
        sys.exit(f"fewer than {REQUIRED_PERCENT} % were noticed")


def is_guard_only(diff: str) -> bool:
    """Return True if a change (a unified diff) only weakens `zip(..., strict=True)`.

    The rules zip sequences that have one length by construction, such as weights and the shares made of them. The
    argument turns a mistake of ours into an error, and decides no amount.
    """
    lines = [line for line in diff.splitlines() if not line.startswith(("---", "+++"))]
    before, after = ("".join(line[1:] for line in lines if line.startswith(sign)) for sign in "-+")
    return "strict=True" in before and _without_strict(before) == _without_strict(after)


def _without_strict(code: str) -> str:
    bare = re.sub(r"\s", "", code)
    return re.sub(r",\)", ")", re.sub(r"strict=(True|False|None)", "", bare))


def _line(name: str, total: int, rejected: int, survived: int) -> str:
    accepted = total - rejected
    by_tests = accepted - survived
    share = 100 * by_tests / accepted if accepted else 100.0
    counts = f"{total:8} {rejected:8} {by_tests:8} {survived:8}"
    return f"{name:60} {counts} {100 * (total - survived) / total:7.1f}% {share:7.1f}%"


if __name__ == "__main__":
    main()
