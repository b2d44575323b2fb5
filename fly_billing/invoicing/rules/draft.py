"""An invoice on its way through the steps: its items so far, and what is left to pay of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from uuid import UUID, uuid5

from fly_billing.invoicing.rules.inputs import InvoiceInputs
from fly_billing.invoicing.rules.items import InvoiceItem, line_order
from fly_billing.money import EXACT, divide, exact_sum
from fly_billing.pricing.rules.scope import Scope
from fly_billing.pricing.rules.tax_rates import Rates, TaxRate


@dataclass(frozen=True)
class InvoiceTax:
    """One rate's tax on an invoice, rounded once. `taxable_cents`: its base, without the tax. Both may be negative.

    `category` and `legal_text` as of `tax_rates.TaxRate`.
    """

    rate_id: UUID
    name: str
    percent: Decimal
    is_inclusive: bool
    taxable_cents: int
    tax_cents: int
    category: str = "standard"
    legal_text: str | None = None

    def plus(self, other: InvoiceTax) -> InvoiceTax:
        """Add the tax of the same rate on another part of the invoice."""
        return replace(
            self,
            taxable_cents=self.taxable_cents + other.taxable_cents,
            tax_cents=self.tax_cents + other.tax_cents,
        )


@dataclass
class InvoiceInProgress:
    """`left` says what is still to be paid of each item, after what discounts and credits took from it. Exact.

    `counted`: what of this invoice counts towards each commitment. `other_rates`: the taxes of items that are not taxed
    at the month's own rates, by the item's id. `tax_parts`: of items that are taxed in parts, how much at which rates.
    `taxed`: what was taxed of each item at which rates, once taxes are added.
    """

    account: InvoiceInputs
    id: UUID
    items: list[InvoiceItem] = field(default_factory=list)
    left: dict[UUID, Decimal] = field(default_factory=dict)
    counted: dict[UUID, Decimal] = field(default_factory=dict)
    taxes: list[InvoiceTax] = field(default_factory=list)
    other_rates: dict[UUID, tuple[TaxRate, ...]] = field(default_factory=dict)
    tax_parts: dict[UUID, tuple[tuple[Rates, Decimal], ...]] = field(default_factory=dict)
    taxed: dict[UUID, Mapping[Rates, Decimal]] = field(default_factory=dict)
    _ordered: list[InvoiceItem] = field(default_factory=list, repr=False, compare=False)

    def item_id(self, name: str, organization_id: str | None = None) -> UUID:
        """Return the one identity that the item of this name can have: the payer's own needs no organization in it."""
        whose = organization_id or self.account.organization_id
        return uuid5(self.id, name if whose == self.account.organization_id else f"{whose}|{name}")

    def charge(self, item: InvoiceItem, rates: Sequence[TaxRate] | None = None) -> None:
        """Add an item that has to be paid (or, below zero, is given back), taxed at `rates` or at the month's own."""
        self.items.append(item)
        self.left[item.id] = item.amount
        if rates is not None:
            self.other_rates[item.id] = tuple(rates)

    def take_off(self, item: InvoiceItem, parts: dict[UUID, Decimal]) -> None:
        """Add an item that pays for others: its amount is minus the sum of the `parts`, by item."""
        if item.amount != EXACT.minus(exact_sum(list(parts.values()))):
            raise ValueError(f"item {item.id} takes off {item.amount}, its parts come to something else")
        self.items.append(item)
        for paid, amount in parts.items():
            self.left[paid] = EXACT.subtract(self.left[paid], amount)

    def covered(self, scope: Scope) -> Iterator[InvoiceItem]:
        """Yield the items that this is about, in the invoice's order (`line_order`)."""
        return (item for item in self._charged() if scope.covers(item))

    def _charged(self) -> Sequence[InvoiceItem]:
        """Return the items that have to be paid; sorted again only when one was charged since."""
        if len(self._ordered) != len(self.left):
            self._ordered = sorted((item for item in self.items if item.id in self.left), key=line_order)
        return self._ordered

    def left_of(self, scope: Scope) -> Decimal:
        return exact_sum([self.left[item.id] for item in self.covered(scope)])

    def left_in_all(self) -> Decimal:
        return exact_sum(list(self.left.values()))

    def parts_of(self, scope: Scope, amount: Decimal) -> dict[UUID, Decimal]:
        """Share `amount`, or as much as there is to pay, out over these items.

        What is given back lowers what there is to pay, among these items and elsewhere on the invoice.
        """
        to_pay = min(self.left_of(scope), self.left_in_all())
        return self.fill(scope, min(amount, max(Decimal(0), to_pay)))

    def fill(self, scope: Scope, amount: Decimal) -> dict[UUID, Decimal]:
        """Share `amount`, at most what is left of these items, out over them: the first one is filled first.

        Where items are taxed at different rates, each gets its part in proportion to what is left of it, so that the
        base of every rate does.
        """
        if self.account.is_taxed_by_item:
            return _in_proportion(amount, {one.id: self.left[one.id] for one in self.covered(scope)})
        rest = amount
        parts: dict[UUID, Decimal] = {}
        for item in self.covered(scope):
            part = min(rest, self.left[item.id])
            if part > 0:
                parts[item.id] = part
                rest = EXACT.subtract(rest, part)
        return parts


def _in_proportion(amount: Decimal, left: Mapping[UUID, Decimal]) -> dict[UUID, Decimal]:
    """Share `amount` out over what is left above zero. The last one bears the 21st decimal place."""
    some = {item: one for item, one in left.items() if one > 0}
    whole = exact_sum(list(some.values()))
    if amount >= whole:
        return some
    parts = {item: divide(EXACT.multiply(amount, one), whole) for item, one in some.items()}
    if parts:
        last = next(reversed(parts))
        parts[last] = EXACT.add(parts[last], EXACT.subtract(amount, exact_sum(list(parts.values()))))
    return {item: part for item, part in parts.items() if part}
