"""Corrections: what a final invoice would be now, against what was charged, item by item; and why they differ.

An invoice that is final never changes. What it should have been is worked out again by the same steps; the difference
to all that was charged for the same thing so far, adjustments included, is what is still to be charged or given back.
So doing it twice finds nothing, and adjusting to A and then to B charges the same as adjusting to B.

Only what usage changes is booked by itself. What changed terms of the month change (a subscription that is recorded
later, a price that is superseded) is found as well, and waits until a person decides on it.

Left out of the comparison: one-off items (a late one goes on the next invoice by itself), fees for intervals that are
not over when the month is (the month in which one ends puts it right), adjustments, taxes (they follow on the invoice
that has the adjustment), and credits: what goes back to them is in `corrections.rules.returned_credits`. Keeps out:
where usage comes from, and booking.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from uuid import UUID

from fly_billing.invoicing.rules.assembly import assemble_charges
from fly_billing.invoicing.rules.draft import InvoiceInProgress
from fly_billing.invoicing.rules.inputs import InvoiceInputs
from fly_billing.invoicing.rules.items import InvoiceItem, is_ahead
from fly_billing.money import EXACT, counted, exact_sum, plain
from fly_billing.periods import BillingMonth

COMPARED = ("usage", "subscription", "discount", "minimum", "maximum")

LATE_ROWS = "late rows"
CORRECTED_ROWS = "corrected rows"
LATE_LEVEL = "level from an earlier month"
USAGE_CHANGED = "usage changed"
PRICE_VERSION = "price version"
SUBSCRIPTION = "subscription"
TERMS = "terms"
FOLLOWS = "follows from other items"
EARLIER_MONTH = "earlier month"
RULE = "rule"

# Each cause as a sentence for the customer.
CAUSES = {
    LATE_ROWS: "usage of the month landed after its invoice was final",
    CORRECTED_ROWS: "a source changed or withdrew usage of the month that was billed",
    LATE_LEVEL: "a level that holds on into the month changed in an earlier month",
    USAGE_CHANGED: "the usage of the month is another now; how it changed is not known any more",
    PRICE_VERSION: "another version of the price holds for the month",
    SUBSCRIPTION: "the subscription's time or number changed",
    TERMS: "a discount or a commitment of the month changed",
    EARLIER_MONTH: "it counts earlier months, and these come to another amount now",
    FOLLOWS: "it depends on other items of the month that are corrected",
    RULE: "the month is worked out by other rules now, such as a meter's aggregation",
}


@dataclass(frozen=True)
class Charge:
    """All that an invoice says of one thing: a price (all its versions), a subscription, a discount, a commitment.

    `items`: the invoice's items that it adds up.
    Of kind credit: what a credit (`credit_grant_id`) gets back of one thing (`returned_credits`).
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


@dataclass(frozen=True)
class Difference:
    """What is still to be charged (or, below zero, to be given back) for one thing in a month that is final.

    `waits`: what is owed besides because terms of the month changed since, and what a person has to decide on.
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


def recalculate(account: InvoiceInputs, billed: Iterable[InvoiceItem]) -> InvoiceInProgress:
    """Calculate again what a final invoice with these items charges; `account` is its month as it is known now.

    What it charged for intervals that were not over stays as it is. Raises BillingError as `assemble_invoice`.
    """
    return assemble_charges(replace(account, charged_ahead=_charged_ahead(list(billed), account.month)))


def _charged_ahead(billed: Sequence[InvoiceItem], month: BillingMonth) -> list[InvoiceItem]:
    """List the fees whose interval is not over, and the discounts taken back with those that were given back."""
    fees = [item for item in billed if is_ahead(item, month)]
    ids = {str(fee.id) for fee in fees}
    returned = [
        item
        for item in billed
        if item.kind == "discount" and item.amount > 0 and {part["item"] for part in item.detail["applied_to"]} <= ids
    ]
    return fees + returned


def charge_key(item: InvoiceItem) -> str:
    """Return what the item is about: the same for the same thing in every revision, whatever its price or amount."""
    source = item.price_key if item.kind == "usage" else item.subscription_id or item.discount_id or item.commitment_id
    return f"{item.organization_id}|{item.kind}|{source}"


def charges_of(items: Iterable[InvoiceItem], month: BillingMonth) -> dict[str, Charge]:
    """Add up what is compared of an invoice, by `charge_key`."""
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
    return frozenset(one for one in (item.price_id, item.negotiated_price_id) if one)


def differences(
    billed: Mapping[str, Charge],
    adjusted: Mapping[str, Charge],
    now: Mapping[str, Charge],
    changed_usage: Mapping[tuple[str, str], tuple[str, ...]],
    waits: Mapping[str, Decimal] | None = None,
) -> list[Difference]:
    """Compare what was charged with what is owed; nothing where they are equal.

    `adjusted`: earlier adjustments by key, each with the `amount` of all and what the last one said. `changed_usage`:
    how the usage of an (organization, meter) changed since, of LATE_ROWS, CORRECTED_ROWS and, for a meter of levels
    without either, LATE_LEVEL; as far as is known.
    `waits`: what changed terms alone would change, by key: that is left out.
    """
    found = []
    for key in sorted(billed.keys() | adjusted.keys() | now.keys()):
        before, after = billed.get(key), now.get(key)
        earlier = adjusted.get(key)
        if not before and not after and earlier:  # only an adjustment charged it, and nothing of it is owed any more
            before = replace(earlier, amount=Decimal(0), items=())
        charge = after or before
        assert charge is not None
        was, is_ = (one.amount if one else Decimal(0) for one in (before, after))
        booked = earlier.amount if earlier else Decimal(0)
        waiting = (waits or {}).get(key, Decimal(0))
        difference = Difference(
            charge, was, booked, is_, (), _quantities(before, after) | _interval(charge),
            before.items if before else (), after.items if after else (), waiting,
        )  # fmt: skip
        if difference.amount:
            found.append((difference, before, after))
    is_first_hand = any(one.charge.kind in ("usage", "subscription") for one, _, _ in found)
    return [
        replace(one, causes=_causes(one, before, after, changed_usage, is_first_hand)) for one, before, after in found
    ]


def differences_by_usage(
    billed: Mapping[str, Charge],
    adjusted: Mapping[str, Charge],
    then: Mapping[str, Charge],
    now: Mapping[str, Charge],
    changed_usage: Mapping[tuple[str, str], tuple[str, ...]],
) -> tuple[list[Difference], list[Difference]]:
    """Return what changed usage changes, and what changed terms of the month change besides.

    `then`: what is owed for the usage that was billed, `now` for the usage that is known now; both at today's terms of
    the month. Together the two lists are what `differences` finds.
    """
    terms = differences(billed, adjusted, then, {})
    waits = {one.charge.key: one.amount for one in terms}
    return differences(billed, adjusted, now, changed_usage, waits), terms


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
    if charge.kind == "minimum" and _counts_otherwise(before, after, is_first_hand=is_first_hand):
        return (FOLLOWS, EARLIER_MONTH) if is_first_hand else (EARLIER_MONTH,)
    if charge.kind != "usage":
        return (FOLLOWS if is_first_hand else TERMS,)
    causes: tuple[str, ...] = changed_usage.get((charge.organization_id, charge.meter or ""), ())
    if _quantity(before) != _quantity(after):
        # What only an adjustment charged, the comparison with the invoice's usage does not show.
        causes = causes or ((CORRECTED_ROWS,) if difference.adjusted and not after else (USAGE_CHANGED,))
    elif causes == (LATE_LEVEL,):  # a level that changed earlier, and not for this month
        causes = ()
    if before and after and _is_repriced(before, after):
        causes += (PRICE_VERSION,)
    return causes or (RULE,)


def _counts_otherwise(before: Charge | None, after: Charge | None, *, is_first_hand: bool) -> bool:
    """Whether a minimum counts another amount of earlier months than it did.

    One that is not missed any more does not say so: it does where nothing else of the month is different.
    """
    was, is_ = (
        {item.detail["counted_before"] for item in one.items if "counted_before" in item.detail} if one else set()
        for one in (before, after)
    )
    if not was or not is_:
        return not is_first_hand and bool(was or is_ - {"0"})
    return was != is_


def _is_repriced(before: Charge, after: Charge) -> bool:
    """Whether other versions of the price hold now; one that is only new may be that of the usage that came late."""
    return bool(before.prices - after.prices) or (before.quantity == after.quantity and before.prices != after.prices)


def _priced(before: Charge | None, after: Charge | None) -> str:
    return PRICE_VERSION if before and after and _is_repriced(before, after) else RULE


def _quantity(charge: Charge | None) -> Decimal:
    return charge.quantity if charge else Decimal(0)


def _quantities(before: Charge | None, after: Charge | None) -> dict[str, str]:
    return {"billed_quantity": plain(_quantity(before)), "quantity": plain(_quantity(after))}


def _interval(charge: Charge) -> dict[str, str]:
    """Keep which interval of a fee is corrected: other invoices may charge for it as well."""
    ends = {(item.interval_start, item.interval_end) for item in charge.items if item.interval_start}
    if len(ends) != 1:
        return {}
    ((start, end),) = ends
    return {"interval_start": str(start), "interval_end": str(end)}


def adjustment_text(difference: Difference, month: BillingMonth) -> str:
    """Say on an invoice what is adjusted: `Outbound traffic, 2026-09: 1,250 GB instead of 1,200 GB (late rows)`."""
    charge, detail = difference.charge, difference.detail
    if charge.credit_grant_id:
        return f"Credit for {month}: {charge.description}"
    why = ", ".join(difference.causes)
    if detail["billed_quantity"] == detail["quantity"]:
        return f"{charge.description}, {month}: corrected ({why})"
    now, was = (counted(detail[name], charge.unit) for name in ("quantity", "billed_quantity"))
    return f"{charge.description}, {month}: {now} instead of {was} ({why})"
