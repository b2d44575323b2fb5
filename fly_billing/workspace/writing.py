"""Writes the new and changed records of a workspace, and which records it owns. Not here: ending records (`ending`)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from fly_billing.corrections.correction import Actor
from fly_billing.customers.billing_details import DETAILS as DETAILS_TABLE
from fly_billing.customers.billing_details import write_billing_details
from fly_billing.customers.charges import write_charges
from fly_billing.customers.commitments import write_commitments
from fly_billing.customers.coupons import give_coupons, write_coupons
from fly_billing.customers.credits import write_credits
from fly_billing.customers.links import write_links
from fly_billing.customers.organizations import ORGANIZATIONS, Groups, write_organizations
from fly_billing.customers.price_overrides import write_memberships, write_price_overrides
from fly_billing.customers.rules.organizations import CustomerDetails
from fly_billing.customers.subscriptions import write_subscriptions
from fly_billing.customers.taxes import write_tax_statuses, write_taxes
from fly_billing.customers.writing import Effect, Written, keep_changes, known_rows
from fly_billing.errors import ActionableError
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import rows
from fly_billing.postgres.isolation import reason_of
from fly_billing.pricing.price_books import load_price_book
from fly_billing.workspace.entries import DETAILS, OrganizationEntry
from fly_billing.workspace.files import Workspace
from fly_billing.workspace.rules.planning import (
    ADDED,
    CHANGED,
    ENDED,
    RELEASED,
    REMOVED,
    TAKEN_OVER,
    PlannedChange,
    WorkspacePlan,
)


class PriceBookRefused(ActionableError):
    """A price book of a workspace can't be loaded. The message says why; nothing was applied."""


def load_books(connection: Connection, actor: Actor, workspace: Workspace, plan: WorkspacePlan) -> None:
    """Load the price books if they have new or changed versions. Negotiated prices follow with the terms.

    Raises:
        PriceBookRefused: A book can't be loaded.
    """
    changed = [change for change in plan.changes if change.action in (ADDED, CHANGED)]
    changed = [change for change in changed if change.kind in _OF_BOOKS]
    if not changed:
        return
    for book in workspace.books:
        try:
            load_price_book(connection, replace(book, meters=workspace.meters, negotiated=(), members=()))
        except (ValueError, IntegrityError) as problem:
            reason = problem if isinstance(problem, ValueError) else reason_of(problem)
            raise PriceBookRefused(f"price book {book.name}: {reason}") from problem
    month = BillingMonth.containing(actor.at)
    keep_changes(connection, actor, [(_written(change), month) for change in changed])


# The tables of the kinds that the files of price books have.
_OF_BOOKS = {"meter": "meters", "price": "prices", "book tax": "tax_rates"}


def _written(change: PlannedChange) -> Written:
    effect = Effect.NEW if change.action == ADDED else Effect.CHANGED
    fields = () if change.action == ADDED else tuple(f"{f.field}: {f.before} -> {f.after}" for f in change.fields)
    return Written(effect, _OF_BOOKS[change.kind], None, f"{change.kind} {change.key}", fields)


def write_records(
    connection: Connection, actor: Actor, workspace: Workspace, plan: WorkspacePlan, groups: Groups
) -> None:
    """Write the new and changed records of organizations and terms. Raises CustomerRefused."""
    some: dict[tuple[str, str], list[PlannedChange]] = defaultdict(list)
    for change in plan.changes:
        some[change.kind, change.action].append(change)
    if organizations := some["organization", CHANGED] + some["organization", ADDED]:
        _write_organizations(connection, actor, workspace, organizations, groups)
    for kind, write in _WRITERS.items():
        for action in (CHANGED, ADDED):  # what ends makes room for what follows it
            if terms := [_term(workspace, change) for change in some[kind, action]]:
                write(connection, actor, terms)


_WRITERS: Mapping[str, Callable[[Connection, Actor, Sequence[Any]], Any]] = {
    "link": write_links,
    "tax": write_taxes,
    "tax customer": write_tax_statuses,
    "subscription": write_subscriptions,
    "charge": write_charges,
    "commitment": write_commitments,
    "credit": write_credits,
    "coupon": write_coupons,
    "discount": partial(give_coupons, keeps_end=False),
    "negotiated price": write_price_overrides,
    "group member": write_memberships,
}


def _term(workspace: Workspace, change: PlannedChange) -> Any:
    """Return the typed record of a change, with the id of the row that it changes."""
    term = workspace.terms[change.kind, change.key]
    return replace(term, recorded_as=UUID(change.id)) if change.id and hasattr(term, "recorded_as") else term


def _write_organizations(
    connection: Connection, actor: Actor, workspace: Workspace, some: Sequence[PlannedChange], groups: Groups
) -> None:
    entries = [(change, workspace.organizations[change.key]) for change in some]
    known = known_rows(connection, ORGANIZATIONS, (change.key for change in some))
    starts = {name: row["created_at"] for (name,), row in known.items()}
    typed = [entry.organization(change.place, starts.get(change.key, actor.at)) for change, entry in entries]
    write_organizations(connection, actor, typed, groups)
    detailed = [(change, entry) for change, entry in entries if _has_details(change)]
    existing = known_rows(connection, DETAILS_TABLE, (change.key for change, _ in detailed))
    details = [_details(entry, existing.get((change.key,), {}), change.place) for change, entry in detailed]
    write_billing_details(connection, actor, details)


def _has_details(change: PlannedChange) -> bool:
    """Return True if a change of an organization is about the details for its invoices."""
    return any(
        field.field in DETAILS and (field.before, field.after) not in ((None, []), (None, "charge_automatically"))
        for field in change.fields
    )


def _details(entry: OrganizationEntry, existing: Mapping[str, Any], place: str) -> CustomerDetails:
    """Return the details that the file gives, and those that exist for columns that it does not have."""
    given = {name: getattr(entry, name) for name in DETAILS if name in entry.model_fields_set}
    kept = {name: tuple(value) if isinstance(value, list) else value for name, value in existing.items()}
    columns: dict[str, Any] = {"organization_id": entry.id, **kept, **given, "place": place}
    return CustomerDetails(**columns)


def keep_owners(connection: Connection, workspace: Workspace, plan: WorkspacePlan) -> None:
    """Record which records the workspace owns from now on."""
    lost = [change for change in plan.changes if change.action in (ENDED, REMOVED, RELEASED)]
    rows(
        connection, "release_workspace_records",
        kinds=[change.kind for change in lost], ids=[change.id for change in lost],
    )  # fmt: skip
    new = {(record.kind, record.key): record.id for record in workspace.records}
    won = [change for change in plan.changes if change.action in (ADDED, TAKEN_OVER, CHANGED)]
    rows(
        connection, "own_workspace_records",
        workspace=workspace.settings.name, kinds=[change.kind for change in won],
        ids=[change.id or new[change.kind, change.key] for change in won],
        keys=[change.key for change in won],
    )  # fmt: skip
