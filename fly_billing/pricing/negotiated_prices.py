"""Negotiated prices and groups in Postgres: writes what files of a price book have of them, and opens the price books
as they are for each organization.

Keeps out: which price holds (`pricing.rules.negotiated_prices`), and reading files (`price_books`).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from fly_billing.bounds import refuse_unreadable
from fly_billing.errors import BillingError, not_computable
from fly_billing.postgres.database import Row, copy_rows, rows
from fly_billing.postgres.isolation import VALUE_ERRORS
from fly_billing.pricing.rules.fields import read_match
from fly_billing.pricing.rules.negotiated_prices import Holding, Membership, Negotiated, NegotiatedPrice, holdings_of
from fly_billing.pricing.rules.prices import Price, PriceBook

COLUMNS = (
    "id", "book", "key", "organization_id", "price_group", "match", "charges", "effective_from", "effective_until",
)  # fmt: skip
MEMBER_COLUMNS = ("price_group", "organization_id", "effective_from", "effective_until")


class PriceBooks:
    """All price books, as they are for each organization."""

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
        """Return the book with this name, with what the organization negotiated over it; an empty one if there is none.

        Raises BillingError where one of its negotiated prices can't be read.
        """
        if organization_id in self._unreadable:
            raise self._unreadable[organization_id]
        book = self._books.get(name) or PriceBook([])
        own = self._negotiated.get((organization_id, name))
        return book.negotiated_by(own) if own else book

    def with_another(self, name: str, book: PriceBook) -> PriceBooks:
        """Return them with `book` in place of the one with this name. What was negotiated stays, by the price's key."""
        return PriceBooks({**self._books, name: book}, self._negotiated, self._unreadable)


@dataclass(frozen=True)
class Agreements:
    """All negotiated prices and memberships that are in Postgres, and why an organization's can't be read."""

    prices: Sequence[NegotiatedPrice]
    memberships: Sequence[Membership]
    unreadable: Mapping[str, BillingError]

    def holdings(self) -> dict[str, list[Holding]]:
        """List what each organization has, and when."""
        groups: dict[str, list[NegotiatedPrice]] = defaultdict(list)
        found: dict[str, list[NegotiatedPrice]] = defaultdict(list)
        member: dict[str, list[Membership]] = defaultdict(list)
        for price in self.prices:
            (groups if price.group else found)[price.group or price.organization_id or ""].append(price)
        for one in self.memberships:
            member[one.organization_id].append(one)
            if one.group in groups:
                found[one.organization_id] += [
                    each for each in groups[one.group] if each not in found[one.organization_id]
                ]
        return {name: holdings_of(name, prices, member[name]) for name, prices in found.items()}

    def negotiated(self) -> dict[tuple[str, str], Negotiated]:
        """Return what each organization negotiated over each book."""
        found: dict[tuple[str, str], list[Holding]] = defaultdict(list)
        for name, holdings in self.holdings().items():
            for one in holdings:
                found[name, one.price.book].append(one)
        return {key: Negotiated(holdings) for key, holdings in found.items()}


def read_agreements(connection: Connection) -> Agreements:
    """Read all of them. One that can't be read fails those who have it, and nobody else."""
    memberships, prices = [], []
    wrong: dict[str, str] = {}
    members: dict[str, list[str]] = defaultdict(list)
    for row in rows(connection, "price_group_members"):
        members[row["price_group"]].append(row["organization_id"])
        try:
            refuse_unreadable(row)
            memberships.append(Membership(*(row[name] for name in MEMBER_COLUMNS)))
        except VALUE_ERRORS as problem:
            wrong[row["organization_id"]] = f"membership in group {row['price_group']}: {problem}"
    for row in rows(connection, "negotiated_prices", id=None):
        try:
            prices.append(_negotiated_price(row))
        except VALUE_ERRORS as problem:
            for name in [row["organization_id"]] if row["organization_id"] else members[row["price_group"]]:
                wrong[name] = f"negotiated price {row['book']}/{row['key']} {row['id']}: {problem}"
    unreadable = {
        name: not_computable("unreadable_price", f"{reason}: correct it, then bill the month again")
        for name, reason in wrong.items()
    }
    return Agreements(prices, memberships, unreadable)


def read_negotiated_price(connection: Connection, price_id: UUID) -> NegotiatedPrice | None:
    """Read one version of a negotiated price; None where it is not there."""
    return next((_negotiated_price(row) for row in rows(connection, "negotiated_prices", id=price_id)), None)


def _negotiated_price(row: Row) -> NegotiatedPrice:
    refuse_unreadable(row)
    charges: dict[str, Any] = dict(row["charges"])
    whose = {"organization": row["organization_id"], "group": row["price_group"]}
    times = {name: row[name] for name in ("effective_from", "effective_until")}
    data = {"key": row["key"], "match": read_match(row), **whose, **times, **charges}
    return replace(NegotiatedPrice.from_data(row["book"], data), recorded_as=row["id"])


def load_agreements(
    connection: Connection,
    book: str,
    listed: Sequence[Price],
    prices: Sequence[NegotiatedPrice],
    memberships: Sequence[Membership],
) -> None:
    """Write what files of a book say, whose prices are `listed`; what is there already stays. After
    `make_loaded_prices`.

    Raises ValueError with a line for each mistake: an organization that there is not, a key that the book has not, what
    does not fit the list price; then two prices that an organization has at a time, of which neither comes first.
    """
    by_key: dict[str, list[Price]] = defaultdict(list)
    for price in listed:
        by_key[price.key].append(price)
    known = {row["id"] for row in rows(connection, "organization_ids")}
    problems = [problem for one in prices for problem in _misfits(one, by_key)]
    problems += [
        f"{one.place}{one.name}: there is no organization {one.organization_id!r}"
        for one in prices
        if one.organization_id and one.organization_id not in known
    ]
    problems += [
        f"{one.place}member of group {one.group}: there is no organization {one.organization_id!r}"
        for one in memberships
        if one.organization_id not in known
    ]
    _refuse(problems)
    copy_rows(connection, "loaded_negotiated_prices", COLUMNS, map(_price_row, prices))
    rows(connection, "add_loaded_negotiated_prices")
    copy_rows(
        connection, "loaded_members", MEMBER_COLUMNS,
        ((one.group, one.organization_id, one.start, one.end) for one in memberships),
    )  # fmt: skip
    rows(connection, "add_loaded_members")
    for name, holdings in read_agreements(connection).holdings().items():
        problems += _conflicts(name, [one for one in holdings if one.price.book == book])
    _refuse(sorted(set(problems)))


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        raise ValueError("\n".join(problems))


def _price_row(one: NegotiatedPrice) -> tuple[Any, ...]:
    return (
        one.id, one.book, one.key, one.organization_id, one.group, json.dumps(one.match),
        json.dumps(one.charges_data()), one.effective_from, one.effective_until,
    )  # fmt: skip


def _misfits(one: NegotiatedPrice, by_key: Mapping[str, Sequence[Price]]) -> Iterator[str]:
    if one.key not in by_key:
        yield f"{one.place}{one.name}: price book {one.book} has no price {one.key!r}"
    for version in by_key.get(one.key, ()):
        ended = version.effective_until is not None and version.effective_until <= one.effective_from
        is_later = one.effective_until is not None and version.effective_from >= one.effective_until
        if not is_later and not (ended and one.percent_off is not None):
            try:
                one.over(version)
            except ValueError as problem:
                yield f"{one.place}{problem}"
                return


def _conflicts(name: str, holdings: Sequence[Holding]) -> Iterator[str]:
    for one, other in combinations(holdings, 2):
        if one.price.key != other.price.key or not _meet(one, other):
            continue
        both = one.price, other.price
        is_of_two_groups = one.price.group and other.price.group and one.price.group != other.price.group
        is_a_tie = one.price.holder == other.price.holder and len(one.price.match) == len(other.price.match)
        if is_of_two_groups and not _is_covered(one, other, holdings):
            yield f"{name} is in two groups with a price for {one.price.key} at a time: " + _names(both)
        elif is_a_tie and one.price.id != other.price.id and one.price.effective_from == other.price.effective_from:
            yield f"two prices of {one.price.holder} for {one.price.key} fit equally well: " + _names(both)


def _meet(one: Holding, other: Holding) -> bool:
    begins = max(one.start, other.start)
    times = all(each.end is None or begins < each.end for each in (one, other))
    matches = one.price.match, other.price.match
    return times and all(set(values) & set(matches[1].get(name, values)) for name, values in matches[0].items())


def _is_covered(one: Holding, other: Holding, holdings: Sequence[Holding]) -> bool:
    """Tell whether a price of the organization's own comes first whenever the two meet."""
    start, ends = max(one.start, other.start), [each.end for each in (one, other) if each.end]
    return any(
        own.price.organization_id and own.price.key == one.price.key and not own.price.match and own.start <= start
        and (own.end is None or (bool(ends) and min(ends) <= own.end))
        for own in holdings
    )  # fmt: skip


def _names(both: tuple[NegotiatedPrice, NegotiatedPrice]) -> str:
    return " and ".join(sorted(one.name for one in both))
