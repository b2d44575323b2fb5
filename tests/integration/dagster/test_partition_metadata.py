"""A partition shows its own numbers, under the same names in every month and for every organization."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from fly_billing.periods import BillingMonth
from tests.support.dagster_pages import IN_MEMORY, Pages, open_pages
from tests.support.deployment import Deployment, dagster_instance, machine_seconds

# Dagster warns about its own properties while it loads a code location.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:dagster.*")
SEPTEMBER, OCTOBER, NOVEMBER = BillingMonth(2026, 9), BillingMonth(2026, 10), BillingMonth(2026, 11)
ORGANIZATIONS = ("acme", "beta", "corp")
BY_MONTH_AND_ORGANIZATION = ("usage_rollups", "invoices", "stripe_invoices")


@pytest.fixture
def pages(deployment: Deployment, tmp_path: Path) -> Iterator[Pages]:
    """Provide the pages on 5 November: September and October are closed. A Machine-month is $2.02.

    acme ran one Machine in September and two in October, beta one in each month plus 50 % VAT, and corp one in October
    only. A row of corp's October usage can't be read.
    """
    with dagster_instance(IN_MEMORY) as instance:
        deployment.instance = instance
        deployment.load_prices()
        for organization in ORGANIZATIONS:
            deployment.add_organization(organization)
        deployment.execute(
            "insert into tax_rates (id, organization_id, name, percent, first_month)"
            " values (gen_random_uuid(), 'beta', 'VAT', 50, '2026-09-01')"
        )
        used = [("acme", SEPTEMBER), ("acme", OCTOBER), ("acme", OCTOBER), ("beta", SEPTEMBER), ("beta", OCTOBER)]
        events = [
            machine_seconds(number, organization, month.start, "2592000")
            for number, (organization, month) in enumerate([*used, ("corp", OCTOBER)])
        ]
        unreadable = {**machine_seconds("unreadable", "corp", OCTOBER.start, "60"), "time": "2026-10-01T00:00:00"}
        deployment.write_usage(date(2026, 10, 1), [*events, unreadable])
        deployment.land(date(2026, 9, 1), date(2026, 11, 4))
        with open_pages(deployment, instance, tmp_path) as pages:
            yield pages


def key(month: BillingMonth, organization: str) -> str:
    return f"{month}-01|{organization}"


def shown(pages: Pages, asset: str, *names: str) -> dict[str, tuple[Any, ...]]:
    """Return these values of each partition of both months, as the asset's page shows them."""
    return {
        f"{month} {organization}": tuple(pages.partition(asset, key(month, organization))[name] for name in names)
        for month in (SEPTEMBER, OCTOBER)
        for organization in ORGANIZATIONS
    }


def test_each_partition_shows_its_own_numbers_and_a_final_month_keeps_them(
    deployment: Deployment, pages: Pages
) -> None:
    for month in (SEPTEMBER, OCTOBER):
        deployment.bill(month)
        # October is 80 % more than September, so the spending guard asks for an approval.
        approved = {"fly_billing/approved_total": "USD=9.09"} if month == OCTOBER else {}
        deployment.run("sync_month", {**deployment.tags(month), **approved})
        deployment.run("reconcile_month", {}, partition=f"{month}-01")

    # beta: 2.02 and 50 % VAT of it, 1.01: 3.03.
    names = ("invoices", "final", "items", "total", "total (exact)", "tax", "accepted", "rejected", "failures")
    totals = {
        "2026-09 acme": (1, 1, 1, 2.02, "$2.02", 0.0, 1, 0, 0),
        "2026-09 beta": (1, 1, 2, 3.03, "$3.03", 1.01, 1, 0, 0),
        "2026-09 corp": (1, 1, 0, 0.0, "$0.00", 0.0, 0, 0, 0),
        "2026-10 acme": (1, 1, 1, 4.04, "$4.04", 0.0, 2, 0, 0),
        "2026-10 beta": (1, 1, 2, 3.03, "$3.03", 1.01, 1, 0, 0),
        "2026-10 corp": (1, 1, 1, 2.02, "$2.02", 0.0, 1, 1, 0),
    }
    assert shown(pages, "invoices", *names) == totals
    assert shown(pages, "usage_rollups", "accepted", "rollups", "failures") == {
        "2026-09 acme": (1, 1, 0), "2026-09 beta": (1, 1, 0), "2026-09 corp": (0, 0, 0),
        "2026-10 acme": (2, 1, 0), "2026-10 beta": (1, 1, 0), "2026-10 corp": (1, 1, 0),
    }  # fmt: skip
    # Stripe gets no invoice over nothing.
    sides = ("invoices", "total", "invoices in Stripe", "total in Stripe", "discrepancies", "failures")
    assert shown(pages, "stripe_invoices", *sides) == {
        "2026-09 acme": (1, 2.02, 1, 2.02, 0, 0), "2026-09 beta": (1, 3.03, 1, 3.03, 0, 0),
        "2026-09 corp": (0, 0.0, 0, 0.0, 0, 0), "2026-10 acme": (1, 4.04, 1, 4.04, 0, 0),
        "2026-10 beta": (1, 3.03, 1, 3.03, 0, 0), "2026-10 corp": (1, 2.02, 1, 2.02, 0, 0),
    }  # fmt: skip
    september, october = (pages.partition("stripe_reconciliation", f"{month}-01") for month in (SEPTEMBER, OCTOBER))
    assert [september[name] for name in sides[:-1]] == [2, 5.05, 2, 5.05, 0]
    assert [october[name] for name in sides[:-1]] == [3, 9.09, 3, 9.09, 0]
    for asset in BY_MONTH_AND_ORGANIZATION:
        each = [
            list(pages.partition(asset, key(month, organization)))
            for month in (SEPTEMBER, OCTOBER)
            for organization in ORGANIZATIONS
        ]
        assert each == [each[0]] * 6
    assert list(september) == list(october)

    deployment.bill(SEPTEMBER)
    deployment.sync(SEPTEMBER)
    assert shown(pages, "invoices", *names) == totals
    assert pages.partition("stripe_invoices", key(SEPTEMBER, "acme"))["total in Stripe"] == 2.02


def test_a_failed_partition_shows_its_cause_in_a_sentence_and_its_run(deployment: Deployment, pages: Pages) -> None:
    deployment.execute(
        "insert into subscriptions values (gen_random_uuid(), 'corp', 'support/gold', '2026-11-01Z', null)"
    )
    result = deployment.bill(NOVEMBER, fails=True)

    assert deployment.statuses("invoices", NOVEMBER, ORGANIZATIONS)["corp"] == "FAILED"
    failed, good = (pages.partition("invoices", key(NOVEMBER, organization)) for organization in ("corp", "acme"))
    assert failed["cause"] == (
        "2026-11 corp: no price 'support/gold' in force at 2026-11-01: add it to the price book (unpriced_subscription)"
    )
    assert failed["run"] == result.run_id
    assert (failed["invoices"], failed["failures"]) == (0, 1)
    assert [*good, "cause", "run"] == [*failed]


def test_an_error_that_ends_the_run_is_the_cause_of_each_of_its_partitions(
    deployment: Deployment, pages: Pages
) -> None:
    """The usage table is gone, so no partition can be rolled up."""
    deployment.lake_dir.rename(deployment.lake_dir.with_name("elsewhere"))

    result = deployment.bill(OCTOBER, fails=True)

    (failed,) = [event.step_failure_data for event in result.all_events if event.is_step_failure][:1]
    assert failed.user_failure_data is not None
    text = failed.user_failure_data.description
    assert text
    assert "Traceback" not in text
    assert "fly-billing" in text
    for organization in ORGANIZATIONS:
        assert deployment.statuses("usage_rollups", OCTOBER, [organization]) == {organization: "FAILED"}
        partition = pages.partition("usage_rollups", key(OCTOBER, organization))
        assert partition == {"cause": text, "run": result.run_id}
