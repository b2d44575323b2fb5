"""What a time, a quantity, a text and a JSON document of a usage event may look like, in whatever format they arrive.

Every reader of landing files (JSONL, CSV, Parquet) reads its cells by these rules, or by a faster way that agrees with
them and declines a cell that is not plainly right. No function here raises on odd input. docs/usage_files.md has the
rules for senders. Keep out: file formats, and which events can be billed (`sql_duckdb/validate_usage.sql`).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

# RFC 3339: a date, T or a space, a time of day, and Z or an offset of at most 23:59.
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ]((?:[01]\d|2[0-3]):[0-5]\d):([0-5]\d|60)(?:\.(\d+))?"
    r"(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d))",
    re.ASCII,
)

# RFC 8259: what JSON calls a number.
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE]([+-]?\d{1,3}))?", re.ASCII)

DIGITS_BEFORE_POINT = 20
DIGITS_AFTER_POINT = 15
# As nearly all of them are written: nothing is to be done.
_PLAIN_NUMBER = re.compile(r"(?:0|[1-9]\d{0,19})(?:\.\d{1,15})?", re.ASCII)
# Nobody writes a quantity with more; without a limit, one cell of digits would keep a reader busy for minutes.
LONGEST_NUMBER = 1_000
LARGEST_EXPONENT = 40


def read_time(text: str) -> datetime | None:
    """Return the moment in UTC, cut to microseconds; None where the text is no time of ours.

    A leap second, 23:59:60 UTC, is the last microsecond of its minute, so it stays in the month that it ends.
    """
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    day, minute, second, fraction, sign, hours, minutes = found.groups()
    is_leap = second == "60"
    microseconds = "999999" if is_leap else (fraction or "0")[:6].ljust(6, "0")
    try:
        moment = datetime.fromisoformat(f"{day}T{minute}:{'59' if is_leap else second}.{microseconds}+00:00")
        if sign:
            offset = timedelta(hours=int(hours), minutes=int(minutes))
            moment = moment + offset if sign == "-" else moment - offset
    except (ValueError, OverflowError):  # no such day, or its moment in UTC lies outside the years 1 to 9999
        return None
    return None if is_leap and (moment.hour, moment.minute) != (23, 59) else moment


def plain_quantity(text: str) -> str | None:
    """Write a number without exponent, with at most 15 digits after the point; None where it is no quantity of ours.

    A quantity has at most 20 digits before the point and 15 after it: `1.5e3` is `1500`, `1e-16` is none.
    """
    if _PLAIN_NUMBER.fullmatch(text):
        return text
    if len(text) > LONGEST_NUMBER:
        return None
    found = _NUMBER.fullmatch(text)
    if found is None or abs(int(found[1] or 0)) > LARGEST_EXPONENT:
        return None
    whole, _, fraction = f"{Decimal(text):f}".partition(".")
    fraction = fraction.rstrip("0")
    if len(whole.lstrip("-")) > DIGITS_BEFORE_POINT or len(fraction) > DIGITS_AFTER_POINT:
        return None
    return f"{whole}.{fraction}" if fraction else whole


def exact_quantity(text: str | None) -> str | None:
    """As `plain_quantity`; None as well where there is no text."""
    return None if text is None else plain_quantity(text)


class NotADocument(ValueError):
    """A text is not a JSON document that says one thing. The message tells why."""


class NumberWithPoint(str):
    """A JSON number with a fraction or an exponent, as it was written."""

    __slots__ = ()


class NotANumber(str):
    """NaN, Infinity or -Infinity where JSON has a number: JSON has none of them, but writers do."""

    __slots__ = ()


def read_document(text: str) -> Any:
    """Read JSON with every number as text, digit by digit as it was written (`-0` as `0`).

    Raises NotADocument, also where an object has a key twice (which of the two is meant?), where a text has half a
    surrogate pair, and where NaN or Infinity is anything but `data.quantity`, which is judged as a quantity.
    """
    constants: list[NotANumber] = []
    try:
        try:
            document = _DECODER.decode(text)
        except _Constant:
            document = _decoder(lambda name: _kept(constants, name)).decode(text)
        if "\\" in text:
            write_document(document).encode()  # raises where an escape is half a surrogate pair
    except (ValueError, RecursionError) as problem:
        raise NotADocument(f"{problem}"[:300]) from None
    if len(constants) > isinstance(_quantity_of(document), NotANumber):
        raise NotADocument(f"{constants[0]} is not JSON")
    return document


def _quantity_of(document: Any) -> Any:
    data = document.get("data") if isinstance(document, dict) else None
    return data.get("quantity") if isinstance(data, dict) else None


class _Constant(ValueError):
    """The document has NaN or Infinity in it."""


def _refuse_constant(name: str) -> Any:
    raise _Constant(f"{name} is not JSON")


def _kept(constants: list[NotANumber], name: str) -> NotANumber:
    constants.append(NotANumber(name))
    return constants[-1]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise NotADocument(f"the key {json.dumps(twice)} occurs twice in one object")
    return found


def _whole(digits: str) -> str:
    return "0" if digits == "-0" else digits


def _decoder(parse_constant: Any) -> json.JSONDecoder:
    return json.JSONDecoder(
        object_pairs_hook=_object, parse_float=NumberWithPoint, parse_int=_whole, parse_constant=parse_constant
    )


write_document = json.JSONEncoder(ensure_ascii=False).encode
_DECODER = _decoder(_refuse_constant)


def exact_object(text: str | None) -> str | None:
    """Write a JSON object again with its numbers as texts, so that every reader sees their digits.

    None where the text is no such object.
    """
    return None if text is None or object_problem(text) else write_document(read_document(text))


def object_problem(text: str | None) -> str | None:
    """Say why a text is not a JSON object that says one thing; None where it is one, or there is no text."""
    if text is None:
        return None
    try:
        document = read_document(text)
        write_document(document)
    except (NotADocument, RecursionError) as problem:
        return f"not a JSON document: {problem}"[:300]
    return None if isinstance(document, dict) else "not a JSON object"


def json_name(value: Any) -> str | None:
    """Return what a JSON value says as an id, source, type or subject: a text, or the digits of a whole number.

    None for everything else: `1.0` and `1e3` have several ways to be written, so they identify nothing.
    """
    return value if isinstance(value, str) and not isinstance(value, NumberWithPoint | NotANumber) else None


def json_cell(value: Any) -> str | None:
    """Return the text of a JSON value that should be a time or a quantity; None for null."""
    return None if value is None else str(value) if isinstance(value, str) else json.dumps(value)
