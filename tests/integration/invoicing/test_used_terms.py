"""Terms that a final invoice used are ended and replaced, never edited: otherwise it could not be recalculated."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from tests.support.builders import OCTOBER, SEPTEMBER, Platform, at

NOVEMBER = OCTOBER.next()


def refused(because: str) -> Any:
    return pytest.raises(IntegrityError, match=because)


@pytest.fixture
def agreed(platform: Platform) -> Platform:
    """acme has support at 29.00, 10 % off, a minimum of 60.00 in three months, a credit for setups and VAT contained.

    September has a setup of 5.00: 34.00 less 3.40, less 4.50 of credit: 26.10. The minimum is not due yet: it has no
    item, and neither has the tax.
    """
    platform.insert("coupons", code="ten", description="10 % off", percent=10)
    platform.add_subscription("acme", "support", at("2026-01-10"))
    platform.redeem("acme", "ten")
    platform.commit("acme", "minimum", "60", months=3)
    platform.grant("acme", "prepaid", "1000", scope='{"kinds": ["one_off"]}')
    platform.add_tax("acme", "VAT", "20", is_inclusive=True)
    for month in (SEPTEMBER, OCTOBER):
        platform.add_one_off("acme", f"setup {month}", "5", month.start)
    return platform


CHANGES = {
    "subscriptions set quantity = 2": "subscription support .*: quantity can not be changed",
    "subscriptions set price_key = 'machines'": "subscription support .*: price_key can not be changed",
    "subscriptions set started_at = '2026-02-01'": "subscription support .*: started_at can not be changed",
    "subscriptions set proration = 'day'": "subscription support .*: proration can not be changed",
    "subscriptions set anchor = 'start'": "subscription support .*: anchor can not be changed",
    "subscriptions set trial_ends_at = started_at": "subscription support .*: trial_ends_at can not be changed",
    "coupons set percent = 20": "coupon ten .*: percent can not be changed",
    "coupons set percent = null, amount = 5, currency = 'USD'": "coupon ten .*: amount, currency, percent can not be",
    'coupons set scope = \'{"products": ["Machines"]}\'': "coupon ten .*: scope can not be changed",
    "coupons set rank = 7": "coupon ten .*: rank can not be changed",
    "discounts set first_month = '2026-08-01'": "discount ten .*: first_month can not be changed",
    "discounts set redeemed_at = '2026-08-01'": "discount ten .*: redeemed_at can not be changed",
    "commitments set amount = 50": "commitment at least 60 .*: amount can not be changed",
    "commitments set kind = 'maximum', months = 1": "commitment at least 60 .*: kind, months can not be changed",
    'commitments set scope = \'{"kinds": ["usage"]}\'': "commitment at least 60 .*: scope can not be changed",
    "credit_grants set priority = 1": "credit prepaid .*: priority can not be changed",
    'credit_grants set scope = \'{"kinds": ["usage"]}\'': "credit prepaid .*: scope can not be changed",
    "tax_rates set percent = 19": "tax VAT .*: percent can not be changed",
    "tax_rates set is_inclusive = false": "tax VAT .*: is_inclusive can not be changed",
}
TABLES = ("subscriptions", "coupons", "discounts", "commitments", "credit_grants", "tax_rates")


@pytest.mark.parametrize("change", CHANGES)
def test_terms_of_a_final_invoice_keep_the_fields_that_determine_its_amount(agreed: Platform, change: str) -> None:
    agreed.close()
    with refused(CHANGES[change]) as error:
        agreed.execute(f"update {change}")
    assert "was used by the final invoice number 1 of acme for 2026-09" in str(error.value)


@pytest.mark.parametrize("change", CHANGES)
def test_terms_without_a_final_invoice_may_change(agreed: Platform, change: str) -> None:
    agreed.compute()
    agreed.execute(f"update {change}")


@pytest.mark.parametrize("table", TABLES)
def test_terms_of_a_final_invoice_can_not_be_deleted_and_the_refusal_gives_the_alternative(
    agreed: Platform, table: str
) -> None:
    agreed.close()
    with refused("was used by the final invoice number 1 of acme for 2026-09: it can not be deleted") as error:
        agreed.execute(f"delete from {table}")  # noqa: S608
    assert any(word in str(error.value) for word in ("add another", "redeem", "grant another"))


@pytest.mark.parametrize(
    "change",
    [
        "coupons set redeem_by = '2026-10-01', most_redemptions = 1, months = 3",
        "discounts set last_month = '2026-09-01'",
        "commitments set last_month = '2026-09-01'",
        "credit_grants set expires_at = '2026-10-01'",
        "tax_rates set last_month = '2026-09-01'",
        "subscriptions set ended_at = '2026-10-01'",
        "subscriptions set billed = 'in_advance'",
    ],
)
def test_terms_of_a_final_invoice_can_still_be_ended(agreed: Platform, change: str) -> None:
    agreed.close()
    agreed.execute(f"update {change}")
    assert agreed.close(OCTOBER).failures == []


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ("discounts set last_month = '2026-09-01'", "discount ten"),
        ("commitments set last_month = '2026-09-01'", "commitment at least 60"),
        ("credit_grants set expires_at = '2026-10-01'", "credit prepaid"),
        ("tax_rates set last_month = '2026-09-01'", "tax VAT"),
    ],
)
def test_terms_do_not_end_before_the_last_month_billed_with_them(agreed: Platform, change: str, name: str) -> None:
    for month in (SEPTEMBER, OCTOBER):
        agreed.close(month)
    refusal = f"{name} is on the final invoice number 2 of acme for 2026-10: it can not end before that month"
    with refused(refusal):
        agreed.execute(f"update {change}")
    agreed.execute("update invoices set status = 'void' where month = '2026-10-01'")
    agreed.execute(f"update {change}")


def test_a_coupon_is_superseded_by_another_from_the_next_month_on(platform: Platform) -> None:
    """29.00 less 10 % = 26.10 in September; less 20 % = 23.20 from October on."""
    platform.add_subscription("acme", "support", at("2026-09-01"))
    platform.insert("coupons", code="ten", description="10 % off", percent=10)
    platform.insert("coupons", code="twenty", description="20 % off", percent=20)
    platform.redeem("acme", "ten")
    platform.close()
    platform.execute("update discounts set last_month = '2026-09-01'")
    platform.redeem("acme", "twenty", OCTOBER)
    for month in (OCTOBER, NOVEMBER):
        platform.close(month)
    assert platform.totals() == [2610, 2320, 2320]


def test_a_coupon_that_reduced_no_invoice_may_still_be_corrected(platform: Platform) -> None:
    platform.insert("coupons", code="ten", description="10 % off", percent=10)
    platform.redeem("acme", "ten")
    platform.close()
    platform.execute("update coupons set percent = 20")
    platform.add_one_off("acme", "setup", "10", at("2026-10-10"))
    platform.close(OCTOBER)
    assert platform.totals() == [0, 800]


def test_a_fee_of_a_linked_organization_is_kept_as_its_payers_invoice_used_it(platform: Platform) -> None:
    platform.add_organization("labs")
    platform.link("labs", "acme")
    platform.add_subscription("labs", "support", at("2026-09-01"))
    platform.close()
    with refused("subscription support was used by the final invoice number 1 of acme for 2026-09: quantity can not"):
        platform.execute("update subscriptions set quantity = 2")


def test_a_coupon_is_kept_once_any_organization_was_billed_with_it(platform: Platform) -> None:
    platform.add_organization("globex")
    platform.insert("coupons", code="ten", description="10 % off", percent=10)
    for name in ("acme", "globex"):
        platform.redeem(name, "ten")
    platform.add_one_off("globex", "setup", "10", at("2026-09-10"))
    platform.close()
    with refused("coupon ten was used by the final invoice number 1 of globex for 2026-09: percent can not be changed"):
        platform.execute("update coupons set percent = 20")
