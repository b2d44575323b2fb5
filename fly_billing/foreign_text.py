"""Makes text that others wrote safe to show: names of organizations, usage, price books, file names, Stripe's errors.

Every place that shows such text first calls `visible`, then escapes it for its own syntax: a terminal, an HTML
template, Slack's blocks, a Markdown table. Those escapes are not here.
"""

from __future__ import annotations

import re
import unicodedata

# Control, format (zero width, bidirectional overrides, tags) and surrogate characters, line and paragraph ends.
_INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Letters and marks that are drawn as empty space (Unicode's Default_Ignorable_Code_Point).
_INVISIBLE_LETTERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
# These letters, and variation selectors that carry hidden bytes: Python counts them as printable.
_PRINTABLE_BUT_INVISIBLE = re.compile(f"[{''.join(sorted(_INVISIBLE_LETTERS))}\U000e0100-\U000e01ef]")
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def visible(text: str, *, keep: str = "") -> str:
    r"""Return the text with every invisible character replaced by an escape, such as `\x1b`.

    The result can't start a new line, move the cursor, hide a part of itself or run backwards. Visible characters do
    not change.

    Args:
        text: Text that others wrote.
        keep: Control characters that the caller wrote itself, such as "\n". They are not escaped.
    """
    if text == keep or (text.isprintable() and (text.isascii() or not _PRINTABLE_BUT_INVISIBLE.search(text))):
        return text
    return "".join(
        _escape(character) if _is_invisible(character) and character not in keep else character for character in text
    )


def _is_invisible(character: str) -> bool:
    return unicodedata.category(character) in _INVISIBLE_CATEGORIES or bool(_PRINTABLE_BUT_INVISIBLE.match(character))


def _escape(character: str) -> str:
    code = ord(character)
    if code < 0x100:
        return _SHORT.get(character, f"\\x{code:02x}")
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
