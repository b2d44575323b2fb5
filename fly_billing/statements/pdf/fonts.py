"""The fonts of PDF invoices: Noto Sans, and more from the settings for other scripts.

A character that no font has would be an empty box on an invoice, so it is refused. So is text from right to left, which
the PDF library does not lay out.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory

from fontTools.subset import Options, Subsetter  # type: ignore[import-untyped]
from fontTools.ttLib import TTFont, TTLibError  # type: ignore[import-untyped]
from fontTools.varLib.instancer import instantiateVariableFont  # type: ignore[import-untyped]
from fpdf import FPDF
from fpdf.fonts import TTFFont

from fly_billing.errors import ActionableError

FAMILY = "noto"
NOTO_SANS = Path(str(files("fontpkg_noto_sans"))) / "files" / "NotoSans[wdth,wght].ttf"
# By the style's name in the PDF library.
WEIGHTS = {"": 400, "B": 700}

# The words of the page itself, besides texts of the invoice.
ASCII = set(range(32, 127))


class PdfNotPossible(ActionableError):
    """The invoice can't be a PDF; nothing was written."""


@contextmanager
def open_fonts(pdf: FPDF, more: Sequence[Path], texts: Iterable[str]) -> Iterator[None]:
    """Add the fonts, which are open until the PDF was written.

    Raises PdfNotPossible if they can't be read or lack a character of the texts.
    """
    with TemporaryDirectory() as folder:
        try:
            _add_fonts(pdf, Path(folder), more, texts)
            yield
        finally:
            for font in pdf.fonts.values():
                if isinstance(font, TTFFont):
                    font.close()


def _add_fonts(pdf: FPDF, folder: Path, more: Sequence[Path], texts: Iterable[str]) -> None:
    needed = {character for text in texts for character in text if character not in "\n\t"}
    _refuse_right_to_left(needed)
    known = _characters(NOTO_SANS)
    _add_noto_sans(pdf, folder, {ord(character) for character in needed} & known)
    for number, path in enumerate(more):
        known |= _characters(path)
        for style in WEIGHTS:
            pdf.add_font(f"more{number}", style, path)
    if more:
        pdf.set_fallback_fonts([f"more{number}" for number in range(len(more))], exact_match=False)
    if missing := sorted(character for character in needed if ord(character) not in known):
        named = ", ".join(f"{character} (U+{ord(character):04X})" for character in missing[:10])
        raise PdfNotPossible(
            f"no font of PDF invoices has {named}: set FLY_BILLING_PDF_FONTS to a TrueType font that has, or use --html"
        )


def _add_noto_sans(pdf: FPDF, folder: Path, characters: set[int]) -> None:
    """Add both weights with these characters only: the whole variable font takes 6 s of the processor."""
    options = Options(layout_features=[], drop_tables=["GDEF", "GPOS", "GSUB", "MVAR", "STAT"])
    for style, weight in WEIGHTS.items():
        path = folder / f"{weight}.ttf"
        with TTFont(NOTO_SANS, recalcTimestamp=False) as font:
            subsetter = Subsetter(options)
            subsetter.populate(unicodes=characters | ASCII)
            subsetter.subset(font)
            instantiateVariableFont(font, {"wght": weight, "wdth": 100}, inplace=True)
            font.save(path)
        pdf.add_font(FAMILY, style, path)


def _characters(path: Path) -> set[int]:
    try:
        with TTFont(path, fontNumber=0, lazy=True) as font:
            return set(font.getBestCmap() or ())
    except (OSError, TTLibError) as problem:
        raise PdfNotPossible(f"the font {path} can't be read ({problem}): correct FLY_BILLING_PDF_FONTS") from problem


def _refuse_right_to_left(characters: Iterable[str]) -> None:
    for character in sorted(characters):
        if unicodedata.bidirectional(character) in ("R", "AL"):
            raise PdfNotPossible(
                f"{character} (U+{ord(character):04X}) is written from right to left, which PDF invoices can't lay out:"
                " use --html and print the page"
            )
