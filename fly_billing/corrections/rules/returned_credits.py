"""Returns credit when a final invoice that credits paid turns out lower. Pure.

The rules:
  - The correct invoice is calculated. Its credits pay it in drawing order, none more than it paid before, and get back
    the rest. So money is returned first: 100 were paid, 60 of it by credit. Corrected to 70, 30 go back in money;
    corrected to 50, 40 in money and 10 in credit.
  - A credit that paid a correction (an adjustment on a later invoice) counts as paying the corrected invoice.
  - Returned credit stays returned. If the invoice rises again, the next invoice charges the difference, and the credits
    available then pay it.
  - Fees in advance and adjustments of earlier months do not change here: their own corrections return the credit that
    paid them. They count as further amounts to pay: 10 of usage, a refund of 30 and 50 in advance make 30. Usage of 8
    makes 28: of two credits that paid all of it, the one drawn last gets 2 back.
  - Credit returned for one item, and credit that pays another item instead, are separate adjustments, each taxed like
    its item. So the taxes equal those of the correct invoice.
  - A credit that pays after tax gets back whole cents, taxes included; this return is not taxed.
Not here: the ledger, and finding the invoices (`corrections.returned_credits`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_DOWN, Decimal
from uuid import UUID

from fly_billing.corrections.rules.adjustment_record import NAMELESS
from fly_billing.corrections.rules.causes import FOLLOWS
from fly_billing.corrections.rules.differences import COMPARED, Charge, Difference, charge_key
from fly_billing.invoicing.rules.inputs import CreditGrant, InvoiceInputs
from fly_billing.invoicing.rules.invoice_in_progress import InvoiceInProgress
from fly_billing.invoicing.rules.items import InvoiceItem, is_ahead, line_order
from fly_billing.invoicing.rules.steps.after_tax import taxes_by_item
from fly_billing.invoicing.rules.steps.credits import drawing_order
from fly_billing.invoicing.rules.steps.taxes import add_taxes
from fly_billing.money import EXACT, exact_sum, from_cents, plain, to_cents
from fly_billing.periods import BillingMonth
from fly_billing.pricing.rules.scope import Scope
from fly_billing.pricing.rules.tax_rates import TaxRate

ZERO = Decimal(0)
FEE = "fee"
# Smaller differences come from rounding shares at the 20th decimal place, and are ignored.
UNENDING = Decimal("1e-18")
# Kinds of items that reduce others. They have no unpaid amount.
TAKEN_OFF = ("discount", "maximum", "credit")

Parts = dict[tuple[UUID, str], Decimal]


@dataclass(frozen=True)
class CreditsUsed:
    """The credits that paid a final invoice, including its adjustments on other final invoices.

    Attributes:
        grants: The credits.
        elsewhere: By credit and key of the adjusted item: the paid part of these adjustments, less earlier returns.
        fees_returned: By credit and key of the fee: the earlier returns for fees charged in advance.
    """

    grants: Sequence[CreditGrant]
    elsewhere: Mapping[tuple[UUID, str], Decimal] = field(default_factory=dict)
    fees_returned: Mapping[tuple[UUID, str], Decimal] = field(default_factory=dict)


@dataclass
class _Charges:
    """The charges of an invoice, with the unpaid amount of each before credits.

    Attributes:
        items: Its own charges. A correction changes only the credit that paid these.
        left: By item: the unpaid amount, of `others` too.
        others: Fees in advance and adjustments of earlier months.
    """

    items: list[InvoiceItem]
    left: dict[UUID, Decimal]
    others: list[InvoiceItem] = field(default_factory=list)

    def left_of(self, scope: Scope) -> Decimal:
        return exact_sum([self.left[item.id] for item in (*self.items, *self.others) if scope.covers(item)])

    def left_in_all(self) -> Decimal:
        return exact_sum(list(self.left.values()))

    def take_off(self, parts: Mapping[UUID, Decimal]) -> None:
        for item, part in parts.items():
            self.left[item] = EXACT.subtract(self.left[item], part)


def thing_key(item: InvoiceItem) -> str:
    """Return the key of what the item charges for: its `charge_key`, or a key of its own for a one-off item."""
    return f"{item.organization_id}|one_off|{item.one_off_item_id}" if item.kind == "one_off" else charge_key(item)


def credit_key(payer_id: str, grant_id: UUID, thing: str, *, fee: bool = False) -> str:
    """Return the key of a return to a credit. `fee`: True for a fee that another invoice charged in advance."""
    return "|".join([payer_id, "credit", str(grant_id), *([FEE] if fee else []), thing])


def thing_of_credit_key(key: str) -> tuple[str, bool]:
    """Split a credit's key: return the charge's key, and True if it is a fee charged in advance."""
    thing = key.split("|", 3)[3]
    return (thing.removeprefix(f"{FEE}|"), True) if thing.startswith(f"{FEE}|") else (thing, False)


def credit_differences(
    billed: Sequence[InvoiceItem], recalculated: InvoiceInProgress, month: BillingMonth, used: CreditsUsed
) -> list[Difference]:
    """Return the differences by credit and charge: above zero for a return, below zero for a further payment.

    Args:
        billed: The items of the final invoice.
        recalculated: The correct invoice after `steps.credits.return_credits`. It is not changed.
        month: The month of the invoice.
        used: The credits that paid it.
    """
    promotions, deposits = ([grant for grant in used.grants if grant.pays == pays] for pays in ("net", "gross"))
    after_tax = {grant.id for grant in deposits}
    before = _charges_billed(billed, month, after_tax)
    now = _charges_now(recalculated, month, before)
    things = {thing_key(item): item for item in [*before.items, *now.items]}
    paid = _paid(billed, before, used)
    paid_items = _paid_items(billed)
    drawn = _draw(paid, paid_items, before, now, promotions, recalculated.inputs)
    if after_tax:
        gross_before = _gross(before, _after_tax(billed, after_tax), recalculated)
        gross_now = _gross(now, _after_tax([*_adjustments(billed), *recalculated.items], after_tax), recalculated)
        more = _draw(paid, paid_items, gross_before, gross_now, deposits, recalculated.inputs)
        drawn |= _in_whole_cents(paid, more, recalculated.inputs.currency)
    names = {grant.id: grant for grant in used.grants}
    payer = recalculated.inputs.organization_id
    found = [
        _difference(payer, names[grant], things.get(thing), thing, paid.get((grant, thing), ZERO), kept)
        for grant, thing in sorted(paid.keys() | drawn.keys())
        for kept in [drawn.get((grant, thing), ZERO)]
    ]
    return [
        difference
        for difference in [*found, *_fees(payer, billed, recalculated, month, used)]
        if abs(difference.amount) > UNENDING
    ]


def _gross(charges: _Charges, after_tax: Sequence[InvoiceItem], recalculated: InvoiceInProgress) -> _Charges:
    """Add taxes, rounded as on an invoice, to the unpaid amounts, and add the items charged after tax."""
    items = sorted([*charges.items, *charges.others], key=line_order)
    inputs = recalculated.inputs
    taxed = InvoiceInProgress(inputs, NAMELESS, list(items), {item.id: charges.left[item.id] for item in items})
    for item in items:
        if item.kind == "subscription":
            taxed.other_rates[item.id] = tuple(inputs.rates_of_fee(item))
        if item.kind == "adjustment":
            taxed.other_rates[item.id] = tuple(_rates_of_month(item, inputs))
    add_taxes(taxed)
    taxes = taxes_by_item(taxed)
    gross = {item.id: exact_sum([charges.left[item.id], *taxes[item.id].values()]) for item in items}
    return _Charges(charges.items, gross | {item.id: item.amount for item in after_tax}, [*charges.others, *after_tax])


def _rates_of_month(adjustment: InvoiceItem, inputs: InvoiceInputs) -> Sequence[TaxRate]:
    """Return the tax rates of the month that the adjustment corrects, if known, else those of the invoice."""
    rates = {str(month): taxes for month, taxes in inputs.earlier_taxes.items()}
    return rates.get(adjustment.detail["month"], inputs.taxes)


def _in_whole_cents(paid: Parts, drawn: Parts, currency: str) -> Parts:
    """Round the return to each credit to whole cents, as for money. The first charge takes the difference.

    Half a cent is not returned: the correct invoice would round it up into the payment, as every invoice does.
    """
    rounded = dict(drawn)
    for grant in {grant_id for grant_id, _ in drawn}:
        kept = _of_grant(drawn, grant)
        back = EXACT.subtract(_of_grant(paid, grant), kept)
        first = next(at for at in drawn if at[0] == grant)
        whole = from_cents(to_cents(back, currency, ROUND_HALF_DOWN), currency)
        rounded[first] = EXACT.add(drawn[first], EXACT.subtract(back, whole))
    return rounded


def _is_own(item: InvoiceItem, month: BillingMonth) -> bool:
    return item.kind in (*COMPARED, "one_off") and not is_ahead(item, month)


def _adjustments(billed: Iterable[InvoiceItem]) -> list[InvoiceItem]:
    return [item for item in billed if item.kind == "adjustment"]


def _after_tax(items: Iterable[InvoiceItem], after_tax: Collection[UUID]) -> list[InvoiceItem]:
    """List the items charged after tax: returns to credits that pay after tax."""
    return [item for item in items if item.credit_grant_id in after_tax and not _is_payment(item)]


def _charges(own: Iterable[InvoiceItem], others: Iterable[InvoiceItem], left: Mapping[UUID, Decimal]) -> _Charges:
    items = sorted((item for item in own if item.id in left), key=line_order)
    rest = [item for item in others if item.id in left]
    return _Charges(items, {item.id: left[item.id] for item in (*items, *rest)}, rest)


def _charges_now(recalculated: InvoiceInProgress, month: BillingMonth, before: _Charges) -> _Charges:
    """Return the charges of the correct invoice before credits, with the adjustments of the final one."""
    adjustments = _adjustments(before.others)
    return _charges(
        (item for item in recalculated.items if _is_own(item, month)),
        [*(item for item in recalculated.items if is_ahead(item, month)), *adjustments],
        recalculated.left | {item.id: before.left[item.id] for item in adjustments},
    )


def _charges_billed(billed: Sequence[InvoiceItem], month: BillingMonth, after_tax: Collection[UUID]) -> _Charges:
    """Return a final invoice's charges before its credits paid them."""
    charged = [item for item in billed if item.kind not in TAKEN_OFF]
    left = {item.id: item.amount for item in charged}
    for item in billed:
        is_returned = _is_refund(item) and item.credit_grant_id not in after_tax
        if item.kind in ("discount", "maximum") or is_returned:
            for item_id, part in _applied(item):
                left[item_id] = EXACT.subtract(left.get(item_id, ZERO), part)
    own = [item for item in charged if _is_own(item, month)]
    others = [item for item in charged if is_ahead(item, month) or _is_taxed_adjustment(item, after_tax)]
    return _charges(own, others, left)


def _is_taxed_adjustment(item: InvoiceItem, after_tax: Collection[UUID]) -> bool:
    return item.kind == "adjustment" and item.credit_grant_id not in after_tax


def _is_payment(item: InvoiceItem) -> bool:
    """Return True if the item is the payment of a credit."""
    return item.kind == "credit" and item.amount < 0


def _is_refund(item: InvoiceItem) -> bool:
    """Return True if the item returns the part of a refunded fee that a credit had paid."""
    return item.kind == "credit" and item.amount > 0


def _payments(billed: Iterable[InvoiceItem]) -> Iterator[tuple[UUID, UUID, Decimal]]:
    """Yield each payment: the credit, the id of the item that it paid, and the amount for the item or for its tax."""
    for item in billed:
        if item.credit_grant_id and _is_payment(item):
            for item_id, part in (*_applied(item), *_applied(item, "taxes_of")):
                yield item.credit_grant_id, item_id, part


def _applied(item: InvoiceItem, what: str = "applied_to") -> Iterator[tuple[UUID, Decimal]]:
    for part in item.detail.get(what, ()):
        yield UUID(part["item"]), Decimal(part["amount"])


def _paid(billed: Sequence[InvoiceItem], before: _Charges, used: CreditsUsed) -> Parts:
    """Sum the payments of each credit for each charge, here and elsewhere, less returns."""
    things = {item.id: thing_key(item) for item in before.items}
    paid: Parts = defaultdict(Decimal, used.elsewhere)
    for grant, item_id, part in _payments(billed):
        if item_id in things:
            at = grant, things[item_id]
            paid[at] = EXACT.add(paid[at], part)
    return dict(paid)


def _paid_items(billed: Sequence[InvoiceItem]) -> Mapping[UUID, Mapping[UUID, Decimal]]:
    """Sum the payments of each credit on the final invoice, by item."""
    paid: dict[UUID, dict[UUID, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for grant, item_id, part in _payments(billed):
        paid[grant][item_id] = EXACT.add(paid[grant][item_id], part)
    return paid


def _of_grant(parts: Mapping[tuple[UUID, str], Decimal], grant: UUID) -> Decimal:
    return exact_sum([amount for (grant_id, _), amount in parts.items() if grant_id == grant])


def _draw(
    paid: Parts,
    paid_items: Mapping[UUID, Mapping[UUID, Decimal]],
    before: _Charges,
    now: _Charges,
    among: Sequence[CreditGrant],
    inputs: InvoiceInputs,
) -> Parts:
    """Return the payments of these credits on the correct invoice.

    Subtracts them from `now`, and their payments on the final invoice from `before`.
    """
    whole = _Charges(now.items, dict(now.left))
    things = {item.id: thing_key(item) for item in now.items}
    totals: dict[UUID, Decimal] = {}
    drawn: Parts = defaultdict(Decimal)
    grants = sorted(among, key=drawing_order)
    for grant in grants:
        payments = paid_items.get(grant.id, {})
        others = {item.id: payments[item.id] for item in now.others if item.id in payments}
        # An invoice below zero was refunded in money. A correction that charges more was charged nevertheless.
        beyond = max(ZERO, EXACT.minus(before.left_in_all()))
        beyond_scope = max(ZERO, EXACT.minus(before.left_of(grant.scope)))
        to_pay = min(EXACT.add(now.left_of(grant.scope), beyond_scope), EXACT.add(now.left_in_all(), beyond))
        to_pay = min(EXACT.subtract(to_pay, exact_sum(list(others.values()))), _of_grant(paid, grant.id))
        own = InvoiceInProgress(inputs, NAMELESS, now.items, {item: now.left[item] for item in things})
        parts = own.fill(grant.scope, max(ZERO, to_pay))
        totals[grant.id] = exact_sum(list(parts.values()))
        for item, part in parts.items():
            at = grant.id, things[item]
            drawn[at] = EXACT.add(drawn[at], part)
        now.take_off({**parts, **others})
        before.take_off({item: part for item, part in payments.items() if item in before.left})
    if inputs.is_taxed_by_item and any(grant.pays == "net" for grant in among):  # credits decide taxes
        return drawn
    return _unmoved(paid, grants, totals, whole) or drawn


def _fill(
    charges: _Charges, grant: CreditGrant, amount: Decimal, drawn: Parts, most: Mapping[str, Decimal] | None = None
) -> Decimal:
    """Let a credit pay up to `amount`, the first item first, and `most` of each charge. Return the payment."""
    rest, of_thing = amount, dict(most or {})
    for item in charges.items:
        thing = thing_key(item)
        if most is None and not grant.scope.covers(item):
            continue
        part = min(rest, charges.left[item.id], rest if most is None else of_thing.get(thing, ZERO))
        if part > 0:
            charges.left[item.id] = EXACT.subtract(charges.left[item.id], part)
            drawn[grant.id, thing] = EXACT.add(drawn.get((grant.id, thing), ZERO), part)
            of_thing[thing] = EXACT.subtract(of_thing.get(thing, ZERO), part)
            rest = EXACT.subtract(rest, part)
    return EXACT.subtract(amount, rest)


def _unmoved(paid: Parts, grants: Sequence[CreditGrant], totals: Mapping[UUID, Decimal], now: _Charges) -> Parts | None:
    """Let the credits pay these totals, first the charges that they paid before. Return None if a rest remains."""
    charges, rest = _Charges(now.items, dict(now.left)), dict(totals)
    drawn: Parts = {}
    for grant in grants:
        most = {thing: amount for (grant_id, thing), amount in paid.items() if grant_id == grant.id}
        rest[grant.id] = EXACT.subtract(rest[grant.id], _fill(charges, grant, rest[grant.id], drawn, most))
    for grant in grants:
        rest[grant.id] = EXACT.subtract(rest[grant.id], _fill(charges, grant, rest[grant.id], drawn))
    return None if any(rest.values()) else drawn


def _difference(
    payer: str, grant: CreditGrant, item: InvoiceItem | None, thing: str, paid: Decimal, kept: Decimal,
    *, fee: bool = False,
) -> Difference:  # fmt: skip
    named = item.description if item else thing
    charge = Charge(
        credit_key(payer, grant.id, thing, fee=fee), "credit", payer, item.product if item else "Credits",
        f"{grant.description}, which had paid {named}" if paid > kept else f"{grant.description}, which pays {named}",
        EXACT.minus(kept), Decimal(1), "item", credit_grant_id=grant.id,
    )  # fmt: skip
    detail = {"billed_quantity": "1", "quantity": "1", "thing": thing, "pays": grant.pays}
    was, is_ = (_as_item(charge, named, amount) for amount in (paid, kept))
    return Difference(charge, was.amount, ZERO, is_.amount, (FOLLOWS,), detail, (was,), (is_,))


def _as_item(charge: Charge, named: str, paid: Decimal) -> InvoiceItem:
    """Write a credit's payment for a charge as an invoice's item."""
    parts = [{"product": charge.product, "description": named, "amount": plain(paid)}]
    return InvoiceItem(
        NAMELESS, "credit", charge.organization_id, charge.product, charge.description,
        Decimal(1), "item", EXACT.minus(paid), credit_grant_id=charge.credit_grant_id, detail={"applied_to": parts},
    )  # fmt: skip


def _fees(
    payer: str, billed: Sequence[InvoiceItem], recalculated: InvoiceInProgress, month: BillingMonth, used: CreditsUsed
) -> Iterator[Difference]:
    """Yield the returns for fees that another invoice charged in advance and this one should have refunded."""
    items = {item.id: item for item in [*billed, *recalculated.items]}
    names = {grant.id: grant for grant in used.grants}
    was, is_ = _returned_fees(billed, items, month), _returned_fees(recalculated.items, items, month)
    for grant, thing in sorted(is_):
        before = EXACT.add(was.get((grant, thing), ZERO), used.fees_returned.get((grant, thing), ZERO))
        back = EXACT.subtract(is_[grant, thing], before)
        if back > 0:
            item = next(fee for fee in recalculated.items if charge_key(fee) == thing)
            yield _difference(payer, names[grant], item, thing, back, ZERO, fee=True)


def _returned_fees(items: Iterable[InvoiceItem], known: Mapping[UUID, InvoiceItem], month: BillingMonth) -> Parts:
    returned: Parts = defaultdict(Decimal)
    for item in items:
        if item.credit_grant_id and _is_refund(item):
            for item_id, part in _applied(item):
                if not is_ahead(known[item_id], month):
                    at = item.credit_grant_id, charge_key(known[item_id])
                    returned[at] = EXACT.subtract(returned[at], part)
    return dict(returned)
