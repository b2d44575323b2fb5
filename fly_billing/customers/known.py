"""The organizations and price keys that records name: what the database knows of them, and errors with suggestions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property

from sqlalchemy import Connection

from fly_billing.money import from_cents, parse_typed_amount
from fly_billing.periods import BillingMonth, moment_text
from fly_billing.postgres.database import records, values
from fly_billing.postgres.organizations import list_organization_ids
from fly_billing.pricing.price_books import read_price_books
from fly_billing.pricing.rules.fields import did_you_mean
from fly_billing.pricing.rules.prices import Price

LIST_PRICES = "`fly-billing prices show` lists them"
REOPEN = "fly-billing org reopen"


@dataclass(frozen=True)
class KnownOrganization:
    """An organization in the database.

    Attributes:
        closed_at: When it closed its account; None: it is a customer.
    """

    id: str
    name: str
    currency: str
    price_book: str
    stripe_customer_id: str | None
    billing_group: str
    created_at: datetime
    closed_at: datetime | None


@dataclass(frozen=True)
class _Before:
    organization_id: str
    before_month: date
    currency: str
    price_book: str


class Organizations:
    """The organizations that records name, as they are now and in earlier months."""

    def __init__(self, connection: Connection, ids: Iterable[str]) -> None:
        self._connection = connection
        asked = sorted(set(ids))
        self._known = {row.id: row for row in records(connection, KnownOrganization, "known_organizations", keys=asked)}
        self._before: dict[str, list[_Before]] = defaultdict(list)
        self._final: dict[str, BillingMonth | None] = {}
        for row in records(connection, _Before, "organizations_before", keys=asked):
            self._before[row.organization_id].append(row)

    def __getitem__(self, organization_id: str) -> KnownOrganization:
        return self._known[organization_id]

    def unknown(self, organization_id: str) -> str | None:
        """Return the problem if there is no such organization, with the id that was probably meant."""
        if organization_id in self._known:
            return None
        return f"no organization {organization_id!r}{did_you_mean(organization_id, self._ids)}"

    @cached_property
    def _ids(self) -> Sequence[str]:
        return list_organization_ids(self._connection)

    def problem(self, organization_id: str, begins: datetime) -> str | None:
        """Return why no term of this organization can begin at this time; None if one can."""
        if problem := self.unknown(organization_id):
            return problem
        one = self._known[organization_id]
        if begins < BillingMonth.containing(one.created_at).start:
            return f"it begins {moment_text(begins)}, but {one.id} is a customer from {moment_text(one.created_at)} on"
        if one.closed_at is not None and begins >= one.closed_at:
            return (
                f"{one.id} closed its account on {moment_text(one.closed_at)}: `fly-billing org reopen {one.id}` first"
            )
        return None

    def currency(self, organization_id: str, month: BillingMonth) -> str:
        """Return the currency of the organization's invoice for this month."""
        before = self._in(organization_id, month)
        return before.currency if before else self._known[organization_id].currency

    def charged_in(self, organization_id: str, month: BillingMonth) -> BillingMonth:
        """Return the month whose invoice has a charge of this month: the next one, if this one's is final."""
        final = self.last_final_month(organization_id)
        return month if final is None or final < month else final.plus(1)

    def last_final_month(self, organization_id: str) -> BillingMonth | None:
        """Return the last month with a final invoice of the organization or its payer."""
        if organization_id not in self._final:
            (final,) = values(self._connection, "last_final_month_of", id=organization_id)
            self._final[organization_id] = BillingMonth(final.year, final.month) if final else None
        return self._final[organization_id]

    def currency_of_charge(self, organization_id: str, month: BillingMonth) -> str:
        """Return the currency of the invoice that has a charge of this month. Only that one can be billed."""
        if not self._before[organization_id]:
            return self._known[organization_id].currency
        return self.currency(organization_id, self.charged_in(organization_id, month))

    def price_book(self, organization_id: str, month: BillingMonth) -> str:
        """Return the organization's price book in this month."""
        before = self._in(organization_id, month)
        return before.price_book if before else self._known[organization_id].price_book

    def _in(self, organization_id: str, month: BillingMonth) -> _Before | None:
        return next((row for row in self._before[organization_id] if row.before_month > month.first_day), None)

    def priced_since(self, organization_id: str) -> BillingMonth | None:
        """Return the first month of its present currency and price book. None: it never had others."""
        before = self._before[organization_id]
        return BillingMonth(before[-1].before_month.year, before[-1].before_month.month) if before else None

    def wrong_currency(self, organization_id: str, currency: str | None, month: BillingMonth) -> str | None:
        """Return the problem of an amount in another currency than the organization's in this month."""
        billed = self.currency(organization_id, month)
        if currency in (None, billed):
            return None
        return f"it is in {currency}, but {organization_id} is billed in {billed} in {month}"


class PriceKeys:
    """The loaded price books, to check the keys that terms name."""

    def __init__(self, connection: Connection) -> None:
        self._books: dict[str, dict[str, list[Price]]] = {}
        self._currencies: dict[str, set[str]] = {}
        for name, prices in read_price_books(connection).items():
            by_key = self._books.setdefault(name, defaultdict(list))
            self._currencies[name] = {price.currency for price in prices}
            for price in prices:
                by_key[price.key].append(price)

    @property
    def books(self) -> Sequence[str]:
        return sorted(self._books)

    def currencies(self, book: str) -> set[str]:
        return self._currencies.get(book, set())

    def keys(self, book: str) -> Sequence[str]:
        return sorted(self._books.get(book, {}))

    def versions(self, book: str, key: str) -> Sequence[Price]:
        return self._books.get(book, {}).get(key, [])

    def listed(self, book: str) -> Sequence[Price]:
        return [price for versions in self._books.get(book, {}).values() for price in versions]

    def unknown_book(self, book: str) -> str | None:
        """Return the problem if no such book is loaded."""
        if book in self._books:
            return None
        loaded = ", ".join(self.books) or "none"
        return (
            f"no price book {book!r}{did_you_mean(book, self.books)}; loaded are {loaded}:"
            " `fly-billing load-prices FOLDER` loads another"
        )

    def unknown_key(self, book: str, key: str) -> str | None:
        """Return the problem if the book has no such price."""
        if problem := self.unknown_book(book):
            return problem
        known = self._books[book]
        return (
            None if key in known else f"price book {book} has no price {key!r}{did_you_mean(key, known)}: {LIST_PRICES}"
        )

    def wrong_fee(self, book: str, key: str, currency: str, at: datetime) -> str | None:
        """Return why nobody who is billed in this currency can subscribe to the key at this time; None if one can."""
        if problem := self.unknown_key(book, key):
            return problem
        versions = self._books[book][key]
        if all(price.meter is not None for price in versions):
            return f"{key} charges usage, not a fee, so nobody subscribes to it{self._similar_fee(book, key)}"
        in_force = [price for price in versions if price.is_in_force(at)]
        if not in_force:
            first = min(price.effective_from for price in versions)
            when = f"it begins {moment_text(first)}" if at < first else "it ended before"
            return f"{key} has no price on {moment_text(at)}: {when}"
        if all(price.currency != currency for price in in_force):
            return f"{key} is in {in_force[0].currency}, but the organization is billed in {currency}"
        return None

    def _similar_fee(self, book: str, key: str) -> str:
        return did_you_mean(
            key, {name for name, versions in self._books[book].items() if any(one.meter is None for one in versions)}
        )


def typed_amount_of(
    connection: Connection, organization_id: str, typed: str, charged: datetime | None = None
) -> tuple[Decimal, str]:
    """Read an amount that a person typed in the organization's currency, with exactly its decimals.

    Args:
        charged: It is of a charge at this time, in the currency of the invoice that will have it.

    Returns:
        The amount in the major unit and the currency.

    Raises:
        ValueError: There is no such organization, or says how to write the amount.
    """
    organizations = Organizations(connection, [organization_id])
    if problem := organizations.unknown(organization_id):
        raise ValueError(problem)
    currency = organizations[organization_id].currency
    if charged is not None:
        currency = organizations.currency_of_charge(organization_id, BillingMonth.containing(charged))
    return from_cents(parse_typed_amount(typed, currency), currency), currency
