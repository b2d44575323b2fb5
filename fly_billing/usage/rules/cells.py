"""The valid forms of a time, a quantity, a text and a JSON document in a usage event, in every file format.

Every reader (JSONL, CSV, Parquet) applies these rules, or a faster check that agrees with them and leaves doubtful
cells to them. Invalid input gives None or InvalidDocument, never another error. docs/usage_files.md
has the rules for senders. Not here: file formats, and which events can be billed (`sql_duckdb/validate_usage.sql`).
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

# RFC 8259: a JSON number.
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE]([+-]?\d{1,3}))?", re.ASCII)

DIGITS_BEFORE_POINT = 20
DIGITS_AFTER_POINT = 15
# Matches nearly all quantities. They need no conversion.
_PLAIN_NUMBER = re.compile(r"(?:0|[1-9]\d{0,19})(?:\.\d{1,15})?", re.ASCII)
# No real quantity is longer. Without a limit, converting one cell of digits could take minutes.
LONGEST_NUMBER = 1_000
LARGEST_EXPONENT = 40


def read_time(text: str) -> datetime | None:
    """Parse a time. Returns the moment in UTC, truncated to microseconds, or None for invalid text.

    A leap second (23:59:60 UTC) becomes the last microsecond of its minute, so that it stays in its month.
    """
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    day, minute, second, fraction, sign, hours, minutes = found.groups()
    is_leap = second == "60"
    fraction = "999999" if is_leap else fraction or "0"
    try:
        moment = datetime.fromisoformat(f"{day}T{minute}:{'59' if is_leap else second}.{fraction}+00:00")
        if sign:
            offset = timedelta(hours=int(hours), minutes=int(minutes))
            moment = moment + offset if sign == "-" else moment - offset
    except (ValueError, OverflowError):  # the date does not exist, or the UTC time is outside of the years 1 to 9999
        return None
    return None if is_leap and (moment.hour, moment.minute) != (23, 59) else moment


def plain_quantity(text: str) -> str | None:
    """Return a quantity without exponent, or None for invalid text.

    A quantity has at most 20 digits before the decimal point and 15 after it: `1.5e3` gives `1500`, `1e-16` is invalid.
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
    """Like `plain_quantity`, and None for None."""
    return None if text is None else plain_quantity(text)


class InvalidDocument(ValueError):
    """A text is not an unambiguous JSON document. The message says why."""


class NumberWithPoint(str):
    """A JSON number with a fraction or an exponent, as written."""

    __slots__ = ()


class NonFiniteNumber(str):
    """NaN, Infinity or -Infinity. JSON does not allow them as numbers, but some programs write them."""

    __slots__ = ()


def read_document(text: str) -> Any:
    """Parse JSON and keep every number as text with its digits as written (`-0` becomes `0`).

    Raises:
        InvalidDocument: The text is not JSON, an object has a key twice, or an escape is half a surrogate pair. NaN and
            Infinity are accepted as `data.quantity` only, because validation rejects them there.
    """
    constants: list[NonFiniteNumber] = []
    try:
        try:
            document = _DECODER.decode(text)
        except _Constant:
            document = _decoder(lambda name: _kept(constants, name)).decode(text)
        if "\\" in text:
            write_document(document).encode()  # raises if an escape is half a surrogate pair
    except (ValueError, RecursionError) as problem:
        raise InvalidDocument(f"{problem}"[:300]) from None
    if len(constants) > isinstance(_quantity_of(document), NonFiniteNumber):
        raise InvalidDocument(f"{constants[0]} is not JSON")
    return document


def _quantity_of(document: Any) -> Any:
    data = document.get("data") if isinstance(document, dict) else None
    return data.get("quantity") if isinstance(data, dict) else None


class _Constant(ValueError):
    """The document contains NaN or Infinity."""


def _refuse_constant(name: str) -> Any:
    raise _Constant


def _kept(constants: list[NonFiniteNumber], name: str) -> NonFiniteNumber:
    constants.append(NonFiniteNumber(name))
    return constants[-1]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise InvalidDocument(f"the key {json.dumps(twice)} occurs twice in one object")
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
    """Rewrite a JSON object with its numbers as texts, so that every reader sees the exact digits.

    Returns None if the text is not a valid object.
    """
    return None if text is None or object_problem(text) else write_document(read_document(text))


def object_problem(text: str | None) -> str | None:
    """Return why a text is not an unambiguous JSON object; None if it is one, or for None."""
    if text is None:
        return None
    try:
        document = read_document(text)
        write_document(document)
    except (InvalidDocument, RecursionError) as problem:
        return f"not a JSON document: {problem}"[:300]
    return None if isinstance(document, dict) else "not a JSON object"


def json_name(value: Any) -> str | None:
    """Return a JSON value as an id, source, type or subject: a text, or the digits of an integer.

    Returns None for all other values. `1.0` and `1e0` are the same number, so they can't identify anything.
    """
    return value if isinstance(value, str) and not isinstance(value, NumberWithPoint | NonFiniteNumber) else None


def json_cell(value: Any) -> str | None:
    """Return the text of a JSON value in the place of a time or a quantity; None for null."""
    return None if value is None else str(value) if isinstance(value, str) else json.dumps(value)
