"""The JSON Schema of a price book's file, for editors. `fly-billing prices schema` prints it.

Fields and words come from the rules that read them, so that both can't differ. The schema finds what concerns one
entry: unknown and missing fields, words and types. Not here: what concerns several entries (`prices check`).
"""

from __future__ import annotations

from typing import Any

from fly_billing.pricing.rules.aggregations import AGGREGATIONS
from fly_billing.pricing.rules.intervals import INTERVALS
from fly_billing.pricing.rules.models import MODELS
from fly_billing.pricing.rules.prices import AT_ZERO, PRICE_FIELDS
from fly_billing.pricing.rules.scope import CHARGES
from fly_billing.pricing.rules.tax_rates import CATEGORIES

Schema = dict[str, Any]

_NUMBER = {"type": ["string", "number"], "description": "An exact number, as written: 0.15"}
_WHOLE = {"type": ["string", "integer"]}
_TEXT = {"type": "string"}
_TEXTS = {"type": ["string", "array"], "items": {"type": ["string", "integer"]}}
_TIME = {"type": "string", "description": "A date (midnight UTC), or a time with offset"}
_MONTH = {"type": "string", "description": "A month: 2026-10"}
_MATCH = {
    "type": "object",
    "additionalProperties": {"type": ["string", "integer", "array"], "items": {"type": ["string", "integer"]}},
}
_ROUND = {"enum": ["up", "down"]}


def _entry(properties: Schema, *required: str) -> Schema:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


_TIERS = {
    "type": "array",
    "minItems": 1,
    "items": _entry(dict.fromkeys(("up_to", "unit_amount", "flat_amount", "percent"), _NUMBER)),
}
_CHARGES: Schema = {
    "model": {"enum": list(MODELS)},
    "unit_amount": _NUMBER,
    "per": _NUMBER,
    "round": _ROUND,
    "tiers": _TIERS,
    "percent": _NUMBER,
    "flat_amount": _NUMBER,
    "free_allowance": _NUMBER,
    "minimum": _NUMBER,
    "maximum": _NUMBER,
    "at_zero": {"enum": list(AT_ZERO)},
    "transform_quantity": _entry({"divide_by": _NUMBER, "step": _NUMBER, "round": _ROUND}),
}
_NAMES: Schema = {
    "key": _TEXT,
    "meter": _TEXT,
    "product": _TEXT,
    "description": _TEXT,
    "unit": _TEXT,
    "currency": {"type": "string", "pattern": "^[A-Z]{3}$"},
    "match": _MATCH,
    "allowance_with": _TEXT,
    "interval": {"enum": list(INTERVALS)},
    "effective_from": _TIME,
    "effective_until": _TIME,
}
_TAX: Schema = {
    "key": _TEXT,
    "tax": _TEXT,
    "name": _TEXT,
    "percent": _NUMBER,
    "is_inclusive": {"type": "boolean"},
    "category": {"enum": list(CATEGORIES)},
    "legal_text": _TEXT,
    "kinds": {"type": ["string", "array"], "items": {"enum": list(CHARGES)}},
    "products": _TEXTS,
    "price_keys": _TEXTS,
    "meter": _TEXT,
    "match": _MATCH,
    "locations": _TEXTS,
    "customers": _TEXTS,
    "first_month": _MONTH,
    "last_month": _MONTH,
}
_METER: Schema = {
    "key": _TEXT,
    "name": _TEXT,
    "unit": _TEXT,
    "aggregation": {"enum": list(AGGREGATIONS)},
    "dimensions": {"type": "array", "items": _TEXT},
    "unique_of": _TEXT,
    "series": _TEXT,
    "time_unit": _WHOLE,
    "round_each_event": _entry({"step": _NUMBER, "round": _ROUND}),
    "event_type": _TEXT,
    "quantity_of": _TEXT,
}
_RESERVATION: Schema = {
    "key": _TEXT,
    "description": _TEXT,
    "currency": _NAMES["currency"],
    "upfront_amount": _NUMBER,
    "monthly_credit": _NUMBER,
    "months": _WHOLE,
    "meter": _TEXT,
    "match": _MATCH,
    "bound_to": _TEXT,
    "effective_from": _TIME,
}
_MEMBER: Schema = {"group": _TEXT, "organization": _TEXT, "effective_from": _TIME, "effective_until": _TIME}
_TABLE: Schema = _entry({"file": _TEXT, "each": {"type": "object"}}, "file", "each")
_NOT_NEGOTIATED = ("meter", "product", "description", "allowance_with", "interval")


def book_schema() -> Schema:
    """Return the JSON Schema (draft 2020-12) of a file of a price book."""
    negotiated = {name: value for name, value in (_NAMES | _CHARGES).items() if name not in _NOT_NEGOTIATED}
    negotiated |= {"organization": _TEXT, "group": _TEXT, "percent_off": _NUMBER}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A file of a fly_billing price book",
        **_entry(
            {
                "meters": _list(_entry(_METER, "key", "name", "unit")),
                "prices": _list(_price()),
                "csv": _TABLE,
                "reservations": _list(_entry(_RESERVATION, *_RESERVATION.keys() - {"currency", "match"})),
                "taxes": _list(_entry(_TAX, "key", "tax", "percent", "first_month")),
                "negotiated": _list(_entry(negotiated, "key", "effective_from")),
                "negotiated_csv": _TABLE,
                "members": _list(_entry(_MEMBER, "group", "organization", "effective_from")),
                "members_csv": _TABLE,
            }
        ),
    }


def _list(entry: Schema) -> Schema:
    return {"type": "array", "items": entry}


def _price() -> Schema:
    """Return the schema of a price, which may have its own model's fields only."""
    required = ("key", "product", "description", "unit", "effective_from")
    models = [{"if": _has_model(name), "then": _fields_of(name)} for name in MODELS]
    return {**_entry(_NAMES | _CHARGES, *required), "allOf": models}


def _has_model(name: str) -> Schema:
    named = {"required": ["model"], "properties": {"model": {"const": name}}}
    return {"anyOf": [named, {"not": {"required": ["model"]}}]} if name == "per_unit" else named


def _fields_of(name: str) -> Schema:
    return {"propertyNames": {"enum": sorted(PRICE_FIELDS | MODELS[name].FIELDS)}}
