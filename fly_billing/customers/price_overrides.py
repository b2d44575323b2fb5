"""Writes negotiated prices of organizations and groups, and memberships in groups.

The files of a price book are loaded by `pricing.negotiated_prices`. A price is never deleted; it ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from fly_billing.corrections.correction import Actor
from fly_billing.customers.known import Organizations, PriceKeys
from fly_billing.customers.rules.checks import check_moment
from fly_billing.customers.writing import TableRow, TermTable, Written, known_rows, refuse, write_rows
from fly_billing.periods import BillingMonth
from fly_billing.pricing.negotiated_prices import conflicts_of, misfits_of
from fly_billing.pricing.price_books import read_dimensions
from fly_billing.pricing.rules.negotiated_prices import Membership, NegotiatedPrice

OVERRIDES = TermTable(
    "negotiated_prices", ("id",), "negotiated_prices_of", "add_negotiated_prices", "change_negotiated_price",
    "withdraw_negotiated_price",
)  # fmt: skip
MEMBERSHIPS = TermTable(
    "price_group_members", ("price_group", "organization_id", "effective_from"), "memberships_of", "add_memberships",
    "change_membership",
)  # fmt: skip


def write_price_overrides(connection: Connection, actor: Actor, some: Sequence[NegotiatedPrice]) -> list[Written]:
    """Add the new prices and change those that differ. A price that a final invoice used can only end.

    Raises:
        CustomerRefused: Has a line for each problem: an unknown organization, a key that the book does not have, a
            price that does not fit the list price, or two prices of which neither takes precedence.
    """
    prices = PriceKeys(connection)
    holders = {one.organization_id for one in some if one.organization_id}
    organizations = Organizations(connection, holders)
    problems = [
        f"{one.place}{one.name}: {problem}"
        for one in some
        if (problem := _problem(one, organizations, prices)) is not None
    ]
    refuse(problems)
    meters = read_dimensions(connection)
    refuse([problem for one in some for problem in misfits_of(one, prices.listed(one.book), meters)])
    known = known_rows(connection, OVERRIDES, (one.organization_id or f"group {one.group}" for one in some))
    written = write_rows(connection, actor, OVERRIDES, [_row(one) for one in some], known)
    refuse(conflicts_of(connection, sorted({one.book for one in some})))
    return written


def _problem(one: NegotiatedPrice, organizations: Organizations, prices: PriceKeys) -> str | None:
    if one.organization_id and (problem := organizations.unknown(one.organization_id)):
        return problem
    return prices.unknown_key(one.book, one.key) or _wrong_time(one.effective_from, one.effective_until)


def _wrong_time(*moments: datetime | None) -> str | None:
    """Return the problem of a time that the database can't hold."""
    try:
        for moment in moments:
            check_moment("effective_from or effective_until", moment)
    except ValueError as problem:
        return str(problem)
    return None


def _row(one: NegotiatedPrice) -> TableRow:
    columns = {
        "id": one.id, "book": one.book, "key": one.key, "organization_id": one.organization_id,
        "price_group": one.group, "match": {name: list(values) for name, values in one.match.items()},
        "charges": one.charges_data(), "effective_from": one.effective_from, "effective_until": one.effective_until,
    }  # fmt: skip
    return TableRow(columns, one.organization_id, one.name, BillingMonth.containing(one.effective_from), one.place)


def write_memberships(connection: Connection, actor: Actor, some: Sequence[Membership]) -> list[Written]:
    """Add organizations to groups, or change the end of a membership.

    Raises:
        CustomerRefused: Has a line for each problem.
    """
    organizations = Organizations(connection, (one.organization_id for one in some))
    known = known_rows(connection, MEMBERSHIPS, (one.organization_id for one in some))
    unknown = ((one, organizations.unknown(one.organization_id) or _wrong_time(one.start, one.end)) for one in some)
    refuse([f"{one.place}member of group {one.group}: {problem}" for one, problem in unknown if problem])
    found = [
        TableRow(
            {
                "price_group": one.group, "organization_id": one.organization_id, "effective_from": one.start,
                "effective_until": one.end,
            },
            one.organization_id, f"membership of {one.organization_id} in group {one.group}",
            BillingMonth.containing(one.start), one.place,
        )
        for one in some
    ]  # fmt: skip
    written = write_rows(connection, actor, MEMBERSHIPS, found, known)
    refuse(conflicts_of(connection, PriceKeys(connection).books))
    return written
