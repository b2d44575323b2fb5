"""The terminal that commands print on. A plain string is one literal line: it can't color, link, move or hide text.

Rich interprets `[red]`, `:smile:` and escape sequences in strings. Here, styles are opt-in, by `styled`. Commands use
only this module and Rich's tables, columns and bars; tests/unit/cli/test_terminal.py checks that. Not here: the texts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console, ConsoleOptions, Group, JustifyMethod, OverflowMethod, RenderableType
from rich.panel import Panel
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

from fly_billing.foreign_text import visible

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

__all__ = ["RenderableType", "Terminal", "Text", "bars", "busy", "confirm", "joined", "lines", "panel", "styled"]


class Terminal(Console):
    """Rich's console, but every string is literal: no markup, emoji codes, highlighting or control characters.

    A string is one line: a line break in it shows as `\\n`. `lines` makes several.
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
        """Return a string as literal text, even if the caller asks for markup, as Rich's own renderables do."""
        return Text(visible(text), style=style, justify=justify, overflow=overflow)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render without control characters, however the renderable was made."""
        for segment in super().render(renderable, options):
            text = segment.text if segment.control else visible(segment.text, keep="\n")
            # Each level of nesting renders every segment again: most of them stay as they are.
            yield segment if text is segment.text else segment._replace(text=text)


def styled(text: str, style: str = "") -> Text:
    """Return a literal text in a style: `styled("failed", "red")`."""
    return Text(visible(text), style=style)


def joined(*parts: str | Text) -> Text:
    """Join literal and styled texts into one."""
    return Text().join(styled(part) if isinstance(part, str) else part for part in parts)


def lines(*parts: str | Text) -> Text:
    """Join literal and styled texts into one, each on its own line."""
    return Text("\n").join(styled(part) if isinstance(part, str) else part for part in parts)


def panel(*parts: RenderableType, title: str, subtitle: str = "", style: str = "", **layout: Any) -> Panel:
    """Return the parts in a frame with literal titles."""
    return Panel(
        Group(*parts),
        title=styled(title, style), title_align="left",
        subtitle=styled(subtitle) if subtitle else None, subtitle_align="right",
        **layout,
    )  # fmt: skip


@contextmanager
def busy(terminal: Terminal, text: str) -> Iterator[Callable[[str], None]]:
    """Show a spinner with the text during the block. Yields a function that changes the text."""
    with terminal.status(styled(text)) as status:
        yield lambda new_text: status.update(styled(new_text))


def bars(terminal: Terminal, *columns: ProgressColumn | str, **given: Any) -> Progress:
    """Return progress bars with literal descriptions. A column that is a string is literal too."""
    from rich.progress import Progress, TextColumn  # here, because few commands show progress

    literal = (TextColumn(column, markup=False) if isinstance(column, str) else column for column in columns)
    return Progress(*literal, console=terminal, **given)


def confirm(terminal: Terminal, question: str, answers: TextIO | None = None) -> bool:
    """Ask until the answer is yes or no. Reads `answers`, or the standard input."""
    from rich.prompt import Confirm  # here, because few commands ask

    asked = Confirm(styled(question), console=terminal)
    asked.validate_error_message = "Please enter Y or N"
    return asked(stream=answers)
