"""Reads and writes the records of a FOCUS import in Postgres. It never changes an amount that is already recorded."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from sqlalchemy import Connection, text

from fly_billing.focus.imports.identity import ImportedCharge, covers
from fly_billing.focus.imports.prices import BOOK
from fly_billing.focus.imports.rows import COSTS, FocusImportError, FocusRow
from fly_billing.invoicing.rules.billing_groups import billing_group_of, slug
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import records
from fly_billing.postgres.statements import sql

ONE_OFFS = uuid5(NAMESPACE_URL, "fly_billing/focus_import")
# The database's limit of a description's length, in characters.
LONGEST_DESCRIPTION = 5000


@dataclass(frozen=True)
class _ImportedOrganization:
    id: str
    currency: str


@dataclass(frozen=True)
class ImportedOneOff:
    """A one-off item in the database.

    Attributes:
        amount: Exact, in the currency's major unit.
        imported_as: `focus|<cost>|<scope>|<charge>`. None if no import made the item, or a very old one did.
    """

    id: UUID
    organization_id: str
    description: str
    amount: Decimal
    currency: str
    occurred_at: datetime
    imported_as: str | None


def _run_for_each(connection: Connection, name: str, values: Sequence[Mapping[str, Any]]) -> None:
    if values:
        connection.execute(text(sql(name)), values)


def organization_ids(connection: Connection, rows: Sequence[FocusRow]) -> dict[str, str]:
    """Return the organization id of each sub-account id: the existing one, or a new one made from its name.

    The id ends with a hash of the sub-account id, because names are not unique and may change.
    """
    names: dict[str, str] = {}
    for row in rows:
        names.setdefault(row.sub_account_id, row.sub_account_name)
    known = {
        organization.id.rpartition("-")[2]: organization.id for organization in _imported_organizations(connection)
    }
    hashes = {account: sha256(account.encode()).hexdigest()[:12] for account in names}
    return {
        account: known.get(hashes[account], f"focus-{slug(name)[:40].strip('-')}-{hashes[account]}")
        for account, name in names.items()
    }


def known_currencies(connection: Connection, organizations: Mapping[str, str]) -> dict[str, str]:
    """Return the currency of each sub-account that is an organization already."""
    currencies = {organization.id: organization.currency for organization in _imported_organizations(connection)}
    return {account: currencies[id_] for account, id_ in organizations.items() if id_ in currencies}


def _imported_organizations(connection: Connection) -> list[_ImportedOrganization]:
    return records(connection, _ImportedOrganization, "organizations_of_book", book=BOOK)


def add_organizations(
    connection: Connection,
    rows: Sequence[FocusRow],
    organizations: Mapping[str, str],
    max_org_partitions: int,
    shared_groups: int,
) -> int:
    """Add an organization for each new sub-account, from the month of its first charge on. Returns their number."""
    earliest: dict[str, FocusRow] = {}
    for row in sorted(rows, key=lambda row: (row.starts_at, row.line)):
        earliest.setdefault(row.sub_account_id, row)
    known = known_currencies(connection, organizations)
    existing: int = connection.execute(text(sql("count_organizations"))).scalar_one()
    new = sorted(organizations[account] for account in earliest if account not in known)
    groups = {
        organization: billing_group_of(organization, existing + place, max_org_partitions, shared_groups)
        for place, organization in enumerate(new)
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
    return set(connection.execute(text(sql("prices_of_book")), {"book": BOOK}).scalars())


@dataclass(frozen=True)
class KnownOneOffs:
    """The one-off items of earlier imports.

    Attributes:
        in_force: The charges that are billed and not reversed, by their id.
        charges: All charges, by their id.
        times_written: The number of items of a charge: it is charged, reversed, charged again, and so on.
        unnamed: The number of items of very old imports, which did not record the charge, by their content.
    """

    in_force: Mapping[str, ImportedOneOff]
    charges: Mapping[str, ImportedCharge]
    times_written: Mapping[str, int]
    unnamed: Counter[tuple[Any, ...]]

    def take_unnamed(self, row: FocusRow, organization: str) -> bool:
        """Return True if an unnamed item has the row's content. That item then matches no other row."""
        content = (organization, _description(row), row.amount, row.currency, row.starts_at)
        if not self.unnamed[content]:
            return False
        self.unnamed[content] -= 1
        return True


def known_one_offs(
    connection: Connection, organizations: Collection[str], covered: Mapping[str, tuple[date, date]], cost: str
) -> KnownOneOffs:
    """Read the one-off items of these days. Raises FocusImportError if one was imported at another cost."""
    firsts, lasts = zip(*covered.values(), strict=True)
    unnamed: Counter[tuple[Any, ...]] = Counter()
    written: dict[str, list[ImportedOneOff]] = defaultdict(list)
    charges: dict[str, ImportedCharge] = {}
    at_other_cost: Counter[str] = Counter()
    for item in records(
        connection,
        ImportedOneOff,
        "imported_one_offs",
        organizations=list(organizations),
        since=_start_of(min(firsts)),
        until=_start_of(max(lasts) + timedelta(days=1)),
    ):
        if item.imported_as is None:
            unnamed[item.organization_id, item.description, item.amount, item.currency, item.occurred_at] += 1
            continue
        _, at_cost, scope, identity = item.imported_as.split("|")
        charge = ImportedCharge(identity, scope, item.occurred_at.date())
        if at_cost != cost and covers(covered, charge):
            at_other_cost[identity] += 1
        elif at_cost == cost:
            written[identity].append(item)
            charges[identity] = charge
    if any(times % 2 for times in at_other_cost.values()):
        raise imported_at_other_cost(next(other for other in COSTS if other != cost))
    times = {identity: len(items) for identity, items in written.items()}
    # A charge is charged, reversed, charged again: with an odd number of items, the last one is in force.
    in_force = {
        identity: next(item for item in items if item.id == _one_off_id(identity, len(items) - 1))
        for identity, items in written.items()
        if len(items) % 2
    }
    return KnownOneOffs(in_force, charges, times, unnamed)


def _start_of(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def imported_at_other_cost(cost: str) -> FocusImportError:
    return FocusImportError(
        f"charges of these days and sub-accounts were already imported with --cost {cost}: use --cost {cost} again,"
        " or they would be billed twice"
    )


def add_one_off_items(
    connection: Connection,
    rows: Sequence[FocusRow],
    taken_back: Collection[str],
    known: KnownOneOffs,
    organizations: Mapping[str, str],
    cost: str,
) -> None:
    """Add the one-off items of these rows, and a reversal (the same item with the opposite sign) of those `taken_back`.

    Existing items do not change, because they may be billed already. A reversal is billed in the charge's month, or in
    the next open one.
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
        asdict(item)
        | {
            "id": _one_off_id(identity, known.times_written[identity]),
            "description": f"Reversed: {item.description}"[:LONGEST_DESCRIPTION],
            "amount": -item.amount,
        }
        for identity, item in known.in_force.items()
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
