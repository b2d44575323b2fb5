"""Commands print literal text: Rich's markup and terminal control sequences in it have no effect."""

from __future__ import annotations

import ast
import io
import re
from pathlib import Path

import pytest
from rich.columns import Columns
from rich.table import Table

from fly_billing.cli.terminal import Terminal, bars, busy, confirm, joined, lines, panel, styled

CLI = Path(__file__).parents[3] / "fly_billing" / "cli"
PACKAGE = CLI.parent

HOSTILE = [
    "Bold [/b]", "[bold]x[/bold]", "[link=http://evil.example]pay[/link]", "[/]", "\\[x]", "[@click=x]y[/]",
    ":smile: :skull:",
    "\x1b]8;;http://evil.example\x1b\\pay\x1b]8;;\x1b\\", "\x1b[2J\x1b[H", "\x1b[31mred", "\x9b31m",
    "a\nfly-billing: paid",
    "a\rTotal $0.00", "a\u2028b", "\u202egnp.exe", "ac\u200bme", "\x07\x08\x00", "{x} %s ${y}",
]  # fmt: skip


@pytest.fixture
def out() -> io.StringIO:
    return io.StringIO()


@pytest.fixture(params=[False, True], ids=["piped", "on a terminal"])
def terminal(out: io.StringIO, request: pytest.FixtureRequest) -> Terminal:
    return Terminal(file=out, width=300, force_terminal=request.param)


def plain(out: io.StringIO) -> str:
    """Return the printed text without the colors that the commands add (SGR sequences)."""
    return re.sub(r"\x1b\[[0-9;?]*[mhlKA]", "", out.getvalue()).replace("\r", "")


def shown(text: str) -> str:
    return "".join(
        character if character.isprintable() else {"\n": r"\n", "\r": r"\r"}.get(character) or escaped(ord(character))
        for character in text
    )


def escaped(code: int) -> str:
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


@pytest.mark.parametrize("text", HOSTILE)
def test_a_foreign_text_is_literal_in_everything_a_command_prints(
    text: str, terminal: Terminal, out: io.StringIO
) -> None:
    table = Table("Name", text, title=text, caption=text, show_footer=True)
    table.columns[0].footer = text
    table.add_row(text, lines(text, styled(text, "dim")))
    terminal.print(text, styled(text, "red"), joined(text, " ", styled(text, "bold")))
    terminal.print(table)
    terminal.print(Columns([text, text]))
    terminal.print(panel(text, styled(text), title=text, subtitle=text))
    terminal.rule(text)
    terminal.print(text, soft_wrap=True, markup=True, emoji=True, highlight=True)

    printed = plain(out)
    assert printed.count(shown(text)) >= 15
    assert all(character.isprintable() for line in printed.split("\n") for character in line)
    assert "8;;" not in out.getvalue().replace(shown(text), "")  # no link


@pytest.mark.parametrize("text", HOSTILE)
def test_a_foreign_text_is_literal_in_progress_displays(text: str, out: io.StringIO) -> None:
    terminal = Terminal(file=out, width=200, force_terminal=True)
    with busy(terminal, text) as say:
        say(text)
    with bars(terminal, "{task.description}") as progress:
        progress.update(progress.add_task(text, total=1), advance=1)

    printed = plain(out)
    assert shown(text) in printed
    assert "http://evil.example\x1b" not in out.getvalue()
    assert all(character.isprintable() for line in printed.split("\n") for character in line)


def test_a_question_is_literal_and_repeated_in_plain_words(terminal: Terminal, out: io.StringIO) -> None:
    assert confirm(terminal, "void in_1 of Bold [/b]?", io.StringIO("perhaps\ny\n"))
    assert plain(out).count("void in_1 of Bold [/b]?") == 2
    assert "Please enter Y or N" in plain(out)
    assert "[prompt" not in plain(out)


def test_commands_print_through_this_terminal_only() -> None:
    """Rich's own console, texts and panels read markup; they are for terminal.py alone."""
    forbidden = {
        "rich", "rich.console", "rich.text", "rich.panel", "rich.markup", "rich.prompt", "rich.status", "rich.spinner",
        "rich.live", "rich.logging", "rich.tree", "rich.rule", "rich.markdown", "rich.pretty",
    }  # fmt: skip
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.name == "terminal.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            place = f"{path.relative_to(PACKAGE)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.ImportFrom) and (
                node.module in forbidden or any(alias.name == "TextColumn" for alias in node.names)
            ):
                wrong.append(f"{place} imports {node.module}")
            if isinstance(node, ast.Import) and any(alias.name.split(".")[0] == "rich" for alias in node.names):
                wrong.append(f"{place} imports rich")
            if not isinstance(node, ast.Call) or CLI not in path.parents:
                continue
            called = ast.unparse(node.func)
            if called in ("print", "sys.stdout.write", "sys.stderr.write") and not (
                is_a_constant(node) or (node.args and ast.unparse(node.args[0]).startswith(("json.dumps(", "visible(")))
            ):
                wrong.append(f"{place} prints past the terminal")
            if called.startswith(("typer.echo", "typer.secho", "Text", "typer.confirm", "typer.prompt")):
                wrong.append(f"{place} calls {called}")
            if called == "typer.BadParameter" and "visible(" not in ast.unparse(node) and not is_a_constant(node):
                wrong.append(f"{place}: what a wrong parameter quotes is not made visible")
            if called.endswith(".status") or (called == "Progress"):
                wrong.append(f"{place}: use busy or bars")
    assert wrong == []


def is_a_constant(call: ast.Call) -> bool:
    return all(isinstance(argument, ast.Constant) for argument in call.args)


def test_no_command_writes_text_in_markup() -> None:
    """The terminal would print the markup literally."""
    wrong = [
        f"{path.name}:{node.lineno}"
        for path in sorted(CLI.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.search(r"\[/[a-z ]*\]", node.value)
    ]
    assert wrong == []
