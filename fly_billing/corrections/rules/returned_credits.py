"""Corrections: what goes back to the credits that paid a final invoice which turns out lower.

The rules, for a reader to argue with:
  - The invoice is calculated as it should have been. The credits pay of it in the order in which credits are drawn, and
    none more than it did pay. What a credit paid beyond that goes back to it; only the rest is money. 100 were paid,
    60 of it by credit: corrected to 70 gives back 30 in money; corrected to 50 gives back 40 in money and 10 in credit.
  - A credit that paid a correction (an adjustment on a later invoice) paid for the invoice that was corrected.
  - What went back stays with the credit. If the invoice turns out higher again, that is a charge like any other: the
    next invoice pays it with the credits that there are.
  - Fees in advance and adjustments of earlier months stay as they are: what paid for those is returned with those. They
    count as what else there is to pay: 10 of usage, 30 given back and 50 in advance make 30. Usage of 8 makes it 28: of
    two credits that paid all of it, the one that is drawn last gets 2 back.
  - What is returned of one item, and what a credit pays of another item instead, are adjustments of their own, taxed as
    the item is: so the tax comes to that of the invoice as it should have been.
  - A credit that pays after tax gets back whole cents, taxes included, and what it gets back is not taxed.
Keeps out: the ledger, and which invoices these are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from uuid import UUID

from fly_billing.corrections.rules.adjustment_record import NAMELESS
from fly_billing.corrections.rules.differences import COMPARED, FOLLOWS, Charge, Difference, charge_key
from fly_billing.invoicing.rules.inputs import CreditGrant, InvoiceInputs
from fly_billing.invoicing.rules.invoice_in_progress import InvoiceInProgress
from fly_billing.invoicing.rules.items import InvoiceItem, is_ahead, line_order
from fly_billing.invoicing.rules.steps.after_tax import taxes_by_item, whole_cents
from fly_billing.invoicing.rules.steps.credits import drawing_order
from fly_billing.invoicing.rules.steps.taxes import add_taxes
from fly_billing.money import EXACT, exact_sum, plain
from fly_billing.periods import BillingMonth
from fly_billing.pricing.rules.scope import Scope
from fly_billing.pricing.rules.tax_rates import TaxRate

ZERO = Decimal(0)
FEE = "fee"
# What a share that does not divide (its 20th decimal place is rounded) may differ by is no difference.
UNENDING = Decimal("1e-18")
# Kinds of items that pay for others: nothing is left to pay of them.
TAKEN_OFF = ("discount", "maximum", "credit")

Parts = dict[tuple[UUID, str], Decimal]


@dataclass(frozen=True)
class CreditsUsed:
    """The credits that paid a final invoice, its adjustments on other final invoices included.

    `elsewhere`: by credit and adjusted item's key, what they paid of these adjustments, less what earlier corrections
    returned. `fees_returned`: by credit and fee's key, what earlier corrections returned of fees charged in advance.
    """

    grants: Sequence[CreditGrant]
    elsewhere: Mapping[tuple[UUID, str], Decimal] = field(default_factory=dict)
    fees_returned: Mapping[tuple[UUID, str], Decimal] = field(default_factory=dict)


@dataclass
class _Charges:
    """What an invoice charged, with what is left to pay of each item before credits.

    Attributes:
        items: What it charged by itself. A correction changes only what credits paid of these.
        left: What is left to pay of each item, by its id; of the others too.
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
    """Return what the item is about, as `charge_key`; one-off items have a key of their own."""
    return f"{item.organization_id}|one_off|{item.one_off_item_id}" if item.kind == "one_off" else charge_key(item)


def credit_key(payer_id: str, grant_id: UUID, thing: str, *, fee: bool = False) -> str:
    """Return the key of what a credit gets back of a thing; `fee`: of one charged in advance, by another invoice."""
    return "|".join([payer_id, "credit", str(grant_id), *([FEE] if fee else []), thing])


def thing_of_credit_key(key: str) -> tuple[str, bool]:
    """Return the thing that a credit's key is about, and whether it is a fee charged in advance."""
    thing = key.split("|", 3)[3]
    return (thing.removeprefix(f"{FEE}|"), True) if thing.startswith(f"{FEE}|") else (thing, False)


def credit_differences(
    billed: Sequence[InvoiceItem], draft: InvoiceInProgress, month: BillingMonth, used: CreditsUsed
) -> list[Difference]:
    """Return what goes back to credits, above zero, and what they pay instead, below zero, by credit and thing.

    `billed`: the items of the final invoice. `draft`: the invoice as it should have been, up to what fees return to
    credits (`billing_steps.credits.return_credits`); it is not changed.
    """
    promotions, deposits = ([grant for grant in used.grants if grant.pays == pays] for pays in ("net", "gross"))
    after_tax = {grant.id for grant in deposits}
    before = _charges_billed(billed, month, after_tax)
    now = _charges_now(draft, month, before)
    things = {thing_key(item): item for item in [*before.items, *now.items]}
    paid = _paid(billed, before, used)
    drawn = _draw(paid, _paid_of_others(billed, now), before, now, promotions, draft.account)
    if after_tax:
        for item in billed:
            if item.kind == "credit" and item.amount < 0 and item.credit_grant_id not in after_tax:
                before.take_off({item_id: part for item_id, part in _applied(item) if item_id in before.left})
        gross_before = _gross(before, _after_tax(billed, after_tax), draft)
        gross_now = _gross(now, _after_tax([*_adjustments(billed), *draft.items], after_tax), draft)
        more = _draw(paid, _paid_of_others(billed, gross_now), gross_before, gross_now, deposits, draft.account)
        drawn |= _in_whole_cents(paid, more, draft.account.currency)
    names = {grant.id: grant for grant in used.grants}
    payer = draft.account.organization_id
    found = [
        _difference(payer, names[grant], things.get(thing), thing, paid.get((grant, thing), ZERO), kept)
        for grant, thing in sorted(paid.keys() | drawn.keys(), key=str)
        for kept in [drawn.get((grant, thing), ZERO)]
    ]
    return [
        difference
        for difference in [*found, *_fees(payer, billed, draft, month, used)]
        if abs(difference.amount) > UNENDING
    ]


def _gross(charges: _Charges, after_tax: Sequence[InvoiceItem], draft: InvoiceInProgress) -> _Charges:
    """Add to what is left of these items the taxes on them, rounded as on an invoice; and what is charged after tax."""
    items = sorted([*charges.items, *charges.others], key=line_order)
    account = draft.account
    taxed = InvoiceInProgress(account, NAMELESS, list(items), {item.id: charges.left[item.id] for item in items})
    for item in items:
        if item.kind == "subscription" and item.amount < 0:
            taxed.other_rates[item.id] = tuple(account.rates_of_fee(item))
        if item.kind == "adjustment":
            taxed.other_rates[item.id] = tuple(_rates_of_month(item, account))
    add_taxes(taxed)
    taxes = taxes_by_item(taxed)
    gross = {item.id: exact_sum([charges.left[item.id], *taxes[item.id].values()]) for item in items}
    return _Charges(charges.items, gross | {item.id: item.amount for item in after_tax}, [*charges.others, *after_tax])


def _rates_of_month(adjustment: InvoiceItem, account: InvoiceInputs) -> Sequence[TaxRate]:
    """Return the rates of the month that it corrects, where they are known."""
    rates = {str(month): taxes for month, taxes in account.earlier_taxes.items()}
    return rates.get(adjustment.detail.get("month", ""), account.taxes)


def _in_whole_cents(paid: Parts, drawn: Parts, currency: str) -> Parts:
    """Let each credit get back whole cents, as money does: the first thing bears the rest."""
    rounded = dict(drawn)
    for grant in {grant_id for grant_id, _ in drawn}:
        kept = _of_grant(drawn, grant)
        back = EXACT.subtract(_of_grant(paid, grant), kept)
        first = next(at for at in drawn if at[0] == grant)
        rounded[first] = EXACT.add(drawn[first], EXACT.subtract(back, whole_cents(back, currency)))
    return rounded


def _is_own(item: InvoiceItem, month: BillingMonth) -> bool:
    return item.kind in (*COMPARED, "one_off") and not is_ahead(item, month)


def _adjustments(billed: Iterable[InvoiceItem]) -> list[InvoiceItem]:
    return [item for item in billed if item.kind == "adjustment"]


def _after_tax(items: Iterable[InvoiceItem], after_tax: Collection[UUID]) -> list[InvoiceItem]:
    """List what is charged once taxes are added: what goes back to credits that pay after tax."""
    return [
        item for item in items if item.credit_grant_id in after_tax and (item.kind == "adjustment" or item.amount > 0)
    ]


def _charges(own: Iterable[InvoiceItem], others: Iterable[InvoiceItem], left: Mapping[UUID, Decimal]) -> _Charges:
    items = sorted((item for item in own if item.id in left), key=line_order)
    rest = [item for item in others if item.id in left]
    return _Charges(items, {item.id: left[item.id] for item in (*items, *rest)}, rest)


def _charges_now(draft: InvoiceInProgress, month: BillingMonth, before: _Charges) -> _Charges:
    """Return what there would have been to pay of the invoice as it should have been, adjustments as they were."""
    adjustments = _adjustments(before.others)
    return _charges(
        (item for item in draft.items if _is_own(item, month)),
        [*(item for item in draft.items if is_ahead(item, month)), *adjustments],
        draft.left | {item.id: before.left[item.id] for item in adjustments},
    )


def _charges_billed(billed: Sequence[InvoiceItem], month: BillingMonth, after_tax: Collection[UUID]) -> _Charges:
    """Return what was left to pay of a final invoice's items before its credits paid them."""
    charged = [item for item in billed if item.kind not in TAKEN_OFF]
    left = {item.id: item.amount for item in charged}
    for item in billed:
        is_returned = item.kind == "credit" and item.amount > 0 and item.credit_grant_id not in after_tax
        if item.kind in ("discount", "maximum") or is_returned:
            for item_id, part in _applied(item):
                left[item_id] = EXACT.subtract(left.get(item_id, ZERO), part)
    own = [item for item in charged if _is_own(item, month)]
    others = [item for item in charged if is_ahead(item, month) or _is_taxed_adjustment(item, after_tax)]
    return _charges(own, others, left)


def _is_taxed_adjustment(item: InvoiceItem, after_tax: Collection[UUID]) -> bool:
    return item.kind == "adjustment" and item.credit_grant_id not in after_tax


def _applied(item: InvoiceItem, what: str = "applied_to") -> Iterator[tuple[UUID, Decimal]]:
    for part in item.detail.get(what, ()):
        yield UUID(part["item"]), Decimal(part["amount"])


def _paid(billed: Sequence[InvoiceItem], before: _Charges, used: CreditsUsed) -> Parts:
    """Add up what each credit paid of each thing, here and elsewhere, less what went back."""
    things = {item.id: thing_key(item) for item in before.items}
    paid: Parts = defaultdict(Decimal, used.elsewhere)
    for item in billed:
        if item.kind == "credit" and item.amount < 0:
            for item_id, part in (*_applied(item), *_applied(item, "taxes_of")):
                if item_id in things and item.credit_grant_id:
                    at = item.credit_grant_id, things[item_id]
                    paid[at] = EXACT.add(paid[at], part)
    return dict(paid)


def _paid_of_others(billed: Sequence[InvoiceItem], charges: _Charges) -> Mapping[UUID, Mapping[UUID, Decimal]]:
    """Add up what each credit paid of which fee in advance and adjustment, by the item's id."""
    others = {item.id for item in charges.others}
    paid: dict[UUID, dict[UUID, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for item in billed:
        if item.kind == "credit" and item.amount < 0 and item.credit_grant_id:
            for item_id, part in (*_applied(item), *_applied(item, "taxes_of")):
                if item_id in others:
                    paid[item.credit_grant_id][item_id] = EXACT.add(paid[item.credit_grant_id][item_id], part)
    return paid


def _of_grant(parts: Mapping[tuple[UUID, str], Decimal], grant: UUID) -> Decimal:
    return exact_sum([amount for (grant_id, _), amount in parts.items() if grant_id == grant])


def _draw(
    paid: Parts,
    of_others: Mapping[UUID, Mapping[UUID, Decimal]],
    before: _Charges,
    now: _Charges,
    among: Sequence[CreditGrant],
    account: InvoiceInputs,
) -> Parts:
    """Return what each of these would have paid of each thing, had the invoice been right, and take it off `now`."""
    whole = _Charges(now.items, dict(now.left))
    # An invoice below zero was given back in money, and a correction that charges more was charged all the same.
    beyond = max(ZERO, EXACT.minus(before.left_in_all()))
    things = {item.id: thing_key(item) for item in now.items}
    totals: dict[UUID, Decimal] = {}
    drawn: Parts = defaultdict(Decimal)
    grants = sorted(among, key=drawing_order)
    for grant in grants:
        others = of_others.get(grant.id, {})
        beyond_scope = max(ZERO, EXACT.minus(before.left_of(grant.scope)))
        to_pay = min(EXACT.add(now.left_of(grant.scope), beyond_scope), EXACT.add(now.left_in_all(), beyond))
        to_pay = min(EXACT.subtract(to_pay, exact_sum(list(others.values()))), _of_grant(paid, grant.id))
        own = InvoiceInProgress(account, NAMELESS, now.items, {item: now.left[item] for item in things})
        parts = own.fill(grant.scope, max(ZERO, to_pay))
        totals[grant.id] = exact_sum(list(parts.values()))
        for item, part in parts.items():
            at = grant.id, things[item]
            drawn[at] = EXACT.add(drawn[at], part)
        now.take_off({**parts, **others})
    if account.is_taxed_by_item and any(grant.pays == "net" for grant in among):  # what a credit pays decides the taxes
        return drawn
    return _unmoved(paid, grants, totals, whole) or drawn


def _fill(
    charges: _Charges, grant: CreditGrant, amount: Decimal, drawn: Parts, most: Mapping[str, Decimal] | None = None
) -> Decimal:
    """Let a credit pay up to `amount` of what is left, the first item first, and `most` of each thing; return it."""
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
    """Let the credits pay these totals, each as far as it can of what it paid before; None where that leaves a rest."""
    charges, rest = _Charges(now.items, dict(now.left)), dict(totals)
    drawn: Parts = defaultdict(Decimal)
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
    """Write what a credit paid of a thing, in all, as an invoice would."""
    parts = [{"product": charge.product, "description": named, "amount": plain(paid)}]
    return InvoiceItem(
        NAMELESS, "credit", charge.organization_id, charge.product, charge.description,
        Decimal(1), "item", EXACT.minus(paid), credit_grant_id=charge.credit_grant_id, detail={"applied_to": parts},
    )  # fmt: skip


def _fees(
    payer: str, billed: Sequence[InvoiceItem], draft: InvoiceInProgress, month: BillingMonth, used: CreditsUsed
) -> Iterator[Difference]:
    """Yield what goes back of fees that another invoice charged in advance and this one should have given back."""
    items = {item.id: item for item in [*billed, *draft.items]}
    names = {grant.id: grant for grant in used.grants}
    was, is_ = _returned_fees(billed, items, month), _returned_fees(draft.items, items, month)
    for grant, thing in sorted(is_.keys(), key=str):
        before = EXACT.add(was.get((grant, thing), ZERO), used.fees_returned.get((grant, thing), ZERO))
        back = EXACT.subtract(is_[grant, thing], before)
        if back > 0:
            item = next(fee for fee in draft.items if fee.kind == "subscription" and charge_key(fee) == thing)
            yield _difference(payer, names[grant], item, thing, back, ZERO, fee=True)


def _returned_fees(items: Iterable[InvoiceItem], known: Mapping[UUID, InvoiceItem], month: BillingMonth) -> Parts:
    returned: Parts = defaultdict(Decimal)
    for item in items:
        if item.kind == "credit" and item.amount > 0 and item.credit_grant_id:
            for item_id, part in _applied(item):
                if not is_ahead(known[item_id], month):
                    at = item.credit_grant_id, charge_key(known[item_id])
                    returned[at] = EXACT.subtract(returned[at], part)
    return dict(returned)
