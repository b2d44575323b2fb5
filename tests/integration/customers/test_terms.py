"""Charges, credits, coupons, commitments, taxes, links, details and negotiated prices, written by the one room."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Connection

from fly_billing.customers.billing_details import change_billing_details, write_billing_details
from fly_billing.customers.charges import final_invoice_notices, withdraw_charges, write_charges
from fly_billing.customers.commitments import withdraw_commitments, write_commitments
from fly_billing.customers.coupons import give_coupons, withdraw_discounts, write_coupons
from fly_billing.customers.credits import write_credits
from fly_billing.customers.links import withdraw_links, write_links
from fly_billing.customers.price_overrides import write_memberships, write_price_overrides
from fly_billing.customers.rules.organizations import CustomerDetails, PayerLink, TaxStatus
from fly_billing.customers.rules.terms import (
    CommitmentTerms,
    CouponTerms,
    CreditTerms,
    DiscountTerms,
    OneOffCharge,
    TaxTerms,
)
from fly_billing.customers.taxes import set_tax, withdraw_taxes, write_tax_statuses, write_taxes
from fly_billing.customers.writing import CustomerRefused, Effect
from fly_billing.pricing.rules.negotiated_prices import Membership, NegotiatedPrice
from tests.integration.customers.conftest import ANN, dollars
from tests.support.builders import OCTOBER, SEPTEMBER, Platform, at, event

Change = Callable[[Callable[[Connection], Any]], Any]
Writer = Callable[..., Any]
TEN = CouponTerms("ten", "10 % off", percent=Decimal(10), months=2)


def effects(change: Change, writer: Writer, *some: Any) -> list[Effect]:
    return [one.effect for one in change(lambda connection: writer(connection, ANN, some))]


EACH: list[tuple[Writer, Any]] = [
    (write_charges, OneOffCharge("acme", "Migration", at("2026-09-10"), dollars("150.00"))),
    (write_charges, OneOffCharge("acme", "Hours", at("2026-09-10"), quantity=Decimal("2.5"), unit="hour",
                                 unit_amount=dollars("80.00"))),
    (write_credits, CreditTerms("acme", "Outage", dollars("25.00"), at("2026-09-01"), scope={"kinds": ["usage"]})),
    (write_coupons, TEN),
    (write_commitments, CommitmentTerms("acme", "at least 50", dollars("50.00"), SEPTEMBER)),
    (write_taxes, TaxTerms("acme", "VAT", Decimal(19), SEPTEMBER)),
    (write_tax_statuses, TaxStatus("acme", SEPTEMBER, "DE", "business")),
    (write_billing_details, CustomerDetails("acme", "Acme GmbH", "bills@acme.example", country="DE",
                                            tax_ids=("eu_vat:DE123456789",))),
    (write_price_overrides, NegotiatedPrice("fly", "support", at("2026-09-01"), organization_id="acme",
                                            percent_off=Decimal(10))),
    (write_memberships, Membership("early", "acme", at("2026-09-01"))),
]  # fmt: skip


def test_a_record_is_written_once_and_then_unchanged(customers: Platform, change: Change) -> None:
    for writer, record in EACH:
        assert effects(change, writer, record) == [Effect.NEW]
        assert effects(change, writer, record) == [Effect.UNCHANGED]
    assert len(customers.query("select from customer_changes")) == len(EACH)


def test_a_record_of_an_unknown_organization_is_refused_with_the_one_that_was_meant(change: Change) -> None:
    for writer, record in EACH:
        data = {name: value for name, value in vars(record).items() if name in type(record).__dataclass_fields__}
        if "organization_id" in data:
            wrong = type(record)(**{**data, "organization_id": "acne"})
            with pytest.raises(CustomerRefused, match=r"no organization 'acne' \(did you mean acme\?\)"):
                effects(change, writer, wrong)


# --- One-off items ----------------------------------------------------------------------------------------------------


def test_an_amount_finer_than_the_currency_is_refused(change: Change) -> None:
    with pytest.raises(CustomerRefused, match=r"amount 1\.005 has too many decimals: USD has 2"):
        effects(change, write_charges, OneOffCharge("acme", "Setup", at("2026-09-10"), dollars("1.005")))


def test_a_charge_in_another_currency_is_refused(change: Change) -> None:
    euros = OneOffCharge("acme", "Setup", at("2026-09-10"), dollars("5"), currency="EUR")
    with pytest.raises(CustomerRefused, match="it is in EUR, but acme is billed in USD in 2026-09"):
        effects(change, write_charges, euros)


def test_a_charge_changes_until_it_is_billed_and_a_command_never_changes_one(
    customers: Platform, change: Change
) -> None:
    def charge(amount: str) -> OneOffCharge:
        return OneOffCharge("acme", "Setup", at("2026-09-10"), dollars(amount))

    effects(change, write_charges, charge("100.00"))
    with pytest.raises(CustomerRefused, match="it was charged 100 already; for another one, give it a reference"):
        change(lambda connection: write_charges(connection, ANN, [charge("200.00")], may_change=False))
    assert effects(change, write_charges, charge("120.00")) == [Effect.CHANGED]
    customers.close()
    assert customers.totals() == [12000]
    with pytest.raises(CustomerRefused, match="is on a final invoice: charge the difference"):
        effects(change, write_charges, charge("130.00"))


def test_a_charge_for_a_closed_month_goes_on_the_next_invoice_and_says_so(customers: Platform, change: Change) -> None:
    customers.use(event("e1", "3"))
    customers.close()
    late = OneOffCharge("acme", "Forgotten", at("2026-09-10"), dollars("7.00"))

    def write(connection: Connection) -> list[str]:
        write_charges(connection, ANN, [late])
        return final_invoice_notices(connection, [late])

    (notice,) = change(write)
    assert notice.endswith("the invoice for 2026-09 is final, so it goes on the next one")
    customers.close(OCTOBER)
    assert customers.totals() == [30, 700]


# --- Credits, coupons and commitments ---------------------------------------------------------------------------------


def test_a_granted_credit_keeps_its_amount(customers: Platform, change: Change) -> None:
    effects(change, write_credits, CreditTerms("acme", "Outage", dollars("25.00"), at("2026-09-01")))
    with pytest.raises(CustomerRefused, match="is granted: what it is worth can not be changed"):
        effects(change, write_credits, CreditTerms("acme", "Outage", dollars("30.00"), at("2026-09-01")))
    later = CreditTerms("acme", "Outage", dollars("25.00"), at("2026-09-01"), expires_at=at("2027-01-01"))
    assert effects(change, write_credits, later) == [Effect.CHANGED]


def test_a_coupon_lasts_its_months_and_giving_it_again_changes_nothing(customers: Platform, change: Change) -> None:
    effects(change, write_coupons, TEN)
    given = DiscountTerms("acme", "ten", SEPTEMBER)
    assert effects(change, give_coupons, given) == [Effect.NEW]
    assert effects(change, give_coupons, given) == [Effect.UNCHANGED]
    (row,) = customers.query("select first_month::text, last_month::text from discounts")
    assert row == {"first_month": "2026-09-01", "last_month": "2026-10-01"}
    with pytest.raises(CustomerRefused, match="it has this coupon from 2026-09 on already"):
        effects(change, give_coupons, DiscountTerms("acme", "ten", OCTOBER))
    assert effects(change, give_coupons, DiscountTerms("acme", "ten", SEPTEMBER, SEPTEMBER)) == [Effect.CHANGED]


def test_an_unknown_coupon_and_one_in_another_currency_are_refused(change: Change) -> None:
    euros = CouponTerms("five-euros", "5 off", amount=dollars("5.00"), currency="EUR")
    effects(change, write_coupons, TEN, euros)
    with pytest.raises(CustomerRefused, match=r"no coupon 'tenn' \(did you mean ten\?\): `fly-billing coupon add`"):
        effects(change, give_coupons, DiscountTerms("acme", "tenn", SEPTEMBER))
    with pytest.raises(CustomerRefused, match="it is in EUR, but acme is billed in USD in 2026-09"):
        effects(change, give_coupons, DiscountTerms("acme", "five-euros", SEPTEMBER))


def test_a_coupon_that_reduced_a_final_invoice_keeps_its_percentage(customers: Platform, change: Change) -> None:
    effects(change, write_coupons, TEN)
    effects(change, give_coupons, DiscountTerms("acme", "ten", SEPTEMBER))
    customers.use(event("e1", "100"))
    customers.close()
    assert customers.totals() == [900]
    twenty = CouponTerms("ten", "10 % off", percent=Decimal(20), months=2)
    with pytest.raises(
        CustomerRefused, match=r"coupon ten was used by the final invoice .* percent can not be changed"
    ):
        effects(change, write_coupons, twenty)


@pytest.mark.parametrize(
    ("write", "withdraw", "record", "table"),
    [
        (write_charges, withdraw_charges, OneOffCharge("acme", "Setup", at("2026-09-10"), dollars("5")),
         "one_off_items"),
        (give_coupons, withdraw_discounts, DiscountTerms("acme", "ten", SEPTEMBER), "discounts"),
        (write_commitments, withdraw_commitments, CommitmentTerms("acme", "least", dollars("5"), SEPTEMBER),
         "commitments"),
        (write_taxes, withdraw_taxes, TaxTerms("acme", "VAT", Decimal(19), SEPTEMBER), "tax_rates"),
    ],
)  # fmt: skip
def test_a_mistake_is_withdrawn_until_an_invoice_has_it(
    customers: Platform, change: Change, write: Writer, withdraw: Writer, record: Any, table: str
) -> None:
    effects(change, write_coupons, TEN)
    effects(change, write, record)
    assert effects(change, withdraw, record) == [Effect.WITHDRAWN]
    assert customers.query(f"select from {table}") == []
    effects(change, write, record)
    customers.use(event("e1", "1"))
    customers.compute()
    with pytest.raises(CustomerRefused, match="an open invoice has it already: end it instead"):
        effects(change, withdraw, record)


# --- Taxes, payers and prices -----------------------------------------------------------------------------------------


def test_a_new_rate_of_a_tax_ends_the_one_before(customers: Platform, change: Change) -> None:
    effects(change, write_taxes, TaxTerms("acme", "VAT", Decimal(19), SEPTEMBER))
    with pytest.raises(
        CustomerRefused, match="it has another rate of VAT from 2026-09 on: end that one before 2026-10"
    ):
        effects(change, write_taxes, TaxTerms("acme", "VAT", Decimal(20), OCTOBER))
    twenty = TaxTerms("acme", "VAT", Decimal(20), OCTOBER)
    done = change(lambda connection: set_tax(connection, ANN, twenty))
    assert [one.effect for one in done] == [Effect.CHANGED, Effect.NEW]
    found = customers.query("select percent, last_month::text from tax_rates order by first_month")
    assert [(row["percent"], row["last_month"]) for row in found] == [(19, "2026-09-01"), (20, None)]


def test_a_link_needs_one_currency_and_ends_with_a_month(customers: Platform, change: Change) -> None:
    customers.add_organization("labs")
    customers.add_organization("euro", currency="EUR")
    assert effects(change, write_links, PayerLink("labs", "acme", SEPTEMBER)) == [Effect.NEW]
    assert effects(change, write_links, PayerLink("labs", "acme", SEPTEMBER, OCTOBER)) == [Effect.CHANGED]
    assert effects(change, withdraw_links, PayerLink("labs", "acme", SEPTEMBER, OCTOBER)) == [Effect.WITHDRAWN]
    assert effects(change, write_links, PayerLink("labs", "acme", SEPTEMBER, OCTOBER)) == [Effect.NEW]
    with pytest.raises(CustomerRefused, match="euro is billed in EUR, and acme in USD"):
        effects(change, write_links, PayerLink("euro", "acme", SEPTEMBER))
    with pytest.raises(CustomerRefused, match="can only be ended: set its last_month, and add another link"):
        effects(change, write_links, PayerLink("labs", "euro", SEPTEMBER))


def test_details_change_one_by_one_and_an_empty_text_clears_one(customers: Platform, change: Change) -> None:
    change(lambda c: change_billing_details(c, ANN, "acme", email="a@acme.example", legal_name="Acme GmbH"))
    change(lambda c: change_billing_details(c, ANN, "acme", legal_name="", net_days=30))
    (row,) = customers.query("select email, legal_name, net_days from billing_details")
    assert row == {"email": "a@acme.example", "legal_name": None, "net_days": 30}
    with pytest.raises(ValueError, match="send_invoice needs an email"):
        change(lambda c: change_billing_details(c, ANN, "acme", email="", collection="send_invoice"))


def test_a_negotiated_price_needs_a_key_of_the_book_and_a_price_that_fits(customers: Platform, change: Change) -> None:
    def negotiated(key: str, **terms: Any) -> NegotiatedPrice:
        return NegotiatedPrice("fly", key, at("2026-09-01"), organization_id="acme", **terms)

    with pytest.raises(CustomerRefused, match=r"price book fly has no price 'request' \(did you mean requests\?\)"):
        effects(change, write_price_overrides, negotiated("request", percent_off=Decimal(10)))
    with pytest.raises(CustomerRefused, match="match is for usage, and support is a fee"):
        effects(
            change, write_price_overrides, negotiated("support", percent_off=Decimal(10), match={"region": ("ams",)})
        )
    effects(change, write_price_overrides, negotiated("requests", percent_off=Decimal(50)))
    customers.use(event("e1", "3"))
    customers.compute()
    assert customers.amounts("usage") == [Decimal("0.15")]
