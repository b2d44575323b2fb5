"""Protects text in CSV files from spreadsheets, which run text that looks like a formula.

Text that a spreadsheet could misread gets an apostrophe in front, which is how spreadsheets mark text. In some locales
a spreadsheet splits lines at semicolons or tabs instead of commas, and then ignores our quotes. So each part of a text
behind a semicolon, a tab or a line end gets an apostrophe too, if it could be misread. Our importers remove exactly
these apostrophes, so that an export and its import change nothing. Numbers are not changed. Not here: CSV's own quotes.
"""

from __future__ import annotations

import re
import unicodedata

# Characters that start a formula, also in full width, because Excel in East Asian languages reads both.
_FORMULA = frozenset("=+-@\uff1d\uff0b\uff0d\uff20")
# Spaces, control and format characters: a spreadsheet may drop them and read the next character first.
_SKIPPED = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})
# After a separator, a quote starts a cell and is not a part of it.
_QUOTES = "'\""
# The separators of cells besides commas.
_SEPARATOR = re.compile(r"([;\t\r\n])")
# FOCUS files' word for null.
_NULL = "NULL"


def as_cell(text: str) -> str:
    """Return the text for a CSV file, with an apostrophe wherever a spreadsheet could misread it."""
    first, *rest = _SEPARATOR.split(text)
    before = "'" if _is_misread(text) else ""
    return before + first + "".join(f"'{part}" if _is_formula(part, _QUOTES) else part for part in rest)


def from_cell(cell: str) -> str | None:
    """Undo `as_cell`. Returns None if `as_cell` did not change the text; the caller may trim such a cell."""
    whole = cell[1:] if cell.startswith("'") and _is_misread(cell[1:]) else cell
    first, *rest = _SEPARATOR.split(whole)
    text = first + "".join(
        part[1:] if part.startswith("'") and _is_formula(part[1:], _QUOTES) else part for part in rest
    )
    return None if text == cell else text


def _is_misread(text: str) -> bool:
    """Return True if a reader would take the text for a formula or null, or would trim it.

    Apostrophes in front are ignored: otherwise an apostrophe of the original text would look like one of ours.
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
