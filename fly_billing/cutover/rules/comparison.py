"""Compares a month's invoices of Stripe with those of fly_billing, and names the cause of each difference.

Compared is what a customer is charged before its balance or prepaid credit pays: Stripe's `total`, and here the total
without prepaid credit. A difference is fly_billing's amount less Stripe's: below zero, fly_billing charges less.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fly_billing.cutover.rules.past_invoices import PastInvoice
from fly_billing.money import counted, format_cents
from fly_billing.periods import BillingMonth

# A line of Stripe is rounded to a cent, as is a share of our total.
_ROUNDING_CENTS_PER_LINE = 1
# The kind of the cause that an invoice here can't be calculated.
FAILED = "failed"

Sides = Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class OurInvoice:
    """A payer's invoice of the month, open or final.

    Attributes:
        total_cents: With what prepaid credit pays, which makes it smaller.
        prepaid_cents: Below zero: prepaid credit pays that much. Above: it is given back.
        tax_cents: Tax that is added to the prices.
        product_cents: Shares of the total by product, with the taxes that prices contain. Without added taxes and
            prepaid credit.
    """

    organization_id: str
    organization_name: str
    currency: str
    status: str
    total_cents: int
    prepaid_cents: int
    tax_cents: int
    product_cents: Mapping[str, int]

    @property
    def compared_cents(self) -> int:
        return self.total_cents - self.prepaid_cents


@dataclass(frozen=True)
class FailedPayer:
    """A payer whose invoice can't be calculated, and why."""

    organization_id: str
    organization_name: str
    currency: str
    reason: str


@dataclass(frozen=True)
class Cause:
    """A part of a difference. The causes of an organization add up to its difference."""

    kind: str
    text: str
    cents: int


@dataclass(frozen=True)
class ComparedOrganization:
    """A payer's month on both sides, in one currency.

    Attributes:
        stripe_cents, our_cents: The charges of each side; None: it has no invoice.
        stripe_invoices: The numbers of its invoices in Stripe.
        causes: Largest first. Empty if every product and the tax agree.
        notes: Facts that explain no difference, but matter for the sign-off.
    """

    organization_id: str
    organization_name: str
    currency: str
    stripe_cents: int | None
    our_cents: int | None
    stripe_invoices: Sequence[str]
    causes: Sequence[Cause]
    notes: Sequence[str]

    @property
    def difference_cents(self) -> int:
        return (self.our_cents or 0) - (self.stripe_cents or 0)

    @property
    def agrees(self) -> bool:
        """True if both sides charge the same. A side without an invoice charges nothing, unless its invoice failed."""
        return not self.difference_cents and all(cause.kind != FAILED for cause in self.causes)


@dataclass(frozen=True)
class SumOfCurrency:
    """The charges of both sides in a currency, and the number of organizations that agree."""

    currency: str
    organizations: int
    agreeing: int
    stripe_cents: int
    our_cents: int

    @property
    def difference_cents(self) -> int:
        return self.our_cents - self.stripe_cents


@dataclass(frozen=True)
class NotCompared:
    """An invoice of Stripe that was not compared, and why."""

    invoice: str
    customer: str
    amount: str
    reason: str


@dataclass(frozen=True)
class UnreadableEntry:
    """An invoice of an export that can't be read. `place` names the file, and the line or the position in it."""

    place: str
    reason: str


@dataclass(frozen=True)
class Comparison:
    """A month compared.

    Attributes:
        organizations: The largest differences first, per currency.
        unmatched: Invoices of Stripe whose customer belongs to no organization. They are in no sum.
        left_out: Invoices of Stripe that charge nothing there: void, draft, or sent by fly_billing.
    """

    month: BillingMonth
    organizations: Sequence[ComparedOrganization]
    unmatched: Sequence[NotCompared]
    left_out: Sequence[NotCompared]
    unreadable: Sequence[UnreadableEntry]

    @property
    def differing(self) -> Sequence[ComparedOrganization]:
        return [each for each in self.organizations if not each.agrees]

    @property
    def is_equal(self) -> bool:
        """True if every organization agrees, and every invoice was read and belongs to one."""
        return not (self.differing or self.unmatched or self.unreadable)

    def sums(self) -> list[SumOfCurrency]:
        """Add up both sides per currency."""
        of_currency = defaultdict(list)
        for each in self.organizations:
            of_currency[each.currency].append(each)
        return [
            SumOfCurrency(
                currency=currency,
                organizations=len(found),
                agreeing=sum(each.agrees for each in found),
                stripe_cents=sum(each.stripe_cents or 0 for each in found),
                our_cents=sum(each.our_cents or 0 for each in found),
            )
            for currency, found in sorted(of_currency.items())
        ]

    def as_data(self) -> dict[str, Any]:
        """Return plain JSON-ready data; amounts are minor units of their currency."""
        return {
            "month": str(self.month),
            "equal": self.is_equal,
            "sums": [{**vars(total), "difference_cents": total.difference_cents} for total in self.sums()],
            "organizations": [
                {
                    **vars(each),
                    "difference_cents": each.difference_cents,
                    "causes": [vars(cause) for cause in each.causes],
                }
                for each in self.organizations
            ],
            "unmatched": [vars(left) for left in self.unmatched],
            "left_out": [vars(left) for left in self.left_out],
            "unreadable": [vars(entry) for entry in self.unreadable],
        }


def compare_month(
    month: BillingMonth,
    past: Iterable[PastInvoice],
    ours: Iterable[OurInvoice],
    failed: Iterable[FailedPayer],
    *,
    payer_of: Callable[[PastInvoice], str | None],
    product_of: Mapping[str, str],
    unreadable: Sequence[UnreadableEntry] = (),
) -> Comparison:
    """Compare the invoices of both sides, per payer and currency.

    Args:
        past: Invoices of Stripe that bill this month.
        payer_of: Returns the organization that pays here what a Stripe invoice charges; None: it is unknown.
        product_of: Our product by a name of Stripe's: the id of a product or price, or a description.
    """
    unmatched: list[NotCompared] = []
    left_out: list[NotCompared] = []
    theirs: dict[tuple[str, str], list[PastInvoice]] = defaultdict(list)
    for invoice in past:
        payer, reason = payer_of(invoice), _reason_to_leave_out(invoice)
        if reason:
            left_out.append(_left_out(invoice, reason))
        elif payer is None:
            unmatched.append(_left_out(invoice, "its customer belongs to no organization"))
        else:
            theirs[payer, invoice.currency].append(invoice)
    here = {(invoice.organization_id, invoice.currency): invoice for invoice in ours}
    without = {payer.organization_id: payer for payer in failed}
    names = {payer.organization_id: payer.organization_name for payer in without.values()}
    names |= {invoice.organization_id: invoice.organization_name for invoice in here.values()}
    keys = here.keys() | theirs.keys() | {(payer.organization_id, payer.currency) for payer in without.values()}
    compared = [
        _compare(key, names.get(key[0], key[0]), theirs.get(key, []), here.get(key), without.get(key[0]), product_of)
        for key in keys
    ]
    compared.sort(key=lambda each: (each.currency, each.agrees, -abs(each.difference_cents), each.organization_id))
    return Comparison(month, compared, unmatched, left_out, unreadable)


def _reason_to_leave_out(invoice: PastInvoice) -> str | None:
    if invoice.is_ours:
        return "fly_billing sent it"
    return f"it is {invoice.status} in Stripe" if invoice.status in ("draft", "void", "deleted") else None


def _left_out(invoice: PastInvoice, reason: str) -> NotCompared:
    return NotCompared(invoice.number, invoice.customer, format_cents(invoice.total_cents, invoice.currency), reason)


def _compare(
    key: tuple[str, str],
    name: str,
    theirs: Sequence[PastInvoice],
    ours: OurInvoice | None,
    failed: FailedPayer | None,
    product_of: Mapping[str, str],
) -> ComparedOrganization:
    organization, currency = key
    charged = sum(invoice.total_cents for invoice in theirs) if theirs else None
    return ComparedOrganization(
        organization_id=organization,
        organization_name=name,
        currency=currency,
        stripe_cents=charged,
        our_cents=ours.compared_cents if ours else None,
        stripe_invoices=[invoice.number for invoice in theirs],
        causes=_causes(theirs, ours, failed, product_of, currency),
        notes=_notes(theirs, ours, currency),
    )


def _causes(
    theirs: Sequence[PastInvoice],
    ours: OurInvoice | None,
    failed: FailedPayer | None,
    product_of: Mapping[str, str],
    currency: str,
) -> list[Cause]:
    if ours is None:
        charged = sum(invoice.total_cents for invoice in theirs)
        if failed:
            return [Cause(FAILED, f"The invoice here can't be calculated: {failed.reason}", -charged)]
        return [Cause("only_in_stripe", "No invoice of this month here", -charged)]
    if not theirs:
        return [Cause("only_here", "No invoice in Stripe", ours.compared_cents)]
    taxed = sum(invoice.tax_cents for invoice in theirs)
    causes = _charges(theirs, ours, product_of, currency)
    if ours.tax_cents != taxed:
        causes.append(Cause("tax", _both("Tax", taxed, ours.tax_cents, currency), ours.tax_cents - taxed))
    return sorted(causes, key=lambda cause: (-abs(cause.cents), cause.text))


def _charges(
    theirs: Sequence[PastInvoice], ours: OurInvoice, product_of: Mapping[str, str], currency: str
) -> list[Cause]:
    """Return the causes before added tax: one per product, if Stripe's lines are known."""
    charged = sum(invoice.charge_cents for invoice in theirs)
    here = ours.compared_cents - ours.tax_cents
    if any(invoice.lines is None for invoice in theirs):
        text = _both("Charges before tax", charged, here, currency) + " (the export has no lines)"
        return [Cause("charges", text, here - charged)] if here != charged else []
    sides, lines = _by_product(theirs, ours, product_of)
    differing = {name: both for name, both in sides.items() if both[0] != both[1]}
    if differing and all(_is_rounding(both, lines[name]) for name, both in differing.items()):
        cents = sum(our - their for their, our in differing.values())
        many = counted(len(differing), "product")
        return [Cause("rounding", f"{many} differ by at most a cent per line: Stripe rounds each line", cents)]
    return [_cause(name, their, our, currency) for name, (their, our) in differing.items()]


def _by_product(
    theirs: Sequence[PastInvoice], ours: OurInvoice, product_of: Mapping[str, str]
) -> tuple[Sides, Mapping[str, int]]:
    """Return (Stripe's cents, ours) by product, and the number of Stripe's lines of each."""
    spelled = {name.casefold(): name for name in ours.product_cents}
    found: dict[str, int] = defaultdict(int)
    lines: dict[str, int] = defaultdict(int)
    for invoice in theirs:
        rest = invoice.charge_cents
        for line in invoice.lines or ():
            given = next((product_of[name] for name in line.names if name in product_of), line.name)
            product = spelled.get(given.casefold(), given)
            found[product] += line.cents
            lines[product] += 1
            rest -= line.cents
        if rest:
            found["Discounts and credits of whole invoices in Stripe"] += rest
    return {
        name: (found.get(name, 0), ours.product_cents.get(name, 0)) for name in {*found, *ours.product_cents}
    }, lines


def _is_rounding(both: tuple[int, int], lines: int) -> bool:
    return all(both) and abs(both[1] - both[0]) <= max(lines, 1) * _ROUNDING_CENTS_PER_LINE


def _cause(product: str, their: int, our: int, currency: str) -> Cause:
    if not our:
        return Cause("product", f"Only in Stripe: {product}, {format_cents(their, currency)}", -their)
    if not their:
        return Cause("product", f"Only here: {product}, {format_cents(our, currency)}", our)
    return Cause("product", _both(product, their, our, currency), our - their)


def _both(what: str, their: int, our: int, currency: str) -> str:
    return f"{what}: {format_cents(their, currency)} in Stripe, {format_cents(our, currency)} here"


def _notes(theirs: Sequence[PastInvoice], ours: OurInvoice | None, currency: str) -> list[str]:
    notes = []
    if ours and ours.status == "open":
        notes.append("The invoice here is still open, so its amount can change")
    if ours and ours.prepaid_cents < 0:
        notes.append(f"Here, prepaid credit pays {format_cents(-ours.prepaid_cents, currency)} of it")
    if returned := sum(invoice.credit_note_cents for invoice in theirs):
        notes.append(f"Credit notes in Stripe took back {format_cents(returned, currency)} later")
    if len(theirs) > 1:
        notes.append(f"Stripe billed it in {counted(len(theirs), 'invoice')}")
    uncollectible = [invoice.number for invoice in theirs if invoice.status == "uncollectible"]
    if uncollectible:
        notes.append(f"Written off in Stripe: {', '.join(uncollectible)}")
    return notes
