"""Billing an open month again calculates the invoices whose inputs changed. The result is as if it calculated all."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from fly_billing.invoicing.bill_run import Billed, bill
from fly_billing.postgres.database import BillingDatabase
from tests.integration.invoicing.test_rebilling_unchanged_months import fill
from tests.support.builders import NOW, OCTOBER, PRICES, SEPTEMBER, TERMS, Platform, at, event, price

LATER = NOW + timedelta(hours=1)
Change = Callable[[Platform], object]


@pytest.fixture
def two(platform: Platform) -> Platform:
    """Two organizations with usage and a fee, whose open September was calculated at noon."""
    platform.add_organization("other")
    for name in ("acme", "other"):
        platform.add_subscription(name, "support", at("2026-01-10"))
    platform.insert("coupons", code="ten", description="Ten off", percent=10, scope="{}")
    platform.use(*(event(name, "1000", subject=name) for name in ("acme", "other")))
    assert [invoice.is_unchanged for invoice in platform.bill().invoices] == [False, False]
    return platform


def again(platform: Platform, *, from_scratch: bool = False) -> Billed:
    """Bill September an hour later."""
    billed = bill(
        platform.database, SEPTEMBER, platform.organizations(), TERMS, LATER, finalize=False, from_scratch=from_scratch
    )
    assert billed.failures == []
    return billed


def calculated(billed: Billed) -> set[str]:
    return {invoice.organization_id for invoice in billed.invoices if not invoice.is_unchanged}


def versions_of_items(platform: Platform) -> list[tuple[UUID, str]]:
    found = platform.query("select id, xmin::text as version from invoice_items order by id")
    return [(row["id"], row["version"]) for row in found]


def test_an_open_month_without_changes_keeps_its_invoices(two: Platform) -> None:
    before = versions_of_items(two)
    first = two.query("select id, organization_id, amount, total_cents from invoices order by organization_id")
    billed = again(two)
    assert calculated(billed) == set()
    assert versions_of_items(two) == before
    assert [
        {"id": kept.id, "organization_id": kept.organization_id, "amount": kept.amount, "total_cents": kept.total_cents}
        for kept in billed.invoices
    ] == first
    assert [kept.items for kept in billed.invoices] == [2, 2]


def as_of(platform: Platform, organization: str) -> datetime:
    """Return the time until which the statement says that September's invoice is right."""
    (found,) = platform.database.rows(
        "statement_invoices", organization_id=organization, late_since=NOW, waiting="", newest=None, shown=None
    )
    as_of: datetime = found["as_of"]
    return as_of


def test_a_kept_invoice_is_as_of_the_run_that_found_it_right_and_is_not_written(two: Platform) -> None:
    before = two.query("select id, xmin::text from invoices order by id")
    again(two)
    assert {as_of(two, "acme"), as_of(two, "other")} == {LATER}
    assert two.query("select id, xmin::text from invoices order by id") == before


def test_the_invoice_of_an_organization_that_can_not_be_billed_stays_as_of_the_last_run_that_found_it_right(
    two: Platform,
) -> None:
    again(two)
    two.insert("rollup_failures", organization_id="acme", month="2026-09-01", reason="edited", found_at=NOW)
    for hours in (2, 3):
        now = NOW + timedelta(hours=hours)
        bill(two.database, SEPTEMBER, two.organizations(), TERMS, now, finalize=False)
        assert (as_of(two, "acme"), as_of(two, "other")) == (LATER, now)
    two.execute("delete from rollup_failures")
    again(two)
    assert (as_of(two, "acme"), as_of(two, "other")) == (LATER, LATER)


def test_a_run_for_one_group_does_not_say_that_the_invoices_of_others_are_right(two: Platform) -> None:
    two.add_organization("elsewhere")
    two.roll_up()
    bill(two.database, SEPTEMBER, two.billing_groups(), TERMS, LATER, finalize=False)
    now = NOW + timedelta(hours=2)
    bill(two.database, SEPTEMBER, ["elsewhere"], TERMS, now, finalize=False)
    assert (as_of(two, "acme"), as_of(two, "elsewhere")) == (LATER, now)


CHANGES: dict[str, Change] = {
    "late usage": lambda platform: platform.use(event("late", "1"), name="late"),
    "a subscription": lambda platform: platform.add_subscription("acme", "support", at("2026-09-10")),
    "a cancellation": lambda platform: platform.execute(
        "update subscriptions set ended_at = '2026-09-16T00:00:00Z' where organization_id = 'acme'"
    ),
    "a quantity": lambda platform: platform.execute(
        "update subscriptions set quantity = 2 where organization_id = 'acme'"
    ),
    "a one-off item": lambda platform: platform.add_one_off("acme", "Migration", "5", at("2026-09-12")),
    "a coupon": lambda platform: platform.redeem("acme", "ten"),
    "a minimum": lambda platform: platform.commit("acme", "minimum", "200"),
    "a minimum that is met": lambda platform: platform.commit("acme", "minimum", "1"),
    "a maximum": lambda platform: platform.commit("acme", "maximum", "50"),
    "a credit": lambda platform: platform.grant("acme", "Startup credit", "20"),
    "a tax": lambda platform: platform.add_tax("acme", "VAT", "19"),
    "a negotiated price": lambda platform: platform.insert(
        "negotiated_prices", id=UUID(int=1), book="fly", key="requests", organization_id="acme", match="{}",
        charges=json.dumps({"percent_off": "10"}), effective_from=at("2026-09-01"),
    ),
    "a payer": lambda platform: platform.link("other", "acme"),
    "an earlier month": lambda platform: platform.insert(
        "adjustments", id=UUID(int=2), organization_id="acme", payer_id="acme", month="2026-08-01",
        item_key="acme|usage|requests", product="Requests", description="Correction", amount=Decimal(-1),
        currency="USD", causes=[], detail="{}", made_by="test", made_at=NOW,
        invoice_id=_final_invoice_of_august(platform),
    ),
}  # fmt: skip


def _final_invoice_of_august(platform: Platform) -> UUID:
    """Return a final invoice of 0.00 that `acme` got for August."""
    platform.insert(
        "invoices", id=UUID(int=3), organization_id="acme", month="2026-08-01", revision=0, origin="imported",
        status="open", currency="USD", amount=0, total_cents=0, computed_at=NOW,
    )  # fmt: skip
    platform.execute(
        "update invoices set status = 'finalized', finalized_at = now(), due_on = current_date where id = :id",
        id=UUID(int=3),
    )
    return UUID(int=3)


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_of_one_organization_calculates_its_invoice_and_keeps_the_others(two: Platform, name: str) -> None:
    CHANGES[name](two)
    expected = {"acme"}
    assert calculated(again(two)) == expected
    as_found = content(two.database)
    assert calculated(again(two, from_scratch=True)) >= expected
    assert content(two.database) == as_found


def test_a_list_price_calculates_all_invoices_of_its_book(two: Platform) -> None:
    two.load(*PRICES, price("requests", "0.20", "requests", unit="request", effective_from=at("2026-09-10")))
    two.roll_up()
    assert calculated(again(two)) == {"acme", "other"}


def test_a_new_version_of_the_rules_calculates_every_invoice(two: Platform) -> None:
    two.execute("update invoices set inputs_fingerprint = md5(inputs_fingerprint)")  # as if by other code
    assert calculated(again(two)) == {"acme", "other"}


def test_closing_a_month_calculates_every_invoice(two: Platform) -> None:
    closed = two.close()
    assert closed.finalized and calculated(closed) == {"acme", "other"}


def test_a_failure_ends_when_its_cause_is_gone_though_the_invoice_is_as_before(two: Platform) -> None:
    two.insert(
        "rollup_failures", organization_id="acme", month="2026-09-01", reason="its rollups were edited", found_at=NOW
    )
    failed = bill(two.database, SEPTEMBER, two.organizations(), TERMS, LATER, finalize=False)
    assert [failure.organization_id for failure in failed.failures] == ["acme"]
    two.execute("delete from rollup_failures")
    assert calculated(again(two)) == set()
    assert two.query("select * from billing_failures") == []


def content(database: BillingDatabase) -> dict[str, list[Any]]:
    """Return everything that open invoices consist of, except when they were calculated."""
    tables = (
        "invoices", "invoice_items", "invoice_taxes", "invoice_item_rollups", "invoice_snapshots", "invoice_tax_rates",
        "invoice_commitments",
    )  # fmt: skip
    with database.transaction() as connection:
        return {
            name: [
                row[0]
                for row in connection.execute(
                    text(f"select to_jsonb(r) - 'computed_at' from {name} as r order by 1")  # noqa: S608 our own names
                )
            ]
            for name in tables
        }


def change_something(platform: Platform, random: Random, number: int) -> None:
    """Make one random change that billing has to notice."""
    name = f"org-{random.randrange(30)}"
    day = at(f"2026-09-{random.randint(12, 28)}")
    changes: list[Callable[[], object]] = [
        lambda: platform.use(event(f"late-{number}", str(random.randint(1, 50)), subject=name), name=f"late-{number}"),
        lambda: platform.add_subscription(name, "support", day, proration=random.choice(["second", "none"])),
        lambda: platform.add_one_off(name, f"change {number}", str(random.randint(-9, 30)), day),
        lambda: platform.commit(name, "minimum", f"{number}.50"),
        lambda: platform.grant(name, f"credit {number}", str(random.randint(1, 30))),
        lambda: platform.add_tax(name, f"tax {number}", "7"),
        lambda: platform.load(*PRICES, replace(PRICES[0], effective_from=day)),
        lambda: platform.execute(
            "update subscriptions set ended_at = greatest(started_at, trial_ends_at) + interval '40 days'"
            " where organization_id = :name and ended_at is null",
            name=name,
        ),
    ]
    random.choice(changes)()


def test_any_sequence_of_changes_gives_the_invoices_that_calculating_all_gives(platform: Platform) -> None:
    random = Random(18)
    fill(platform, random)
    assert platform.close(SEPTEMBER.plus(-1)).failures == []
    platform.land()
    kept = 0
    for number in range(12):
        change_something(platform, random, number)
        platform.roll_up()
        billed = again(platform)
        kept += len(billed.invoices) - len(calculated(billed))
        found = content(platform.database)
        again(platform, from_scratch=True)
        assert content(platform.database) == found, number
    assert kept > 150


def test_an_invoice_of_a_later_month_follows_the_open_month_before_it(two: Platform) -> None:
    """September's open invoice draws 20.00 of a credit of 150.00, then 130.00; so October's has less left to draw."""
    two.grant("acme", "Prepaid", "150")
    moment = OCTOBER.start + timedelta(days=2)
    two.roll_up(OCTOBER, moment)
    again(two)
    first = bill(two.database, OCTOBER, two.organizations(), TERMS, moment, finalize=False)
    two.use(event("late", "400"), name="late")
    again(two)
    second = bill(two.database, OCTOBER, two.organizations(), TERMS, moment, finalize=False)
    assert (calculated(first), calculated(second)) == ({"acme", "other"}, {"acme"})
