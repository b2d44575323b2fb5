"""A deposit pays after tax in Stripe, the FOCUS file and the statement, and gets it back, at any tax rate."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from fly_billing.focus.exports import export_focus
from fly_billing.statements.statement_reader import read_statement
from fly_billing.stripe_sandbox import SandboxServer
from tests.integration.corrections.test_credits_given_back import all_is_explained, left
from tests.integration.focus.test_focus_export import rows_of
from tests.integration.invoicing.test_taxes_by_item import correct, three_rates, use
from tests.support.builders import NOW, OCTOBER, SEPTEMBER, Platform, event, write_jsonl
from tests.support.focus_rules import violations
from tests.support.stripe_builders import in_stripe, invoice_in_stripe, kinds, outcome, sync, sync_tools

__all__ = ["three_rates"]


def taxes_in_stripe(invoice: Mapping[str, Any]) -> list[tuple[int, int]]:
    """Return the tax and the taxable amount of each rate with tax, in cents."""
    return sorted((tax["amount"], tax["taxable_amount"]) for tax in invoice["total_taxes"] if tax["amount"])


def test_a_deposit_is_a_separate_line_in_stripe_after_the_tax(platform: Platform, sandbox: SandboxServer) -> None:
    """70.00 + 5.78 - 5.00 = 70.78."""
    platform.grant("acme", "Deposit", "5", pays="gross")
    platform.add_tax("acme", "Sales tax", "8.25")
    write_jsonl(platform.landing_dir, [event("e1", "700")])
    assert platform.close().failures == []
    tools = sync_tools(platform.database, sandbox.url)
    assert outcome(sync(tools, SEPTEMBER)) == ({"finalized": 1}, [])
    assert kinds(tools, SEPTEMBER) == []
    assert in_stripe(sandbox) == [("acme", "open", 7078, 2)]
    invoice = invoice_in_stripe(sandbox, "acme")
    assert sorted(line["amount"] for line in invoice["lines"]) == [-500, 7000]
    assert taxes_in_stripe(invoice) == [(578, 7000)]


def test_a_deposit_pays_items_of_three_rates_and_is_full_again_once_nothing_is_owed(
    three_rates: Platform, sandbox: SandboxServer, tmp_path: Path
) -> None:
    """191.25 with 17.00 and 4.25 of tax, less 100.00. Without usage 20.00 of insurance less the coupon, exempt."""
    three_rates.grant("acme", "Welcome", "9.99", granted_at=OCTOBER.end, priority=9)
    three_rates.grant("acme", "Deposit", "100", pays="gross")
    use(three_rates, 1000, 2600)
    assert three_rates.close().failures == []
    assert (three_rates.totals(), left(three_rates)) == ([9125], 999)

    tools = sync_tools(three_rates.database, sandbox.url)
    assert outcome(sync(tools, SEPTEMBER)) == ({"finalized": 1}, [])
    assert kinds(tools, SEPTEMBER) == []
    assert in_stripe(sandbox) == [("acme", "open", 9125, 5)]
    assert [tax for tax, _ in taxes_in_stripe(invoice_in_stripe(sandbox, "acme"))] == [425, 1700]

    file = tmp_path / "september.csv"
    export_focus(three_rates.database, SEPTEMBER, file, file_format="csv")
    found = rows_of(file)
    assert violations(list(found[0]), found) == []
    assert sum(Decimal(row["BilledCost"]) for row in found) == Decimal("91.25")
    taxes = [Decimal(row["BilledCost"]) for row in found if row["ChargeCategory"] == "Tax"]
    assert sorted(taxes) == [0, Decimal("4.25"), 17]
    credits = [Decimal(row["BilledCost"]) for row in found if row["ChargeCategory"] == "Credit"]
    assert sum(credits) == -100

    use(three_rates, 0, 0)
    correct(three_rates, "2026-10-10")
    assert three_rates.close(OCTOBER).failures == []
    # 191.25 less 20.00 are returned: 91.25 was money, so 80.00 goes back to the deposit, which keeps paying 20.00.
    assert (sum(three_rates.totals()), left(three_rates)) == (0, 999 + 8000)
    (kept,) = three_rates.query("select sum(tax_cents)::bigint as cents from invoice_taxes")
    assert kept["cents"] == 0
    assert all_is_explained(three_rates)
    statement = read_statement(three_rates.database, "acme", NOW, SEPTEMBER)
    assert [credit.in_words() for credit in statement.credits] == [
        "Welcome: $9.99 remaining",
        "Deposit: $80.00 remaining; also pays taxes",
    ]
