"""An item's explanation: sums that a person can check on a calculator, each checked here as well.

Calculates the item again from its record and compares each result with what was billed. `problems` has a sentence for
each difference; nothing is corrected silently.
Not here: the sums of each kind of item (`item_sums`, `adjustment_sums`), the checks (`item_problems`), the facts
(`item_facts`), the invoice's rounding (`rounding`), reading the data (`statements.explanation_reader`), and the layout
(`cli.explain`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fly_billing.corrections.rules.adjustment_record import AdjustmentRecord
from fly_billing.invoicing.rules.inputs import UsageRollup
from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.money import format_cents, plain
from fly_billing.pricing.rules.prices import Price
from fly_billing.statements.rules.adjustment_sums import adjustment_facts, sums_of_adjustment
from fly_billing.statements.rules.item_facts import facts_of_item, price_data
from fly_billing.statements.rules.item_problems import problems_of_item
from fly_billing.statements.rules.item_sums import sums_of_item
from fly_billing.statements.rules.rounding import Rounding
from fly_billing.statements.rules.sums import Sum


@dataclass(frozen=True)
class Explanation:
    """The calculation of one item's amount, and its check.

    Attributes:
        facts: (name, text) pairs for people.
        price: The price version that was charged.
        problems: A sentence for each difference from what was billed; empty where there is none.
    """

    item: InvoiceItem
    currency: str
    facts: tuple[tuple[str, str], ...]
    sums: tuple[Sum, ...]
    rounding: Rounding
    price: Price | None
    problems: tuple[str, ...]

    def as_data(self) -> dict[str, Any]:
        """Return JSON-ready data; exact numbers are text, cents are whole numbers."""
        item = self.item
        return {
            "id": str(item.id),
            "kind": item.kind,
            "organization_id": item.organization_id,
            "product": item.product,
            "description": item.description,
            "quantity": plain(item.quantity),
            "unit": item.unit,
            "currency": self.currency,
            "amount": plain(item.amount),
            "amount_cents": item.amount_cents,
            "price": None if self.price is None else price_data(self.price),
            "sums": [sum_.as_data() for sum_ in self.sums],
            "rounding": self.rounding.as_data(),
            "facts": dict(self.facts),
            "detail": dict(item.detail),
            "problems": list(self.problems),
        }


def explain_item(
    item: InvoiceItem,
    rounding: Rounding,
    currency: str,
    rollups: Sequence[UsageRollup] = (),
    price: Price | None = None,
    facts: Sequence[tuple[str, str]] = (),
    adjusted: AdjustmentRecord | None = None,
) -> Explanation:
    """Explain an invoice's item. The same input gives the same explanation.

    Args:
        rounding: The item's own, from `rounding.explain_rounding`.
        rollups: The usage that the item prices.
        price: The price version that was charged.
        facts: (name, text) pairs from the records that the item bills.
        adjusted: The record of the adjustment that the item bills.
    """
    if adjusted is None:
        sums = sums_of_item(item, rollups, price, currency)
    else:
        sums = sums_of_adjustment(item, adjusted, currency)
        facts = [*facts, *adjustment_facts(adjusted)]
    problems = [problem for sum_ in sums for problem in sum_.problems()]
    problems += problems_of_item(item, sums, price, currency)
    if rounding.cents != item.amount_cents:
        problems.append(
            f"Rounding: {format_cents(item.amount_cents, currency)} was billed, but rounding the invoice again gives"
            f" {format_cents(rounding.cents, currency)}"
        )
    if item.kind in ("usage", "subscription") and price is None:
        problems.append("Price: the version that was charged is no longer in the price book")
    return Explanation(
        item, currency, (*facts_of_item(item, price), *facts), tuple(sums), rounding, price, tuple(problems)
    )
