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
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import BytesIO
from threading import Thread
from typing import Any, TypeVar

from fly_billing.errors import ActionableError

Result = TypeVar("Result")

# The exit status of a process whose parent is gone.
_ABANDONED = 70
# The kinds of answers: the value that a generator yields, a result, and an error.
_YIELDED, _RETURNED, _RAISED = "yielded", "returned", "raised"


class ProcessLost(ActionableError):
    """A process ended without a result: it was killed, or has run out of memory. Or its result can't be read."""


def call_in_processes(function: Callable[..., Result], calls: Sequence[Mapping[str, Any]]) -> list[Result | Exception]:
    """Call a function once in a process of its own for each of these arguments.

    Returns, in that order, each result, or the error that the function raised; ProcessLost if there is neither. If this
    process is interrupted, the calls end too.

    Args:
        function: A function of a module. Its arguments and its result can be pickled.
    """
    with ProcessPool() as pool, pool.calling(function, calls) as begun:
        return [_outcome(call) for call in begun]


def _outcome(call: ProcessCall) -> Any:
    try:
        return call.receive()
    except Exception as error:  # noqa: BLE001 - of any class
        return error


class ProcessCall:
    """A call of a function in a process. If it is a generator function, both sides talk in turn."""

    def __init__(self, process: _Process, function: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
        self._process = process
        process.write((function.__module__, function.__qualname__, arguments))

    def receive(self) -> Any:
        """Wait for the next value that the generator yields, or for the function's result.

        Raises the error of the function, or ProcessLost.
        """
        kind, value = self._process.read()
        if kind == _RAISED:
            raise value
        return value

    def send(self, message: Any) -> None:
        """Send a message, which the generator gets from its `yield`."""
        self._process.write(message)


class ProcessPool:
    """Processes that stay for the next calls: starting one takes 0.4 CPU s. To be used in a `with` block."""

    def __init__(self) -> None:
        self._processes: list[_Process] = []

    def __enter__(self) -> ProcessPool:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    @contextmanager
    def calling(
        self, function: Callable[..., Any], calls: Sequence[Mapping[str, Any]]
    ) -> Iterator[Sequence[ProcessCall]]:
        """Begin a call of the function for each of these arguments, each in a process of its own.

        The block receives all their answers. If it raises an error, the processes end, so that nothing works on.
        """
        try:
            while len(self._processes) < len(calls):
                self._processes.append(_Process())
            yield [
                ProcessCall(process, function, arguments)
                for process, arguments in zip(self._processes, calls, strict=False)
            ]
        except BaseException:
            self._end()
            raise
        lost = [process for process in self._processes if not process.is_alive]
        for process in lost:
            process.end()
            self._processes.remove(process)

    def _end(self) -> None:
        while self._processes:
            self._processes.pop().end()


class _Process:
    """A process that answers one call after another."""

    def __init__(self) -> None:
        # Nothing is ever written to this pipe. When its other end is closed, the process knows that its parent is gone.
        theirs, self._ours = os.pipe()
        # The process imports from where this one does (`-P`: not from the working folder besides). In a session of its
        # own, an interrupt by the keyboard reaches only the parent, which ends its processes.
        program = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import answer_calls; answer_calls({theirs})"
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", program],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, pass_fds=[theirs],
            )  # fmt: skip
        except BaseException:
            os.close(self._ours)
            raise
        finally:
            os.close(theirs)
        assert self._process.stdin is not None and self._process.stdout is not None
        self._calls, self._answers = self._process.stdin, self._process.stdout

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def write(self, message: Any) -> None:
        try:
            self._calls.write(_pickled(message))
            self._calls.flush()
        except BrokenPipeError:
            pass  # it ended before it had read all; its answer says so

    def read(self) -> tuple[str, Any]:
        """Return the kind and the value of its next answer."""
        try:
            kind, value = pickle.load(self._answers)  # noqa: S301 written by our own process
        except EOFError:
            return _RAISED, self._lost()
        except Exception as problem:  # noqa: BLE001 - of any class
            self._process.kill()  # the rest of its answer must not be taken for the next one
            return _RAISED, ProcessLost(
                f"the answer of process {self._process.pid} can't be read: {type(problem).__name__} {problem}"
            )
        return kind, value

    def _lost(self) -> ProcessLost:
        status = self._process.wait()
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        return ProcessLost(f"process {self._process.pid} {how}; what it had not committed was rolled back")

    def end(self) -> None:
        if self.is_alive:
            self._process.kill()
            self._process.wait()
        with suppress(BrokenPipeError):  # it has ended without reading all
            self._calls.close()
        self._answers.close()
        os.close(self._ours)


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
    _Pickler(written, pickle.HIGHEST_PROTOCOL).dump(parts)
    return written.getvalue()


def answer_calls(parent: int) -> None:
    """Read calls from the input, and write their answers to the output: all that a process does.

    Args:
        parent: The file descriptor that ends when the parent does.
    """
    # Whatever a function prints goes to the errors, not into an answer.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    Thread(target=_end_with_the_parent, args=(parent,), daemon=True).start()
    with answers:
        while (call := _next_message()) is not None:
            for answer in _answers(*call):
                answers.write(_pickled_or_told(*answer))
                answers.flush()


def _next_message() -> Any:
    try:
        return pickle.load(sys.stdin.buffer)  # noqa: S301 written by the parent
    except EOFError:
        return None


def _answers(module: str, name: str, arguments: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    try:
        result = getattr(importlib.import_module(module), name)(**arguments)
        if isinstance(result, Generator):
            result = yield from _talk(result)
    except Exception as error:  # noqa: BLE001 - the parent raises it
        yield _RAISED, error
    else:
        yield _RETURNED, result


def _talk(generator: Generator[Any, Any, Any]) -> Generator[tuple[str, Any], None, Any]:
    """Yield each value of the generator, and send it the parent's next message. Returns its result."""
    try:
        value = next(generator)
        while True:
            yield _YIELDED, value
            value = generator.send(_next_message())
    except StopIteration as end:
        return end.value


def _pickled_or_told(kind: str, answer: Any) -> bytes:
    """Pickle the answer, or its text if the parent could not read it: some errors of libraries can't be made again."""
    try:
        written = _pickled((kind, answer))
        if kind == _RAISED:
            pickle.loads(written)  # noqa: S301 our own
    except Exception:  # noqa: BLE001 - of any class
        if isinstance(answer, ActionableError):
            return _pickled((_RAISED, ProcessLost(str(answer))))
        text = f": {answer}" if isinstance(answer, Exception) else ", which can't be passed on"
        return _pickled((_RAISED, ProcessLost(f"a process ended with {type(answer).__name__}{text}")))
    return written


def _end_with_the_parent(parent: int) -> None:
    if os.read(parent, 1) == b"":
        os._exit(_ABANDONED)
