"""Parameters of endpoints: their types and limits, and Stripe's errors for everything else.

A spec is a dict from name to Param; `read` converts the parsed form of a request to typed values. An empty string
unsets a parameter: its value is None. Not here: rules that need the store (the endpoints).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from typing import Any

from fly_billing.stripe_sandbox.errors import InvalidParamsError, missing_param, unknown_params, unsupported_param
from fly_billing.stripe_sandbox.money import SUPPORTED

Reader = Callable[[str, Any], Any]


@dataclass(frozen=True)
class Param:
    """One parameter.

    Attributes:
        read: Converts its text, or raises InvalidParamsError.
        unsettable: An empty string unsets it.
        fields: The parameters inside a hash, or inside each hash of a list.
    """

    read: Reader
    required: bool = False
    unsettable: bool = False
    fields: Mapping[str, "Param"] = field(default_factory=dict)


Spec = Mapping[str, Param]


def read(raw: Mapping[str, Any], spec: Spec, prefix: str = "") -> dict[str, Any]:
    """Return the typed values of `raw`. Raises InvalidParamsError in Stripe's words."""
    unknown = [_full(prefix, name) for name in raw if name not in spec]
    if unknown:
        raise unknown_params(unknown)
    for name, param in spec.items():
        if param.required and name not in raw:
            raise missing_param(_full(prefix, name))
    return {name: _value(_full(prefix, name), spec[name], value) for name, value in raw.items()}


def _full(prefix: str, name: str) -> str:
    return f"{prefix}[{name}]" if prefix else name


def _value(name: str, param: Param, value: Any) -> Any:
    if value != "":
        return param.read(name, value)
    if param.unsettable:
        return None
    raise InvalidParamsError(
        f"You passed an empty string for '{name}'. We assume empty values are an attempt to unset a parameter; however "
        f"'{name}' cannot be unset. You should remove '{name}' from your request or supply a non-empty value.",
        code="parameter_invalid_empty",
        param=name,
    )


def required(param: Param) -> Param:
    """Return the same parameter, but required."""
    return replace(param, required=True)


def string(max_length: int = 5000, *, unsettable: bool = True) -> Param:
    """A string of at most `max_length` characters."""

    def of(name: str, value: Any) -> str:
        text = _scalar(name, value, "string")
        if len(text) > max_length:
            raise InvalidParamsError(
                f"Invalid string: {text[:40]}...; must be at most {max_length} characters", param=name
            )
        return text

    return Param(of, unsettable=unsettable)


# Stripe's own rule is not published; this accepts what every mail system accepts.
EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")


def email(max_length: int) -> Param:
    """An e-mail address."""
    text = string(max_length)

    def of(name: str, value: Any) -> str:
        address = str(text.read(name, value))
        if EMAIL.fullmatch(address) is None:
            raise InvalidParamsError(f"Invalid email address: {address[:255]}", code="email_invalid", param=name)
        return address

    return Param(of, unsettable=True)


def choice(*choices: str) -> Param:
    """One of these words. The error lists them."""
    listed = f"{', '.join(choices[:-1])}, or {choices[-1]}" if len(choices) > 2 else " or ".join(choices)

    def of(name: str, value: Any) -> str:
        if value not in choices:
            raise InvalidParamsError(f"Invalid {name}: must be one of {listed}", param=name)
        return str(value)

    return Param(of)


def integer(minimum: int | None = None, maximum: int | None = None) -> Param:
    """A whole number within bounds."""

    def of(name: str, value: Any) -> int:
        number = _integer(name, value)
        if minimum is not None and number < minimum:
            raise _out_of_bounds(name, f"greater than or equal to {minimum}", value)
        if maximum is not None and number > maximum:
            raise _out_of_bounds(name, f"less than or equal to {maximum}", value)
        return number

    return Param(of)


# Amounts and times have fewer digits, and SQLite stores this many.
MOST_DIGITS = 18


def _integer(name: str, value: Any) -> int:
    text = _scalar(name, value, "integer")
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= MOST_DIGITS):
        raise InvalidParamsError(f"Invalid integer: {text[:255]}", code="parameter_invalid_integer", param=name)
    return int(text)


def _out_of_bounds(name: str, rule: str, value: Any) -> InvalidParamsError:
    message = f"This value must be {rule} (it currently is '{value}')."
    return InvalidParamsError(message, code="parameter_invalid_integer", param=name)


def decimal() -> Param:
    """An exact decimal with at most 12 places."""

    def of(name: str, value: Any) -> Decimal:
        try:
            number = Decimal(_scalar(name, value, "decimal"))
        except InvalidOperation:
            raise InvalidParamsError(f"Invalid decimal: {value}", param=name) from None
        exponent = number.as_tuple().exponent
        if not isinstance(exponent, int) or exponent < -12:
            raise InvalidParamsError(
                f"Invalid decimal: {value}; must contain at maximum 12 decimal places.", param=name
            )
        return number

    return Param(of)


def boolean() -> Param:
    """`true` or `false`."""

    def of(name: str, value: Any) -> bool:
        if value not in ("true", "false"):
            raise InvalidParamsError(f"Invalid boolean: {value}", param=name)
        return bool(value == "true")

    return Param(of)


def currency() -> Param:
    """The code of a currency that Stripe charges, lower-cased."""

    def of(name: str, value: Any) -> str:
        code = _scalar(name, value, "string").lower()
        if code not in SUPPORTED:
            known = ", ".join(sorted(SUPPORTED))
            raise InvalidParamsError(
                f"Invalid currency: {code[:255]}. Stripe currently supports these currencies: {known}", param=name
            )
        return code

    return Param(of)


def metadata(*, unsettable: bool = True) -> Param:
    """At most 50 keys of up to 40 characters, with values of up to 500. An empty value unsets its key."""

    def of(name: str, value: Any) -> dict[str, str]:
        pairs = _hash(name, value)
        if len(pairs) > 50:
            raise InvalidParamsError("You can have up to 50 keys in metadata.", param=name)
        for key, text in pairs.items():
            _check_pair(name, key, text)
        return pairs

    return Param(of, unsettable=unsettable)


def _check_pair(name: str, key: str, text: Any) -> None:
    value = _scalar(_full(name, key), text, "string")
    for what, part, limit in (("keys", key, 40), ("values", value, 500)):
        if len(part) > limit:
            raise InvalidParamsError(
                f"Metadata {what} can have up to {limit} characters, but you passed in a {what[:-1]} that is "
                f"{len(part)} characters. Invalid {what[:-1]}: {part}",
                param=name,
            )


def merged_metadata(old: dict[str, str], change: dict[str, str] | None) -> dict[str, str]:
    """Return metadata after an update: None clears it, an empty value unsets one key."""
    if change is None:
        return {}
    return {key: value for key, value in {**old, **change}.items() if value != ""}


def hash_of(spec: Spec, *, unsettable: bool = False) -> Param:
    """A hash with its own parameters."""
    return Param(lambda name, value: read(_hash(name, value), spec, name), unsettable=unsettable, fields=spec)


def array_of(item: Param, *, unsettable: bool = False) -> Param:
    """A list, in the order of its indices."""

    def of(name: str, value: Any) -> list[Any]:
        entries = _hash(name, value, "array")
        if not all(index.isdecimal() for index in entries):
            raise InvalidParamsError("Invalid array", param=name)
        return [_value(f"{name}[{index}]", item, entries[index]) for index in sorted(entries, key=int)]

    return Param(of, unsettable=unsettable, fields=item.fields)


def time_filter() -> Param:
    """A second, or bounds on one: `created[gte]`, `gt`, `lt`, `lte`."""
    bounds = {name: integer() for name in ("gt", "gte", "lt", "lte")}

    def of(name: str, value: Any) -> dict[str, int]:
        return read(value, bounds, name) if isinstance(value, dict) else {"eq": _integer(name, value)}

    return Param(of, fields=bounds)


def unsupported(*names: str) -> dict[str, Param]:
    """Parameters that Stripe has and the sandbox refuses with an error."""

    def of(name: str, value: Any) -> Any:
        raise unsupported_param(name)

    return {name: Param(of, unsettable=True) for name in names}


# Almost every endpoint expands what it returns (`expanding`).
EXPAND: Spec = {"expand": array_of(string(unsettable=False))}


def _scalar(name: str, value: Any, kind: str) -> str:
    if not isinstance(value, str):
        raise InvalidParamsError(f"Invalid {kind}: a nested value", param=name)
    return value


def _hash(name: str, value: Any, kind: str = "object") -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidParamsError(f"Invalid {kind}", param=name)
    return value
