"""The JSON Schemas for editors and the reader of a workspace agree: every field is tried with every kind of value."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from fly_billing.pricing.yaml_documents import read_yaml_document
from fly_billing.workspace.books_folder import MEMBERS, NEGOTIATED
from fly_billing.workspace.databases import DATABASES, PlatformDatabase
from fly_billing.workspace.entries import TERMS, Entry, WorkspaceSettings
from fly_billing.workspace.file_schemas import SCHEMAS, sources_schema, terms_schema
from fly_billing.workspace.reading import WorkspaceReading
from fly_billing.workspace.starter_files import STARTER, write_starter
from fly_billing.workspace.usage_sources import SourceEntry

DOCS = Path(__file__).parents[3] / "docs"
# The document of billing tests, whose examples are no files of a workspace.
CASES = "billing_tests"
QUERY = {"query": "select 1"}
# An entry of each part, with its required fields and all that have to fit together.
ENTRIES: Mapping[str, tuple[type[Entry], dict[str, Any]]] = {
    "subscriptions": (TERMS["subscriptions"], {
        "organization": "acme", "price": "support", "started_at": "2026-01-31", "anchor": "start",
    }),
    "coupons": (TERMS["coupons"], {"code": "WELCOME10", "description": "Welcome", "percent": 10}),
    "discounts": (TERMS["discounts"], {"organization": "acme", "coupon": "WELCOME10", "first_month": "2026-01"}),
    "commitments": (TERMS["commitments"], {
        "organization": "acme", "description": "At least", "amount": 500, "first_month": "2026-01",
    }),
    "credits": (TERMS["credits"], {
        "organization": "acme", "description": "Launch", "amount": "50.00", "granted_at": "2026-01-01",
    }),
    "charges": (TERMS["charges"], {
        "organization": "acme", "description": "Setup", "unit_amount": 9, "occurred_at": "2026-01-15",
    }),
    "taxes": (TERMS["taxes"], {
        "organization": "acme", "name": "VAT", "percent": 0, "first_month": "2026-01", "tax": "VAT",
        "legal_text": "Article 196",
    }),
    "tax_customers": (TERMS["tax_customers"], {"organization": "acme", "first_month": "2026-01"}),
    "links": (TERMS["links"], {"organization": "acme", "payer": "holding", "first_month": "2026-01"}),
    "sources": (SourceEntry, {"name": "proxy", "meters": ["requests"]}),
    DATABASES: (PlatformDatabase, {"name": "app", "url_variable": "APP_URL", "organizations": QUERY}),
}  # fmt: skip
VALUES: list[Any] = [
    "a word", "two\nlines", " ", "", "Über", "UTC", "acme", "APP_URL", "DE", "CA-QC", "USD", "usd", "maximum",
    "minimum", "gross", "in_advance", "day", "start", "calendar", "weekly", "daily", "reverse_charge", "reduced", 0, 1,
    "item", "hour",
    10, 101, -1, 0.5, -2.5, "0", "1", "007", "12.50", "-1", "1e3", "1_0", "0x10", True, False, None, [], ["a"],
    [1, "b"], [True], [[]], {}, {"a": 1}, "2026", "2026-01", "2026-13", "2026-02-01", "2026-02-01T10:00:00Z",
    "2026-02-01T10:00:00+02:00", "2026-02-01 10:00:00", "1969-01-01", "9999-01-01", "2026-00-10", "x" * 501,
    {"kinds": ["usage"]}, {"kinds": "usage"}, {"kinds": ["tax"]}, {"kinds": ["minimum"]}, {"kind": ["usage"]},
    {"products": ["Machines"]}, {"products": "Machines"}, {"products": []}, {"price_keys": [True]},
    {"meter": "requests"}, {"meter": ["requests"]}, {"match": {"region": ["ams", 1]}}, {"match": {"region": "ams"}},
    {"match": ["ams"]}, {"match": {"region": []}}, {"match": None}, QUERY, {"query": ""}, {"sql": "select 1"},
    {"query": "select 1", "columns": {"slug": "organization"}}, {"query": "select 1", "columns": {"slug": "slug"}},
    {"query": "select 1", "columns": ["organization"]}, {"query": "select 1", "values": {"currency": {"1": "EUR"}}},
    "90m", "3h", "0d", "team:proxy", "ann@example.com", {"region": "text"}, {"size": {}},
    {"size": {"type": "integer", "values": [1, 2]}},
    {"size": {"type": "integer", "required": False, "description": "In GB"}}, {"size": {"type": "int"}},
    {"size": {"values": []}}, {"size": {"required": "yes"}}, {"size": {"kind": "text"}}, {"quantity": "number"},
    {"a\"b": "text"}, {"size": None}, {"query": "select 1", "values": {"currency": "EUR"}},
    {"query": "select 1", "values": {"curency": {"1": "EUR"}}},
]  # fmt: skip
# Fields beside each other, of which the reader refuses some.
COMBINATIONS: list[tuple[str, dict[str, Any]]] = [
    ("subscriptions", {"anchored_at": "2026-01-01"}),
    ("subscriptions", {"anchored_at": "2026-01-01", "anchor": "calendar"}),
    ("coupons", {"percent": None}),
    ("coupons", {"amount": 5, "currency": "USD"}),
    ("coupons", {"amount": 5, "currency": "USD", "percent": None}),
    ("coupons", {"amount": 5, "percent": None}),
    ("coupons", {"currency": "USD"}),
    ("commitments", {"kind": "maximum", "months": 1}),
    ("commitments", {"kind": "maximum", "months": 12}),
    ("commitments", {"kind": "minimum", "months": 12}),
    ("charges", {"unit_amount": None}),
    ("charges", {"amount": 5}),
    ("charges", {"amount": 5, "unit_amount": None}),
    ("charges", {"amount": 5, "unit_amount": None, "quantity": 1, "unit": "item"}),
    ("charges", {"amount": 5, "unit_amount": None, "quantity": "1.0"}),
    ("charges", {"amount": 5, "unit_amount": None, "quantity": 2}),
    ("charges", {"amount": 5, "unit_amount": None, "unit": "hour"}),
    ("charges", {"quantity": 2, "unit": "hour"}),
    ("charges", {"period_start": "2026-01-01"}),
    ("charges", {"period_start": "2026-01-01", "period_end": "2026-02-01"}),
    ("taxes", {"category": "reverse_charge", "legal_text": None}),
    ("taxes", {"category": "reverse_charge", "percent": 19}),
    ("taxes", {"category": "exempt", "is_inclusive": True}),
    ("taxes", {"category": "zero", "legal_text": None}),
    ("taxes", {"category": "reduced", "percent": 7, "is_inclusive": True}),
]


# Mistakes that a schema can't see: numbers in texts with exponents, the order of dates, and two equal fields.
UNSEEN = {("percent", "1e3"), ("payer", "acme")}
UNSEEN |= {("anchored_at", f"2026-02-01{time}") for time in ("", "T10:00:00Z", "T10:00:00+02:00")}


def of(part: str) -> dict[str, Any]:
    schema = sources_schema() if part in ("sources", DATABASES) else terms_schema()
    return schema["properties"][part]["items"]  # type: ignore[no-any-return]


@pytest.fixture
def reading(tmp_path: Path) -> WorkspaceReading:
    return WorkspaceReading(tmp_path)


def is_read(reading: WorkspaceReading, model: type[Entry], entry: Any) -> bool:
    """Return whether the reader accepts the entry, written as YAML. JSON is YAML."""
    path = reading.folder / "entry.yaml"
    path.write_text(json.dumps({"part": [entry]}), encoding="utf-8")
    read = reading.entry(model, read_yaml_document(path)["part"][0], "entry.yaml: ")
    return read is not None and not read.unread


def differences(reading: WorkspaceReading, part: str, entries: Iterator[dict[str, Any]]) -> list[str]:
    """List the entries about which schema and reader disagree."""
    model, validator = ENTRIES[part][0], jsonschema.Draft202012Validator(of(part))
    found = []
    for entry in entries:
        read, valid = is_read(reading, model, entry), validator.is_valid(entry)
        if read != valid:
            found.append(f"{'read' if read else 'refused'}, but {'valid' if valid else 'invalid'}: {entry}")
    return found


@pytest.mark.parametrize("name", ["name", "most_closed_percent"])
def test_schema_and_reader_agree_about_the_settings(reading: WorkspaceReading, name: str) -> None:
    validator = jsonschema.Draft202012Validator(SCHEMAS["settings"]())
    for value in VALUES:
        entry = {"version": 1, "name": "shop", name: value}
        assert validator.is_valid(entry) is is_read(reading, WorkspaceSettings, entry), value


def is_unseen(name: str, value: Any) -> bool:
    return isinstance(value, str) and (name, value) in UNSEEN


def entries_with_each_value(part: str) -> Iterator[dict[str, Any]]:
    model, entry = ENTRIES[part]
    for name in model.model_fields:
        yield from ({**entry, name: value} for value in VALUES if not is_unseen(name, value))
        yield {field: value for field, value in entry.items() if field != name}
    yield {**entry, "unknown": 1}


@pytest.mark.parametrize("name", SCHEMAS)
def test_each_schema_is_valid(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[name]())


@pytest.mark.parametrize("part", ENTRIES)
def test_schema_and_reader_agree_about_every_value_of_every_field(reading: WorkspaceReading, part: str) -> None:
    assert differences(reading, part, entries_with_each_value(part)) == []


@pytest.mark.parametrize(("part", "fields"), COMBINATIONS)
def test_schema_and_reader_agree_about_fields_that_have_to_fit_together(
    reading: WorkspaceReading, part: str, fields: dict[str, Any]
) -> None:
    assert differences(reading, part, iter([ENTRIES[part][1] | fields])) == []


def test_a_field_without_a_value_is_missing(reading: WorkspaceReading) -> None:
    assert not is_read(reading, TERMS["discounts"], ENTRIES["discounts"][1] | {"first_month": None})
    assert reading.problems == ["entry.yaml: discount acme/WELCOME10: first_month is missing"]


def test_the_schemas_have_every_part_and_field_that_the_reader_knows() -> None:
    assert set(terms_schema()["properties"]) == {*TERMS, NEGOTIATED, MEMBERS}
    for part, (model, _) in ENTRIES.items():
        assert set(of(part)["properties"]) == set(model.model_fields)
    assert set(SCHEMAS["settings"]()["properties"]) == set(WorkspaceSettings.model_fields)


def mistakes(kind: str, document: Any) -> list[str]:
    return [mistake.message for mistake in jsonschema.Draft202012Validator(SCHEMAS[kind]()).iter_errors(document)]


def test_every_commented_example_of_the_starter_is_valid(tmp_path: Path) -> None:
    written = (STARTER / "terms.yaml").read_text(encoding="utf-8")
    examples = "\n".join(re.findall(r"^# ( *- \{.*|\w+:)$", written, re.M))
    (tmp_path / "terms.yaml").write_text(examples, encoding="utf-8")
    document = read_yaml_document(tmp_path / "terms.yaml")
    assert len(document) == 6
    assert mistakes("terms", document) == []


def test_a_new_workspace_names_the_schema_of_each_file_and_has_it(tmp_path: Path) -> None:
    write_starter(tmp_path / "shop")
    kinds = {}
    for path in sorted((tmp_path / "shop").rglob("*.yaml")):
        if path.name == "case.yaml":  # a billing test is not a file of the workspace
            continue
        named = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# yaml-language-server: $schema=")
        schema = json.loads((path.parent / named).read_text(encoding="utf-8"))
        assert list(jsonschema.Draft202012Validator(schema).iter_errors(read_yaml_document(path))) == []
        kinds[path.name] = Path(named).stem
    assert kinds == {
        "fly_billing.yaml": "settings", "sources.yaml": "sources", "terms.yaml": "terms", "prices.yaml": "book",
    }  # fmt: skip


def test_the_examples_of_the_documents_are_valid(tmp_path: Path) -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in sorted(DOCS.glob("*.md")) if path.stem != CASES)
    found = []
    for example in re.findall(r"```yaml\n(.*?)```", text, re.S):
        (tmp_path / "example.yaml").write_text(example, encoding="utf-8")
        document = read_yaml_document(tmp_path / "example.yaml")
        kind = next(kind for kind, schema in SCHEMAS.items() if document.keys() <= schema()["properties"].keys())
        assert mistakes(kind, document) == []
        found.append(kind)
    assert found.count("sources") >= 1 and found.count("terms") >= 1


def test_a_negotiated_price_has_one_holder_and_may_name_its_book() -> None:
    price = {"key": "requests", "effective_from": "2026-01-01", "percent_off": 10, "book": "main"}
    assert mistakes("terms", {"negotiated": [price | {"organization": "acme"}]}) == []
    assert mistakes("terms", {"negotiated": [price]}) != []
    assert mistakes("terms", {"negotiated": [price | {"organization": "acme", "group": "large"}]}) != []
