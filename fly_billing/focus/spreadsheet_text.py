"""Text of CSV files that people open in a spreadsheet, which would run a text that looks like a formula.

A text that a spreadsheet could take for something else gets an apostrophe before it, as spreadsheets themselves write
"this is text". A spreadsheet of another locale splits a line at semicolons or tabs instead of commas, and knows nothing
of our quotes then: so a part of a text behind one of those, or behind a line end, gets an apostrophe as well. Our
importers take exactly those off by the same rule, so export and import together change nothing. Only for text: a number
stays one. Keeps out: CSV's own quotes.
"""

from __future__ import annotations

import re
import unicodedata

# What begins a formula, also in its full-width form: Excel of East Asian languages reads both.
_FORMULA = frozenset("=+-@\uff1d\uff0b\uff0d\uff20")
# Spaces, control and format characters: a spreadsheet may drop them, and then sees what is behind them.
_SKIPPED = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})
# Behind a separator a quote begins a cell, and is no part of it.
_QUOTES = "'\""
# Where a spreadsheet begins a new cell, if not at commas.
_SEPARATOR = re.compile(r"([;\t\r\n])")
# What FOCUS files write for null.
_NULL = "NULL"


def as_cell(text: str) -> str:
    """Return the text as a CSV file has it: with an apostrophe wherever a spreadsheet could begin to misread it."""
    first, *rest = _SEPARATOR.split(text)
    before = "'" if _is_misread(text) else ""
    return before + first + "".join(f"'{part}" if _is_formula(part, _QUOTES) else part for part in rest)


def from_cell(cell: str) -> str | None:
    """Return the text of which `as_cell` made this cell, or None where the cell is as it was: it may be trimmed."""
    whole = cell[1:] if cell.startswith("'") and _is_misread(cell[1:]) else cell
    first, *rest = _SEPARATOR.split(whole)
    text = first + "".join(
        part[1:] if part.startswith("'") and _is_formula(part[1:], _QUOTES) else part for part in rest
    )
    return None if text == cell else text


def _is_misread(text: str) -> bool:
    """Tell whether the text is a formula, null or trimmed when it is read; with apostrophes before it as well.

    Those count too, or one that was there before could not be told from ours.
    """
    bare = text.lstrip("'")
    return bare == _NULL or bare != bare.strip() or _is_formula(bare, "'")


def _is_formula(text: str, skipped: str) -> bool:
    for character in text:
        if character in _FORMULA:
            return True
        if character not in skipped and unicodedata.category(character) not in _SKIPPED:
            return False
    return False
