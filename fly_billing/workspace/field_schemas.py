"""JSON Schemas of the values in a workspace's files, and of rules between the fields of an entry.

The types of `entry_values` and the entries carry them, so that a field and its schema stand in one place. A schema is
for editors: it never refuses what the reader accepts, and leaves order of dates, other entries and prices to `plan`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import ConfigDict, WithJsonSchema

from fly_billing.pricing.rules.scope import KINDS

Schema = dict[str, Any]

_CONTROL = r"\x00-\x1f\x7f-\x9f"
# YAML numbers are texts to the reader.
TEXT: Schema = {
    "type": ["string", "number"], "maxLength": 500, "pattern": rf"^[^\s{_CONTROL}]([^{_CONTROL}]*[^\s{_CONTROL}])?$",
}  # fmt: skip
LONG_TEXT: Schema = {"type": ["string", "number"], "pattern": r"\S"}
NAME: Schema = {
    "type": ["string", "integer"], "minimum": 0, "maxLength": 63, "pattern": "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
}  # fmt: skip
CURRENCY: Schema = {"type": "string", "pattern": "^[A-Z]{3}$", "description": "An ISO 4217 code, such as USD"}
_NUMBER, _EXPONENT, _NOT_ZERO = r"[0-9]+(\.[0-9]+)?", "[eE][+-]?[0-9]{1,2}", "(?=[0-9.]*[1-9])"
_UP_TO_100 = rf"0*([0-9]{{1,2}}(\.[0-9]+)?|100(\.0+)?)|{_NUMBER}{_EXPONENT}"
NUMBER: Schema = {
    "type": ["string", "number"], "pattern": f"^[+-]?{_NUMBER}({_EXPONENT})?$",
    "description": "An exact number, as written: 0.15",
}  # fmt: skip
NOT_ZERO: Schema = {**NUMBER, "not": {"enum": [0, "0"]}}
POSITIVE: Schema = {**NUMBER, "pattern": rf"^\+?{_NOT_ZERO}{_NUMBER}({_EXPONENT})?$", "exclusiveMinimum": 0}
PERCENT: Schema = {**NUMBER, "pattern": rf"^\+?({_UP_TO_100})$", "minimum": 0, "maximum": 100}
SOME_PERCENT: Schema = {**PERCENT, "pattern": rf"^\+?{_NOT_ZERO}({_UP_TO_100})$", "exclusiveMinimum": 0}
WHOLE: Schema = {"type": ["string", "integer"], "pattern": "^[0-9]+$", "minimum": 0}
SOME: Schema = {"type": ["string", "integer"], "pattern": "^0*[1-9][0-9]*$", "minimum": 1}
MONTHS: Schema = {**SOME, "pattern": "^0*([1-9][0-9]{0,2}|1[01][0-9]{2}|1200)$", "maximum": 1200}
_WORDS_OF_FLAGS = "[01]|[Oo][Nn]|[Oo][Ff][Ff]|[FfNnTtYy]|[Nn][Oo]|[Yy][Ee][Ss]|[Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee]"
FLAG: Schema = {
    "type": ["boolean", "string", "integer"], "minimum": 0, "maximum": 1, "pattern": f"^({_WORDS_OF_FLAGS})$",
}  # fmt: skip
FALSE: Schema = {"not": {"enum": [True, 1, "1", "yes", "true", "on"]}}
LOCATION: Schema = {"type": "string", "pattern": "^[A-Z]{2}(-[A-Z0-9]+)*$", "description": "ISO 3166: DE or CA-QC"}
ZERO: Schema = {"minimum": 0, "maximum": 0, "pattern": r"^\+?0+(\.0+)?([eE].*)?$"}
ONE: Schema = {"minimum": 1, "maximum": 1, "pattern": r"^\+?0*1(\.0+)?$"}
_YEAR, _MONTH = "(19[7-9][0-9]|2[01][0-9]{2})", "(0[1-9]|1[0-2])"
MONTH: Schema = {"type": "string", "pattern": f"^{_YEAR}-{_MONTH}(-[0-9]{{2}})?$", "description": "A month: 2026-10"}
MOMENT: Schema = {
    "type": "string", "pattern": f"^{_YEAR}-{_MONTH}-(0[1-9]|[12][0-9]|3[01])([T ].*(Z|[+-][0-9:]+))?$",
    "description": "A date (midnight UTC), or a time with offset: 2026-10-05T10:00:00Z",
}  # fmt: skip
_WORD: Schema = {"type": ["string", "number"]}
TEXTS: Schema = {"type": ["string", "number", "array"], "minItems": 1, "items": _WORD}


def schema(of: Schema) -> WithJsonSchema:
    """Return the mark of a field whose values have this schema."""
    return WithJsonSchema(of)


def words(known: Iterable[str]) -> WithJsonSchema:
    """Return the mark of a field that has one of these words."""
    return WithJsonSchema({"enum": list(known)})


def scope_of(kinds: Iterable[str] = KINDS) -> WithJsonSchema:
    """Return the mark of a scope that may have these kinds of items."""
    kind = {"enum": list(kinds)}
    of_kinds = {"anyOf": [kind, {"type": "array", "minItems": 1, "items": kind}]}
    fields = {"kinds": of_kinds, "products": TEXTS, "price_keys": TEXTS, "meter": TEXT, "match": matches()}
    return WithJsonSchema({"type": "object", "properties": fields, "additionalProperties": False})


def matches() -> Schema:
    """Return the schema of dimensions with their values."""
    return {"type": ["object", "null"], "additionalProperties": TEXTS}


def given(name: str) -> Schema:
    """Return the schema of an entry that has the field. null is not a value."""
    return {"required": [name], "properties": {name: {"not": {"type": "null"}}}}


def exactly_one(*names: str) -> Schema:
    """Return the schema of an entry that has one of these fields."""
    return {"oneOf": [given(name) for name in names]}


def together(*names: str) -> Schema:
    """Return the schema of an entry that has all of these fields, or none."""
    return {"oneOf": [{"allOf": [given(name) for name in names]}, *_none(*names)]}


def only_if(name: str, other: str, word: str) -> Schema:
    """Return the schema of an entry that may have a field only if another one is this word."""
    return {"if": given(name), "then": {"required": [other], "properties": {other: {"const": word}}}}


def when(name: str, known: Iterable[str], then: Schema) -> Schema:
    """Return the schema of an entry that fits another one if a field is one of these words."""
    return {"if": {"required": [name], "properties": {name: {"enum": sorted(known)}}}, "then": then}


def rules(*schemas: Schema) -> ConfigDict:
    """Return the configuration of an entry whose fields have to fit together."""
    return ConfigDict(json_schema_extra={"allOf": list(schemas)})


def _none(*names: str) -> list[Schema]:
    return [{"not": {"anyOf": [given(name) for name in names]}}]
