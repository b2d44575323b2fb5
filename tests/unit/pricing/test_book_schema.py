"""The JSON Schema for editors accepts what the reader accepts, and knows the same fields and words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from fly_billing.pricing.book_schema import book_schema
from fly_billing.pricing.price_books import SHIPPED
from fly_billing.pricing.rules.meters import METER_FIELDS
from fly_billing.pricing.rules.models import MODELS
from fly_billing.pricing.rules.prices import PRICE_FIELDS
from fly_billing.pricing.rules.reservations import ReservationBlock
from fly_billing.pricing.rules.tax_books import FIELDS as TAX_FIELDS
from fly_billing.pricing.yaml_documents import read_yaml_document

SCHEMA = book_schema()
PRICE = {"key": "a", "product": "A", "description": "A", "unit": "unit", "effective_from": "2026-01-01"}


def mistakes(document: dict[str, Any]) -> list[str]:
    return [mistake.message for mistake in jsonschema.Draft202012Validator(SCHEMA).iter_errors(document)]


def fields_of(part: str) -> set[str]:
    return set(SCHEMA["properties"][part]["items"]["properties"])


def test_the_schema_is_valid() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("file", sorted((SHIPPED / "fly").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_file_of_the_shipped_book_is_valid(file: Path) -> None:
    assert mistakes(json.loads(json.dumps(read_yaml_document(file)))) == []


def test_the_schema_has_every_field_that_the_reader_knows() -> None:
    assert fields_of("prices") == PRICE_FIELDS.union(*(model.FIELDS for model in MODELS.values()))
    assert fields_of("meters") == METER_FIELDS
    assert fields_of("taxes") == TAX_FIELDS
    assert fields_of("reservations") == ReservationBlock.__dataclass_fields__.keys() - {"book"}


@pytest.mark.parametrize(
    "price",
    [
        {"unit_amount": "0.15", "per": 720},
        {"unit_amount": 0.15},
        {"model": "flat", "flat_amount": 5},
        {"model": "graduated", "tiers": [{"up_to": 10, "unit_amount": 1}, {"unit_amount": "0.5"}]},
        {"unit_amount": 1, "meter": "requests", "match": {"region": ["ams"], "preset": "a"}},
        {"unit_amount": 1, "interval": "half-year"},
    ],
)
def test_a_price_of_each_model_is_valid(price: dict[str, Any]) -> None:
    assert mistakes({"prices": [PRICE | price]}) == []


@pytest.mark.parametrize(
    "price",
    [
        {"unit_ammount": 1},
        {"model": "per_units", "unit_amount": 1},
        {"model": "flat", "unit_amount": 1},
        {"tiers": [{"unit_amount": 1}]},
        {"model": "graduated", "tiers": [{"upto": 10, "unit_amount": 1}]},
        {"unit_amount": 1, "interval": "week"},
        {"unit_amount": 1, "currency": "dollars"},
        {"unit_amount": None},
    ],
)
def test_a_misspelt_field_or_word_and_a_field_of_another_model_are_invalid(price: dict[str, Any]) -> None:
    assert mistakes({"prices": [PRICE | price]}) != []


def test_missing_fields_and_unknown_parts_are_invalid() -> None:
    assert mistakes({"prices": [{"key": "a"}]}) != []
    assert mistakes({"price": []}) != []
