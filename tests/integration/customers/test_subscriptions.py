"""Subscriptions begin, end and are replaced; what can't be charged at the month's end is refused when it is written."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Connection

from fly_billing.customers.rules.terms import SubscriptionTerms
from fly_billing.customers.subscriptions import cancel, change_plan, write_subscriptions
from fly_billing.customers.writing import CustomerRefused, Effect, changing, closed_months_changed
from tests.integration.customers.conftest import ANN
from tests.support.builders import OCTOBER, Platform, at

Change = Callable[[Callable[[Connection], Any]], Any]


def fee(key: str, started_at: str = "2026-09-01", **terms: Any) -> SubscriptionTerms:
    return SubscriptionTerms("acme", key, at(started_at), **terms)


def write(change: Change, *some: SubscriptionTerms) -> list[Effect]:
    return [one.effect for one in change(lambda connection: write_subscriptions(connection, ANN, some))]


def rows(customers: Platform) -> list[tuple[str, datetime, datetime | None]]:
    found = customers.query("select price_key, started_at, ended_at from subscriptions order by started_at, price_key")
    return [(row["price_key"], row["started_at"], row["ended_at"]) for row in found]


def test_subscribing_twice_is_one_subscription(customers: Platform, change: Change) -> None:
    assert write(change, fee("support")) == [Effect.NEW]
    assert write(change, fee("support")) == [Effect.UNCHANGED]
    assert write(change, fee("support", ended_at=at("2026-10-05"))) == [Effect.CHANGED]
    assert rows(customers) == [("support", at("2026-09-01"), at("2026-10-05"))]


def test_a_second_subscription_to_a_fee_needs_a_reference_because_it_is_charged_twice(
    customers: Platform, change: Change
) -> None:
    write(change, fee("support"))
    with pytest.raises(CustomerRefused, match="it has one from 2026-09-01 on already"):
        write(change, fee("support", "2026-09-10"))
    assert write(change, fee("support", "2026-09-10", reference="second team")) == [Effect.NEW]
    assert len(rows(customers)) == 2


def test_of_two_people_who_subscribe_at_once_one_is_refused(customers: Platform) -> None:
    """Whoever comes second sees the first one's subscription: changes are made one at a time."""

    def subscribe(day: int) -> Effect | str:
        try:
            with changing(customers.database, is_dry_run=False) as connection:
                return write_subscriptions(connection, ANN, [fee("support", f"2026-09-{day:02}")])[0].effect
        except CustomerRefused as refused:
            return str(refused)

    with ThreadPoolExecutor(2) as people:
        outcomes = sorted(people.map(subscribe, (1, 2)), key=str)
    assert outcomes[0] == Effect.NEW or outcomes[1] == Effect.NEW
    assert sum("on already: for another one" in outcome for outcome in outcomes) == 1
    assert len(rows(customers)) == 1


@pytest.mark.parametrize(
    ("key", "started_at", "problem"),
    [
        ("suport", "2026-09-01", r"price book fly has no price 'suport' \(did you mean support\?\)"),
        ("requests", "2026-09-01", "requests charges usage, not a fee"),
        ("support/premium", "2026-09-01", "support/premium has no price on 2026-09-01: it begins 2026-10-01"),
        ("support", "2025-12-01", "it begins 2025-12-01, but acme is a customer from 2026-01-10 on"),
    ],
)
def test_a_fee_that_could_not_be_charged_is_refused_when_it_is_written(
    change: Change, key: str, started_at: str, problem: str
) -> None:
    with pytest.raises(CustomerRefused, match=problem):
        write(change, fee(key, started_at))


def test_a_fee_in_another_currency_than_the_organizations_is_refused(customers: Platform, change: Change) -> None:
    customers.execute("update organizations set currency = 'EUR'")
    with pytest.raises(CustomerRefused, match="support is in USD, but the organization is billed in EUR"):
        write(change, fee("support"))


def test_changing_plan_ends_one_fee_and_begins_the_other_at_the_same_instant(
    customers: Platform, change: Change
) -> None:
    write(change, fee("support", quantity=Decimal(3)))
    noon = at("2026-10-10T12:00:00")

    def upgrade(connection: Connection) -> list[Effect]:
        done = change_plan(connection, ANN, "acme", "support", "support/premium", noon)
        return [one.effect for one in done]

    assert change(upgrade) == [Effect.CHANGED, Effect.NEW]
    assert change(upgrade) == [Effect.UNCHANGED, Effect.UNCHANGED]
    assert rows(customers) == [("support", at("2026-09-01"), noon), ("support/premium", noon, None)]
    assert customers.query("select quantity from subscriptions where price_key = 'support/premium'") == [
        {"quantity": Decimal(3)}
    ]


def test_more_seats_follow_on_and_keep_the_intervals(customers: Platform, change: Change) -> None:
    write(change, fee("support", "2026-09-05", anchor="start"))
    change(lambda connection: change_plan(connection, ANN, "acme", "support", "support", at("2026-09-20"), Decimal(5)))
    found = customers.query("select quantity, started_at, anchored_at from subscriptions order by started_at")
    assert found[1] == {"quantity": Decimal(5), "started_at": at("2026-09-20"), "anchored_at": at("2026-09-05")}


def test_if_the_new_plan_can_not_begin_the_old_one_does_not_end(customers: Platform, change: Change) -> None:
    write(change, fee("support"))
    with pytest.raises(CustomerRefused, match=r"no price 'support/premum' \(did you mean support/premium\?\)"):
        change(lambda connection: change_plan(connection, ANN, "acme", "support", "support/premum", at("2026-10-10")))
    assert rows(customers) == [("support", at("2026-09-01"), None)]


def test_a_cancelled_subscription_ends_at_the_instant_and_only_once(customers: Platform, change: Change) -> None:
    write(change, fee("support"))
    assert change(lambda c: cancel(c, ANN, "acme", "support", at("2026-09-16"))).effect == Effect.CHANGED
    assert change(lambda c: cancel(c, ANN, "acme", "support", at("2026-09-16"))).effect == Effect.UNCHANGED
    with pytest.raises(CustomerRefused, match="the subscription of acme to support ended on 2026-09-16 already"):
        change(lambda c: cancel(c, ANN, "acme", "support", at("2026-09-20")))
    customers.compute()
    # 29.00 for 15 of 30 days.
    assert customers.amounts("subscription") == [Decimal("14.50")]


def test_a_subscription_that_is_cancelled_before_it_begins_is_never_charged(
    customers: Platform, change: Change
) -> None:
    write(change, fee("support", "2026-09-15"))
    change(lambda c: cancel(c, ANN, "acme", "support", at("2026-09-10")))
    assert rows(customers) == [("support", at("2026-09-15"), at("2026-09-15"))]
    customers.compute()
    assert customers.amounts("subscription") == []


@pytest.mark.parametrize(
    ("organization", "key", "problem"),
    [
        ("acme", "suport", r"acme has no subscription to 'suport' on 2026-09-20 \(did you mean support\?\)"),
        ("acne", "support", r"no organization 'acne' \(did you mean acme\?\)"),
    ],
)
def test_cancelling_what_is_not_there_says_what_is(
    customers: Platform, change: Change, organization: str, key: str, problem: str
) -> None:
    write(change, fee("support"))
    with pytest.raises(CustomerRefused, match=problem):
        change(lambda c: cancel(c, ANN, organization, key, at("2026-09-20")))


def test_a_fee_for_a_closed_month_waits_for_a_decision_and_a_billed_one_can_only_end(
    customers: Platform, change: Change
) -> None:
    write(change, fee("support"))
    customers.close()

    def late(connection: Connection) -> list[str]:
        write_subscriptions(connection, ANN, [fee("support", reference="late")])
        return [one.notice for one in closed_months_changed(connection, ANN)]

    (notice,) = change(late)
    assert notice.startswith("subscription support was added: final invoices from 2026-09 on stay as they are until")
    assert customers.totals() == [2900]
    with pytest.raises(CustomerRefused, match=r"was used by the final invoice .* quantity can not be changed: set its"):
        write(change, fee("support", quantity=Decimal(2)))
    assert write(change, fee("support", ended_at=OCTOBER.start)) == [Effect.CHANGED]
