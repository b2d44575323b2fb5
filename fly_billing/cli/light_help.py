"""Loads Typer's help without a Markdown parser: our help has no Markdown, and the parser takes a tenth of its time."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import ModuleType

_MARKDOWN = "rich.markdown"


def load_help(arguments: Sequence[str]) -> None:
    """Load what shows help, if a command's arguments ask for it. Later imports of `rich.markdown` get the real one."""
    if _MARKDOWN in sys.modules or not (not arguments or "--help" in arguments):
        return
    stand_in = ModuleType(_MARKDOWN)
    vars(stand_in)["Markdown"] = _NoMarkdown
    sys.modules[_MARKDOWN] = stand_in
    try:
        import typer.rich_utils  # noqa: F401
    finally:
        del sys.modules[_MARKDOWN]


class _NoMarkdown:
    def __init__(self, *text: object, **style: object) -> None:
        raise AssertionError("no help of ours is written in Markdown")
