"""Splits a posted text into the texts of its events: one JSON object, or an array of them (a CloudEvents batch).

Each event keeps its digits as written, on one line. Not here: whether an event can be billed (`form`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

# A request with more is refused. Senders split it.
MOST_EVENTS = 10_000

# Numbers stay text: only the extent of an element counts here, and a number may have any number of digits.
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str)
_SPACE = re.compile(r"[ \t\r\n]*")
# A header that CloudEvents' binary mode defines begins so.
ATTRIBUTE = "ce-"


class NotEvents(ValueError):
    """The text is neither a JSON object nor a JSON array. The message says why."""


class TooManyEvents(ValueError):
    """The text has more than MOST_EVENTS events."""


def split_events(text: str) -> list[tuple[str, Any]]:
    """Return each event's text on one line, and the event as JSON values (with its numbers as text).

    An element that is not an object is returned, too: `form` refuses it alone.

    Raises:
        NotEvents: The text is not JSON, or neither an object nor an array.
        TooManyEvents: More than MOST_EVENTS.
    """
    try:
        return list(_elements(text))
    except json.JSONDecodeError as problem:
        raise NotEvents(f"not JSON: {problem}"[:300]) from None
    except RecursionError:
        raise NotEvents("not JSON that can be read: nested too deeply") from None


def _elements(text: str) -> list[tuple[str, Any]]:
    start = _after_space(text, 0)
    if not text.startswith(("[", "{"), start):
        raise NotEvents("neither a JSON object (one event) nor an array of events")
    if text[start] == "{":
        event, end = _DECODER.raw_decode(text, start)
        _refuse_rest(text, end)
        return [(_on_one_line(text[start:end]), event)]
    found: list[tuple[str, Any]] = []
    place = _after_space(text, start + 1)
    if text.startswith("]", place):
        _refuse_rest(text, place + 1)
        return []
    while True:
        event, end = _DECODER.raw_decode(text, place)
        found.append((_on_one_line(text[place:end]), event))
        if len(found) > MOST_EVENTS:
            raise TooManyEvents
        place = _after_space(text, end)
        if text.startswith("]", place):
            _refuse_rest(text, place + 1)
            return found
        if not text.startswith(",", place):
            raise json.JSONDecodeError("Expecting ',' or ']'", text, place)
        place = _after_space(text, place + 1)


def _after_space(text: str, place: int) -> int:
    found = _SPACE.match(text, place)
    return found.end() if found else place


def _refuse_rest(text: str, end: int) -> None:
    if (rest := _after_space(text, end)) != len(text):
        raise json.JSONDecodeError("Extra data", text, rest)


def _on_one_line(text: str) -> str:
    """Replace line breaks by spaces. In JSON they occur only between tokens, never inside a text."""
    return text.replace("\n", " ").replace("\r", " ") if "\n" in text or "\r" in text else text


def event_of_headers(attributes: Mapping[str, str], data: str) -> str:
    """Return the event of CloudEvents' binary mode as JSON: its attributes are headers, its data is the body.

    Args:
        attributes: The `ce-` headers without that prefix, decoded.
        data: The body, a JSON text.

    Raises:
        NotEvents: The body is not JSON, or an attribute is named data.
    """
    if "data" in attributes:
        raise NotEvents(f"the header {ATTRIBUTE}data: the data is the body")
    try:
        start = _after_space(data, 0)
        _, end = _DECODER.raw_decode(data, start)
        _refuse_rest(data, end)
    except json.JSONDecodeError as problem:
        raise NotEvents(f"the body is not JSON: {problem}"[:300]) from None
    except RecursionError:
        raise NotEvents("the body is nested too deeply") from None
    envelope = json.dumps(dict(attributes), ensure_ascii=False)
    return f'{envelope[:-1]}{", " if attributes else ""}"data": {_on_one_line(data[start:end])}}}'
