"""Compares what a final invoice charged with what it should have charged, charge by charge, and names the causes.

A final invoice never changes. It is recalculated by the same steps as before. The difference from everything charged so
far for the same thing, adjustments included, is still to be charged or returned. So a second comparison finds nothing,
and correcting to A and then to B charges the same as correcting to B.

Only differences from changed usage are booked automatically. Differences from changed terms of the month, such as a
subscription entered late or a superseded price, wait until someone decides.

Some items are not compared. One-off items: a late one goes on the next invoice anyway. Fees for intervals that end
after the month: the month in which one ends corrects it. Adjustments. Taxes: the invoice with the adjustment charges
them. Credits: `corrections.rules.returned_credits` returns them. Not here: reading usage, booking.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from uuid import UUID

from fly_billing.corrections.rules.causes import (
    CORRECTED_ROWS,
    EARLIER_MONTH,
    FOLLOWS,
    LATE_LEVEL,
    PRICE_VERSION,
    RULE,
    SUBSCRIPTION,
    TERMS,
    USAGE_CHANGED,
)
from fly_billing.invoicing.rules.assembly import assemble_charges
from fly_billing.invoicing.rules.inputs import InvoiceInputs
from fly_billing.invoicing.rules.invoice_in_progress import InvoiceInProgress
from fly_billing.invoicing.rules.items import InvoiceItem, is_ahead
from fly_billing.money import EXACT, counted, exact_sum, plain
from fly_billing.periods import BillingMonth

COMPARED = ("usage", "subscription", "discount", "minimum", "maximum")


@dataclass(frozen=True)
class Charge:
    """The sum of an invoice's items for one price (all its versions), subscription, discount or commitment.

    Attributes:
        prices: The versions of the price and the negotiated prices that its items have.
        items: The items that it adds up.
        credit_grant_id: For a charge of kind `credit`, the credit that gets its amount back (`returned_credits`).
        has_quantity: False for the sum of adjustments that stored none: those of old versions.
    """

    key: str
    kind: str
    organization_id: str
    product: str
    description: str
    amount: Decimal
    quantity: Decimal
    unit: str
    meter: str | None = None
    prices: frozenset[UUID] = frozenset()
    items: tuple[InvoiceItem, ...] = ()
    credit_grant_id: UUID | None = None
    has_quantity: bool = True


@dataclass(frozen=True)
class Difference:
    """The amount still to be charged, or returned if it is below zero, for one charge of a final month.

    Attributes:
        billed: The exact amount on the invoice.
        adjusted: The sum of its adjustments.
        owed: The exact amount that is right now.
        detail: The quantities that were billed, that are charged after earlier adjustments, and that are right now, and
            the interval of a fee; stored with the adjustment.
        undecided: The part of `owed` that comes from changed terms, which waits for a decision.
    """

    charge: Charge
    billed: Decimal
    adjusted: Decimal
    owed: Decimal
    causes: tuple[str, ...] = ()
    detail: Mapping[str, str] = field(default_factory=dict)
    billed_items: tuple[InvoiceItem, ...] = ()
    owed_items: tuple[InvoiceItem, ...] = ()
    undecided: Decimal = Decimal(0)

    @property
    def amount(self) -> Decimal:
        return EXACT.subtract(self.owed, exact_sum([self.billed, self.adjusted, self.undecided]))


def recalculate(inputs: InvoiceInputs, billed: Iterable[InvoiceItem]) -> InvoiceInProgress:
    """Recalculate a final invoice from the current records of its month.

    Fees for intervals that end after the month stay as they were billed.

    Args:
        inputs: The current records.
        billed: The invoice's items.

    Raises:
        BillingError: As in `assemble_invoice`.
    """
    return assemble_charges(replace(inputs, charged_ahead=_charged_ahead(list(billed), inputs.month)))


def _charged_ahead(billed: Sequence[InvoiceItem], month: BillingMonth) -> list[InvoiceItem]:
    """List the fees whose interval ends after the month, and the discounts reversed with returned ones."""
    fees = [item for item in billed if is_ahead(item, month)]
    ids = {str(fee.id) for fee in fees}
    returned = [
        item
        for item in billed
        if item.kind == "discount" and item.amount > 0 and {part["item"] for part in item.detail["applied_to"]} <= ids
    ]
    return fees + returned


def charge_key(item: InvoiceItem) -> str:
    """Return the key of the item's charge. It is the same in every revision, for any price and amount."""
    source = item.price_key if item.kind == "usage" else item.subscription_id or item.discount_id or item.commitment_id
    return f"{item.organization_id}|{item.kind}|{source}"


def charges_of(items: Iterable[InvoiceItem], month: BillingMonth) -> dict[str, Charge]:
    """Add up the compared items of an invoice by `charge_key`."""
    charges: dict[str, Charge] = {}
    for item in items:
        if item.kind not in COMPARED or is_ahead(item, month):
            continue
        key = charge_key(item)
        before = charges.get(key)
        charges[key] = Charge(
            key, item.kind, item.organization_id, item.product, item.description,
            EXACT.add(item.amount, before.amount if before else Decimal(0)),
            EXACT.add(item.quantity, before.quantity if before else Decimal(0)),
            item.unit, item.meter,
            _prices(item) | (before.prices if before else frozenset()),
            (*(before.items if before else ()), item),
        )  # fmt: skip
    return charges


def _prices(item: InvoiceItem) -> frozenset[UUID]:
    return frozenset(price for price in (item.price_id, item.negotiated_price_id) if price)


def differences(
    billed: Mapping[str, Charge],
    adjusted: Mapping[str, Charge],
    now: Mapping[str, Charge],
    changed_usage: Mapping[tuple[str, str], tuple[str, ...]],
    undecided: Mapping[str, Decimal] | None = None,
) -> list[Difference]:
    """Compare charged amounts with owed amounts and return those that differ.

    Args:
        billed: The invoice's charges by key.
        adjusted: By key, the sum of earlier adjustments, with the texts of the last one.
        now: The charges of the recalculated invoice by key.
        changed_usage: By organization and meter, how usage changed, as far as known: LATE_ROWS, CORRECTED_ROWS, or
            LATE_LEVEL for a meter of levels without either.
        undecided: By key, the differences that changed terms alone would make. They are not part of the result.
    """
    found = []
    for key in sorted(billed.keys() | adjusted.keys() | now.keys()):
        before, after = billed.get(key), now.get(key)
        earlier = adjusted.get(key)
        if not before and not after and earlier:  # only an adjustment charged it, and nothing of it is owed any more
            before = replace(earlier, amount=Decimal(0))
        charge = after or before
        assert charge is not None
        difference = Difference(
            charge,
            billed=before.amount if before else Decimal(0),
            adjusted=earlier.amount if earlier else Decimal(0),
            owed=after.amount if after else Decimal(0),
            detail=_quantities(before, earlier, after) | _interval(charge),
            billed_items=before.items if before else (),
            owed_items=after.items if after else (),
            undecided=(undecided or {}).get(key, Decimal(0)),
        )
        if difference.amount:
            found.append((difference, before, after))
    is_first_hand = any(difference.charge.kind in ("usage", "subscription") for difference, _, _ in found)
    return [
        replace(difference, causes=_causes(difference, before, after, changed_usage, is_first_hand))
        for difference, before, after in found
    ]


def differences_by_usage(
    billed: Mapping[str, Charge],
    adjusted: Mapping[str, Charge],
    then: Mapping[str, Charge],
    now: Mapping[str, Charge],
    changed_usage: Mapping[tuple[str, str], tuple[str, ...]],
) -> tuple[list[Difference], list[Difference]]:
    """Return the differences from changed usage, and those from changed terms of the month.

    Together they are the result of `differences`.

    Args:
        then: The charges for the billed usage, at the current terms.
        now: The charges for the current usage, at the current terms.
    """
    terms = differences(billed, adjusted, then, {})
    undecided = {difference.charge.key: difference.amount for difference in terms}
    return differences(billed, adjusted, now, changed_usage, undecided), terms


def _causes(
    difference: Difference,
    before: Charge | None,
    after: Charge | None,
    changed_usage: Mapping[tuple[str, str], tuple[str, ...]],
    is_first_hand: bool,
) -> tuple[str, ...]:
    charge = difference.charge
    if charge.kind == "subscription":
        return (SUBSCRIPTION if _quantity(before) != _quantity(after) else _priced(before, after),)
    if charge.kind == "minimum" and _counts_other_amounts(before, after, is_first_hand=is_first_hand):
        return (FOLLOWS, EARLIER_MONTH) if is_first_hand else (EARLIER_MONTH,)
    if charge.kind != "usage":
        return (FOLLOWS if is_first_hand else TERMS,)
    causes: tuple[str, ...] = changed_usage.get((charge.organization_id, charge.meter or ""), ())
    if _quantity(before) != _quantity(after):
        # Usage that only an adjustment charged is not in the comparison with the invoice's usage.
        causes = causes or ((CORRECTED_ROWS,) if difference.adjusted and not after else (USAGE_CHANGED,))
    elif causes == (LATE_LEVEL,):  # the level changed earlier, but not for this month
        causes = ()
    if before and after and _is_repriced(before, after):
        causes += (PRICE_VERSION,)
    return causes or (RULE,)


def _counts_other_amounts(before: Charge | None, after: Charge | None, *, is_first_hand: bool) -> bool:
    """Return True if a minimum counts other amounts of earlier months than before.

    A minimum that is reached has no item that shows them. Then they must have changed if no other charge differs.
    """
    counted_then, counted_now = _counted_before(before), _counted_before(after)
    if not counted_then or not counted_now:
        return not is_first_hand and bool(counted_then or counted_now - {"0"})
    return counted_then != counted_now


def _counted_before(charge: Charge | None) -> set[str]:
    items = charge.items if charge else ()
    return {item.detail["counted_before"] for item in items if "counted_before" in item.detail}


def _is_repriced(before: Charge, after: Charge) -> bool:
    """Return True if other versions of the price are valid now. An added version may be that of late usage."""
    return bool(before.prices - after.prices) or (before.quantity == after.quantity and before.prices != after.prices)


def _priced(before: Charge | None, after: Charge | None) -> str:
    return PRICE_VERSION if before and after and _is_repriced(before, after) else RULE


def _quantity(charge: Charge | None) -> Decimal:
    return charge.quantity if charge else Decimal(0)


def _quantities(before: Charge | None, earlier: Charge | None, after: Charge | None) -> dict[str, str]:
    quantities = {"billed_quantity": plain(_quantity(before)), "quantity": plain(_quantity(after))}
    if earlier is not None and earlier.has_quantity:
        quantities["adjusted_quantity"] = plain(earlier.quantity)
    return quantities


def _interval(charge: Charge) -> dict[str, str]:
    """Return the interval of a corrected fee, as other invoices may charge for it too."""
    intervals = {(item.interval_start, item.interval_end) for item in charge.items if item.interval_start}
    if len(intervals) != 1:
        return {}
    ((start, end),) = intervals
    return {"interval_start": str(start), "interval_end": str(end)}


def adjustment_text(difference: Difference, month: BillingMonth) -> str:
    """Return the adjustment's line text: `Outbound traffic, 2026-09: 1,250 GB instead of 1,200 GB (late rows)`.

    A second adjustment names the quantity after the first one: that is the difference that its amount charges.
    """
    charge, detail = difference.charge, difference.detail
    if charge.credit_grant_id:
        return f"Credit for {month}: {charge.description}"
    why = ", ".join(difference.causes)
    charged = detail.get("adjusted_quantity", detail["billed_quantity"])
    if charged == detail["quantity"]:
        return f"{charge.description}, {month}: corrected ({why})"
    now, was = counted(detail["quantity"], charge.unit), counted(charged, charge.unit)
    return f"{charge.description}, {month}: {now} instead of {was} ({why})"
