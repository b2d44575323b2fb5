"""Reads and writes the records of a FOCUS import in Postgres. What is there already stays."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from sqlalchemy import Connection, RowMapping, text

from fly_billing.focus.imports.identity import ImportedCharge, covers
from fly_billing.focus.imports.prices import BOOK
from fly_billing.focus.imports.rows import COSTS, FocusImportError, FocusRow
from fly_billing.invoicing.rules.billing_groups import billing_group_of, slug
from fly_billing.periods import BillingMonth
from fly_billing.postgres.statements import sql

ONE_OFFS = uuid5(NAMESPACE_URL, "fly_billing/focus_import")
# What a description may have in the database.
LONGEST_DESCRIPTION = 5000


def _run(connection: Connection, name: str, parameters: Mapping[str, Any]) -> list[RowMapping]:
    return list(connection.execute(text(sql(name)), parameters).mappings())


def _run_for_each(connection: Connection, name: str, values: Sequence[Mapping[str, Any]]) -> None:
    if values:
        connection.execute(text(sql(name)), values)


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
    existing: int = connection.execute(text(sql("count_organizations"))).scalar_one()
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
    _run_for_each(connection, "add_imported_organizations", values)
    return len(new)


def known_prices(connection: Connection) -> set[UUID]:
    return {row["id"] for row in _run(connection, "prices_of_book", {"book": BOOK})}


@dataclass(frozen=True)
class KnownOneOffs:
    """The one-off items of earlier imports: those that stand by their charge's id, and how often each was written.

    `unnamed` counts items that do not say of which charge they are, by what they look like: an import that was made
    before one-off items said so.
    """

    standing: Mapping[str, RowMapping]
    charges: Mapping[str, ImportedCharge]
    times_written: Mapping[str, int]
    unnamed: Counter[tuple[Any, ...]]

    def take_unnamed(self, row: FocusRow, organization: str) -> bool:
        """Tell whether an unnamed item is this row; it is no other's then."""
        look = (organization, _description(row), row.amount, row.currency, row.starts_at)
        if not self.unnamed[look]:
            return False
        self.unnamed[look] -= 1
        return True


def known_one_offs(
    connection: Connection, organizations: Collection[str], covered: Mapping[str, tuple[date, date]], cost: str
) -> KnownOneOffs:
    """Read the one-off items of these days. Raises FocusImportError where one was imported at another cost."""
    firsts, lasts = zip(*covered.values(), strict=True)
    days = {"since": _start_of(min(firsts)), "until": _start_of(max(lasts) + timedelta(days=1))}
    found = _run(connection, "imported_one_offs", {"organizations": list(organizations), **days})
    unnamed: Counter[tuple[Any, ...]] = Counter()
    written: dict[str, list[RowMapping]] = defaultdict(list)
    charges: dict[str, ImportedCharge] = {}
    at_other_cost: Counter[str] = Counter()
    for item in found:
        if item["imported_as"] is None:
            look = (item["organization_id"], item["description"], item["amount"], item["currency"], item["occurred_at"])
            unnamed[look] += 1
            continue
        _, at_cost, scope, identity = item["imported_as"].split("|")
        charge = ImportedCharge(identity, scope, item["occurred_at"].date())
        if at_cost != cost and covers(covered, charge):
            at_other_cost[identity] += 1
        elif at_cost == cost:
            written[identity].append(item)
            charges[identity] = charge
    if any(times % 2 for times in at_other_cost.values()):
        raise imported_at_other_cost(next(one for one in COSTS if one != cost))
    times = {identity: len(items) for identity, items in written.items()}
    # Charged, taken back, charged again: an odd number of items means that the last of them stands.
    standing = {
        identity: next(item for item in items if item["id"] == _one_off_id(identity, len(items) - 1))
        for identity, items in written.items()
        if len(items) % 2
    }
    return KnownOneOffs(standing, charges, times, unnamed)


def _start_of(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def imported_at_other_cost(cost: str) -> FocusImportError:
    return FocusImportError(
        f"charges of these days and sub-accounts were imported before, at the cost that is called {cost}: import with"
        f" --cost {cost}, or they would be billed at both"
    )


def add_one_off_items(
    connection: Connection,
    rows: Sequence[FocusRow],
    taken_back: Collection[str],
    known: KnownOneOffs,
    organizations: Mapping[str, str],
    cost: str,
) -> None:
    """Add the items of these rows, and for those `taken_back` the same once more with the other sign.

    What is written down stays: it may be billed already. Taken back on the month it was for, or on the next open one.
    """
    charged = [
        {
            "id": _one_off_id(row.id, known.times_written.get(row.id, 0)),
            "organization_id": organizations[row.sub_account_id],
            "description": _description(row),
            "amount": row.amount,
            "currency": row.currency,
            "occurred_at": row.starts_at,
            "imported_as": f"focus|{cost}|{row.scope.key}|{row.id}",
        }
        for row in rows
    ]
    returned = [
        dict(item)
        | {
            "id": _one_off_id(identity, known.times_written[identity]),
            "description": f"Taken back: {item['description']}"[:LONGEST_DESCRIPTION],
            "amount": -item["amount"],
        }
        for identity, item in known.standing.items()
        if identity in taken_back
    ]
    _run_for_each(connection, "add_one_off_items", [*charged, *returned])


def _one_off_id(identity: str, times_before: int) -> UUID:
    return uuid5(ONE_OFFS, f"{identity}|{times_before}")


def _description(row: FocusRow) -> str:
    kind = row.category
    if kind == "Usage" and row.quantity is not None and row.quantity < 0:
        kind = "Correction of usage"
    return f"{kind}: {row.description}" if kind else row.description
