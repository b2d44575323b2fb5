"""What the commands print with. A plain string is literal, one line, and can't color, link, move or hide anything.

Rich reads `[red]`, `:smile:` and escape sequences in strings; here styles are opt-in, by `styled`. Commands use only
this module and Rich's tables, columns and bars; tests/unit/cli/test_terminal.py checks that. Keeps out: what is
printed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, Group, JustifyMethod, OverflowMethod, RenderableType
from rich.panel import Panel
from rich.progress import Progress, ProgressColumn, TextColumn
from rich.prompt import Confirm
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

from fly_billing.foreign_text import visible

__all__ = ["RenderableType", "Terminal", "Text", "bars", "busy", "confirm", "joined", "lines", "panel", "styled"]


class Terminal(Console):
    """Rich's console for which every string is literal: no markup, emoji codes, highlighting or control characters.

    A string is one line: a line break in it is shown as `\\n`. `lines` makes more than one.
    """

    def __init__(self, *, stderr: bool = False, width: int | None = None, **given: Any) -> None:
        super().__init__(stderr=stderr, width=width, markup=False, emoji=False, highlight=False, **given)

    def render_str(
        self,
        text: str,
        *,
        style: str | Style = "",
        justify: JustifyMethod | None = None,
        overflow: OverflowMethod | None = None,
        **syntax: object,
    ) -> Text:
        """Make a string printable, whatever syntax the caller asks for (Rich's own renderables ask for markup)."""
        return Text(visible(text), style=style, justify=justify, overflow=overflow)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render, with nothing left in the output that a terminal could obey, however it was made."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible(segment.text, keep="\n"))


def styled(text: str, style: str = "") -> Text:
    """Return a literal text in a style: `styled("failed", "red")`."""
    return Text(visible(text), style=style)


def joined(*parts: str | Text) -> Text:
    """Return literal texts as one, styled ones among them."""
    return Text().join(styled(part) if isinstance(part, str) else part for part in parts)


def lines(*parts: str | Text) -> Text:
    """Return literal texts as one, each on a line of its own."""
    return Text("\n").join(styled(part) if isinstance(part, str) else part for part in parts)


def panel(*parts: RenderableType, title: str, subtitle: str = "", style: str = "", **layout: Any) -> Panel:
    """Return a frame around the parts, with literal titles."""
    return Panel(
        Group(*parts),
        title=styled(title, style), title_align="left",
        subtitle=styled(subtitle) if subtitle else None, subtitle_align="right",
        **layout,
    )  # fmt: skip


@contextmanager
def busy(terminal: Terminal, text: str) -> Iterator[Callable[[str], None]]:
    """Show that a command works while the block runs; yield what changes the text."""
    with terminal.status(styled(text)) as status:
        yield lambda said: status.update(styled(said))


def bars(terminal: Terminal, *columns: ProgressColumn | str, **given: Any) -> Progress:
    """Return progress bars whose descriptions, and columns that are strings, are literal."""
    made = (TextColumn(column, markup=False) if isinstance(column, str) else column for column in columns)
    return Progress(*made, console=terminal, **given)


def confirm(terminal: Terminal, question: str, answers: TextIO | None = None) -> bool:
    """Ask yes or no until there is an answer, on `answers` or else the standard input."""
    return _Confirm.ask(styled(question), console=terminal, stream=answers)


class _Confirm(Confirm):
    validate_error_message = "Please enter Y or N"
