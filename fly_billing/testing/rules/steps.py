"""The steps that a case may have: their verbs, and the fields of each. docs/billing_tests.md describes them.

The table is the format of version 1, which stays as it is: new verbs and optional fields may be added, and nothing else
changes. Not here: doing a step (`case_steps`, `case_checks`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from keyword import iskeyword
from typing import Any

from fly_billing.pricing.rules.fields import did_you_mean
from fly_billing.testing.rules import values
from fly_billing.testing.rules.values import Reader, by, listed


@dataclass(frozen=True)
class Verb:
    """The fields of a step.

    Attributes:
        required: Fields that it must have, with their readers.
        optional: Fields that it may have.
        alone: The field that a step sets whose value has no fields, such as `close: 2026-10`.
        files: Fields that name a file of the case, or several.
        folders: Fields that name a folder.
        is_check: It only compares; the steps after it are done even if it finds another value.
    """

    required: Mapping[str, Reader]
    optional: Mapping[str, Reader] = field(default_factory=dict)
    alone: str | None = None
    files: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    is_check: bool = False

    @property
    def fields(self) -> Mapping[str, Reader]:
        return {**self.required, **self.optional}


@dataclass(frozen=True)
class Step:
    """One step of a case.

    Attributes:
        line: The line of the case's file on which it begins.
        values: The value of each field that it has.
    """

    number: int
    line: int
    verb: str
    values: Mapping[str, Any]

    @property
    def is_check(self) -> bool:
        return VERBS[self.verb].is_check

    @property
    def arguments(self) -> dict[str, Any]:
        """The values by name of a Python parameter: the field `from` is `from_`."""
        return {parameter(name): value for name, value in self.values.items()}


def parameter(name: str) -> str:
    """Return the name of a field as a Python parameter."""
    return f"{name}_" if iskeyword(name) else name


def _check(name: str, read: Reader, optional: Mapping[str, Reader] | None = None) -> Verb:
    """Return a check whose value is compared as a whole."""
    return Verb({name: read}, optional or {}, alone=name, is_check=True)


_CENTS_BY_MONTH = by(values.text, by(values.month, values.cents))
_CODES = by(values.text, values.text)
ITEM_FIELDS: Mapping[str, Reader] = {
    "description": values.text,
    "product": values.text,
    "kind": values.text,
    "price": values.text,
    "organization": values.text,
    "quantity": values.number,
    "unit": values.text,
    "amount": values.number,
    "cents": values.cents,
}


def expected_item(value: Any) -> dict[str, Any]:
    """Read an expected item of an invoice: any of the ITEM_FIELDS."""
    return read_fields(values.fields(value), {}, ITEM_FIELDS)


def read_fields(
    given: Mapping[str, Any], required: Mapping[str, Reader], optional: Mapping[str, Reader]
) -> dict[str, Any]:
    """Read the fields of a mapping. Raises ValueError with a line for each mistake."""
    known = {**required, **optional}
    problems = [
        f"unknown field {name!r}{did_you_mean(name, known)}; known are {', '.join(known)}"
        for name in given
        if name not in known
    ]
    problems += [f"{name} is missing" for name in required if name not in given]
    found = {}
    for name, read in known.items():
        if name in given:
            try:
                found[name] = read(given[name])
            except ValueError as problem:
                problems += [f"{name}: {line}" for line in str(problem).splitlines()]
    if problems:
        raise ValueError("\n".join(problems))
    return found


_DATED = {"month": values.month, "now": values.moment}
_OVERLAY = {"at": values.moment, "with": by(values.file, values.file)}
_SAYS = {"says": listed(values.text)}

VERBS: Mapping[str, Verb] = {
    # Prepare and bill.
    "workspace": Verb({"folder": values.file}, _OVERLAY, alone="folder", files=("with",), folders=("folder",)),
    "book": Verb({"file": values.file}, alone="file", files=("file",)),
    "row": Verb({"rows": by(values.text, values.fields)}, alone="rows"),
    "sql": Verb({"statement": values.text}, alone="statement"),
    "file": Verb({"day": values.day, "from": values.file}, {"as": values.file}, files=("from",)),
    "usage": Verb(
        {"organization": values.text, "meter": values.text, "time": values.moment, "quantity": values.number},
        {"data": by(values.text, values.text), "source": values.text, "id": values.text},
    ),
    "land": Verb({"days": listed(values.day), "now": values.moment}),
    "roll_up": Verb(_DATED),
    "bill": Verb(_DATED),
    "close": Verb({"month": values.month}, alone="month"),
    "correct": Verb(_DATED),
    "reissue": Verb({**_DATED, "organization": values.text}),
    "import_focus": Verb({"file": values.file, "now": values.moment}, files=("file",)),
    "fault": Verb(
        {"effect": values.text},
        {
            "endpoint": values.text,
            "times": values.whole,
            "nth": values.whole,
            "status": values.whole,
            "type": values.text,
            "code": values.text,
            "message": values.text,
        },
    ),
    "sync": Verb({"month": values.month}, alone="month"),
    # Check.
    "book_is_refused": Verb({"book": values.file}, _SAYS, files=("book",), is_check=True),
    "workspace_is_refused": Verb(
        {"folder": values.file}, {**_OVERLAY, **_SAYS}, files=("with",), folders=("folder",), is_check=True
    ),
    "close_fails": Verb({"month": values.month, "codes": _CODES}, is_check=True),
    "sync_fails": Verb({"month": values.month, "codes": _CODES}, is_check=True),
    "items": _check("items", by(values.text, by(values.month, listed(expected_item)))),
    "totals": _check("cents", _CENTS_BY_MONTH),
    "sum": _check("cents", by(values.text, values.cents)),
    "sum_of_all": _check("cents", values.cents),
    "taxes": _check("cents", by(values.text, by(values.month, values.taxed))),
    "quantities": _check("quantities", by(values.month, by(values.text, values.number))),
    "rejected": _check("rows", values.either(values.whole, by(values.text, values.whole))),
    "stripe": _check("cents", by(values.text, listed(values.cents))),
    "owed": Verb({"organization": values.text, "cents": values.cents}, {"at": values.moment}, is_check=True),
    "headline_lacks": Verb({"organization": values.text, "words": values.text}, is_check=True),
}


def read_step(number: int, line: int, given: Mapping[str, Any]) -> Step:
    """Read a step: a mapping of one verb to its value. Raises ValueError with a line for each mistake."""
    if len(given) != 1:
        raise ValueError(f"a step has one verb, not {len(given)} ({', '.join(map(str, given))}): begin each with `- `")
    ((name, value),) = given.items()
    verb = VERBS.get(name)
    if verb is None:
        raise ValueError(f"unknown step {name!r}{did_you_mean(name, VERBS)}; known are {', '.join(VERBS)}")
    try:
        return Step(number, line, name, _values(verb, value))
    except ValueError as problem:
        raise ValueError("\n".join(f"{name}: {line}" for line in str(problem).splitlines())) from None


def _values(verb: Verb, value: Any) -> dict[str, Any]:
    if verb.alone is not None and (len(verb.fields) == 1 or not isinstance(value, Mapping)):
        return {verb.alone: verb.fields[verb.alone](value)}
    return read_fields(values.fields(value), verb.required, verb.optional)
