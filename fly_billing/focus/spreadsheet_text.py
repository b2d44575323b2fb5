"""Text of CSV files that people open in a spreadsheet, which would run a text that looks like a formula.

A text that a spreadsheet could take for something else gets an apostrophe before it, as spreadsheets themselves write
"this is text". Our importers take exactly one off by the same rule, so export and import together change nothing. Only
for text: a number stays one. Keeps out: CSV's own quotes.
"""

from __future__ import annotations

import unicodedata

# What begins a formula, also in its full-width form: Excel of East Asian languages reads both.
_FORMULA = frozenset("=+-@\uff1d\uff0b\uff0d\uff20")
# Spaces, control and format characters: a spreadsheet may drop them, and then sees what is behind them.
_SKIPPED = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})
# What FOCUS files write for null.
_NULL = "NULL"


def as_cell(text: str) -> str:
    """Return the text as a CSV file has it: with an apostrophe before it where a spreadsheet could misread it."""
    return f"'{text}" if _is_misread(text) else text


def from_cell(cell: str) -> str | None:
    """Return the text of which `as_cell` made this cell, or None where the cell is as it was: it may be trimmed."""
    return cell[1:] if cell.startswith("'") and _is_misread(cell[1:]) else None


def _is_misread(text: str) -> bool:
    """Tell whether the text is a formula, null or trimmed when it is read; with apostrophes before it as well.

    Those count too, or one that was there before could not be told from ours.
    """
    bare = text.lstrip("'")
    if bare == _NULL or bare != bare.strip():
        return True
    for character in bare:
        if character in _FORMULA:
            return True
        if character != "'" and unicodedata.category(character) not in _SKIPPED:
            return False
    return False
