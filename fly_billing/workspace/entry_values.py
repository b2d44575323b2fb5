"""The kinds of values in a workspace's files: texts, numbers, times, months, scopes. Each error begins with its field.

Not here: the fields of an entry (`entries`), and which values a record may have (`customers.rules`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, ValidationInfo

from fly_billing.customers.rules.checks import check_id, check_moment
from fly_billing.periods import BillingMonth
from fly_billing.pricing.rules.fields import (
    AMOUNT_DECIMALS,
    bounded_number,
    has_more_decimals,
    read_match,
    read_printable,
    read_time,
    read_whole,
)
from fly_billing.workspace.field_schemas import (
    LONG_TEXT,
    MOMENT,
    MONTH,
    NAME,
    NUMBER,
    TEXT,
    TEXTS,
    WHOLE,
    schema,
    scope_of,
)
from fly_billing.workspace.rules.records import comparable

_LISTS = ("kinds", "products", "price_keys")


def checked(read: Callable[[str, Any], Any]) -> BeforeValidator:
    """Return a validator that calls `read` with the field's name and value. None stays None."""

    def validate(value: Any, info: ValidationInfo) -> Any:
        return None if value is None else read(info.field_name or "", value)

    return BeforeValidator(validate)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} {value!r} is not text: write it in quotes")
    return read_printable(name, value)


def _long_text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name} {value!r} is not text: write it in quotes")
    return value


def _moment(name: str, value: Any) -> datetime:
    moment = read_time({name: value}, name)
    check_moment(name, moment)
    return moment


def _month(name: str, value: Any) -> BillingMonth:
    try:
        return BillingMonth.parse(value if isinstance(value, str) else repr(value))
    except ValueError:
        raise ValueError(f"{name} {value!r} is not a month: write it as 2026-10") from None


def _number(name: str, value: Any) -> Decimal:
    is_negative = isinstance(value, str) and value.startswith("-")
    number = bounded_number(name, value[1:] if is_negative else value)
    if has_more_decimals(number, AMOUNT_DECIMALS):
        raise ValueError(f"{name} {value} has more than {AMOUNT_DECIMALS} decimals")
    return -number if is_negative else number


def _whole(name: str, value: Any) -> int:
    return read_whole({name: value}, name)


def _texts(name: str, value: Any) -> tuple[str, ...]:
    return read_match({"match": {name: value}})[name]


def _scope(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} {value!r} has no fields: write it such as {{products: [Machines]}}")
    read = {part: _texts(part, each) if part in _LISTS else each for part, each in value.items()}
    if "meter" in read:
        read["meter"] = _text("meter", read["meter"])
    if "match" in read:
        read["match"] = read_match(read)
    return {str(part): comparable(each) for part, each in read.items()}


def _name(name: str, value: Any) -> str:
    try:
        check_id(_text(name, value))
    except ValueError as problem:
        raise ValueError(str(problem).replace("id ", f"{name} ", 1)) from None
    return str(value)


Text = Annotated[str, checked(_text), schema(TEXT)]
LongText = Annotated[str, checked(_long_text), schema(LONG_TEXT)]
Moment = Annotated[datetime, checked(_moment), schema(MOMENT)]
Month = Annotated[BillingMonth, checked(_month), schema(MONTH)]
Number = Annotated[Decimal, checked(_number), schema(NUMBER)]
Whole = Annotated[int, checked(_whole), schema(WHOLE)]
Texts = Annotated[tuple[str, ...], checked(_texts), schema(TEXTS)]
ScopeData = Annotated[dict[str, Any], checked(_scope), scope_of()]
Name = Annotated[str, checked(_name), schema(NAME)]
