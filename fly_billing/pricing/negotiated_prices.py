"""Negotiated prices and price groups in Postgres: writes those of a price book's files, and reads all of them.

Not here: choosing the price that applies (`pricing.rules.negotiated_prices`), and reading files (`price_books`).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from fly_billing.bounds import refuse_incomplete
from fly_billing.errors import BillingError, not_computable
from fly_billing.postgres.database import copy_rows, records, rows
from fly_billing.postgres.isolation import VALUE_ERRORS
from fly_billing.postgres.organizations import list_organization_ids
from fly_billing.pricing.rules.book_problems import Dimensions, no_dimension
from fly_billing.pricing.rules.fields import read_match, read_object, unreadable_reason
from fly_billing.pricing.rules.negotiated_prices import (
    OF_ITS_OWN,
    Holding,
    Membership,
    Negotiated,
    NegotiatedPrice,
    holdings_of,
)
from fly_billing.pricing.rules.prices import Price, PriceBook

COLUMNS = (
    "id", "book", "key", "organization_id", "price_group", "match", "charges", "effective_from", "effective_until",
)  # fmt: skip
MEMBER_COLUMNS = ("price_group", "organization_id", "effective_from", "effective_until")


class PriceBooks:
    """All price books. Each organization sees a book with its own negotiated prices."""

    def __init__(
        self,
        books: Mapping[str, PriceBook],
        negotiated: Mapping[tuple[str, str], Negotiated] | None = None,
        unreadable: Mapping[str, BillingError] | None = None,
    ) -> None:
        self._books = books
        self._negotiated = negotiated or {}
        self._unreadable = unreadable or {}

    @property
    def names(self) -> Sequence[str]:
        return sorted(self._books)

    def of(self, organization_id: str, name: str) -> PriceBook:
        """Return the book with this name and the organization's negotiated prices; an empty book if there is none.

        Raises BillingError if one of its negotiated prices can't be read.
        """
        if organization_id in self._unreadable:
            # A new error each time: a raised one grows by a traceback, and the books are kept as long as the process.
            known = self._unreadable[organization_id]
            raise BillingError(known.code, known.customer_text, known.operator_text, retryable=known.retryable)
        book = self._books.get(name) or PriceBook([])
        own = self._negotiated.get((organization_id, name))
        return book.negotiated_by(own) if own else book

    def with_another(self, name: str, book: PriceBook) -> PriceBooks:
        """Return the books with `book` in place of the one with this name. Negotiated prices stay, by key."""
        return PriceBooks({**self._books, name: book}, self._negotiated, self._unreadable)


@dataclass(frozen=True)
class Agreements:
    """All negotiated prices and memberships in Postgres.

    Attributes:
        unreadable: By organization: the error of a record of its that can't be read.
    """

    prices: Sequence[NegotiatedPrice]
    memberships: Sequence[Membership]
    unreadable: Mapping[str, BillingError]

    def holdings(self) -> dict[str, list[Holding]]:
        """List the negotiated prices of each organization, and the times at which it has them."""
        of_groups: dict[str, list[NegotiatedPrice]] = defaultdict(list)
        prices_of: dict[str, list[NegotiatedPrice]] = defaultdict(list)
        memberships_of: dict[str, list[Membership]] = defaultdict(list)
        for price in self.prices:
            (of_groups if price.group else prices_of)[price.group or price.organization_id or ""].append(price)
        for membership in self.memberships:
            name = membership.organization_id
            memberships_of[name].append(membership)
            if membership.group in of_groups:
                prices_of[name] += [price for price in of_groups[membership.group] if price not in prices_of[name]]
        return {name: holdings_of(name, prices, memberships_of[name]) for name, prices in prices_of.items()}

    def negotiated(self) -> dict[tuple[str, str], Negotiated]:
        """Return the negotiated prices by organization and book."""
        by_book: dict[tuple[str, str], list[Holding]] = defaultdict(list)
        for name, holdings in self.holdings().items():
            for holding in holdings:
                by_book[name, holding.price.book].append(holding)
        return {key: Negotiated(holdings) for key, holdings in by_book.items()}


@dataclass(frozen=True)
class _PriceRow:
    """A row of `negotiated_prices`, unchecked."""

    id: UUID
    book: str
    key: str
    organization_id: str | None
    price_group: str | None
    match: Any
    charges: Any
    effective_from: Any
    effective_until: Any

    def read(self) -> NegotiatedPrice:
        """Return the price. Raises ValueError naming the column that is wrong."""
        refuse_incomplete(vars(self), {"organization_id", "price_group", "effective_until"})
        charges = read_object("charges", self.charges)
        if misplaced := sorted(OF_ITS_OWN & charges.keys()):
            raise ValueError(f"charges contains {', '.join(misplaced)}, which has a column of its own")
        data = {
            "key": self.key,
            "match": read_match({"match": read_object("match", self.match)}),
            "organization": self.organization_id,
            "group": self.price_group,
            "effective_from": self.effective_from,
            "effective_until": self.effective_until,
        }
        return replace(NegotiatedPrice.from_data(self.book, data | charges), recorded_as=self.id)


@dataclass(frozen=True)
class _MemberRow:
    """A row of `price_group_members`, unchecked."""

    price_group: str
    organization_id: str
    effective_from: Any
    effective_until: Any

    def read(self) -> Membership:
        """Return the membership. Raises ValueError naming the column that is wrong."""
        refuse_incomplete(vars(self), {"effective_until"})
        return Membership(self.price_group, self.organization_id, self.effective_from, self.effective_until)


def read_agreements(connection: Connection) -> Agreements:
    """Read all negotiated prices and memberships. A record that can't be read fails its organizations only."""
    memberships, prices = [], []
    wrong: dict[str, str] = {}
    members: dict[str, list[str]] = defaultdict(list)
    for member in records(connection, _MemberRow, "price_group_members"):
        members[member.price_group].append(member.organization_id)
        try:
            memberships.append(member.read())
        except VALUE_ERRORS as problem:
            wrong[member.organization_id] = (
                f"membership of {member.organization_id} in group {member.price_group}:"
                f" {unreadable_reason(problem)}: correct its row in the table price_group_members"
            )
    for row in records(connection, _PriceRow, "negotiated_prices", id=None):
        try:
            prices.append(row.read())
        except VALUE_ERRORS as problem:
            holder = row.organization_id or f"group {row.price_group}"
            for name in [row.organization_id] * bool(row.organization_id) + members[row.price_group or ""]:
                wrong[name or ""] = (
                    f"negotiated price {row.book}/{row.key} of {holder}: {unreadable_reason(problem)}: correct its row"
                    f" in the table negotiated_prices (id {row.id})"
                )
    unreadable = {
        name: not_computable("unreadable_price", f"{reason}, then bill the month again")
        for name, reason in wrong.items()
    }
    return Agreements(prices, memberships, unreadable)


def read_negotiated_price(connection: Connection, price_id: UUID) -> NegotiatedPrice | None:
    """Read one version of a negotiated price; None if there is no such version."""
    return next((row.read() for row in records(connection, _PriceRow, "negotiated_prices", id=price_id)), None)


def load_agreements(
    connection: Connection,
    book: str,
    listed: Sequence[Price],
    prices: Sequence[NegotiatedPrice],
    memberships: Sequence[Membership],
    meters: Dimensions,
) -> None:
    """Write the negotiated prices and memberships of a book's files; existing ones stay. Needs `make_loaded_prices`.

    Args:
        connection: A connection to the billing database.
        book: The name of the book.
        listed: The list prices of the book.
        prices: The negotiated prices of the files.
        memberships: The memberships of the files.
        meters: The dimensions of every meter.

    Raises:
        ValueError: Has a line for each mistake: an unknown organization, a key that the book does not have, a price
            that does not fit the list price, or two prices of an organization of which neither takes precedence.
    """
    organizations = set(list_organization_ids(connection))
    by_key = _by_key(listed)
    problems = [problem for price in prices for problem in _misfits(price, by_key, meters)]
    problems += [
        f"{price.place}{price.name}: there is no organization {price.organization_id!r}"
        for price in prices
        if price.organization_id and price.organization_id not in organizations
    ]
    problems += [
        f"{member.place}member of group {member.group}: there is no organization {member.organization_id!r}"
        for member in memberships
        if member.organization_id not in organizations
    ]
    _refuse(problems)
    copy_rows(connection, "loaded_negotiated_prices", COLUMNS, map(_price_row, prices))
    rows(connection, "add_loaded_negotiated_prices")
    copy_rows(
        connection, "loaded_members", MEMBER_COLUMNS,
        ((member.group, member.organization_id, member.start, member.end) for member in memberships),
    )  # fmt: skip
    rows(connection, "add_loaded_members")
    _refuse(conflicts_of(connection, [book]))


def misfits_of(price: NegotiatedPrice, listed: Iterable[Price], meters: Dimensions) -> list[str]:
    """Return a line if the book has no such key, or if the price does not fit a list price that it replaces."""
    return list(_misfits(price, _by_key(listed), meters))


def conflicts_of(connection: Connection, books: Collection[str]) -> list[str]:
    """Return a line for each two prices of an organization in one of these books of which neither takes precedence."""
    return sorted({
        problem
        for name, holdings in read_agreements(connection).holdings().items()
        for book in books
        for problem in _conflicts(name, [holding for holding in holdings if holding.price.book == book])
    })  # fmt: skip


def _by_key(listed: Iterable[Price]) -> dict[str, list[Price]]:
    by_key: dict[str, list[Price]] = defaultdict(list)
    for price in listed:
        by_key[price.key].append(price)
    return by_key


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        raise ValueError("\n".join(problems))


def _price_row(price: NegotiatedPrice) -> tuple[Any, ...]:
    return (
        price.id, price.book, price.key, price.organization_id, price.group, json.dumps(price.match),
        json.dumps(price.charges_data()), price.effective_from, price.effective_until,
    )  # fmt: skip


def _misfits(price: NegotiatedPrice, by_key: Mapping[str, Sequence[Price]], meters: Dimensions) -> Iterator[str]:
    if price.key not in by_key:
        yield f"{price.place}{price.name}: price book {price.book} has no price {price.key!r}"
    for meter in sorted({version.meter for version in by_key.get(price.key, ()) if version.meter}):
        if problem := no_dimension(price.match, meter, meters):
            yield f"{price.place}{price.name}: {problem}"
    for version in by_key.get(price.key, ()):
        ended = version.effective_until is not None and version.effective_until <= price.effective_from
        is_later = price.effective_until is not None and version.effective_from >= price.effective_until
        if not is_later and not (ended and price.percent_off is not None):
            try:
                price.over(version)
            except ValueError as problem:
                yield f"{price.place}{problem}"
                return


def _conflicts(name: str, holdings: Sequence[Holding]) -> Iterator[str]:
    for first, second in combinations(holdings, 2):
        if first.price.key != second.price.key or not _meet(first, second):
            continue
        both = first.price, second.price
        is_of_two_groups = first.price.group and second.price.group and first.price.group != second.price.group
        is_a_tie = first.price.holder == second.price.holder and len(first.price.match) == len(second.price.match)
        if is_of_two_groups and not _is_covered(first, second, holdings):
            yield f"{name} is in two groups with a price for {first.price.key} at the same time: " + _names(both)
        elif (
            is_a_tie and first.price.id != second.price.id and first.price.effective_from == second.price.effective_from
        ):
            yield f"two prices of {first.price.holder} for {first.price.key} fit equally well: " + _names(both)


def _meet(first: Holding, second: Holding) -> bool:
    begins = max(first.start, second.start)
    times = all(holding.end is None or begins < holding.end for holding in (first, second))
    matches = first.price.match, second.price.match
    return times and all(set(values) & set(matches[1].get(name, values)) for name, values in matches[0].items())


def _is_covered(first: Holding, second: Holding, holdings: Sequence[Holding]) -> bool:
    """Return True if the organization's own price takes precedence whenever both apply."""
    start, ends = max(first.start, second.start), [holding.end for holding in (first, second) if holding.end]
    return any(
        own.price.organization_id and own.price.key == first.price.key and not own.price.match and own.start <= start
        and (own.end is None or (bool(ends) and min(ends) <= own.end))
        for own in holdings
    )  # fmt: skip


def _names(both: tuple[NegotiatedPrice, NegotiatedPrice]) -> str:
    return " and ".join(sorted(price.name for price in both))
