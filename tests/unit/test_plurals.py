"""A number is never followed by a fixed plural: `counted` writes `1 invoice` and `2 invoices`.

Only f-strings are checked: a run, a command or an alert prints them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "fly_billing"
# Words that end in s and are not plurals.
NO_PLURALS = {"as", "has", "is", "its", "less", "news", "plus", "this", "was"}
# These numbers can't be 1: texts of Stripe, limits of at least 2, and texts that are written only for several.
ALWAYS_SEVERAL = {
    "usage/landing_in_parts.py: processes",
    "usage/readers/compressed_files.py: bytes",
    "usage/readers/text_files.py: characters",
    "pricing/rules/fields.py: characters",
    "stripe_sync/rules/requests.py: smaller items",
    "stripe_sync/rules/reconciliation.py: invoices",
    "stripe_sync/rules/reconciliation.py: times",
    "statements/explanation_reader.py: item ids",
    "statements/explanation_reader.py: snapshots",
    "statements/explanation_reader.py: meters",
    "statements/rules/rounding.py: items",
    "corrections/rules/guard.py: corrections",
    "cli/corrections.py: corrections",
    "cli/shadow.py: differences",
}


def is_a_count(value: ast.FormattedValue) -> bool:
    """Return True for `len(...)`, and for a number with thousands separators."""
    spec = ast.unparse(value.format_spec) if value.format_spec else ""
    is_length = isinstance(value.value, ast.Call) and getattr(value.value.func, "id", "") == "len"
    return is_length or spec in ("f','", "f',d'")


def fixed_plurals(source: str) -> Iterator[str]:
    """Yield the words after a count in an f-string, up to a plural."""
    for text in ast.walk(ast.parse(source)):
        if not isinstance(text, ast.JoinedStr):
            continue
        for value, after in zip(text.values, text.values[1:], strict=False):
            if isinstance(value, ast.FormattedValue) and is_a_count(value) and isinstance(after, ast.Constant):
                words = re.match(r" ((?:[a-z-]+ ){0,2}?([a-z-]+s))\b", str(after.value))
                if words and words[2] not in NO_PLURALS:
                    yield words[1]


def test_no_count_precedes_a_fixed_plural() -> None:
    found = {
        f"{path.relative_to(PACKAGE)}: {words}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if "stripe_sandbox" not in path.parts  # its texts are Stripe's
        for words in fixed_plurals(path.read_text(encoding="utf-8"))
    }
    assert found - ALWAYS_SEVERAL == set()
    assert ALWAYS_SEVERAL - found == set()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ('f"{len(found)} invoices"', ["invoices"]),
        ('f"{number:,} open invoices of acme"', ["open invoices"]),
        ('f"and {len(more)} more: rows"', []),
        ('f"{total} invoices"', []),
        ('f"{len(found)} is too many"', []),
    ],
)
def test_a_fixed_plural_after_a_count_is_found(source: str, words: list[str]) -> None:
    assert list(fixed_plurals(source)) == words
