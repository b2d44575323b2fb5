"""Reads the records that the database has, in the comparable form of the files, and the final invoices that used them.

Not here: comparing (`rules.planning`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from sqlalchemy import Connection

from fly_billing.customers.billing_details import DETAILS
from fly_billing.customers.charges import CHARGES
from fly_billing.customers.commitments import COMMITMENTS
from fly_billing.customers.coupons import COUPONS, DISCOUNTS
from fly_billing.customers.credits import CREDITS
from fly_billing.customers.links import LINKS
from fly_billing.customers.organizations import ORGANIZATIONS
from fly_billing.customers.price_overrides import MEMBERSHIPS, OVERRIDES
from fly_billing.customers.subscriptions import SUBSCRIPTIONS
from fly_billing.customers.taxes import TAX_STATUSES, TAXES
from fly_billing.customers.writing import TermTable, known_rows
from fly_billing.postgres.database import Row, records, rows, values
from fly_billing.pricing.negotiated_prices import read_agreements
from fly_billing.pricing.price_books import read_dimensions, read_price_books
from fly_billing.pricing.rules.meters import METER_COLUMNS
from fly_billing.workspace.entries import NAMES, TERMS, OrganizationEntry
from fly_billing.workspace.files import KnownPrices, OwnedOrganization, Workspace
from fly_billing.workspace.price_records import book_tax_record, member_record, negotiated_record, price_record
from fly_billing.workspace.rules.mistakes import books_of
from fly_billing.workspace.rules.planning import CHANGED, ENDED, REMOVED, PlannedChange, judged
from fly_billing.workspace.rules.records import HeldRecord, Record, comparable, key_of

# The table of each kind of terms.
TABLES: Mapping[str, TermTable] = {
    "organization": ORGANIZATIONS,
    "link": LINKS,
    "tax": TAXES,
    "tax customer": TAX_STATUSES,
    "subscription": SUBSCRIPTIONS,
    "charge": CHARGES,
    "commitment": COMMITMENTS,
    "credit": CREDITS,
    "coupon": COUPONS,
    "discount": DISCOUNTS,
    "negotiated price": OVERRIDES,
    "group member": MEMBERSHIPS,
}
_ENTRIES = {entry.KIND: entry for entry in TERMS.values()}
# The kinds whose keys begin with an organization.
_OF_ORGANIZATIONS = frozenset(kind for kind, entry in _ENTRIES.items() if entry.KEY[0] == "organization")
# The details of an organization that has no row in billing_details.
_NO_DETAILS: Mapping[str, Any] = {"tax_ids": [], "collection": "charge_automatically"}


@dataclass(frozen=True)
class _Owned:
    """A row of `workspace_records`."""

    workspace: str
    kind: str
    record_id: str
    record_key: str


def known_prices(connection: Connection) -> KnownPrices:
    """Read the loaded price books and meters, and the organizations that have an owner."""
    return KnownPrices(
        books_of(read_price_books(connection)),
        read_dimensions(connection),
        records(connection, OwnedOrganization, "owned_organizations"),
    )


def held_records(connection: Connection, workspace: Workspace) -> list[HeldRecord]:
    """Read the records of the workspace's organizations and price books, and all that the workspace owns."""
    owned = records(connection, _Owned, "owned_workspace_records")
    own = [row for row in owned if row.workspace == workspace.settings.name]
    # Terms of the files may be of organizations from the platform's database.
    organizations = {record.organization for record in workspace.records if record.organization}
    organizations |= {row.record_id for row in own if row.kind == "organization"}
    organizations |= {row.record_key.partition("/")[0] for row in own if row.kind in _OF_ORGANIZATIONS}
    codes = {record.key for record in workspace.records if record.kind == "coupon"}
    codes |= {row.record_id for row in own if row.kind == "coupon"}
    books = {book.name for book in workspace.books}
    found = [*_organizations(connection, organizations), *_terms(connection, organizations, codes)]
    found += _prices(connection, books, {row.record_id for row in own})
    return list(_with_owners(found, owned, workspace.settings.name))


def _with_owners(found: Iterable[HeldRecord], owned: Iterable[_Owned], workspace: str) -> Iterator[HeldRecord]:
    owners = {(row.kind, row.record_id): row for row in owned}
    for record in found:
        owner = owners.get((record.kind, record.id))
        if owner is None:
            yield record
        elif owner.workspace == workspace:
            yield replace(record, is_owned=True, key=owner.record_key)
        else:
            yield replace(record, other_owner=owner.workspace)


def _organizations(connection: Connection, ids: Iterable[str]) -> Iterator[HeldRecord]:
    details = known_rows(connection, DETAILS, ids)
    for (name,), row in known_rows(connection, ORGANIZATIONS, ids).items():
        columns = {**_NO_DETAILS, **row, **details.get((name,), {})}
        fields = {
            field: comparable(columns.get(field)) for field in OrganizationEntry.model_fields if field != "id"
        }  # fmt: skip
        yield HeldRecord("organization", name, name, fields | {"closed_at": comparable(row["closed_at"])})


def _terms(connection: Connection, organizations: Iterable[str], codes: Iterable[str]) -> Iterator[HeldRecord]:
    for kind, entry in _ENTRIES.items():
        for row in known_rows(connection, TABLES[kind], codes if kind == "coupon" else organizations).values():
            fields = {
                name: comparable(row[NAMES.get(name, name)]) for name in entry.model_fields if name != "key"
            }  # fmt: skip
            key = key_of(*(fields.get(name) for name in entry.KEY))
            yield HeldRecord(kind, key, row_id(TABLES[kind], row), fields)


def row_id(table: TermTable, row: Row) -> str:
    """Return the id of a row as text: its column `id`, or its key."""
    return str(row["id"]) if "id" in row else key_of(*(row[name] for name in table.key))


def _prices(connection: Connection, books: Iterable[str], owned: Iterable[str]) -> Iterator[HeldRecord]:
    """Yield the records of price books: of the workspace's books, and others that it owns."""
    its, ids = set(books), set(owned)
    for row in rows(connection, "workspace_meters"):
        yield HeldRecord("meter", row["key"], row["key"], {name: comparable(row[name]) for name in METER_COLUMNS})
    for name, prices in read_price_books(connection).items():
        yield from (_held(price_record(price)) for price in prices if name in its or str(price.id) in ids)
    for row in rows(connection, "workspace_book_taxes"):
        if row["book"] in its or str(row["id"]) in ids:
            yield _held(book_tax_record(row, row["id"]))
    agreements = read_agreements(connection)
    yield from map(_held, map(negotiated_record, agreements.prices))
    yield from map(_held, map(member_record, agreements.memberships))


def _held(record: Record) -> HeldRecord:
    return HeldRecord(record.kind, record.key, record.id, record.values)


@dataclass(frozen=True)
class _FinalInvoice:
    """A final invoice that used a record: its number, its payer and its month."""

    id: object
    number: int
    organization_id: str
    month: date

    def __str__(self) -> str:
        return f"final invoice number {self.number} of {self.organization_id} for {self.month:%Y-%m}"


def with_uses(connection: Connection, changes: Sequence[PlannedChange]) -> list[PlannedChange]:
    """Return the changes with the final invoices that used their records, which can refuse a change."""
    of_kind: dict[str, list[PlannedChange]] = defaultdict(list)
    for change in changes:
        if change.id is not None and change.action in (CHANGED, ENDED, REMOVED):
            of_kind[change.kind].append(change)
    used = {
        (kind, name): text for kind, some in of_kind.items() for name, text in _uses(connection, kind, some).items()
    }
    return [judged(change, used.get((change.kind, change.id or ""))) for change in changes]


# The statement that finds the final invoices of each kind. Those of other terms: `final_invoices_of_terms`.
_USES = {
    "charge": "final_invoices_of_items",
    "negotiated price": "final_invoices_of_items",
    "tax": "final_invoices_of_tax_rates",
    "book tax": "final_invoices_of_tax_rates",
    "link": "final_invoices_of_links",
    "organization": "final_invoices_of_organizations",
}
_NEVER_USED = ("meter", "tax customer", "group member")


def _uses(connection: Connection, kind: str, some: Sequence[PlannedChange]) -> dict[str, str]:
    """Return the use of each record of a kind, in words, by its id."""
    ids = [change.id for change in some]
    if kind in _NEVER_USED:
        return {}
    if kind == "price":
        return {str(name): "a final invoice" for name in values(connection, "used_price_versions", ids=ids)}
    if kind in _USES:
        found = records(connection, _FinalInvoice, _USES[kind], ids=ids)
    else:
        found = records(
            connection, _FinalInvoice, "final_invoices_of_terms",
            ids=ids, organizations=[change.organization for change in some], on_table=TABLES[kind].name,
        )  # fmt: skip
    return {str(one.id): str(one) for one in found}
