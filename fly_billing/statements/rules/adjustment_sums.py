"""The sums that explain an adjustment: the item as billed, the item as calculated now, and the correction between them.

Not here: how the two are compared (`corrections.rules.differences`) or when an adjustment is booked
(`corrections.adjustments`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from fly_billing.corrections.rules.adjustment_record import AdjustmentRecord
from fly_billing.corrections.rules.causes import CAUSES
from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.money import EXACT
from fly_billing.statements.rules.item_sums import amount_sums, billable_quantity
from fly_billing.statements.rules.sums import Line, Sum


def sums_of_adjustment(item: InvoiceItem, adjusted: AdjustmentRecord, currency: str) -> list[Sum]:
    """Return the sums of both calculations, and the correction: the difference that was not adjusted before."""
    corrected = [Line("owed now", adjusted.owed), Line("billed on the invoice", EXACT.minus(adjusted.billed))]
    if adjusted.before:
        corrected.append(Line("adjusted earlier", EXACT.minus(adjusted.before)))
    if adjusted.undecided:
        corrected.append(Line("changed terms that nobody had approved yet", EXACT.minus(adjusted.undecided)))
    return [
        *_calculation("As billed", adjusted.billed_items, adjusted.billed, currency),
        *_calculation("As calculated now", adjusted.owed_items, adjusted.owed, currency),
        Sum("Correction", currency, tuple(corrected), item.amount),
    ]


def _calculation(title: str, items: Sequence[InvoiceItem] | None, total: Decimal, currency: str) -> list[Sum]:
    """Return the sums of one side's items, then the list of items where there is not exactly one."""
    if items is None:
        return []
    sums = [
        replace(sum_, title=f"{title}: {item.description}, {sum_.title[:1].lower()}{sum_.title[1:]}")
        for item in items
        for sum_ in (*billable_quantity(item), *amount_sums(item, currency))
    ]
    if len(items) == 1 and items[0].amount == total:
        return sums
    return [*sums, Sum(title, currency, tuple(Line(item.description, item.amount) for item in items), total)]


def adjustment_facts(adjusted: AdjustmentRecord) -> list[tuple[str, str]]:
    """Return why the month was adjusted, as facts."""
    facts = [("Reason", CAUSES[cause]) for cause in adjusted.causes if cause in CAUSES]
    if adjusted.billed_items is None:
        facts.append(("Calculations", "not recorded: the adjustment was booked before calculations were recorded"))
    return facts
