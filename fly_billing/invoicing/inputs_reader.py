"""Reads the inputs of a month's invoices: usage, purchases and terms of many payers, a statement per kind of record.

Not here: the payers (`payers`), usage alone (`usage_reader`), calculating amounts (`invoicing.rules.assembly`), and
writing invoices (`invoice_writer`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Connection

from fly_billing.errors import BillingError
from fly_billing.invoicing.payers import Payer
from fly_billing.invoicing.readable_records import Grouped, checked, group_readable
from fly_billing.invoicing.rules.inputs import (
    CREDITABLE,
    Adjustment,
    Commitment,
    CreditGrant,
    CreditPaid,
    Discount,
    DiscountTaken,
    FeeCharged,
    InvoiceInputs,
    Member,
    OneOffItem,
    Subscription,
    UsageRollup,
)
from fly_billing.invoicing.usage_reader import read_usage
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import records, rows, values
from fly_billing.postgres.isolation import isolate_failures, unreadable
from fly_billing.pricing.negotiated_prices import PriceBooks
from fly_billing.pricing.price_books import open_price_books
from fly_billing.pricing.rules.scope import CHARGES, Scope
from fly_billing.pricing.rules.tax_rates import TaxCustomer, TaxRate, differ_by_item, rates_for

T = TypeVar("T")
# Columns that decide whether a row belongs to the month. They are read only to refuse invalid times.
_ONLY_CHECKED = frozenset({"first_month", "last_month", "redeemed_at", "occurred_at"})


@dataclass(frozen=True)
class BillingRecords:
    """The records that a month's invoices are made of: usage and purchases by organization, terms by payer.

    Attributes:
        earlier_taxes: The tax rates of earlier months, whose fees may be given back.
        has_random_ids: As `InvoiceInputs.has_random_ids`.
        unreadable: By organization: the error of its first record that can't be used in a calculation.
    """

    month: BillingMonth
    rollups: Grouped[UsageRollup]
    subscriptions: Grouped[Subscription]
    one_offs: Grouped[OneOffItem]
    adjustments: Grouped[Adjustment]
    discounts: Grouped[Discount]
    commitments: Grouped[Commitment]
    credits: Grouped[CreditGrant]
    taxes: Grouped[TaxRate]
    earlier_taxes: Mapping[BillingMonth, Grouped[TaxRate]]
    has_random_ids: bool
    unreadable: Mapping[str, BillingError]

    def taxes_by_item(self, payer: Payer) -> bool:
        """Return True if the payer's items are taxed at different rates."""
        by_month = [self.taxes[payer.organization_id], *self.earlier_taxes_of(payer).values()]
        return any(differ_by_item(taxes) for taxes in by_month)

    def earlier_taxes_of(self, payer: Payer) -> dict[BillingMonth, Sequence[TaxRate]]:
        """Return the payer's rates of the month before, and of each month that charged fees of unfinished intervals."""
        fees = [fee for member in payer.members for fee in self.subscriptions[member.id]]
        months = {charged.month for fee in fees for charged in fee.charged}
        return {
            month: rates[payer.organization_id]
            for month, rates in self.earlier_taxes.items()
            if month in months or month == self.month.plus(-1)
        }

    def refuse_unreadable(self, payer: Payer) -> None:
        """Raise BillingError if a record of the payer or of one of its members can't be used in a calculation."""
        for member in payer.members:
            if member.id in self.unreadable:
                raise self.unreadable[member.id]


def has_random_ids(connection: Connection, month: BillingMonth) -> bool:
    """Return True if the month was begun before ids started with their month: its invoices keep the older ids."""
    (found,) = values(connection, "has_random_ids", month=month.first_day)
    return bool(found)


def read_each(
    payers: Sequence[Payer], connection: Connection, read: Callable[[Sequence[Payer]], T]
) -> tuple[list[tuple[Payer, T]], list[tuple[str, BillingError]]]:
    """Read the records of these payers. If that fails, it is tried with fewer payers, down to the ones at fault.

    Returns:
        Each payer with the records that include its own; and by payer, the error of those that can't be read.
    """
    done, failed = isolate_failures(connection, payers, read)
    return (
        [(payer, records) for some, records in done for payer in some],
        [(payer.organization_id, unreadable(payer.organization_id, problem)) for payer, problem in failed],
    )


def read_books(connection: Connection) -> PriceBooks:
    return open_price_books(connection)


def read_records(
    connection: Connection,
    month: BillingMonth,
    payers: Sequence[Payer],
    snapshots: Sequence[UUID] | None = None,
    *,
    is_final: bool = False,
) -> BillingRecords:
    """Read the inputs of these payers' invoices.

    The amounts that other invoices charged, drew or counted are included; the payers' own invoices of this month are
    not.

    Args:
        connection: A connection to the billing database.
        month: The month of the invoices.
        payers: The payers.
        snapshots: The usage to read. None: the current usage.
        is_final: True to recalculate final invoices, with the one-off items that they have.
    """
    members = [member.id for payer in payers for member in payer.members]
    names = [payer.organization_id for payer in payers]
    used = [snapshot for payer in payers for snapshot in payer.snapshots] if snapshots is None else list(snapshots)
    span = {"month_start": month.start, "month_end": month.end}
    bought = {"organizations": members, "month": month.first_day, **span}
    fees = {**bought, "next_end": month.next().end, "year_before": month.plus(-13).start}
    one_offs = "one_off_items_billed" if is_final else "one_off_items_to_bill"
    agreed = {"organizations": names, "month": month.first_day}
    wrong: dict[str, BillingError] = {}
    for payer in payers:
        for member in payer.members:
            checked(vars(member), "organizations", member.id, lambda **_: None, wrong)

    def read(what: str, name: str, make: Callable[..., T | None], **parameters: Any) -> Grouped[T]:
        return group_readable(rows(connection, name, **parameters), what, make, wrong)

    subscriptions = _read_subscriptions(connection, wrong, **fees)
    charging = {charged.month for some in subscriptions.values() for fee in some for charged in fee.charged}
    return BillingRecords(
        month=month,
        rollups=read_usage(connection, used, wrong),
        subscriptions=subscriptions,
        one_offs=read("one_off_items", one_offs, _made(OneOffItem), **bought),
        adjustments=read_adjustments(
            connection, "adjustments_to_bill", wrong, organizations=members, month=month.first_day
        ),
        discounts=read("discounts", "discounts_in_force", _scoped(Discount, CHARGES), **agreed),
        commitments=read("commitments", "commitments_in_force", _scoped(Commitment, CHARGES), **agreed),
        credits=read(
            "credit_grants", "credits_to_draw", _scoped(CreditGrant, CREDITABLE), **agreed, **span, is_final=is_final
        ),
        taxes=read("tax_rates", "taxes_in_force", _tax_rate, **agreed),
        earlier_taxes={
            earlier: read("tax_rates", "taxes_in_force", _tax_rate, **agreed | {"month": earlier.first_day})
            for earlier in sorted(charging | {month.plus(-1)})
        },
        has_random_ids=has_random_ids(connection, month),
        unreadable=wrong,
    )


def inputs_of(payer: Payer, month: BillingMonth, read: BillingRecords, books: PriceBooks) -> InvoiceInputs:
    """Return the inputs of one payer's invoice. Raises BillingError if one of its records is unreadable."""
    read.refuse_unreadable(payer)
    name = payer.organization_id
    members = [
        Member(
            member.id,
            books.of(member.id, member.price_book),
            read.rollups[member.id],
            read.subscriptions[member.id],
            read.one_offs[member.id],
            read.adjustments[member.id],
        )
        for member in payer.members
    ]
    return InvoiceInputs(
        name, payer.currency, month, members,
        discounts=read.discounts[name], commitments=read.commitments[name], credits=read.credits[name],
        taxes=read.taxes[name], earlier_taxes=read.earlier_taxes_of(payer), revision=payer.revision,
        has_random_ids=read.has_random_ids,
    )  # fmt: skip


def _made(kind: Callable[..., T]) -> Callable[..., T]:
    return lambda **fields: kind(**_without_times(fields))


def _without_times(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in _ONLY_CHECKED}


def _scoped(kind: Callable[..., T], kinds: tuple[str, ...]) -> Callable[..., T]:
    def made(*, scope: Any, **fields: Any) -> T:
        return kind(**_without_times(fields), scope=Scope.from_data(scope, kinds))

    return made


def _tax_rate(
    *, location: str | None, customer_kind: str | None, is_of_final_invoice: bool, **fields: Any
) -> TaxRate | None:
    """Read a tax rate; None if it is for other customers. A final invoice keeps the rates that it was made with."""
    rate = _tax_rate_of(**_without_times(fields))
    applies = is_of_final_invoice or rates_for(TaxCustomer(location, customer_kind), [rate])
    return rate if applies else None


def _tax_rate_of(*, scope: Any, locations: Collection[str], customers: Collection[str], **fields: Any) -> TaxRate:
    """Make a tax rate from the columns of `tax_rates`."""
    return TaxRate(
        **fields,
        scope=Scope.from_data(scope, CHARGES),
        locations=tuple(locations),
        customers=tuple(customers),
    )


def _read_subscriptions(
    connection: Connection, wrong: dict[str, BillingError], **parameters: Any
) -> Grouped[Subscription]:
    charged = _read_charged(connection, **parameters)
    found = rows(connection, "subscriptions_to_bill", **parameters, charged=list(charged))

    def made(*, id: UUID, **fields: Any) -> Subscription:
        return Subscription(id, **fields, charged=tuple(charged.get(id, ())))

    return group_readable(found, "subscriptions", made, wrong)


@dataclass(frozen=True)
class _ChargedFee:
    """The amount that other invoices charged for one interval of a subscription's fee."""

    subscription_id: UUID
    start: datetime
    end: datetime
    amount: Decimal
    currency: str
    month: date


def _read_charged(connection: Connection, **parameters: Any) -> Mapping[UUID, Sequence[FeeCharged]]:
    """Read the charges of other invoices, by subscription, for intervals that end after the month begins."""
    fees = records(connection, _ChargedFee, "fees_charged", **parameters)
    subscriptions = list({fee.subscription_id for fee in fees})
    if not subscriptions:
        return {}
    parameters["subscriptions"] = subscriptions
    discounts: dict[tuple[UUID, datetime], list[DiscountTaken]] = defaultdict(list)
    credits: dict[tuple[UUID, datetime], list[CreditPaid]] = defaultdict(list)

    def add_discount(*, subscription_id: UUID, interval_start: datetime, **fields: Any) -> None:
        discounts[subscription_id, interval_start].append(DiscountTaken(**fields))

    def add_credit(*, subscription_id: UUID, interval_start: datetime, **fields: Any) -> None:
        credits[subscription_id, interval_start].append(CreditPaid(**fields))

    records(connection, add_discount, "discounts_of_fees", **parameters)
    records(connection, add_credit, "credits_of_fees", **parameters)
    charged: dict[UUID, list[FeeCharged]] = defaultdict(list)
    for fee in fees:
        at = fee.subscription_id, fee.start
        charged[fee.subscription_id].append(
            FeeCharged(
                fee.start, fee.end, fee.amount, BillingMonth(fee.month.year, fee.month.month),
                discounts=tuple(discounts[at]), credits=tuple(credits[at]), currency=fee.currency,
            )
        )  # fmt: skip
    return charged


def read_adjustments(
    connection: Connection, statement: str, wrong: dict[str, BillingError], **parameters: Any
) -> Grouped[Adjustment]:
    """Read adjustments by organization, with the tax rates of the months that they correct.

    Args:
        connection: A connection to the billing database.
        statement: The statement that returns the adjustments.
        wrong: Gets the error of each organization that has an unreadable adjustment.
        parameters: Of the statement.
    """
    found = rows(connection, statement, **parameters)
    taxes: dict[UUID, dict[UUID, TaxRate]] = defaultdict(dict)
    taxed: dict[UUID, list[dict[str, Any]]] = {}

    def add_rate(*, adjustment_id: UUID, taxed_parts: list[dict[str, Any]] | None, id: UUID, **fields: Any) -> None:
        taxed[adjustment_id] = taxed_parts or []
        taxes[adjustment_id][id] = _tax_rate_of(id=id, **fields)

    if found:
        records(connection, add_rate, "taxes_of_adjustments", ids=[row["id"] for row in found])

    def made(*, id: UUID, month: date, causes: Collection[str], **fields: Any) -> Adjustment:
        own = taxes[id]
        parts = tuple(
            (tuple(own[UUID(rate)] for rate in part["rates"]), Decimal(part["amount"])) for part in taxed.get(id, ())
        )
        return Adjustment(
            id, BillingMonth(month.year, month.month), **fields, causes=tuple(causes), taxes=tuple(own.values()),
            taxed=parts,
        )  # fmt: skip

    return group_readable(found, "adjustments", made, wrong)
