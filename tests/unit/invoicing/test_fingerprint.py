"""An invoice's fingerprint covers each of its inputs: if one of them changes, the invoice is calculated again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from decimal import Decimal
from typing import Any

from fly_billing.code_version import code_version
from fly_billing.invoicing.rules.fingerprint import inputs_fingerprint
from fly_billing.invoicing.rules.inputs import (
    Adjustment,
    Commitment,
    CreditGrant,
    CreditPaid,
    Discount,
    DiscountTaken,
    FeeCharged,
    InvoiceInputs,
    Member,
    OneOffItem,
    Subscription,
    UsageRollup,
)
from fly_billing.pricing.rules.negotiated_prices import Holding, Negotiated, NegotiatedPrice
from fly_billing.pricing.rules.prices import Price, PriceBook
from fly_billing.pricing.rules.tax_rates import TaxRate
from tests.support.builders import SEPTEMBER, at, id_of, price

VAT = TaxRate(id_of("vat"), "VAT", Decimal(19))
FEE = FeeCharged(
    at("2026-09-01"), at("2026-10-01"), Decimal(10), SEPTEMBER,
    discounts=(DiscountTaken(id_of("discount"), "TEN", "Ten off", Decimal(1)),),
    credits=(CreditPaid(id_of("credit"), "Prepaid", Decimal(2)),), currency="USD",
)  # fmt: skip
REQUESTS = price("requests", "0.10", "requests", match={"region": ("ams",)})
USED = UsageRollup(id_of("rollup"), "requests", {}, SEPTEMBER.start, SEPTEMBER.end, Decimal(1))
SNAPSHOTS = [id_of("snapshot")]


def inputs(*prices: Price) -> InvoiceInputs:
    """Return inputs with one record of every kind."""
    member = Member(
        "acme",
        PriceBook(prices or [REQUESTS]),
        subscriptions=[Subscription(id_of("fee"), "support", at("2026-01-10"), None, charged=(FEE,))],
        one_offs=[OneOffItem(id_of("one-off"), "Migration", Decimal(5), "USD")],
        adjustments=[
            Adjustment(
                id_of("adjustment"), SEPTEMBER.plus(-1), "Requests", "Correction", Decimal(-1), "USD", taxes=(VAT,),
                taxed=(((VAT,), Decimal(-1)),),
            )
        ],
    )  # fmt: skip
    return InvoiceInputs(
        "acme", "USD", SEPTEMBER, [member],
        discounts=[Discount(id_of("discount"), "TEN", "Ten off", percent=Decimal(10))],
        commitments=[Commitment(id_of("minimum"), "minimum", "at least 50", Decimal(50))],
        credits=[CreditGrant(id_of("credit"), "Prepaid", Decimal(20), at("2026-01-01"))],
        taxes=[VAT], earlier_taxes={SEPTEMBER.plus(-1): [VAT]},
    )  # fmt: skip


def parts(value: Any) -> Iterator[Any]:
    """Yield the dataclass instances inside `value`, and itself."""
    if is_dataclass(value):
        yield value
        for field in fields(value):
            yield from parts(getattr(value, field.name))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from parts(item)
    elif isinstance(value, dict):
        for item in (*value, *value.values()):
            yield from parts(item)


def test_every_field_of_every_input_changes_the_fingerprint() -> None:
    found = inputs()
    original = inputs_fingerprint(found, SNAPSHOTS, "1")
    tried = set()
    for part in list(parts(found)):
        for field in fields(part):
            if field.name in ("prices", "rollups", "members"):
                continue
            value = getattr(part, field.name)
            object.__setattr__(part, field.name, "changed")
            assert inputs_fingerprint(found, SNAPSHOTS, "1") != original, (type(part), field.name)
            object.__setattr__(part, field.name, value)
            tried.add(type(part))
    assert inputs_fingerprint(found, SNAPSHOTS, "1") == original
    assert tried >= {
        InvoiceInputs, Member, Subscription, FeeCharged, DiscountTaken, CreditPaid, OneOffItem, Adjustment, Discount,
        Commitment, CreditGrant, TaxRate,
    }  # fmt: skip


def test_usage_and_rules_change_the_fingerprint_and_reading_the_usage_does_not() -> None:
    found = inputs()
    original = inputs_fingerprint(found, SNAPSHOTS, "1")
    assert inputs_fingerprint(found, [id_of("another snapshot")], "1") != original
    assert inputs_fingerprint(found, SNAPSHOTS, "2") != original
    read = replace(found, members=[replace(member, rollups=[USED]) for member in found.members])
    assert inputs_fingerprint(read, SNAPSHOTS, "1") == original


def test_every_field_of_a_price_changes_the_fingerprint() -> None:
    original = inputs_fingerprint(inputs(), SNAPSHOTS, "1")
    for part in parts(REQUESTS):
        for field in fields(part):
            changed = price("requests", "0.10", "requests", match={"region": ("ams",)})
            target = changed if part is REQUESTS else changed.model
            if field.name not in ("key", "meter", "match", "effective_from", "effective_until"):  # the book's index
                object.__setattr__(target, field.name, "changed")
                assert inputs_fingerprint(inputs(changed), SNAPSHOTS, "1") != original, field.name
    for changed in (
        replace(REQUESTS, key="other"), replace(REQUESTS, meter="egress_gb"), replace(REQUESTS, match={}),
        replace(REQUESTS, effective_from=at("2026-02-01")), replace(REQUESTS, effective_until=at("2027-02-01")),
    ):  # fmt: skip
        assert inputs_fingerprint(inputs(changed), SNAPSHOTS, "1") != original
    assert inputs_fingerprint(inputs(REQUESTS, price("support", "10")), SNAPSHOTS, "1") != original


def test_a_negotiated_price_changes_only_the_fingerprint_of_its_organization() -> None:
    book = PriceBook([REQUESTS])
    agreed = NegotiatedPrice.from_data(
        "fly", {"key": "requests", "organization": "acme", "percent_off": "10", "effective_from": at("2026-09-01")}
    )
    own = book.negotiated_by(Negotiated([Holding(agreed, at("2026-09-01"), None)]))
    shorter = book.negotiated_by(Negotiated([Holding(agreed, at("2026-09-01"), at("2026-09-11"))]))
    assert len({book.fingerprint, own.fingerprint, shorter.fingerprint}) == 3
    assert PriceBook([REQUESTS]).fingerprint == book.fingerprint


def test_the_version_of_the_rules_is_the_same_in_every_process() -> None:
    assert code_version() == code_version.__wrapped__()
    assert len(code_version()) == 32
