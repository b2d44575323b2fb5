"""Calls functions in processes of their own, so that Python works on several cores.

Not `multiprocessing`: a new process of it imports the parent's main module, which is all of Dagster in a run, and works
on if the parent is killed. Here a process imports only its function's module, and ends with its parent, so that the
database rolls back what it had begun.
"""

from __future__ import annotations

import importlib
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from threading import Thread
from typing import Any, TypeVar

Result = TypeVar("Result")

# The exit status of a process whose parent is gone.
_ABANDONED = 70


class ProcessLost(Exception):
    """A process ended without a result: it was killed, or has run out of memory. Its transaction was rolled back."""


def call_in_processes(function: Callable[..., Result], calls: Sequence[Mapping[str, Any]]) -> list[Result]:
    """Call a function once in a process of its own for each of these arguments. Returns the results in that order.

    All calls are finished before the first of their errors is raised. If this process is interrupted, they end too.

    Args:
        function: A function of a module. Its arguments and its result can be pickled.

    Raises:
        ProcessLost: A process was killed.
        Exception: Any error of the function.
    """
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for arguments in calls:
            processes.append(_start(function, arguments))
        answers = [_answer(process) for process in processes]
    finally:
        for process in processes:
            _end(process)
    for _, error in answers:
        if error:
            raise error
    return [result for result, _ in answers]


def _start(function: Callable[..., Any], arguments: Mapping[str, Any]) -> subprocess.Popen[bytes]:
    # In a session of its own, an interrupt by the keyboard reaches only the parent, which ends its processes.
    process = subprocess.Popen(
        [sys.executable, "-c", f"from {__name__} import answer_a_call; answer_a_call()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert process.stdin is not None
    try:
        process.stdin.write(_pickled((function.__module__, function.__qualname__, arguments)))
        process.stdin.flush()  # and not closed: its end tells the process that its parent is gone
    except BrokenPipeError:
        pass  # it ended before it had read all; its answer says so
    return process


def _answer(process: subprocess.Popen[bytes]) -> tuple[Any, Exception | None]:
    assert process.stdout is not None
    found = process.stdout.read()
    status = process.wait()
    if status == 0:
        result, error = pickle.loads(found)  # noqa: S301 written by our own process
        return result, error
    how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
    return None, ProcessLost(f"process {process.pid} {how}: what it had begun was rolled back")


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


class _Pickler(pickle.Pickler):
    """Pickles errors by their attributes: the arguments of many differ from those of their class."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, BaseException):
            return _made_again, (type(obj), obj.args, vars(obj))
        return NotImplemented


def _made_again(kind: type[BaseException], arguments: tuple[Any, ...], attributes: Mapping[str, Any]) -> BaseException:
    error = kind.__new__(kind, *arguments)
    error.args = arguments
    vars(error).update(attributes)
    return error


def _pickled(parts: Any) -> bytes:
    written = BytesIO()
    _Pickler(written).dump(parts)
    return written.getvalue()


def answer_a_call() -> None:
    """Read a call from the input, and write its result or error to the output: all that a process does."""
    # Whatever the function prints goes to the errors, not into the answer.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    module, name, arguments = pickle.load(sys.stdin.buffer)  # noqa: S301 written by the parent
    Thread(target=_end_with_the_parent, daemon=True).start()
    answer: tuple[Any, Exception | None]
    try:
        answer = (getattr(importlib.import_module(module), name)(**arguments), None)
    except Exception as error:  # noqa: BLE001 - the parent raises it
        answer = (None, error)
    with answers:
        answers.write(_pickled(answer))


def _end_with_the_parent() -> None:
    # Not `sys.stdin`: the interpreter would wait for this thread when it ends.
    if os.read(0, 1) == b"":
        os._exit(_ABANDONED)
