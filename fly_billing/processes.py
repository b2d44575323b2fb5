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

from fly_billing.errors import ActionableError

Result = TypeVar("Result")

# The exit status of a process whose parent is gone.
_ABANDONED = 70


class ProcessLost(ActionableError):
    """A process ended without a result: it was killed, or has run out of memory. Or its result can't be read."""


def call_in_processes(function: Callable[..., Result], calls: Sequence[Mapping[str, Any]]) -> list[Result | Exception]:
    """Call a function once in a process of its own for each of these arguments.

    Returns, in that order, each result, or the error that the function raised; ProcessLost if there is neither. If this
    process is interrupted, the calls end too.

    Args:
        function: A function of a module. Its arguments and its result can be pickled.
    """
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for arguments in calls:
            processes.append(_start(function, arguments))
        return [_answer(process) for process in processes]
    finally:
        for process in processes:
            _end(process)


def _start(function: Callable[..., Any], arguments: Mapping[str, Any]) -> subprocess.Popen[bytes]:
    # The process imports from where this one does (`-P`: not from the working folder besides). In a session of its own,
    # an interrupt by the keyboard reaches only the parent, which ends its processes.
    program = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import answer_a_call; answer_a_call()"
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdin is not None
    try:
        process.stdin.write(_pickled((function.__module__, function.__qualname__, arguments)))
        process.stdin.flush()  # and not closed: its end tells the process that its parent is gone
    except BrokenPipeError:
        pass  # it ended before it had read all; its answer says so
    return process


def _answer(process: subprocess.Popen[bytes]) -> Any:
    assert process.stdout is not None
    found = process.stdout.read()
    status = process.wait()
    if status != 0:
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        return ProcessLost(f"process {process.pid} {how}; what it had not committed was rolled back")
    try:
        return pickle.loads(found)  # noqa: S301 written by our own process
    except Exception as problem:  # noqa: BLE001 - of any class
        return ProcessLost(f"the answer of process {process.pid} can't be read: {type(problem).__name__} {problem}")


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


class _Pickler(pickle.Pickler):
    """Pickles our errors by their attributes: the arguments of many differ from those of their class."""

    def reducer_override(self, obj: Any) -> Any:
        # Drivers' errors know how they are pickled: theirs have connections and results among their attributes.
        if isinstance(obj, BaseException) and type(obj).__reduce__ is BaseException.__reduce__:
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
    answer: Any
    try:
        answer = getattr(importlib.import_module(module), name)(**arguments)
    except Exception as error:  # noqa: BLE001 - the parent raises it
        answer = error
    with answers:
        answers.write(_pickled_or_told(answer))


def _pickled_or_told(answer: Any) -> bytes:
    """Pickle the answer, or its text if the parent could not read it: some errors of libraries can't be made again."""
    try:
        written = _pickled(answer)
        pickle.loads(written)  # noqa: S301 our own
    except Exception:  # noqa: BLE001 - of any class
        if isinstance(answer, ActionableError):
            return _pickled(ProcessLost(str(answer)))
        text = f": {answer}" if isinstance(answer, Exception) else ", which can't be passed on"
        return _pickled(ProcessLost(f"a process ended with {type(answer).__name__}{text}"))
    return written


def _end_with_the_parent() -> None:
    # Not `sys.stdin`: the interpreter would wait for this thread when it ends.
    if os.read(0, 1) == b"":
        os._exit(_ABANDONED)
