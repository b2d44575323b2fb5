"""Foreign text is shown literally, and a character without a visible form is shown as an escape."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fly_billing.foreign_text import visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Acme & Søns <gmbh> [b] 東京 €", "Acme & Søns <gmbh> [b] 東京 €"),
        ("Bold [/b]", "Bold [/b]"),
        ("a\nb\tc\rd", r"a\nb\tc\rd"),
        ("\x1b]8;;http://evil.example\x1b\\pay", r"\x1b]8;;http://evil.example\x1b\pay"),
        ("\x9b31m", r"\x9b31m"),
        ("\x00\x07\x7f", r"\x00\x07\x7f"),
        ("invoice\u202egnp.exe", r"invoice\u202egnp.exe"),
        ("a\u2066b\u2069\u200f\u061c", r"a\u2066b\u2069\u200f\u061c"),
        ("ac\u200bme\ufeff\u2060\u00ad", r"ac\u200bme\ufeff\u2060\xad"),
        ("a\u2028b\u2029c\x85d", r"a\u2028b\u2029c\x85d"),
        ("\u3164\u115f", r"\u3164\u115f"),
        ("tag\U000e0041\U000e0101", r"tag\U000e0041\U000e0101"),
        ("half\ud800", r"half\ud800"),
        (r"C:\temp\new", r"C:\temp\new"),
        ("", ""),
    ],
)
def test_visible_characters_stay_and_others_are_escaped(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_the_callers_own_line_breaks_may_stay() -> None:
    assert visible("a\nb\r\tc", keep="\n") == "a\nb\\r\\tc"


def test_no_character_ends_a_line_or_is_invisible() -> None:
    everything = visible("".join(map(chr, range(sys.maxunicode + 1))))
    assert len(everything.splitlines()) == 1
    assert {unicodedata.category(character) for character in everything}.isdisjoint({"Cc", "Cf", "Cs", "Zl", "Zp"})
    everything.encode()  # no half of a character is left that a file could not hold


@given(st.text())
def test_escaping_twice_changes_nothing_more(text: str) -> None:
    assert visible(visible(text)) == visible(text)
