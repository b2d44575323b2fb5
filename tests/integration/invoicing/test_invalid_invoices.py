"""Open invoices of months that can't be billed, as an older version could make them, are listed and removed."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from typer.testing import CliRunner

from fly_billing.cli.main import app
from fly_billing.errors import ActionableError
from fly_billing.invoicing.invalid_invoices import list_invalid_invoices, remove_invalid_invoices
from fly_billing.periods import BillingMonth
from tests.support.builders import OCTOBER, SEPTEMBER, SUPPORT, Platform, at

MAY_2027 = BillingMonth(2027, 5)
IN_OCTOBER = datetime(2026, 10, 20, tzinfo=UTC)


@pytest.fixture
def with_may_2027(platform: Platform) -> Platform:
    """September is final, October is open, and May 2027 was billed for acme and beta in October 2026.

    acme's invoice of May 2027 holds a late one-off item of September over $10.00.
    """
    platform.add_organization("beta")
    platform.add_subscription("acme", SUPPORT.key, at("2026-09-01"))
    platform.close(SEPTEMBER)
    platform.compute(OCTOBER)
    platform.add_one_off("acme", "forgotten setup", "10.00", at("2026-09-10"))
    platform.roll_up(MAY_2027, IN_OCTOBER)
    platform.bill(MAY_2027, IN_OCTOBER)
    return platform


def months_with_invoices(platform: Platform) -> list[tuple[str, str, str]]:
    found = platform.query("select organization_id, month, status from invoices order by month, organization_id")
    return [(row["organization_id"], f"{row['month']:%Y-%m}", row["status"]) for row in found]


def test_only_open_invoices_of_invalid_months_are_removed_and_each_is_in_the_trail(with_may_2027: Platform) -> None:
    platform = with_may_2027
    invalid = list_invalid_invoices(platform.database, IN_OCTOBER)
    assert [(invoice.organization_id, str(invoice.billing_month)) for invoice in invalid] == [
        ("acme", "2027-05"),
        ("beta", "2027-05"),
    ]

    assert remove_invalid_invoices(platform.database, invalid, "ann", IN_OCTOBER) == invalid

    assert months_with_invoices(platform) == [
        ("acme", "2026-09", "finalized"),
        ("beta", "2026-09", "finalized"),
        ("acme", "2026-10", "open"),
        ("beta", "2026-10", "open"),
    ]
    trail = platform.query(
        "select invoice_id, from_status, changed_by, why from invoice_changes where to_status = 'removed' order by why"
    )
    assert trail == [
        {
            "invoice_id": invoice.id,
            "from_status": "open",
            "changed_by": "ann",
            "why": f"removed the open invoice of {invoice.organization_id} for 2027-05 ({invoice.total}):"
            " this month can't be billed",
        }
        for invoice in invalid
    ]
    history = platform.query(
        "select person, action, organization_id, first_month, currency, amount_cents, subject from finance_history"
        " where action = 'removed' order by organization_id"
    )
    assert [tuple(act.values()) for act in history] == [
        ("ann", "removed", "acme", MAY_2027.first_day, "USD", 3900, "open invoice"),
        ("ann", "removed", "beta", MAY_2027.first_day, "USD", 0, "open invoice"),
    ]
    assert list_invalid_invoices(platform.database, IN_OCTOBER) == []


def test_a_late_item_on_a_removed_invoice_is_billed_with_the_next_run(with_may_2027: Platform) -> None:
    platform = with_may_2027
    assert platform.amounts("one_off", MAY_2027) == [Decimal(10)]
    platform.bill(OCTOBER, IN_OCTOBER)
    assert platform.amounts("one_off", OCTOBER) == []

    remove_invalid_invoices(platform.database, list_invalid_invoices(platform.database, IN_OCTOBER), "ann", IN_OCTOBER)
    platform.bill(OCTOBER, IN_OCTOBER)

    assert platform.amounts("one_off", OCTOBER) == [Decimal(10)]


def test_an_invoice_that_became_final_after_it_was_listed_stays(with_may_2027: Platform) -> None:
    """In June 2027, the month is valid, and was closed between the list and the answer."""
    platform = with_may_2027
    invalid = list_invalid_invoices(platform.database, IN_OCTOBER)
    platform.execute(
        "update invoices set status = 'finalized', finalized_at = now(), due_on = current_date where id = :id",
        id=invalid[0].id,
    )
    assert remove_invalid_invoices(platform.database, invalid, "ann", IN_OCTOBER) == invalid[1:]
    assert ("acme", "2027-05", "finalized") in months_with_invoices(platform)


@pytest.fixture
def installed(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> Platform:
    """An open invoice of 2190-05, which has not begun when this test runs."""
    last = BillingMonth(2190, 5)
    platform.add_subscription("acme", SUPPORT.key, at("2026-09-01"))
    platform.roll_up(last, IN_OCTOBER)
    assert platform.bill(last, IN_OCTOBER).failures == []
    url = platform.database.engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("DAGSTER_DATABASE_URL", url)
    monkeypatch.setenv("FLY_BILLING_DATA_DIR", str(platform.landing_dir.parent / "data"))
    return platform


def command(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["invalid-invoices", *arguments])
    assert done.exception is None or isinstance(done.exception, ActionableError | SystemExit), done.exception
    return done.exit_code, " ".join(done.output.split())


def test_the_command_lists_and_removes_only_with_a_yes(installed: Platform) -> None:
    code, listed = command()
    assert (code, "2190-05" in listed, "acme" in listed) == (1, True, True)
    assert "Nothing was removed. `fly-billing invalid-invoices --yes` removes them." in listed
    assert months_with_invoices(installed) == [("acme", "2190-05", "open")]

    code, removed = command("--yes")
    assert (code, "1 open invoice removed." in removed) == (0, True)
    assert months_with_invoices(installed) == []
    assert command()[1].startswith("No open invoice is of a month before 2023-01 or after ")
