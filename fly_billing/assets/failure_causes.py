"""Finds the cause of a failed run and states it in one sentence, for the command line and for alerts.

Dagster wraps what an asset raises in errors of its own ("Error occurred while executing op ..."), and a run can also
fail outside of any step: a resource that can't be set up, a killed process, a code location that does not load. This
module reads all of them. Not here: how failures are reported (`run_report`), who is alerted (`sensors`).
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dagster import DagsterEvent, DagsterEventType
from dagster_shared.error import SerializableErrorInfo

OURS = "fly_billing."
MOST_LETTERS = 600
# Text that libraries append and a sentence doesn't need: the statement, its parameters, links, whole rows.
NOISE = re.compile(r"\n\s*(\[SQL:|\[parameters:|\(Background on|DETAIL:\s+Failing row).*", re.DOTALL)


@dataclass(frozen=True)
class FailureCause:
    """The cause of a failed step or run.

    Attributes:
        step: None if the run failed outside of a step.
        is_actionable: An error of this project raised it, so the text says what to do.
    """

    step: str | None
    text: str
    is_actionable: bool


def failure_causes(events: Iterable[DagsterEvent]) -> list[FailureCause]:
    """List one cause per failed step, or the cause of the run's failure if no step failed."""
    found = list(events)
    steps = [_step_cause(event) for event in found if event.event_type == DagsterEventType.STEP_FAILURE]
    if steps:
        return list(dict.fromkeys(steps))
    ended = [event for event in found if event.event_type == DagsterEventType.RUN_FAILURE]
    return [_run_cause(event) for event in ended[-1:]] or [
        FailureCause(None, "the run ended without an error; its process may have been killed", False)
    ]


def cause_in_a_line(causes: Iterable[FailureCause], run_id: str | None = None) -> str:
    """Join the causes into one line.

    Names the steps if several failed, and the run if a cause does not say what to do.
    """
    listed = list(causes)
    texts = [
        cause.text if len(listed) == 1 or cause.step is None else f"{cause.step}: {cause.text}" for cause in listed
    ]
    line = "; ".join(texts)
    if run_id and not all(cause.is_actionable for cause in listed):
        line += f" (run {run_id} in Dagster has the traceback; running it again bills nothing twice)"
    return line


def cause_of(problem: BaseException) -> FailureCause:
    """Return the cause behind an exception that Dagster raised instead of starting the run."""
    error = SerializableErrorInfo.from_traceback(traceback.TracebackException.from_exception(problem))
    return _cause_of_error(None, error)


def raised_errors(error: SerializableErrorInfo | None) -> Iterator[SerializableErrorInfo]:
    """Yield an error, its causes and its contexts, the last raised first."""
    left = [error]
    while left:
        if current := left.pop():
            yield current
            left += [current.context, current.cause]  # causes first


def _step_cause(event: DagsterEvent) -> FailureCause:
    data = event.step_failure_data
    if data.user_failure_data and data.user_failure_data.description:  # a Failure: written for people
        return FailureCause(event.step_key, _one_line(data.user_failure_data.description), True)
    if data.error is None:
        return FailureCause(event.step_key, _one_line(event.message or "") or "it failed without an error", False)
    return _cause_of_error(event.step_key, data.error)


def _run_cause(event: DagsterEvent) -> FailureCause:
    data = event.event_specific_data
    if (error := getattr(data, "error", None)) is not None:
        return _cause_of_error(None, error)
    step = getattr(data, "first_step_failure_event", None)
    if step is not None:
        return _step_cause(step)
    return FailureCause(None, _one_line(event.message or "") or "the run ended without an error", False)


def _cause_of_error(step: str | None, error: SerializableErrorInfo) -> FailureCause:
    errors = list(raised_errors(error))
    ours = next((raised for raised in errors if raised.message.startswith(OURS)), None)
    if ours:
        return FailureCause(step, _words(ours), True)
    own = [raised for raised in errors if not _is_wrapper(raised)] or errors[:1]
    text = _words(own[0])
    if len(own) > 1 and _words(own[-1]) not in text:
        text += f"; before that: {_words(own[-1])}"
    return FailureCause(step, text, False)


def _is_wrapper(error: SerializableErrorInfo) -> bool:
    """Return True if the error only reports that something else failed, or marks a cut-off chain."""
    name = error.cls_name or ""
    return not name or (name.startswith("Dagster") and bool(error.cause or error.context))


def _words(error: SerializableErrorInfo) -> str:
    """Return the message without the class's module; an error of ours without its class, too."""
    text = NOISE.sub("", error.message)
    name, colon, rest = text.partition(":")
    if not colon or not re.fullmatch(r"[\w.]+", name) or not rest.strip():
        return _one_line(text)
    return _one_line(rest if name.startswith(OURS) else f"{name.rpartition('.')[2]}:{rest}")


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MOST_LETTERS else line[:MOST_LETTERS].rstrip() + "..."
