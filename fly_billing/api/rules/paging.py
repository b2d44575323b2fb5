"""Cursors of paged lists: opaque text that names the last row of a page, so that later rows shift no page."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import TypeVar

Row = TypeVar("Row")


class InvalidCursor(ValueError):
    """The cursor is not one that an earlier page gave."""


def page_after(
    rows: Sequence[Row], key: Callable[[Row], str], cursor: str | None, limit: int
) -> tuple[Sequence[Row], str | None]:
    """Return a page, and the cursor of the next one; None on the last page.

    Args:
        rows: All rows, in order.
        key: Names a row.
        cursor: Of the page before; None for the first page.

    Raises:
        InvalidCursor: It names no row.
    """
    start = 0
    if cursor is not None:
        names = [key(row) for row in rows]
        last = _decoded(cursor)
        if last not in names:
            raise InvalidCursor("this cursor belongs to no page: begin again without one")
        start = names.index(last) + 1
    page = rows[start : start + limit]
    has_more = start + limit < len(rows)
    return page, _encoded(key(page[-1])) if has_more else None


def _encoded(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode().rstrip("=")


def _decoded(cursor: str) -> str:
    try:
        return base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, UnicodeError):
        return ""
