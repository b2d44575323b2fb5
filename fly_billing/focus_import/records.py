"""Reads and writes the records of a FOCUS import in Postgres. What is there already stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from sqlalchemy import Connection, RowMapping, text

from fly_billing.domain.billing_groups import billing_group_of, slug
from fly_billing.domain.periods import BillingMonth
from fly_billing.focus_import.prices import BOOK
from fly_billing.focus_import.rows import FocusRow

ONE_OFFS = uuid5(NAMESPACE_URL, "fly_billing/focus_import")


@cache
def _sql(name: str) -> str:
    return (files("fly_billing.focus_import") / "sql" / f"{name}.sql").read_text(encoding="utf-8")


def _run(connection: Connection, name: str, parameters: Mapping[str, Any]) -> list[RowMapping]:
    return list(connection.execute(text(_sql(name)), parameters).mappings())


def _run_for_each(connection: Connection, name: str, values: Sequence[Mapping[str, Any]]) -> None:
    if values:
        connection.execute(text(_sql(name)), values)


def organization_ids(connection: Connection, rows: Sequence[FocusRow]) -> dict[str, str]:
    """Return the organization's id by sub-account id: the one it has already, else one made from its name.

    The id ends with a hash of the sub-account id, as names are not unique and may change.
    """
    names: dict[str, str] = {}
    for row in rows:
        names.setdefault(row.sub_account_id, row.sub_account_name)
    known = {
        row["id"].rpartition("-")[2]: row["id"] for row in _run(connection, "organizations_of_book", {"book": BOOK})
    }
    hashes = {account: sha256(account.encode()).hexdigest()[:12] for account in names}
    return {
        account: known.get(hashes[account], f"focus-{slug(name)[:40].strip('-')}-{hashes[account]}")
        for account, name in names.items()
    }


def known_currencies(connection: Connection, organizations: Mapping[str, str]) -> dict[str, str]:
    """Return the currency by sub-account id of those that are organizations already."""
    found = {row["id"]: row["currency"] for row in _run(connection, "organizations_of_book", {"book": BOOK})}
    return {account: found[one] for account, one in organizations.items() if one in found}


def add_organizations(
    connection: Connection,
    rows: Sequence[FocusRow],
    organizations: Mapping[str, str],
    max_org_partitions: int,
    shared_groups: int,
) -> int:
    """Add the sub-accounts of these rows that are new; return how many.

    They exist from the month of their first charge on.
    """
    earliest: dict[str, FocusRow] = {}
    for row in sorted(rows, key=lambda row: (row.starts_at, row.line)):
        earliest.setdefault(row.sub_account_id, row)
    known = known_currencies(connection, organizations)
    existing: int = connection.execute(text(_sql("count_organizations"))).scalar_one()
    new = sorted(organizations[account] for account in earliest if account not in known)
    groups = {
        one: billing_group_of(one, existing + place, max_org_partitions, shared_groups) for place, one in enumerate(new)
    }
    values = [
        {
            "id": organizations[account],
            "name": row.sub_account_name,
            "currency": row.currency,
            "book": BOOK,
            "billing_group": groups.get(organizations[account], organizations[account]),
            "created_at": BillingMonth.containing(row.starts_at).start,
        }
        for account, row in earliest.items()
    ]
    _run_for_each(connection, "add_organizations", values)
    return len(new)


def known_prices(connection: Connection) -> set[UUID]:
    return {row["id"] for row in _run(connection, "prices_of_book", {"book": BOOK})}


def known_one_offs(connection: Connection, source: str, rows: Sequence[FocusRow]) -> dict[str, Decimal]:
    """Return the amounts, by the row's id, of those that are one-off items already."""
    ids = {_one_off_id(source, row): row.id for row in rows}
    return {ids[found["id"]]: found["amount"] for found in _run(connection, "amounts_of_one_offs", {"ids": list(ids)})}


def add_one_off_items(
    connection: Connection, source: str, rows: Sequence[FocusRow], organizations: Mapping[str, str]
) -> None:
    values = [
        {
            "id": _one_off_id(source, row),
            "organization_id": organizations[row.sub_account_id],
            "description": _description(row),
            "amount": row.amount,
            "currency": row.currency,
            "occurred_at": row.starts_at,
        }
        for row in rows
    ]
    _run_for_each(connection, "add_one_off_items", values)


def _one_off_id(source: str, row: FocusRow) -> UUID:
    return uuid5(ONE_OFFS, f"{source}|{row.id}")


def _description(row: FocusRow) -> str:
    kind = row.category
    if kind == "Usage" and row.quantity is not None and row.quantity < 0:
        kind = "Correction of usage"
    return f"{kind}: {row.description}" if kind else row.description
