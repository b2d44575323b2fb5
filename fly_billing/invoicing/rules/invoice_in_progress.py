"""An invoice while the steps assemble it: its items so far, and the unpaid amount of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from uuid import UUID, uuid5

from fly_billing.invoicing.rules.inputs import InvoiceInputs
from fly_billing.invoicing.rules.items import InvoiceItem, line_order
from fly_billing.money import EXACT, divide, exact_sum
from fly_billing.monthly_ids import monthly_id
from fly_billing.pricing.rules.scope import Scope
from fly_billing.pricing.rules.tax_rates import Rates, TaxRate


@dataclass(frozen=True)
class TaxShare:
    """The part of a rate's tax that falls on one item, in cents."""

    item_id: UUID
    taxable_cents: int
    tax_cents: int


@dataclass(frozen=True)
class InvoiceTax:
    """One rate's tax on an invoice, rounded once.

    Attributes:
        taxable_cents: The taxed amount, without the tax. May be negative.
        tax_cents: The tax. May be negative.
        category: See `TaxRate.category`.
        legal_text: See `TaxRate.legal_text`.
        shares: The taxed items. Their cents add up to `taxable_cents` and `tax_cents`.
    """

    rate_id: UUID
    name: str
    percent: Decimal
    is_inclusive: bool
    taxable_cents: int
    tax_cents: int
    category: str = "standard"
    legal_text: str | None = None
    shares: tuple[TaxShare, ...] = field(default=(), compare=False)

    def plus(self, other: InvoiceTax) -> InvoiceTax:
        """Add the tax of the same rate on another part of the invoice."""
        return replace(
            self,
            taxable_cents=self.taxable_cents + other.taxable_cents,
            tax_cents=self.tax_cents + other.tax_cents,
        )


@dataclass
class InvoiceInProgress:
    """An invoice that the steps change: each adds items and lowers the unpaid amounts.

    Attributes:
        left: By item: the exact amount still to pay, after discounts and credits.
        counted: By commitment: the part of this invoice that counts towards it.
        other_rates: By item: its tax rates, if they are not those of the month.
        tax_parts: By item that is taxed in parts: the amount taxed at each set of rates.
        taxed: By item: the amount taxed at each set of rates. Empty until taxes are added.
    """

    inputs: InvoiceInputs
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
        """Return the id of the item with this name. It is always the same for this invoice, name and organization."""
        whose = organization_id or self.inputs.organization_id
        full_name = name if whose == self.inputs.organization_id else f"{whose}|{name}"
        if self.inputs.has_random_ids:
            return uuid5(self.id, full_name)
        return monthly_id(self.inputs.month, self.id, full_name)

    def charge(self, item: InvoiceItem, rates: Sequence[TaxRate] | None = None) -> None:
        """Add an item to pay (below zero: to give back), taxed at `rates` or, without them, at the month's rates."""
        self.items.append(item)
        self.left[item.id] = item.amount
        if rates is not None:
            self.other_rates[item.id] = tuple(rates)

    def take_off(self, item: InvoiceItem, parts: dict[UUID, Decimal]) -> None:
        """Add an item that reduces other items.

        Args:
            item: Its amount is minus the sum of the parts.
            parts: By reduced item: the amount taken off.

        Raises:
            ValueError: The parts do not add up to the item.
        """
        if item.amount != EXACT.minus(exact_sum(list(parts.values()))):
            raise ValueError(f"item {item.id} takes off {item.amount}, but its parts have another sum")
        self.items.append(item)
        for paid, amount in parts.items():
            self.left[paid] = EXACT.subtract(self.left[paid], amount)

    def covered(self, scope: Scope) -> Iterator[InvoiceItem]:
        """Yield the items to pay that the scope covers, in the invoice's order (`line_order`)."""
        return (item for item in self._charged() if scope.covers(item))

    def _charged(self) -> Sequence[InvoiceItem]:
        """Return the items to pay, in the invoice's order. Sorts again only after a new charge."""
        if len(self._ordered) != len(self.left):
            self._ordered = sorted((item for item in self.items if item.id in self.left), key=line_order)
        return self._ordered

    def left_of(self, scope: Scope) -> Decimal:
        return exact_sum([self.left[item.id] for item in self.covered(scope)])

    def left_in_all(self) -> Decimal:
        return exact_sum(list(self.left.values()))

    def parts_of(self, scope: Scope, amount: Decimal) -> dict[UUID, Decimal]:
        """Share `amount`, or less if less is unpaid, out over the items of this scope.

        Items below zero lower the unpaid amount, within the scope and on the whole invoice.
        """
        to_pay = min(self.left_of(scope), self.left_in_all())
        return self.fill(scope, min(amount, max(Decimal(0), to_pay)))

    def fill(self, scope: Scope, amount: Decimal) -> dict[UUID, Decimal]:
        """Share `amount`, at most the unpaid amount, out over the items of this scope: the first one is filled first.

        If items have different tax rates, each is reduced in proportion to its unpaid amount, and so is the base of
        every rate.
        """
        if self.inputs.is_taxed_by_item:
            return _in_proportion(amount, {item.id: self.left[item.id] for item in self.covered(scope)})
        rest = amount
        parts: dict[UUID, Decimal] = {}
        for item in self.covered(scope):
            part = min(rest, self.left[item.id])
            if part > 0:
                parts[item.id] = part
                rest = EXACT.subtract(rest, part)
        return parts


def _in_proportion(amount: Decimal, left: Mapping[UUID, Decimal]) -> dict[UUID, Decimal]:
    """Share `amount` out in proportion to the unpaid amounts above zero. The last share takes the rounding error."""
    some = {item: unpaid for item, unpaid in left.items() if unpaid > 0}
    whole = exact_sum(list(some.values()))
    amount = min(amount, whole)
    parts = {item: divide(EXACT.multiply(amount, unpaid), whole) for item, unpaid in some.items()}
    if parts:
        last = next(reversed(parts))
        parts[last] = EXACT.add(parts[last], EXACT.subtract(amount, exact_sum(list(parts.values()))))
    return {item: part for item, part in parts.items() if part}
