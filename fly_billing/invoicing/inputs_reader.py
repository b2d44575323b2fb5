"""Reads the inputs of a month's invoices: payers and members, their usage and purchases, and the terms.

One statement per kind of record reads those of many payers. Not here: calculating amounts
(`invoicing.rules.assembly`), and writing invoices (`invoice_writer`).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from types import MappingProxyType
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Connection

from fly_billing.bounds import MOST_UNITS, UnreadableTime, refuse_unreadable
from fly_billing.errors import BillingError, not_computable
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
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import Row, records, rows, tuples, values
from fly_billing.postgres.isolation import VALUE_ERRORS, isolate_failures, unreadable
from fly_billing.pricing.negotiated_prices import PriceBooks
from fly_billing.pricing.price_books import open_price_books
from fly_billing.pricing.rules.scope import CHARGES, Scope
from fly_billing.pricing.rules.tax_rates import TaxCustomer, TaxRate, differ_by_item, rates_for

T = TypeVar("T")
# Columns that decide whether a row belongs to the month. They are read only to refuse invalid times.
_ONLY_CHECKED = frozenset({"first_month", "last_month", "redeemed_at", "occurred_at"})
# The columns that rollups of one kind share.
_KIND = ("meter", "dimensions", "segment_start", "segment_end")
Grouped = Mapping[str, list[T]]


@dataclass(frozen=True)
class BilledMember:
    """One organization on a payer's invoice: the payer itself, or an organization that it pays for.

    Attributes:
        id: The organization.
        currency: In the month.
        price_book: In the month.
        currency_now: Today.
        snapshot_id: The current snapshot of its usage, if there is one.
        usage_table_version: The version of the usage table from which the snapshot was made.
        rollup_problem: The reason why its rollups are damaged, if they are.
        revision: The latest revision of the payer's invoice.
        invoice_status: The status of that invoice; None: there is no invoice yet.
    """

    payer_id: str
    id: str
    currency: str
    price_book: str
    currency_now: str
    created_at: datetime | UnreadableTime
    snapshot_id: UUID | None
    rolled_up_at: datetime | None
    usage_table_version: int | None
    rollup_problem: str | None
    revision: int
    invoice_status: str | None


@dataclass(frozen=True)
class Payer:
    """An organization that gets an invoice for the month.

    Attributes:
        revision: The revision of the invoice.
        invoice_status: The status of the invoice; None: there is no invoice yet.
        members: The organizations on the invoice, the payer itself first.
    """

    organization_id: str
    currency: str
    revision: int
    invoice_status: str | None
    members: Sequence[BilledMember]

    @property
    def is_final(self) -> bool:
        return self.invoice_status not in (None, "open")

    @property
    def member_names(self) -> list[str]:
        return [member.id for member in self.members]

    @property
    def snapshots(self) -> list[UUID]:
        return [member.snapshot_id for member in self.members if member.snapshot_id]


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


def read_payers(connection: Connection, month: BillingMonth, groups: Sequence[str]) -> list[Payer]:
    """Read the payers of these billing groups that get an invoice for the month, each with its members."""
    span = {"month": month.first_day, "month_end": month.end}
    by_payer: dict[str, list[BilledMember]] = defaultdict(list)
    for member in records(connection, BilledMember, "billed_members", groups=list(groups), **span):
        by_payer[member.payer_id].append(member)
    return [
        Payer(name, members[0].currency, members[0].revision, members[0].invoice_status, members)
        for name, members in by_payer.items()
    ]


def has_random_ids(connection: Connection, month: BillingMonth) -> bool:
    """Return True if the month was begun before ids started with their month: its invoices keep the older ids."""
    (found,) = values(connection, "has_random_ids", month=month.first_day)
    return bool(found)


def refuse_damaged_usage(member: BilledMember) -> None:
    """Raise BillingError if the usage rollups of this member are damaged."""
    if member.rollup_problem:
        raise not_computable("usage_rollups_damaged", member.rollup_problem, retryable=True)


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
            _checked(vars(member), "organizations", member.id, lambda **_: None, wrong)

    def read(what: str, name: str, make: Callable[..., T | None], **parameters: Any) -> Grouped[T]:
        return group_readable(rows(connection, name, **parameters), what, make, wrong)

    subscriptions = _read_subscriptions(connection, wrong, **fees)
    charging = {charged.month for some in subscriptions.values() for fee in some for charged in fee.charged}
    return BillingRecords(
        month=month,
        rollups=_read_usage(connection, used, wrong),
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


@dataclass(frozen=True)
class UsageToBill:
    """Usage by organization, and the error of each organization whose usage can't be used in a calculation."""

    rollups: Grouped[UsageRollup]
    unreadable: Mapping[str, BillingError]

    def added_to(self, inputs: InvoiceInputs) -> InvoiceInputs:
        """Return the inputs with the members' usage. Raises BillingError if usage of one of them is unreadable."""
        for member in inputs.members:
            if member.organization_id in self.unreadable:
                raise self.unreadable[member.organization_id]
        members = [replace(member, rollups=self.rollups[member.organization_id]) for member in inputs.members]
        return replace(inputs, members=members)


def read_rollups(connection: Connection, snapshots: Sequence[UUID]) -> UsageToBill:
    """Read the usage of these snapshots."""
    wrong: dict[str, BillingError] = {}
    return UsageToBill(_read_usage(connection, snapshots, wrong), wrong)


def _read_usage(
    connection: Connection, snapshots: Sequence[UUID], wrong: dict[str, BillingError]
) -> Grouped[UsageRollup]:
    """Group rollups by organization, as `group_readable`. What rollups of one kind share is read and checked once."""
    usage: dict[str, list[UsageRollup]] = defaultdict(list)
    for name, id, quantity, *kind in tuples(connection, "rollups_to_price", snapshots=list(snapshots)):
        if id and isinstance(quantity, Decimal) and quantity.is_finite() and quantity.copy_abs() < MOST_UNITS:
            try:
                usage[name].append(_of_kind(*kind).like(id, quantity))
                continue
            except VALUE_ERRORS:
                pass  # then the row is checked as a whole, which names the column
        fields = {"id": id, **dict(zip(_KIND, kind, strict=True)), "quantity": quantity}
        made = _checked(fields, "usage_rollups", name, _rollup, wrong)
        if made is not None:
            usage[name].append(made)
    return usage


# At most 16 MB. A dimension with a value per app may have more kinds, which are then read again.
@lru_cache(maxsize=16_384)
def _of_kind(*columns: Any) -> UsageRollup:
    """Return a rollup of this kind, from which others are made. Raises an error of VALUE_ERRORS for a bad column."""
    fields = dict(zip(_KIND, columns, strict=True))
    refuse_unreadable(fields)
    first = _rollup(id=UUID(int=0), quantity=Decimal(0), **fields)
    first.kind  # noqa: B018 calculated once, then shared
    return first


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


def group_readable(
    found: Iterable[Row], what: str, make: Callable[..., T | None], wrong: dict[str, BillingError]
) -> Grouped[T]:
    """Group rows by organization, and skip those that can't be used in a calculation.

    Args:
        found: Rows with `organization_id`.
        what: The name of the records, for errors.
        make: Gets a row's other columns as keyword arguments. None: the row does not apply.
        wrong: Gets the error of each organization that has an unreadable row.
    """
    grouped: dict[str, list[T]] = defaultdict(list)
    for row in found:
        fields = dict(row)
        name = fields.pop("organization_id")
        made = _checked(fields, what, name, make, wrong)
        if made is not None:
            grouped[name].append(made)
    return grouped


def _checked(
    fields: Mapping[str, Any], what: str, name: str, make: Callable[..., T | None], wrong: dict[str, BillingError]
) -> T | None:
    try:
        refuse_unreadable(fields)
        return make(**fields)
    except BillingError as error:
        wrong.setdefault(name, error)
    except VALUE_ERRORS as problem:
        wrong.setdefault(name, unreadable(f"{name}: {what} {fields.get('id', '')}".rstrip(), problem))
    return None


def _made(kind: Callable[..., T]) -> Callable[..., T]:
    return lambda **fields: kind(**_without_times(fields))


def _without_times(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in _ONLY_CHECKED}


def _rollup(
    *, id: UUID | None, meter: str | None, dimensions: str | None, segment_start: datetime | None,
    segment_end: datetime | None, quantity: Decimal | None,
) -> UsageRollup:  # fmt: skip
    # `is`, for each column: this is asked of every rollup, and `in` would compare ids and numbers with None.
    if (
        id is None or meter is None or dimensions is None
        or segment_start is None or segment_end is None or quantity is None
    ):  # fmt: skip
        columns = {
            "id": id, "meter": meter, "dimensions": dimensions,
            "segment_start": segment_start, "segment_end": segment_end, "quantity": quantity,
        }  # fmt: skip
        raise ValueError(f"{next(name for name, value in columns.items() if value is None)} is missing")
    return UsageRollup(id, meter, _dimensions(dimensions), segment_start, segment_end, quantity)


@lru_cache(maxsize=65_536)
def _dimensions(text: str) -> Mapping[str, str]:
    """Read dimensions from JSON. Rows with equal dimensions share one read-only mapping.

    Raises ValueError if they are not a JSON object of texts.
    """
    dimensions = json.loads(text)
    if not isinstance(dimensions, dict) or not all(isinstance(value, str) for value in dimensions.values()):
        raise ValueError("dimensions are not a JSON object of texts")
    return MappingProxyType(dimensions)


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
