"""Writes organizations: adds, renames and changes them. Closing one is in `closing`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from fly_billing.corrections.correction import Actor
from fly_billing.customers.billable import refuse_unbillable_terms
from fly_billing.customers.known import REOPEN, Organizations, PriceKeys
from fly_billing.customers.rules.checks import check_text
from fly_billing.customers.rules.organizations import OrganizationRecord
from fly_billing.customers.writing import (
    CustomerRefused,
    Effect,
    Known,
    TableRow,
    TermTable,
    Written,
    known_rows,
    refuse,
    shown,
    write_rows,
)
from fly_billing.invoicing.rules.billing_groups import billing_group_of
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, lock_until_commit, records, rows, values

ORGANIZATIONS = TermTable("organizations", ("id",), "organizations_to_write", "add_organization", "change_organization")


@dataclass(frozen=True)
class Groups:
    """The rule for the billing group of a new organization: the settings `max_org_partitions` and `shared_groups`."""

    most_own: int
    shared: int


def write_organizations(
    connection: Connection, actor: Actor, some: Sequence[OrganizationRecord], groups: Groups
) -> list[Written]:
    """Add the new organizations and change those that differ, in this order.

    Another currency or price book applies from the first month that has no final invoice. An existing organization
    keeps its billing group, and its Stripe customer unless the record names one.

    Raises:
        CustomerRefused: Has a line for each problem: a closed organization, an unknown price book, a currency that the
            book has no prices in, or what the database refuses.
    """
    lock_until_commit(connection, "organizations")  # two processes at once would count the same organizations
    known = known_rows(connection, ORGANIZATIONS, (one.id for one in some))
    changed = [one for one in some if _is_priced_otherwise(one, known.get((one.id,)))]
    prices = PriceKeys(connection) if changed else None
    problems = [
        f"{one.place}organization {one.id}: {problem}" for one in changed if (problem := _unpriced(one, prices))
    ]
    problems += [
        f"{one.place}organization {one.id} closed its account: `{REOPEN} {one.id}` first"
        for one in some
        if known.get((one.id,), {}).get("closed_at") is not None
    ]
    refuse(problems)
    (count,) = values(connection, "number_of_organizations")
    return write_rows(connection, actor, ORGANIZATIONS, _rows(some, known, count, groups), known)


def _is_priced_otherwise(one: OrganizationRecord, known: object) -> bool:
    return not isinstance(known, dict) or (one.currency, one.price_book) != (known["currency"], known["price_book"])


def _unpriced(one: OrganizationRecord, prices: PriceKeys | None) -> str | None:
    if prices is None or (problem := prices.unknown_book(one.price_book)):
        return problem
    currencies = prices.currencies(one.price_book)
    if one.currency in currencies:
        return None
    return (
        f"price book {one.price_book} has no prices in {one.currency}, only in {', '.join(sorted(currencies))}:"
        " choose one of these, or another price book"
    )


def _rows(some: Sequence[OrganizationRecord], known: Known, count: int, groups: Groups) -> list[TableRow]:
    found = []
    for one in some:
        existing = known.get((one.id,))
        group = billing_group_of(one.id, count, groups.most_own, groups.shared)
        count += existing is None
        values_of = {
            "id": one.id, "name": one.name, "currency": one.currency, "price_book": one.price_book,
            "stripe_customer_id": one.stripe_customer_id or (existing or {}).get("stripe_customer_id"),
            "billing_group": existing["billing_group"] if existing else group, "created_at": one.created_at,
            "closed_at": (existing or {}).get("closed_at"),
        }  # fmt: skip
        what = f"organization {one.id} ({one.name})"
        found.append(TableRow(values_of, one.id, what, BillingMonth.containing(one.created_at), one.place))
    return found


def add_organization(
    connection: Connection, actor: Actor, one: OrganizationRecord, groups: Groups, given: Collection[str] = ()
) -> Written:
    """Add one organization. Raises CustomerRefused if it exists with other facts: a command to add changes nothing.

    Args:
        given: The fields without a default that the record has, of `created_at` and `stripe_customer_id`.
    """
    known = known_rows(connection, ORGANIZATIONS, [one.id]).get((one.id,))
    if known is None:
        return write_organizations(connection, actor, [one], groups)[0]
    other = [name for name in given if known[name] != getattr(one, name)]
    if known["closed_at"] is not None:
        raise CustomerRefused([f"organization {one.id} closed its account: `{REOPEN} {one.id}` opens it again"])
    if any(known[name] != getattr(one, name) for name in ("name", "currency", "price_book")):
        raise CustomerRefused([
            f"organization {one.id} exists already, as {known['name']!r} with price book {known['price_book']} in"
            f" {known['currency']}: choose another id, or `fly-billing org rename {one.id} NAME`"
        ])  # fmt: skip
    if other:
        facts = ", ".join(f"{name} {shown(known[name])}" for name in other)
        raise CustomerRefused([f"organization {one.id} exists already, with {facts}: a command can't change that"])
    return Written(Effect.UNCHANGED, "organizations", one.id, f"organization {one.id} ({one.name})")


def rename_organization(connection: Connection, actor: Actor, organization_id: str, name: str) -> Written:
    """Give an organization another name, for later invoices. Raises CustomerRefused, ValueError."""
    check_text("name", name)
    return change_row(connection, actor, organization_id, name=name)


def change_organization(
    connection: Connection, actor: Actor, organization_id: str, currency: str | None, price_book: str | None,
    first: BillingMonth | None = None,
) -> Written:  # fmt: skip
    """Bill an organization in another currency, by another price book, or both.

    Args:
        first: The first month that it applies to. None: the first one without a final invoice.

    Raises:
        CustomerRefused: The organization or book is unknown, the book has no prices in the currency, the month is
            final, or its terms or amounts that are not billed yet need the present ones.
        ValueError: The currency is not a code.
    """
    known = known_rows(connection, ORGANIZATIONS, [organization_id]).get((organization_id,))
    if known is None:
        raise CustomerRefused([str(Organizations(connection, [organization_id]).unknown(organization_id))])
    changed = OrganizationRecord(
        organization_id, known["name"], known["created_at"], currency or known["currency"],
        price_book or known["price_book"],
    )  # fmt: skip
    if problem := _unpriced(changed, PriceKeys(connection)):
        raise CustomerRefused([f"organization {organization_id}: {problem}"])
    since = Organizations(connection, [organization_id]).priced_since(organization_id)
    if not _is_priced_otherwise(changed, known) and first and since not in (None, first):
        raise CustomerRefused([
            f"organization {organization_id} is billed in {changed.currency} by price book {changed.price_book} since"
            f" {since}: for another month, change it back first"
        ])  # fmt: skip
    rows(connection, "change_from_month", month=first.first_day.isoformat() if first else "")
    done = change_row(
        connection, actor, organization_id, currency=changed.currency, price_book=changed.price_book
    )  # fmt: skip
    if done.effect == Effect.CHANGED:
        refuse_unbillable_terms(connection, [organization_id])
    return done


def change_row(connection: Connection, actor: Actor, organization_id: str, **changes: object) -> Written:
    """Change columns of an existing organization. Raises CustomerRefused."""
    known = known_rows(connection, ORGANIZATIONS, [organization_id])
    if problem := Organizations(connection, [organization_id]).unknown(organization_id):
        raise CustomerRefused([problem])
    existing = known[(organization_id,)]
    row = TableRow(
        {**existing, **changes}, organization_id, f"organization {organization_id} ({existing['name']})",
        BillingMonth.containing(actor.at),
    )  # fmt: skip
    return write_rows(connection, actor, ORGANIZATIONS, [row], known)[0]


@dataclass(frozen=True)
class ListedOrganization:
    """An organization, its terms in force at a time, and its last final invoice.

    Attributes:
        subscriptions: The number of running subscriptions.
        payer_id: The organization that pays for it in this month; None: it pays itself.
        last_final_month: The last month with a final invoice; None: there is none.
    """

    id: str
    name: str
    currency: str
    price_book: str
    billing_group: str
    created_at: datetime
    closed_at: datetime | None
    subscriptions: int
    payer_id: str | None
    last_final_month: str | None


def list_organizations(
    database: BillingDatabase, at: datetime, word: str | None = None, *, with_closed: bool = False
) -> list[ListedOrganization]:
    """List organizations by id: all, or those with a word in their id or name."""
    return database.records(
        ListedOrganization, "listed_organizations", at=at, word=word, id=None, with_closed=with_closed
    )


def show_organization(connection: Connection, organization_id: str, at: datetime) -> ListedOrganization:
    """Return one organization. Raises CustomerRefused, with the id that was probably meant."""
    if problem := Organizations(connection, [organization_id]).unknown(organization_id):
        raise CustomerRefused([problem])
    return records(
        connection, ListedOrganization, "listed_organizations", at=at, word=None, id=organization_id, with_closed=True
    )[0]
