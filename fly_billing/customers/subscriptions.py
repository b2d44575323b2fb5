"""Writes subscriptions: begins, ends and replaces them.

A subscription is never deleted. One that ends when it begins is never charged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection

from fly_billing.corrections.correction import Actor
from fly_billing.customers.known import Organizations, PriceKeys
from fly_billing.customers.rules.checks import check_moment
from fly_billing.customers.rules.terms import SubscriptionTerms
from fly_billing.customers.writing import (
    CustomerRefused,
    Known,
    TableRow,
    TermTable,
    Written,
    known_rows,
    problems_of,
    refuse,
    write_rows,
)
from fly_billing.money import counted, plain
from fly_billing.periods import BillingMonth, moment_text
from fly_billing.postgres.database import Row
from fly_billing.pricing.rules.fields import did_you_mean

SUBSCRIPTIONS = TermTable("subscriptions", ("id",), "subscriptions_of", "add_subscriptions", "change_subscription")
COLUMNS = tuple(
    column.name for column in fields(SubscriptionTerms) if column.name not in ("reference", "recorded_as", "place")
)


def write_subscriptions(connection: Connection, actor: Actor, some: Sequence[SubscriptionTerms]) -> list[Written]:
    """Add the new subscriptions and change those that differ. A subscription that a final invoice used can only end.

    Raises:
        CustomerRefused: Has a line for each problem: an unknown or closed organization, a key that has no fee in the
            organization's price book and currency then, a second one of the same fee, or what the database refuses.
    """
    known = known_rows(connection, SUBSCRIPTIONS, (one.organization_id for one in some))
    organizations = Organizations(connection, (one.organization_id for one in some))
    new = [one for one in some if (one.id,) not in known]
    prices = PriceKeys(connection) if new else None
    problems = problems_of(some, lambda one: organizations.unknown(one.organization_id))
    problems += problems_of(
        [one for one in new if not organizations.unknown(one.organization_id)],
        lambda one: _problem(one, organizations, prices),
    )
    problems += _second_ones(new, known)
    refuse(problems)
    return write_rows(connection, actor, SUBSCRIPTIONS, [_row(one) for one in some], known)


def _problem(one: SubscriptionTerms, organizations: Organizations, prices: PriceKeys | None) -> str | None:
    if prices is None or (problem := organizations.problem(one.organization_id, one.started_at)):
        return problem
    month = BillingMonth.containing(one.started_at)
    book, currency = (find(one.organization_id, month) for find in (organizations.price_book, organizations.currency))
    return prices.wrong_fee(book, one.price_key, currency, one.started_at)


def _second_ones(new: Sequence[SubscriptionTerms], known: Known) -> list[str]:
    """Refuse a second subscription to a fee at the same time, unless it has a reference: it is charged twice."""
    others: dict[tuple[str, str], list[tuple[Any, datetime, datetime | None]]] = {}
    for row in known.values():
        others.setdefault((row["organization_id"], row["price_key"]), []).append(
            (row["id"], row["started_at"], row["ended_at"])
        )
    for one in new:
        if not one.reference:
            others.setdefault((one.organization_id, one.price_key), []).append((one.id, one.started_at, one.ended_at))
    return [
        f"{one.place}{one.title}: it has one from {moment_text(start.astimezone(UTC))} on already: for another one,"
        " give it a reference"
        for one in new
        if not one.reference
        for other, start, end in others[one.organization_id, one.price_key]
        if other != one.id and _meet(one, start, end)
    ]


def _meet(one: SubscriptionTerms, start: datetime, end: datetime | None) -> bool:
    begins = max(one.started_at, start)
    return all(until is None or begins < until for until in (one.ended_at, end))


def _row(one: SubscriptionTerms) -> TableRow:
    columns = {name: getattr(one, name) for name in COLUMNS}
    month = BillingMonth.containing(one.started_at)
    what = one.title if one.quantity == 1 else f"{one.title}: {counted(plain(one.quantity), 'unit')}"
    return TableRow({"id": one.id, **columns}, one.organization_id, what, month, one.place)


def _terms(row: Row) -> SubscriptionTerms:
    return SubscriptionTerms(**{name: row[name] for name in COLUMNS}, recorded_as=row["id"])


def find_subscription(
    connection: Connection, organization_id: str, price_key: str, at: datetime, started_at: datetime | None = None,
    reference: str | None = None,
) -> SubscriptionTerms:  # fmt: skip
    """Return the organization's subscription to a fee that runs at this time, or that ends or begins at it.

    Without one that runs, return the next one that begins. `started_at` and `reference` choose one of several.

    Raises:
        CustomerRefused: There is none, it ended before, or there is more than one.
        ValueError: The database can't hold the time.
    """
    check_moment("the time", at)
    if problem := Organizations(connection, [organization_id]).unknown(organization_id):
        raise CustomerRefused([problem])
    known = known_rows(connection, SUBSCRIPTIONS, [organization_id]).values()
    own = [_terms(row) for row in known if row["price_key"] == price_key]
    own = [one for one in own if _is_asked(one, started_at, reference)]
    running = [one for one in own if one.started_at <= at and (one.ended_at is None or one.ended_at >= at)]
    next_start = min((one.started_at for one in own if one.started_at > at), default=None)
    found = running or [one for one in own if one.started_at == next_start]
    # Of two that follow each other at this time, the earlier one ended already.
    found = [one for one in found if one.ended_at != at or one.started_at == started_at] or found
    if len(found) == 1:
        return found[0]
    raise CustomerRefused([_not_one(organization_id, price_key, at, found or own, [row["price_key"] for row in known])])


def _is_asked(one: SubscriptionTerms, started_at: datetime | None, reference: str | None) -> bool:
    has_reference = reference is None or one.id == replace(one, recorded_as=None, reference=reference).id
    return has_reference and started_at in (None, one.started_at)


def _not_one(
    organization_id: str, key: str, at: datetime, some: Sequence[SubscriptionTerms], keys: Sequence[str]
) -> str:
    starts = ", ".join(moment_text(one.started_at.astimezone(UTC)) for one in some)
    if len(some) > 1:
        choice = "choose one with --started or --reference"
        return f"{organization_id} has several subscriptions to {key}, from {starts}: {choice}"
    if some and (end := some[0].ended_at):
        return f"the subscription of {organization_id} to {key} ended on {moment_text(end.astimezone(UTC))} already"
    listed = f"; it has {', '.join(sorted(set(keys)))}" if keys else "; it has none"
    return f"{organization_id} has no subscription to {key!r} on {moment_text(at)}{did_you_mean(key, keys)}{listed}"


def subscriptions_after(connection: Connection, organization_id: str, at: datetime) -> list[SubscriptionTerms]:
    """List the organization's subscriptions that run at this instant or later."""
    known = known_rows(connection, SUBSCRIPTIONS, [organization_id]).values()
    return [_terms(row) for row in known if row["ended_at"] is None or row["ended_at"] > max(at, row["started_at"])]


def cancel(
    connection: Connection, actor: Actor, organization_id: str, price_key: str, at: datetime,
    started_at: datetime | None = None, reference: str | None = None,
) -> Written:  # fmt: skip
    """End a subscription at this instant; one that has not begun then is never charged.

    Fees paid for the time after the end go back. Raises CustomerRefused, also for one that ended before.
    """
    one = find_subscription(connection, organization_id, price_key, at, started_at, reference)
    return end_subscription(connection, actor, one, at)


def end_subscription(connection: Connection, actor: Actor, one: SubscriptionTerms, at: datetime) -> Written:
    """End this subscription at an instant, or as it begins, if it has not begun then. Raises CustomerRefused."""
    ended = replace(one, ended_at=max(at, one.started_at), recorded_as=one.id)
    known = known_rows(connection, SUBSCRIPTIONS, [one.organization_id])
    row = _row(ended)
    month = BillingMonth.containing(max(at, one.started_at))
    return write_rows(connection, actor, SUBSCRIPTIONS, [replace(row, first_month=month)], known)[0]


def change_plan(
    connection: Connection, actor: Actor, organization_id: str, old_key: str, new_key: str, at: datetime,
    quantity: Decimal | None = None, started_at: datetime | None = None, reference: str | None = None,
) -> list[Written]:  # fmt: skip
    """End a subscription at an instant and begin another one: the same quantity and terms, another fee.

    It takes over the old one's later end and trial, and its intervals if they are counted from its start.

    Args:
        quantity: Another quantity; None: the old one's.
        started_at, reference: Choose one of several subscriptions. The new one gets the same reference.

    Raises:
        CustomerRefused: There is no such subscription, or the new one can't begin.
    """
    old = _replaced_at(connection, organization_id, old_key, new_key, at, started_at, reference) or find_subscription(
        connection, organization_id, old_key, at, started_at, reference
    )
    if old.started_at >= at:
        raise CustomerRefused(
            [f"{old.title} has not begun by {moment_text(at)}: cancel it, and subscribe to the other"]
        )
    trial = old.trial_ends_at if old.trial_ends_at and old.trial_ends_at > at else None
    new = replace(
        old, price_key=new_key, started_at=at, ended_at=old.ended_at if old.ended_at and old.ended_at > at else None,
        quantity=old.quantity if quantity is None else quantity, trial_ends_at=trial, recorded_as=None,
        reference=reference or "",
        anchored_at=_anchor_of(old) if old.anchor == "start" and not trial else None,
    )  # fmt: skip
    ended = end_subscription(connection, actor, old, at)
    return [ended, *write_subscriptions(connection, actor, [new])]


def _anchor_of(one: SubscriptionTerms) -> datetime:
    return one.anchored_at or one.trial_ends_at or one.started_at


def _replaced_at(
    connection: Connection, organization_id: str, old_key: str, new_key: str, at: datetime,
    started_at: datetime | None, reference: str | None,
) -> SubscriptionTerms | None:  # fmt: skip
    """Return the subscription that was replaced at this instant, if the same change was made before."""
    own = [_terms(row) for row in known_rows(connection, SUBSCRIPTIONS, [organization_id]).values()]
    if not any(one.price_key == new_key and _is_asked(one, at, reference) for one in own):
        return None
    replaced = [one for one in own if one.price_key == old_key and one.ended_at == at and one.started_at < at]
    return next((one for one in replaced if _is_asked(one, started_at, reference)), None)
