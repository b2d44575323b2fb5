"""Text is read and written in UTF-8 in every locale: prices and statements contain × and €."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fly_billing.postgres.statements import statements

ROOT = Path(__file__).parents[2]
MODULES = [path for room in ("fly_billing", "tests") for path in sorted((ROOT / room).rglob("*.py"))]
OF_PATHS = {"read_text": 0, "write_text": 1}  # and their number of arguments without an encoding
# The position of the mode among the arguments.
OPENING = {"open": 1, "fdopen": 1, "TemporaryFile": 0, "NamedTemporaryFile": 0, "SpooledTemporaryFile": 1}
BINARY_BY_DEFAULT = {"TemporaryFile", "NamedTemporaryFile", "SpooledTemporaryFile"}


def is_in_the_locales_encoding(call: ast.Call) -> bool:
    """Return True if a call opens text, or a process's text, without an encoding.

    Ruff's PLW1514 finds this only if it knows the type. Calls that only share a name (`os.open`, a method `open` with
    other arguments) are excluded by their arguments.
    """
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    if "encoding" in given or None in given:
        return False
    is_method = isinstance(call.func, ast.Attribute)
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if any(getattr(given.get(word), "value", False) is True for word in ("text", "universal_newlines")):
        return True
    if name in OF_PATHS:
        return is_method and len(call.args) == OF_PATHS[name]
    if name == "TextIOWrapper":
        return True
    if name not in OPENING:
        return False
    at = 0 if is_method and name == "open" else OPENING[name]
    mode = given.get("mode") or (call.args[at] if len(call.args) > at else None)
    if mode is None:
        return name not in BINARY_BY_DEFAULT
    text = getattr(mode, "value", "")
    # A method `open` with another argument is not a path's.
    return isinstance(text, str) and set(text) <= set("rwxa+t") and text != ""


def found_in(source: str) -> list[int]:
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and is_in_the_locales_encoding(node)
    ]


@pytest.mark.parametrize(
    "source",
    [
        "open(p)", "open(p, 'w')", "open(p, mode='r+')", "p.open()", "p.open('a')", "p.open(newline='')",
        "p.read_text()", "p.write_text('x')", "os.fdopen(3)", "os.fdopen(3, 'w')", "NamedTemporaryFile('w')",
        "tempfile.TemporaryFile(mode='w+')", "subprocess.run(c, text=True)", "Popen(c, universal_newlines=True)",
        "io.TextIOWrapper(b)",
    ],
)  # fmt: skip
def test_text_without_an_encoding_is_found(source: str) -> None:
    assert found_in(source) == [1]


@pytest.mark.parametrize(
    "source",
    [
        "open(p, 'rb')", "p.open('wb')", "p.open(encoding='utf-8')", "p.read_text(encoding='utf-8')", "p.read_bytes()",
        "os.open(p, flags)", "journal.open(invoice)", "os.fdopen(3, 'rb')", "NamedTemporaryFile()",
        "subprocess.run(c)", "subprocess.run(c, text=True, encoding='utf-8')", "read_text(data, 'key')",
    ],
)  # fmt: skip
def test_bytes_and_text_with_an_encoding_are_not(source: str) -> None:
    assert found_in(source) == []


def test_no_module_reads_or_writes_text_in_the_locales_encoding() -> None:
    assert len(MODULES) > 400
    wrong = [
        f"{path.relative_to(ROOT)}:{line}" for path in MODULES for line in found_in(path.read_text(encoding="utf-8"))
    ]
    assert wrong == []


IN_C = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii:strict"}
LOADED = """
import locale, warnings
from importlib.resources import files
from fly_billing.focus.exports import exporter
from fly_billing.postgres.statements import statements
assert locale.getpreferredencoding(False) in ("ANSI_X3.4-1968", "US-ASCII"), locale.getpreferredencoding(False)
warnings.simplefilter("error", EncodingWarning)
print(len(statements()))
"""


def test_every_statement_loads_in_an_ascii_locale() -> None:
    options = ["-X", "warn_default_encoding"]
    done = subprocess.run(
        [sys.executable, *options, "-c", LOADED], env=IN_C, cwd=ROOT, stdout=subprocess.PIPE, timeout=600, check=True
    )
    assert int(done.stdout) == len(statements()) > 200


def test_the_command_line_escapes_characters_that_the_locale_does_not_have() -> None:
    program = (
        "from fly_billing.cli.main import console, main\n"
        "try: main()\n"
        "except SystemExit: console.print('3 requests \\u00d7 0.1 \\u2581\\u2582')\n"
    )
    environment = {name: value for name, value in IN_C.items() if name != "PYTHONIOENCODING"}
    command = [sys.executable, "-c", program, "--help"]
    done = subprocess.run(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, timeout=600, check=True)
    assert b"3 requests ? 0.1 ??" in done.stdout
