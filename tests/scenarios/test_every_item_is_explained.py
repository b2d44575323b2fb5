"""A person can recalculate every charge: of Fly.io's whole catalogue, and of a real bill of 1,000 rows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

from fly_billing.focus.imports import import_focus
from fly_billing.invoicing.event_check import check_items_per_event
from fly_billing.invoicing.rules.assembly import Invoice, assemble_invoice
from fly_billing.invoicing.rules.inputs import InvoiceInputs, Member, Subscription, UsageRollup
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.pricing.price_books import SHIPPED, read_price_book_files
from fly_billing.pricing.rules.prices import Price, PriceBook
from fly_billing.statements.billed_events import open_billed_events
from fly_billing.statements.explanation_reader import list_items, read_explanation
from fly_billing.statements.rules.explanation import explain_item
from fly_billing.statements.rules.rounding import explain_rounding
from fly_billing.usage.usage_table import UsageTable
from tests.support.builders import TERMS, Platform, days_of, id_of
from tests.support.calculator import printed, redo

FOCUS_SAMPLE = Path(__file__).parents[1] / "data" / "focus_1.0_sample.csv"
# Past every allowance of the book, and not divisible by any of its units.
QUANTITY = Decimal("1234567.891")


def usage_of(price: Price, month: BillingMonth) -> UsageRollup:
    """Return usage under this price: with its dimensions, in the part of the month in which it applies."""
    dimensions = {name: values[0] for name, values in price.match.items()}
    start = max(month.start, price.effective_from)
    end = min(month.end, price.effective_until or month.end)
    return UsageRollup(id_of(str(price.id)), price.meter or "", dimensions, start, end, QUANTITY)


def fee_of(price: Price, month: BillingMonth) -> Subscription:
    """Return three of this fee, from a moment inside the month on."""
    started = month.start.replace(day=10, hour=7, minute=13, second=1)
    return Subscription(id_of(str(price.id)), price.key, started, None, Decimal(3))


def month_of(prices: Sequence[Price], month: BillingMonth, book: PriceBook) -> tuple[Invoice, list[UsageRollup]]:
    rollups = [usage_of(price, month) for price in prices if price.meter]
    fees = [fee_of(price, month) for price in prices if not price.meter]
    member = Member("acme", book, rollups, fees)
    return assemble_invoice(InvoiceInputs("acme", "USD", month, [member])), rollups


def catalogue() -> Iterator[tuple[Invoice, list[UsageRollup]]]:
    """Yield an invoice for each month in which a version of a price begins, with usage of only those prices."""
    prices = read_price_book_files(SHIPPED / "fly").prices
    by_month: dict[BillingMonth, list[Price]] = defaultdict(list)
    for price in prices:
        by_month[BillingMonth.containing(price.effective_from)].append(price)
    for month, beginning in by_month.items():
        yield month_of(beginning, month, PriceBook(prices))


def test_a_person_can_recalculate_the_charge_of_every_price_of_the_catalogue() -> None:
    prices = {price.id: price for price in read_price_book_files(SHIPPED / "fly").prices}
    explained = []
    for invoice, rollups in catalogue():
        by_id = {rollup.id: rollup for rollup in rollups}
        rounding = explain_rounding(invoice.items, "USD")
        for item in invoice.items:
            assert item.price_id is not None
            used = [by_id[rollup_id] for rollup_id in item.rollup_ids]
            explanation = explain_item(item, rounding[item.id], "USD", used, prices[item.price_id])
            assert explanation.problems == (), item.description
            redone = redo(printed(explanation, width=160))
            assert redone["Amount"].total == Fraction(item.amount), item.description
            explained.append(item)
        assert sum(rounded.cents for rounded in rounding.values()) == invoice.total_cents
    assert Counter(item.price_id for item in explained) == Counter(prices.keys())
    assert sum(1 for item in explained if item.meter == "machine_seconds") == 1085
    # Usage that was free before it had a price.
    free = {"stopped-rootfs", "volume-snapshot"}
    assert {item.price_key for item in explained if not item.amount} == free


def test_every_item_of_a_real_bill_is_explained_down_to_its_rows(
    billing_database: BillingDatabase, landing_dir: Path
) -> None:
    month, closed = BillingMonth(2024, 9), datetime(2024, 10, 5, tzinfo=UTC)
    import_focus(billing_database, landing_dir, FOCUS_SAMPLE, max_org_partitions=200, shared_groups=8, now=closed)
    platform = Platform(billing_database, UsageTable(landing_dir.parent / "usage_table"), landing_dir)
    platform.land(*days_of(month.first_day, month.last_landing_day(TERMS.grace)), now=closed)
    platform.roll_up(month, now=closed)
    billed = platform.bill(month, now=closed)
    assert (billed.finalized, billed.failures, len(billed.invoices)) == (True, [], 73)

    explained = rows = 0
    for invoice in billed.invoices:
        for item in list_items(billing_database, invoice.organization_id, month):
            explanation = read_explanation(billing_database, item.id)
            assert explanation.explanation.problems == (), item
            assert redo(printed(explanation.explanation))["Amount"].total == Fraction(item.amount)
            rows += explanation.usage.events if explanation.usage else 0
            explained += 1
        if explanation.usage:  # the last of each invoice, down to its files; a check below covers all events
            with open_billed_events(platform.database, platform.usage_table, explanation.usage) as events:
                assert events.problems() == []
                assert sum(file.events for file in events.files()) == explanation.usage.events
    assert explained == sum(invoice.items for invoice in billed.invoices)
    (accepted,) = platform.query("select sum(accepted) as rows from usage_files")
    assert rows == accepted["rows"] > 900
    groups = [row["billing_group"] for row in platform.query("select distinct billing_group from organizations")]
    assert check_items_per_event(billing_database, platform.usage_table, month, groups) == []
