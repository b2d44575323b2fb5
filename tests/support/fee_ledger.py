"""The invoices of one payer, month after month. Each is given the fees charged and credits drawn by the others.

It does the work of Postgres between two invoices (`fees_charged.sql` and its neighbours) without a database, from the
items alone. Not here: corrections of closed months.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from fly_billing.invoicing.rules.assembly import Invoice, assemble_invoice
from fly_billing.invoicing.rules.inputs import (
    CreditGrant,
    CreditPaid,
    Discount,
    DiscountTaken,
    FeeCharged,
    InvoiceInputs,
    Member,
    Subscription,
)
from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.money import exact_sum
from fly_billing.periods import BillingMonth
from fly_billing.pricing.rules.prices import Price, PriceBook
from fly_billing.pricing.rules.tax_rates import TaxRate


@dataclass
class FeeLedger:
    """A payer's invoices. `taxes` and `discounts` are by the month in which they apply; other months have none."""

    prices: Sequence[Price]
    taxes: Mapping[BillingMonth, Sequence[TaxRate]] = field(default_factory=dict)
    discounts: Mapping[BillingMonth, Sequence[Discount]] = field(default_factory=dict)
    grants: Sequence[CreditGrant] = ()
    invoices: dict[BillingMonth, Invoice] = field(default_factory=dict)

    def bill(self, month: BillingMonth, *subscriptions: Subscription, member: Member | None = None) -> list[Decimal]:
        """Finalize the month's invoice; return the total of its fees."""
        self.invoices[month] = assemble_invoice(self.inputs(month, *subscriptions, member=member))
        return self.fees(month)

    def inputs(self, month: BillingMonth, *subscriptions: Subscription, member: Member | None = None) -> InvoiceInputs:
        known = [replace(subscription, charged=self._charged(subscription.id, month)) for subscription in subscriptions]
        others = {charged.month for subscription in known for charged in subscription.charged} | {month.plus(-1)}
        return InvoiceInputs(
            "acme",
            "USD",
            month,
            [replace(member or Member("acme", PriceBook(self.prices)), subscriptions=known)],
            discounts=self.discounts.get(month, ()),
            credits=[replace(grant, available=self.available(grant, but=month)) for grant in self.grants],
            taxes=self.taxes.get(month, ()),
            earlier_taxes={period: self.taxes.get(period, ()) for period in others},
        )

    def fees(self, month: BillingMonth) -> list[Decimal]:
        return [item.amount for item in self.invoices[month].items if item.kind == "subscription"]

    def all_fees(self) -> list[InvoiceItem]:
        return [item for invoice in self.invoices.values() for item in invoice.items if item.kind == "subscription"]

    def total(self) -> Decimal:
        """Return the total of all fees, before discounts."""
        return exact_sum([item.amount for item in self.all_fees()])

    def cents(self) -> int:
        return sum(invoice.total_cents for invoice in self.invoices.values())

    def available(self, grant: CreditGrant, but: BillingMonth | None = None) -> Decimal:
        drawn = [
            item.amount
            for month, invoice in self.invoices.items()
            for item in invoice.items
            if item.credit_grant_id == grant.id and month != but
        ]
        return exact_sum([grant.available, *drawn])

    def _charged(self, subscription: UUID, month: BillingMonth) -> tuple[FeeCharged, ...]:
        found: dict[datetime, FeeCharged] = {}
        for on, invoice in self.invoices.items():
            for fee in invoice.items if on != month else ():
                start, end = fee.interval_start, fee.interval_end
                if fee.subscription_id != subscription or start is None or end is None:
                    continue
                if end <= month.start or start >= month.next().end:
                    continue
                before = found.get(start, FeeCharged(start, end, Decimal(0), on))
                found[start] = replace(
                    before,
                    amount=before.amount + fee.amount,
                    month=on if fee.amount > 0 else before.month,
                    discounts=_discounts(before.discounts, invoice, fee),
                    credits=self._credits(before.credits, invoice, fee),
                )
        return tuple(found[start] for start in sorted(found))

    def _credits(self, before: Sequence[CreditPaid], invoice: Invoice, fee: InvoiceItem) -> tuple[CreditPaid, ...]:
        paid = {payment.grant_id: payment.amount for payment in before}
        for item in invoice.items:
            if item.kind == "credit" and item.credit_grant_id:
                part = _part(item, fee, "applied_to") + _part(item, fee, "taxes_of")
                paid[item.credit_grant_id] = paid.get(item.credit_grant_id, Decimal(0)) + part
        return tuple(
            CreditPaid(grant.id, grant.description, paid[grant.id], grant.pays)
            for grant in self.grants
            if paid.get(grant.id, Decimal(0)) > 0
        )


def _discounts(before: Sequence[DiscountTaken], invoice: Invoice, fee: InvoiceItem) -> tuple[DiscountTaken, ...]:
    taken = {discount.discount_id: discount for discount in before}
    for item in invoice.items:
        if item.kind == "discount" and item.discount_id and (part := _part(item, fee, "applied_to")):
            known = taken.get(item.discount_id)
            code = str(item.detail["code"])
            amount = part + (known.amount if known else 0)
            taken[item.discount_id] = DiscountTaken(item.discount_id, code, item.description, amount)
    return tuple(discount for discount in taken.values() if discount.amount > 0)


def _part(item: InvoiceItem, of: InvoiceItem, what: str) -> Decimal:
    parts = item.detail.get(what, ())
    return exact_sum([Decimal(part["amount"]) for part in parts if part["item"] == str(of.id)])
