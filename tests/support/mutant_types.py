"""Prints the changes of the billing rules that mypy rejects, for mutmut. `make lint` would refuse them before any test.

mutmut calls it in the folder mutants/, and reads mypy's JSON (one error a line) on standard output. Errors outside of
a changed function, and errors that the unchanged function has too, are left out: mutmut's own code around the copies
causes them, and no change.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

MARK = "__mutmut_"
# Errors of mutmut's copies themselves: comments that silence nothing in a changed line, names defined many times.
CAUSED_BY_COPIES = {"unused-ignore", "no-redef", "has-type", "misc", "var-annotated", "unreachable", "no-any-return"}


def main() -> None:
    command = [sys.executable, "-m", "mypy", "fly_billing", "--output", "json", "--no-error-summary"]
    run = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    if run.returncode not in (0, 1):
        sys.exit(run.stderr)
    errors = [json.loads(line) for line in run.stdout.splitlines() if line.strip()]
    for file, in_file in groupby(sorted(errors, key=lambda error: str(error["file"])), key=lambda error: error["file"]):
        for error in errors_of_changes(Path(file).read_text(encoding="utf-8"), in_file):
            print(json.dumps(error))


def errors_of_changes(source: str, errors: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the errors that a change caused.

    Args:
        source: A module with mutmut's copies of its functions, `NAME__mutmut_orig` and `NAME__mutmut_1` to `_N`.
        errors: mypy's errors in it, with `line`, `code`, `message` and `severity`.
    """
    functions = [
        node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef) and MARK in node.name
    ]
    function_at = {line: node.name for node in functions for line in range(node.lineno, (node.end_lineno or 0) + 1)}
    by_function = defaultdict(list)
    for error in errors:
        if error["severity"] == "error" and error["code"] not in CAUSED_BY_COPIES and error["line"] in function_at:
            by_function[function_at[error["line"]]].append(error)
    for name, found in by_function.items():
        original = by_function.get(f"{name.partition(MARK)[0]}{MARK}orig", [])
        known = {(error["code"], error["message"]) for error in original}
        yield from (error for error in found if (error["code"], error["message"]) not in known)


if __name__ == "__main__":
    main()
