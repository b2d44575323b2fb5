"""Every field of a price book's tax rate changes the taxes, or is refused: none is accepted and ignored."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fly_billing.errors import BillingError
from fly_billing.invoicing.rules.steps.taxes import add_taxes
from fly_billing.periods import BillingMonth
from fly_billing.pricing.price_books import PriceBookFiles, read_price_book_files
from fly_billing.pricing.rules.tax_books import FIELDS, BookTaxRate
from fly_billing.pricing.rules.tax_rates import NOT_KNOWN, TaxCustomer, rates_for, scope_from_data
from tests.support.builders import METERS, OCTOBER, SEPTEMBER, price
from tests.unit.invoicing.steps.invoices_in_progress import invoice_of, item

PLAIN: dict[str, Any] = {"key": "it", "tax": "VAT", "percent": "20", "first_month": "2026-09"}
BESIDE = {"key": "beside", "tax": "VAT", "name": "Beside", "percent": "5", "first_month": "2026-01", "kinds": "one_off"}
# Another value for every field, with the other fields that it needs.
CHANGES: dict[str, dict[str, Any]] = {
    "tax": {"tax": "GST"},
    "name": {"name": "USt"},
    "percent": {"percent": "19"},
    "is_inclusive": {"is_inclusive": True},
    "category": {"category": "reduced"},
    "legal_text": {"legal_text": "Art. 98"},
    "kinds": {"kinds": ["subscription"]},
    "products": {"products": ["Books"]},
    "price_keys": {"price_keys": ["atlas"]},
    "meter": {"meter": "requests"},
    "match": {"match": {"region": "ams"}},
    "locations": {"locations": ["DE", "AT"]},
    "customers": {"customers": ["business"]},
    "first_month": {"first_month": "2026-10"},
    "last_month": {"last_month": "2026-09"},
}
ITEMS = (
    item("web", "100"),
    item("book", "70", product="Books", price_key="atlas", meter="requests", match={"region": ("ams",)}),
    item("setup", "50", "one_off"),
)


def outcomes(data: Mapping[str, Any]) -> list[Any]:
    """Return the taxes by customer and month under the rate, beside another rate of the same tax."""
    rates = [BookTaxRate.from_data("fly", fields) for fields in (data, BESIDE)]
    found: list[Any] = []
    for month in (SEPTEMBER, OCTOBER):
        in_force = [
            version.rate
            for version in rates
            if version.first_month <= month and (version.last_month is None or month <= version.last_month)
        ]
        for customer in (NOT_KNOWN, TaxCustomer("DE"), TaxCustomer("FR", "business")):
            found.append(outcome(list(rates_for(customer, in_force))))
    return found


def outcome(rates: list[Any]) -> Any:
    invoice = invoice_of(*ITEMS, taxes=rates)
    try:
        add_taxes(invoice)
    except BillingError as error:
        return error.code
    return [(tax.name, tax.taxable_cents, tax.tax_cents, tax.category, tax.legal_text) for tax in invoice.taxes]


@pytest.mark.parametrize("name", sorted(FIELDS - {"key"}))
def test_a_field_of_a_tax_rate_changes_the_taxes_or_is_refused(name: str) -> None:
    assert outcomes(PLAIN | CHANGES[name]) != outcomes(PLAIN)


def test_rates_without_a_key_have_different_ids() -> None:
    with pytest.raises(ValueError, match=r"^tax rate fly/\?: key is missing"):
        BookTaxRate.from_data("fly", {"tax": "VAT"})


@pytest.mark.parametrize("name", ["key", "tax", "percent", "first_month"])
def test_a_missing_field_of_a_tax_rate_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=rf"tax rate fly/.*{name} is missing"):
        BookTaxRate.from_data("fly", {field: value for field, value in PLAIN.items() if field != name})


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"product": "Books"}, "unknown field 'product' in a tax rate"),
        ({"percent": "-1"}, "percent '-1' must be a finite number of at least 0"),
        ({"percent": 19.5}, "percent 19.5 is a float"),
        ({"percent": "101"}, "percent 101 is above 100"),
        ({"is_inclusive": "yes"}, "is_inclusive 'yes' is not true or false"),
        ({"category": "normal"}, "category 'normal'; known are standard"),
        ({"category": "exempt"}, "category exempt is 0 % and not inclusive"),
        ({"category": "reverse_charge", "percent": "0"}, "needs legal_text"),
        ({"legal_text": "Art. 98", "is_inclusive": True}, "legal_text needs a line"),
        ({"legal_text": 98}, "legal_text 98 is not text"),
        ({"kinds": ["tax"]}, "the kinds of its scope are tax"),
        ({"kinds": ["gifts"]}, "kinds 'gifts' of a scope"),
        ({"kinds": []}, "kinds [] must be a text or a list of texts"),
        ({"products": [True]}, "products [True] must be a text or a list of texts"),
        ({"meter": ["requests"]}, "meter ['requests'] is not text"),
        ({"match": "ams"}, "match 'ams' does not name dimensions"),
        ({"locations": ["Germany"]}, "locations Germany: write ISO 3166 codes"),
        ({"locations": ["de"]}, "locations de: write ISO 3166 codes"),
        ({"customers": []}, "customers [] must be a text or a list of texts"),
        ({"first_month": "2026-09-15"}, "first_month '2026-09-15' is not a month"),
        ({"first_month": "2026-13"}, "no such month: 2026-13"),
        ({"last_month": "2026-08"}, "last_month 2026-08 is before first_month 2026-09"),
    ],
)
def test_an_invalid_field_is_refused_by_name(changes: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ValueError, match="tax rate fly/it") as refused:
        BookTaxRate.from_data("fly", PLAIN | changes)
    assert wrong in str(refused.value)


def test_a_single_value_may_replace_a_list() -> None:
    rate, many = (
        BookTaxRate.from_data("fly", PLAIN | {"products": products, "locations": places, "customers": kinds})
        for products, places, kinds in (("Books", "DE", "business"), (["Books"], ["DE"], ["business"]))
    )
    assert rate == many


@pytest.mark.parametrize("name", ["kinds", "products", "price_keys", "meter", "match"])
def test_a_scope_is_stored_as_it_is_read(name: str) -> None:
    rate = BookTaxRate.from_data("fly", PLAIN | CHANGES[name])
    assert scope_from_data(rate.scope_data()) == rate.rate.scope
    assert set(rate.scope_data()) == {name}
    assert BookTaxRate.from_data("fly", PLAIN).scope_data() == {}


# --- In a price book ------------------------------------------------------------------------------------------------

TAXES = """
taxes:
  - key: vat
    tax: VAT
    percent: 019.5
    first_month: 2026-01
  - key: vat
    tax: VAT
    percent: 20
    first_month: 2026-10
"""


def written(folder: Path, text: str) -> PriceBookFiles:
    book = folder / "small"
    book.mkdir()
    (book / "taxes.yaml").write_text(text, encoding="utf-8")
    return read_price_book_files(book)


def test_a_price_book_has_versions_of_tax_rates(tmp_path: Path) -> None:
    found = written(tmp_path, TAXES).taxes
    assert [(version.key, f"{version.rate.percent}", version.first_month) for version in found] == [
        ("vat", "19.5", BillingMonth(2026, 1)),
        ("vat", "20", OCTOBER),
    ]
    assert found[0].rate.id != found[1].rate.id
    assert found[0].book == "small"


def test_a_version_is_identified_by_its_book_its_key_and_its_month() -> None:
    same = [BookTaxRate.from_data("fly", PLAIN | {"percent": percent}).rate.id for percent in ("20", "21")]
    others = [
        BookTaxRate.from_data(book, PLAIN | {"key": key, "first_month": month}).rate.id
        for book, key, month in (("other", "it", "2026-09"), ("fly", "other", "2026-09"), ("fly", "it", "2026-10"))
    ]
    assert len(set(same)) == 1
    assert len({*same, *others}) == 4


def test_the_same_version_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"line 7: tax rate vat from 2026-01 is there twice, first in .*line 3"):
        written(tmp_path, TAXES.replace("2026-10", "2026-01"))


@pytest.mark.parametrize(
    ("field", "named"),
    [("products", "Boks"), ("price_keys", "atlass"), ("meter", "request"), ("match", {"regions": "ams"})],
)
def test_a_rate_for_a_product_that_the_book_does_not_sell_is_refused(field: str, named: Any) -> None:
    """A misspelled product would get the standard rate, and the reduced rate would apply to nothing."""
    rate = BookTaxRate.from_data("fly", PLAIN | {field: named})
    with pytest.raises(ValueError, match=rf"price book fly: tax rate it: {field} \w+: no price has that"):
        PriceBookFiles("fly", METERS, [price("atlas", "1", "requests", match={"region": ("ams",)})], taxes=[rate])


@pytest.mark.parametrize(
    "scope",
    [
        {"products": "Atlas"},
        {"products": "One-off"},
        {"products": "Consulting", "kinds": "one_off"},
        {"price_keys": "atlas"},
        {"meter": "requests"},
        {"match": {"region": "fra"}},
    ],
)
def test_a_rate_for_a_product_that_the_book_sells_is_accepted(scope: dict[str, Any]) -> None:
    rate = BookTaxRate.from_data("fly", PLAIN | scope)
    PriceBookFiles("fly", METERS, [price("atlas", "1", "requests", match={"region": ("ams",)})], taxes=[rate])
