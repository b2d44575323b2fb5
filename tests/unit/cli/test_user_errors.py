"""An error that a user can fix is one clear line: no traceback, and no name of a Python class."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fly_billing.cli.file_errors import describe_file_error
from fly_billing.stripe_sandbox import SandboxControl

# The function that the installed `fly-billing` runs.
COMMAND = [sys.executable, "-c", "from fly_billing.cli.entry import main; main()"]


def run(folder: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    """Run a command in this folder. Returns its exit code, and everything that it printed in one line."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        cwd=folder, env={**os.environ, "FLY_BILLING_DATA_DIR": str(folder / "data"), "COLUMNS": "200", **environment},
        capture_output=True, encoding="utf-8", timeout=600, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return done.returncode, " ".join((done.stdout + done.stderr).replace("│", " ").split())


@pytest.fixture
def taken() -> Iterator[int]:
    """A port of 127.0.0.1 on which this test listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a text file, a folder `inner`, and nothing else."""
    (tmp_path / "text").write_text("no SQLite file, no FOCUS file and no folder\n" * 20, encoding="utf-8")
    (tmp_path / "inner").mkdir()
    return tmp_path


@pytest.mark.parametrize("command", ["stripe-sandbox", "webhooks", "serve-usage", "dev"])
def test_a_port_that_does_not_exist_or_is_in_use_is_named(folder: Path, taken: int, command: str) -> None:
    code, printed = run(folder, command, "--port", "99999999")
    assert (code, "Traceback" in printed) == (2, False)
    assert "Invalid value for '--port'" in printed
    assert "65535" in printed
    assert run(folder, command, "--port", str(taken)) == (
        2,
        f"fly-billing: can't listen on port {taken} of 127.0.0.1: another program uses it: end that program, or choose"
        " another port with --port",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["stripe-sandbox", "--port", "0", "--store", "inner"], "inner can't hold the sandbox's state: unable to open"),
        (["stripe-sandbox", "--port", "0", "--store", "text"], "text can't hold the sandbox's state: file is not a"),
        (["stripe-sandbox", "--port", "0", "--store", "text/x"], "text is a file, but a folder is needed there"),
        (["import-focus", "inner"], "file 'inner' is a directory"),
        (["import-focus", "missing.csv"], "'missing.csv' does not exist"),
        (["shadow", "2026-09", "--price-book", "text"], "dir 'text' is a file"),
        (["seed", "--today", "9998-12-31"], "--today 9998-12-31 has not come yet: the last day with usage is"),
        (["seed", "--months", "100000"], "Invalid value for '--months'"),
        (["sync", "2026-09", "--dry-run", "--json"], "leave it out with --dry-run"),
        (["land", "--repair", "--json"], "leave it out with --repair"),
        (["ledger", "acme", "--post-missing"], "--post-missing posts the events of all organizations"),
        (["webhooks", "--host", "no such host"], "no such host is not an address to listen on"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_value_that_cannot_be_used_is_named(folder: Path, arguments: list[str], message: str) -> None:
    code, printed = run(folder, *arguments)
    assert (code, "Traceback" in printed) == (2, False), printed
    assert message in printed


@pytest.mark.parametrize(
    ("data_dir", "message"),
    [
        ("text", "text is a file, but a folder is needed there"),
        ("/proc/nowhere", "the folder /proc/nowhere can't be made: "),  # not even root can write there
    ],
)
def test_a_data_folder_that_cannot_be_made_or_written_is_named(folder: Path, data_dir: str, message: str) -> None:
    for command in (["totals"], ["stripe-sandbox", "--port", "0"], ["clean"]):
        code, printed = run(folder, *command, FLY_BILLING_DATA_DIR=data_dir)
        assert "Traceback" not in printed, (command, printed)
        assert (code, message in printed) == (2, True) or command == ["clean"], (command, printed)


def test_a_long_message_is_one_line_of_a_log(folder: Path) -> None:
    """Not wrapped at 80 columns: `grep` finds it, and each line of a CI job's log is a mistake of its own."""
    done = subprocess.run(
        [*COMMAND, "plan"],
        cwd=folder, env={**os.environ, "FLY_BILLING_DATA_DIR": str(folder / "data"), "COLUMNS": "80"},
        capture_output=True, encoding="utf-8", timeout=600, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    (line,) = done.stderr.splitlines()
    assert line == (
        "fly-billing: name the folder: fly-billing plan DIR. FLY_BILLING_WORKSPACE is not set, and"
        f" {folder} has no fly_billing.yaml"
    )


def test_an_environment_file_that_is_no_text_is_named(folder: Path) -> None:
    (folder / ".env").write_bytes(b"\xd8\x00\xff")
    code, printed = run(folder, "totals")
    assert (code, "Traceback" in printed) == (2, False), printed
    assert f"{folder / '.env'} can't be read" in printed


def test_an_interrupted_command_ends_with_one_line_whenever_it_is_interrupted(folder: Path) -> None:
    """Ctrl-C while Python loads the command, and while the command waits for nothing but the signal."""
    # A background job of a shell ignores SIGINT, and so do its children unless they set the handler again.
    early = [sys.executable, "-c", "import os, signal, sys\nfrom fly_billing.cli import entry\n"
             "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
             "class Interrupting:\n"
             "    def find_spec(self, name, path=None, target=None):\n"
             "        if name == 'fly_billing.cli.main': os.kill(os.getpid(), signal.SIGINT)\n"
             "sys.meta_path.insert(0, Interrupting())\nentry.main()"]  # fmt: skip
    done = subprocess.run(early, cwd=folder, capture_output=True, encoding="utf-8", timeout=600, check=False)
    assert (done.returncode, done.stderr) == (130, "fly-billing: interrupted\n")


def test_a_running_server_ends_on_ctrl_c_without_a_traceback(folder: Path) -> None:
    with subprocess.Popen(
        [*COMMAND, "stripe-sandbox", "--port", "0", "--store", "store.sqlite"],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8",
    ) as process:  # fmt: skip
        assert process.stdout is not None
        url = next(word for word in process.stdout.readline().split() if word.startswith("http://127.0.0.1:"))
        SandboxControl(url).health()  # it answers, so it handles signals
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        assert "Traceback" not in rest, rest
        assert process.wait(600) in (0, 130)


@pytest.mark.parametrize(
    ("problem", "line"),
    [
        (PermissionError(13, "Permission denied", "a.csv"), "a.csv: Permission denied: check its owner and rights"),
        (OSError(28, "No space left on device", "b"), "b: No space left on device: make room, then run again"),
        (OSError(30, "Read-only file system", "data/x"), "data/x: Read-only file system: name a place that can be"),
        (IsADirectoryError(21, "Is a directory", "folder"), "folder: Is a directory: name a file"),
    ],
)
def test_an_error_of_a_file_names_the_file_the_reason_and_the_next_step(problem: OSError, line: str) -> None:
    assert (describe_file_error(problem) or "").startswith(line)


def test_a_bug_is_not_mistaken_for_an_error_of_a_file_that_was_handled_before() -> None:
    try:
        try:
            raise FileNotFoundError(2, "No such file or directory", "a.csv")
        except FileNotFoundError:
            raise KeyError("bug")  # noqa: B904 the context is what this test is about
    except KeyError as bug:
        assert describe_file_error(bug) is None
    assert describe_file_error(ConnectionResetError(104, "Connection reset by peer")) is None
