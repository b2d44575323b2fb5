"""Organizations are added, renamed, changed, closed and opened again; the audit trail has who and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection

from fly_billing.corrections.correction import Actor
from fly_billing.customers.closing import close_organization, reopen_organization
from fly_billing.customers.commitments import write_commitments
from fly_billing.customers.links import write_links
from fly_billing.customers.organizations import (
    Groups,
    add_organization,
    change_organization,
    list_organizations,
    rename_organization,
    show_organization,
    write_organizations,
)
from fly_billing.customers.rules.organizations import OrganizationRecord, PayerLink
from fly_billing.customers.rules.terms import CommitmentTerms, SubscriptionTerms
from fly_billing.customers.subscriptions import write_subscriptions
from fly_billing.customers.writing import CustomerRefused, Effect, changing
from fly_billing.periods import BillingMonth
from tests.integration.customers.conftest import ANN, dollars
from tests.support.builders import OCTOBER, SEPTEMBER, Platform, at, event

Change = Callable[[Callable[[Connection], Any]], Any]
GROUPS = Groups(most_own=2, shared=4)
LABS = OrganizationRecord("labs", "Labs", at("2026-09-10"))


def test_a_new_organization_is_added_once_and_a_second_time_it_is_unchanged(
    customers: Platform, change: Change
) -> None:
    first = change(lambda connection: write_organizations(connection, ANN, [LABS], GROUPS))
    again = change(lambda connection: write_organizations(connection, ANN, [LABS], GROUPS))
    assert [first[0].effect, again[0].effect] == [Effect.NEW, Effect.UNCHANGED]
    assert customers.query("select on_table, action, what, changed_by, why from customer_changes") == [
        {
            "on_table": "organizations",
            "action": "added",
            "what": "organization labs (Labs)",
            "changed_by": "ann",
            "why": "she asked for it",
        }
    ]


def test_organizations_beyond_the_largest_number_of_own_partitions_share_billing_groups(
    customers: Platform, change: Change
) -> None:
    """acme exists, so labs is the second with a group of its own, and the next ones share."""
    some = [LABS, OrganizationRecord("apps", "Apps", at("2026-09-10"))]
    change(lambda connection: write_organizations(connection, ANN, some, GROUPS))
    groups = {row["id"]: row["billing_group"] for row in customers.query("select id, billing_group from organizations")}
    assert (groups["acme"], groups["labs"]) == ("acme", "labs")
    assert groups["apps"].startswith("tail-0")


def test_every_wrong_record_of_a_set_has_a_line_and_nothing_is_written(customers: Platform, change: Change) -> None:
    some = [
        OrganizationRecord("labs", "Labs", at("2026-09-10"), price_book="fli", place="a.csv:2: "),
        OrganizationRecord("apps", "Apps", at("2026-09-10"), currency="EUR", place="a.csv:3: "),
        OrganizationRecord("good", "Good", at("2026-09-10"), place="a.csv:4: "),
    ]
    with pytest.raises(CustomerRefused) as refused:
        change(lambda connection: write_organizations(connection, ANN, some, GROUPS))
    first, second = refused.value.problems
    assert first.startswith("a.csv:2: organization labs: no price book 'fli' (did you mean fly?); loaded are eu, fly")
    assert second.startswith("a.csv:3: organization apps: price book fly has no prices in EUR, only in USD")
    assert customers.organizations() == ["acme"]


def test_the_same_organization_twice_in_a_set_is_refused(customers: Platform, change: Change) -> None:
    with pytest.raises(CustomerRefused, match=r"organization labs \(Labs\) is given twice"):
        change(lambda connection: write_organizations(connection, ANN, [LABS, LABS], GROUPS))


def test_adding_an_organization_whose_id_is_taken_changes_nothing(customers: Platform, change: Change) -> None:
    other = OrganizationRecord("acme", "Another Acme", at("2026-09-10"))
    with pytest.raises(CustomerRefused, match="organization acme exists already, as 'Acme' with price book fly in USD"):
        change(lambda connection: add_organization(connection, ANN, other, GROUPS))
    same = OrganizationRecord("acme", "Acme", at("2026-09-10"))
    done = change(lambda connection: add_organization(connection, ANN, same, GROUPS))
    assert done.effect == Effect.UNCHANGED
    assert customers.query("select created_at from organizations") == [{"created_at": at("2026-01-10")}]


def test_a_renamed_organization_has_its_new_name_and_the_trail_has_both(customers: Platform, change: Change) -> None:
    done = change(lambda connection: rename_organization(connection, ANN, "acme", "Acme Holding"))
    assert done.changes == ("name: Acme -> Acme Holding",)
    assert customers.query("select name from organizations") == [{"name": "Acme Holding"}]
    (kept,) = customers.query("select what from customer_changes")
    assert kept == {"what": "organization acme (Acme); name: Acme -> Acme Holding"}
    with pytest.raises(CustomerRefused, match=r"no organization 'acne' \(did you mean acme\?\)"):
        change(lambda connection: rename_organization(connection, ANN, "acne", "Acme"))


def test_another_currency_applies_from_the_first_month_without_a_final_invoice(
    customers: Platform, change: Change
) -> None:
    customers.use(event("e1", "3"))
    customers.close()
    euros = OrganizationRecord("acme", "Acme", at("2026-01-10"), currency="EUR", price_book="eu")
    change(lambda connection: write_organizations(connection, ANN, [euros], GROUPS))
    (before,) = customers.query("select before_month::text, currency, price_book from organization_history")
    assert before == {"before_month": "2026-10-01", "currency": "USD", "price_book": "fly"}


def test_another_price_book_applies_from_a_chosen_month_and_only_if_it_has_the_currency(
    customers: Platform, change: Change
) -> None:
    with pytest.raises(CustomerRefused, match="price book eu has no prices in USD, only in EUR"):
        change(lambda c: change_organization(c, ANN, "acme", None, "eu"))
    done = change(lambda c: change_organization(c, ANN, "acme", "EUR", "eu", OCTOBER))
    assert done.changes == ("currency: USD -> EUR", "price_book: fly -> eu")
    fee = SubscriptionTerms("acme", "support", at("2026-09-01"))
    change(lambda connection: write_subscriptions(connection, ANN, [fee]))
    customers.close()
    customers.close(OCTOBER)
    found = customers.query("select currency, total_cents from invoices order by month")
    assert [(row["currency"], row["total_cents"]) for row in found] == [("USD", 2900), ("EUR", 2500)]
    with pytest.raises(CustomerRefused, match="acme has a final invoice of 2026-10: its currency and price book can"):
        change(lambda c: change_organization(c, ANN, "acme", "USD", "fly", OCTOBER))


def test_a_dry_run_does_all_of_the_work_and_leaves_nothing(customers: Platform) -> None:
    with changing(customers.database, is_dry_run=True) as connection:
        (done,) = write_organizations(connection, ANN, [LABS], GROUPS)
        assert show_organization(connection, "labs", ANN.at).name == "Labs"
    assert done.effect == Effect.NEW
    assert customers.organizations() == ["acme"]
    assert customers.query("select from customer_changes") == []


def test_closing_an_account_ends_its_fees_at_the_instant_and_its_commitment_with_the_month(
    customers: Platform, change: Change
) -> None:
    """A minimum over three months from September is owed until November; a fee that has not begun never does."""
    fees = [
        SubscriptionTerms("acme", "support", at("2026-09-01")),
        SubscriptionTerms("acme", "support/premium", at("2026-12-01")),
    ]
    change(lambda connection: write_subscriptions(connection, ANN, fees))
    least = [
        CommitmentTerms("acme", "at least 50", dollars("50"), SEPTEMBER),
        CommitmentTerms("acme", "at least 300 a quarter", dollars("300"), SEPTEMBER, months=3),
        CommitmentTerms("acme", "at least 90 next year", dollars("90"), BillingMonth(2027, 1)),
    ]
    change(lambda connection: write_commitments(connection, ANN, least))
    closed_at = at("2026-10-15T10:00:00")
    done = change(lambda connection: close_organization(connection, ANN, "acme", closed_at))
    assert [one.effect for one in done].count(Effect.WITHDRAWN) == 1
    assert customers.query("select price_key, ended_at from subscriptions order by started_at") == [
        {"price_key": "support", "ended_at": closed_at},
        {"price_key": "support/premium", "ended_at": at("2026-12-01")},
    ]
    assert customers.query("select description, last_month::text from commitments order by description") == [
        {"description": "at least 300 a quarter", "last_month": "2026-11-01"},
        {"description": "at least 50", "last_month": "2026-10-01"},
    ]
    again = change(lambda connection: close_organization(connection, ANN, "acme", closed_at))
    assert [one.effect for one in again] == [Effect.UNCHANGED]


def test_no_term_begins_after_an_account_is_closed_until_it_is_opened_again(
    customers: Platform, change: Change
) -> None:
    change(lambda connection: close_organization(connection, ANN, "acme", at("2026-10-15")))
    fee = SubscriptionTerms("acme", "support", at("2026-10-20"))
    with pytest.raises(CustomerRefused, match=r"acme closed its account on 2026-10-15: `fly-billing org reopen acme`"):
        change(lambda connection: write_subscriptions(connection, ANN, [fee]))
    assert change(lambda connection: reopen_organization(connection, ANN, "acme")).effect == Effect.CHANGED
    assert change(lambda connection: write_subscriptions(connection, ANN, [fee]))[0].effect == Effect.NEW


def test_usage_after_an_account_is_closed_is_billed(customers: Platform, change: Change) -> None:
    """Three requests at 0.10, used on the 15th; it closed on the 10th. Whoever still runs something still pays."""
    change(lambda connection: close_organization(connection, ANN, "acme", at("2026-09-10")))
    customers.use(event("e1", "3"))
    customers.close()
    assert customers.totals() == [30]


def test_an_organization_that_pays_for_others_can_not_close(customers: Platform, change: Change) -> None:
    change(lambda connection: write_organizations(connection, ANN, [LABS], GROUPS))
    change(lambda connection: write_links(connection, ANN, [PayerLink("labs", "acme", SEPTEMBER)]))
    with pytest.raises(CustomerRefused, match=r"acme pays for labs after 2026-10: end these links first"):
        change(lambda connection: close_organization(connection, ANN, "acme", at("2026-10-15")))


def test_organizations_are_listed_with_their_terms_and_closed_ones_on_request(
    customers: Platform, change: Change
) -> None:
    change(lambda connection: write_organizations(connection, ANN, [LABS], GROUPS))
    fee = SubscriptionTerms("acme", "support", at("2026-09-01"))
    change(lambda connection: write_subscriptions(connection, ANN, [fee]))
    change(lambda connection: close_organization(connection, ANN, "labs", at("2026-09-15")))
    listed = list_organizations(customers.database, ANN.at)
    assert [(one.id, one.subscriptions) for one in listed] == [("acme", 1)]
    everyone = list_organizations(customers.database, ANN.at, with_closed=True)
    assert [one.id for one in everyone] == ["acme", "labs"]
    assert [one.id for one in list_organizations(customers.database, ANN.at, "LAB", with_closed=True)] == ["labs"]


def test_the_history_of_the_month_says_who_changed_a_term_and_why(customers: Platform, change: Change) -> None:
    bob = Actor("bob", ANN.at, "upgrade")
    fee = SubscriptionTerms("acme", "support", at("2026-09-01"))
    change(lambda connection: write_subscriptions(connection, bob, [fee]))
    assert customers.query(
        "select person, action, subject, reason, first_month::text from finance_history where organization_id = 'acme'"
    ) == [
        {
            "person": "bob",
            "action": "added",
            "subject": "subscription of acme to support from 2026-09-01",
            "reason": "upgrade",
            "first_month": "2026-09-01",
        }
    ]
