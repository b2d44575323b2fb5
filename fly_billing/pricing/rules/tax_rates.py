"""Tax rates: selects the rates of a customer, and the rates of each item.

The rules:
  - Each rate belongs to a `tax` (VAT, GST, a city tax). An item has every tax that covers it, with one rate of each.
  - Of several rates of one tax, the narrowest applies. A rate for certain customers takes precedence over one for all,
    because an exempt customer is exempt for everything. Then the narrower item decides: price, dimensions, meter,
    product, kind, all items. A rate for a place inside another (CA-QC) takes precedence over one for all of it (CA).
  - Two equally narrow rates are an error. So are two rates of which one is narrower by item and the other by place.
  - An item that no rate covers has no tax and is not listed among the taxes. A rate of 0 % is listed, with its text.
Not here: the law, and amounts (`invoicing.rules.steps.taxes`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from fly_billing.errors import BillingError, not_computable
from fly_billing.money import plain
from fly_billing.pricing.rules.fields import check_amount, refuse_other_word
from fly_billing.pricing.rules.scope import CHARGES, Scope, ScopedItem

# The legal categories of rates. Those of NOT_CHARGED are 0 %; those of EXPLAINED name the law on the invoice.
CATEGORIES = ("standard", "reduced", "zero", "exempt", "reverse_charge", "outside")
NOT_CHARGED = ("zero", "exempt", "reverse_charge", "outside")
EXPLAINED = ("exempt", "reverse_charge")
ALL_ITEMS = Scope()
_LOCATION = re.compile(r"[A-Z]{2}(-[A-Z0-9]+)*", re.ASCII)
# The longest `legal_text`, so that Stripe accepts the whole description of the line.
LEGAL_TEXT_LENGTH = 300


@dataclass(frozen=True)
class TaxRate:
    """A tax of `percent` on the items of its `scope`.

    Attributes:
        is_inclusive: True: prices contain the tax. False: it is added to them.
        tax: The tax that it is a rate of. None: the name of the rate.
        category: One of CATEGORIES.
        legal_text: The reason, for the invoice.
        locations: The rate is for customers there (`TaxCustomer.location`); empty: for all.
        customers: The rate is for these kinds of customers (`TaxCustomer.kind`); empty: for all.

    Raises:
        ValueError: Names the rate and the problem.
    """

    id: UUID
    name: str
    percent: Decimal
    is_inclusive: bool = False
    tax: str | None = None
    category: str = "standard"
    legal_text: str | None = None
    scope: Scope = ALL_ITEMS
    locations: tuple[str, ...] = ()
    customers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        name = f"tax rate {self.name!r}"
        check_amount(f"{name}: percent", self.percent)
        if self.percent > 100:
            raise ValueError(f"{name}: percent {self.percent} is above 100")
        refuse_other_word(f"{name}: category", self.category, CATEGORIES)
        if self.category in NOT_CHARGED and (self.percent or self.is_inclusive):
            raise ValueError(f"{name}: category {self.category} is 0 % and not inclusive: nothing is charged")
        if self.category in EXPLAINED and not self.legal_text:
            raise ValueError(f"{name}: category {self.category} needs legal_text: the invoice has to say why")
        if self.legal_text is not None and self.is_inclusive:
            raise ValueError(f"{name}: legal_text needs a line on the invoice, and an inclusive tax has none")
        if self.legal_text is not None and not (self.legal_text.strip() and len(self.legal_text) <= LEGAL_TEXT_LENGTH):
            raise ValueError(f"{name}: legal_text has 1 to {LEGAL_TEXT_LENGTH} characters")
        if wrong := [location for location in self.locations if not _LOCATION.fullmatch(location)]:
            raise ValueError(f"{name}: locations {', '.join(wrong)}: write ISO 3166 codes such as DE or CA-QC")
        if self.tax is None and (self.is_for_some_items or self.locations or self.customers):
            raise ValueError(f"{name}: one for some items or customers needs `tax`, the tax that it is a rate of (VAT)")
        kinds = self.scope.kinds
        if not kinds or not set(kinds) <= set(CHARGES):
            given = ", ".join(kinds) or "none"
            raise ValueError(f"{name}: the kinds of its scope are {given}; known are {', '.join(CHARGES)}")

    def __hash__(self) -> int:
        return hash(self.id)  # a scope has a mapping, which can't be hashed

    @property
    def of_tax(self) -> str:
        return self.tax or self.name

    @property
    def is_for_some_items(self) -> bool:
        return any(self._item_rank())

    def narrower_than(self, other: TaxRate) -> bool:
        """Return True if this rate applies where both could."""
        if bool(self.customers) != bool(other.customers):
            return bool(self.customers)
        ours, theirs = (self._item_rank(), self._depth()), (other._item_rank(), other._depth())
        return ours != theirs and ours[0] >= theirs[0] and ours[1] >= theirs[1]

    def _item_rank(self) -> tuple[int, ...]:
        scope = self.scope
        return (
            bool(scope.price_keys), len(scope.match), scope.meter is not None, bool(scope.products),
            set(scope.kinds) != set(CHARGES),
        )  # fmt: skip

    def _depth(self) -> int:
        return max((location.count("-") + 1 for location in self.locations), default=0)


Rates = tuple[TaxRate, ...]


@dataclass(frozen=True)
class TaxCustomer:
    """The facts that decide a customer's rates: `location` (`DE`, `CA-QC`; ISO 3166), `kind` (`business`, `exempt`)."""

    location: str | None = None
    kind: str | None = None


NOT_KNOWN = TaxCustomer()


def rates_for(customer: TaxCustomer, rates: Iterable[TaxRate]) -> Rates:
    """Select the rates for this customer, for any items."""
    return tuple(
        rate
        for rate in rates
        if (not rate.customers or customer.kind in rate.customers)
        and (not rate.locations or any(_is_in(customer.location, place) for place in rate.locations))
    )


def _is_in(location: str | None, place: str) -> bool:
    return location is not None and (location == place or location.startswith(f"{place}-"))


def differ_by_item(rates: Iterable[TaxRate]) -> bool:
    """Return True if these rates tax some items differently from others."""
    return any(rate.is_for_some_items for rate in rates)


def rates_of(item: ScopedItem, rates: Sequence[TaxRate], whose: str) -> Rates:
    """Select the rates of an item, in the order given. `whose` names the invoice in errors.

    Raises BillingError `ambiguous_tax`, `mixed_taxes`.
    """
    what = f"{item.kind} {item.description!r} of {whose}"
    return _narrowest([rate for rate in rates if rate.scope.covers(item)], what)


def rates_of_anything(rates: Sequence[TaxRate], whose: str) -> Rates:
    """Select the rates that are for every item. Raises as `rates_of`."""
    return _narrowest([rate for rate in rates if not rate.is_for_some_items], whose)


def _narrowest(rates: Sequence[TaxRate], what: str) -> Rates:
    held: set[UUID] = set()
    for tax in dict.fromkeys(rate.of_tax for rate in rates):
        some = [rate for rate in rates if rate.of_tax == tax]
        if all(rate.tax is None for rate in some):  # each is a tax of its own, even if names are equal
            held |= {rate.id for rate in some}
            continue
        best = [rate for rate in some if all(rate is other or rate.narrower_than(other) for other in some)]
        if not best:
            raise _ambiguous(tax, some, what)
        held.add(best[0].id)
    found = tuple(rate for rate in rates if rate.id in held)
    if len({rate.is_inclusive for rate in found}) > 1:
        raise _mixed(found, what)
    return found


def _ambiguous(tax: str, rates: Sequence[TaxRate], what: str) -> BillingError:
    named = ", ".join(f"{rate.name} {plain(rate.percent)} %" for rate in rates)
    return not_computable(
        "ambiguous_tax",
        f"several rates of {tax} apply to {what}: {named}. Give one of them a narrower scope (price_keys, products,"
        " kinds, locations) or end it, then bill the month again",
    )


def _mixed(rates: Sequence[TaxRate], what: str) -> BillingError:
    named = ", ".join(f"{rate.name} ({'inclusive' if rate.is_inclusive else 'exclusive'})" for rate in rates)
    return not_computable(
        "mixed_taxes",
        f"the tax rates of {what} are {named}, but prices either include their taxes or do not. Make all of these rates"
        " inclusive or all exclusive, then bill the month again",
    )


def scope_from_data(data: Mapping[str, Any]) -> Scope:
    """Read the scope of a rate, with the fields `kinds`, `products`, `price_keys`, `meter` and `match`."""
    return Scope.from_data(data)
