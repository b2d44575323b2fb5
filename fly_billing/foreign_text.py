"""Text that others wrote: organizations, usage, price books, coupons, file names, Stripe, and errors that quote them.

Every place that shows text passes it through `visible` and then through the escape of its own syntax (the terminal's
class, the template engine, Slack's blocks, a Markdown table). Keeps out: those syntaxes.
"""

from __future__ import annotations

import unicodedata

# Control, format (zero width, bidirectional overrides, tags) and surrogate characters, line and paragraph ends.
_INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Letters and marks that are drawn as nothing (Unicode's Default_Ignorable_Code_Point).
_INVISIBLE_LETTERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def visible(text: str, *, keep: str = "") -> str:
    r"""Return the text with every character that has no picture of its own written as an escape, such as `\x1b`.

    So no text begins a new line, moves the cursor, hides a part of itself or runs backwards. What is visible stays as
    it is. `keep`: control characters that the caller wrote itself and wants to keep, such as "\n".
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        _escape(character) if _is_invisible(character) and character not in keep else character for character in text
    )


def _is_invisible(character: str) -> bool:
    if unicodedata.category(character) in _INVISIBLE_CATEGORIES or character in _INVISIBLE_LETTERS:
        return True
    return "\U000e0100" <= character <= "\U000e01ef"  # variation selectors that carry hidden bytes


def _escape(character: str) -> str:
    code = ord(character)
    if code < 0x100:
        return _SHORT.get(character, f"\\x{code:02x}")
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
