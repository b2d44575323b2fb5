"""Functions run in processes of their own: results and errors come back, and a process ends with its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Lock
from typing import Any

import pytest
from pydantic import TypeAdapter

from fly_billing.errors import BillingError, not_computable
from fly_billing.processes import ProcessLost, call_in_processes


def add(left: int, right: int) -> tuple[int, int]:
    sys.stdout.write("not part of the answer\n")
    os.write(1, b"and neither is this")
    return left + right, os.getpid()


def fail(number: int, done: Path) -> None:
    if number == 1:
        raise not_computable("no_price", f"price {number} is missing", retryable=True)
    (done / str(number)).touch()


def end_by(signal_number: int) -> None:
    os.kill(os.getpid(), signal_number)


def leave(status: int) -> None:
    os._exit(status)


def return_failures(code: str) -> list[BillingError]:
    return [not_computable(code, "an operator's text")]


def answer_oddly(kind: str) -> object:
    match kind:
        case "of a library":
            return TypeAdapter(int).validate_python("x")
        case "not to be pickled":
            error = ValueError("a lock")
            vars(error)["lock"] = Lock()
            raise error
    return Lock()


def wait(started: Path) -> None:
    (started / str(os.getpid())).touch()
    time.sleep(600)


def test_each_call_has_a_process_of_its_own_and_results_keep_their_order() -> None:
    found: list[Any] = call_in_processes(add, [{"left": 1, "right": 2}, {"left": 10, "right": 20}])
    assert [result for result, _ in found] == [3, 30]
    assert len({os.getpid(), *(pid for _, pid in found)}) == 3


def test_an_error_is_returned_as_it_was_beside_the_results_of_the_other_calls(tmp_path: Path) -> None:
    calls = [{"number": number, "done": tmp_path} for number in (1, 2, 3)]
    error, *others = call_in_processes(fail, calls)
    assert isinstance(error, BillingError)
    assert (str(error), error.code, error.retryable) == ("no_price: price 1 is missing", "no_price", True)
    assert error.customer_text.startswith("We can't calculate this month's invoice yet")
    assert others == [None, None]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2", "3"]


def test_a_result_may_contain_errors() -> None:
    found: Any
    ((found,),) = call_in_processes(return_failures, [{"code": "no_price"}])  # type: ignore[misc]
    assert isinstance(found, BillingError)
    assert (found.code, found.operator_text, found.retryable) == ("no_price", "an operator's text", False)


def test_a_killed_process_is_named_with_its_signal() -> None:
    (killed,) = call_in_processes(end_by, [{"signal_number": signal.SIGKILL}])
    (ended,) = call_in_processes(leave, [{"status": 3}])
    assert isinstance(killed, ProcessLost) and isinstance(ended, ProcessLost)
    assert "was killed by SIGKILL; what it had not committed was rolled back" in str(killed)
    assert "ended with status 3" in str(ended)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("of a library", "ValidationError"),
        ("not to be pickled", "a process ended with ValueError: a lock"),
        ("no error", "a process ended with lock, which can't be passed on"),
    ],
)
def test_an_answer_that_cannot_be_passed_on_is_told(kind: str, text: str) -> None:
    (found,) = call_in_processes(answer_oddly, [{"kind": kind}])
    assert isinstance(found, Exception)
    assert text in f"{type(found).__name__} {found}"


def test_a_file_in_the_working_folder_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pickle.py").write_text("raise SystemExit(5)", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parents[2]), *filter(None, sys.path)])
    ((result, _),) = call_in_processes(add, [{"left": 1, "right": 2}])  # type: ignore[misc]
    assert result == 3


def is_running(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").split(") ")[1][:1]
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_processes_end_with_their_parent(how: signal.Signals, tmp_path: Path) -> None:
    """Killed, or interrupted from the keyboard: nothing works on unseen."""
    code = (
        "import pathlib, signal; from fly_billing.processes import call_in_processes\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background jobs ignore it
        "from tests.unit.test_processes import wait\n"
        f"call_in_processes(wait, [{{'started': pathlib.Path({str(tmp_path)!r})}}] * 2)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2], stderr=subprocess.DEVNULL)
    while len(list(tmp_path.iterdir())) < 2:
        assert parent.poll() is None
        time.sleep(0.05)
    children = [int(path.name) for path in tmp_path.iterdir()]
    parent.send_signal(how)
    assert parent.wait(60) != 0
    for _ in range(600):
        if not any(map(is_running, children)):
            break
        time.sleep(0.1)
    assert not any(map(is_running, children))
