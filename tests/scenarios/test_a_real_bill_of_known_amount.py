"""The FOCUS sample goes through the assets like any usage: 1,000 real charges, 73 organizations, known amounts."""

from __future__ import annotations

import csv
from collections import defaultdict
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

from fly_billing.focus.imports import import_focus
from fly_billing.periods import BillingMonth
from fly_billing.stripe_sandbox import SandboxServer
from tests.support.deployment import Deployment

SAMPLE = Path(__file__).parents[1] / "data" / "focus_1.0_sample.csv"
SEPTEMBER = BillingMonth(2024, 9)


def list_amounts() -> dict[str, Fraction]:
    """Add ListUnitPrice x PricingQuantity up per sub-account; the one credit has no list price: its ListCost."""
    sums: dict[str, Fraction] = defaultdict(Fraction)
    with SAMPLE.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["ListUnitPrice"] == "NULL":
                sums[row["SubAccountName"]] += Fraction(row["ListCost"])
            else:
                sums[row["SubAccountName"]] += Fraction(row["ListUnitPrice"]) * Fraction(row["PricingQuantity"])
    return dict(sums)


def test_the_focus_sample_is_billed_and_synced_at_the_sum_of_its_rows(
    deployment: Deployment, sandbox: SandboxServer
) -> None:
    deployment.now = datetime(2024, 10, 5, tzinfo=UTC)
    imported = import_focus(
        deployment.database, deployment.landing_dir, SAMPLE, max_org_partitions=200, shared_groups=8, now=deployment.now
    )
    deployment.register_organizations()

    deployment.land_month(SEPTEMBER)
    deployment.bill(SEPTEMBER)
    deployment.sync(SEPTEMBER)

    assert (imported.rows, len(imported.organizations)) == (1000, 73)
    billed = deployment.execute(
        "select o.name, sum(i.amount) as amount from invoices i"
        " join organizations o on o.id = i.organization_id group by o.name"
    )
    assert {row["name"]: Fraction(row["amount"]) for row in billed} == list_amounts()
    (total,) = deployment.execute(
        "select count(*) as invoices, sum(total_cents) as cents from invoices where status = 'finalized'"
    )
    assert total["invoices"] == 73
    assert (
        sum(invoice["total"] for invoice in sandbox.control.invoices() if invoice["status"] != "draft")
        == total["cents"]
    )
