"""Reads an organization with all its terms, for `fly-billing org show`, and names for a shell's completion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from fly_billing.customers.billing_details import DETAILS
from fly_billing.customers.charges import CHARGES
from fly_billing.customers.commitments import COMMITMENTS
from fly_billing.customers.coupons import DISCOUNTS
from fly_billing.customers.credits import CREDITS
from fly_billing.customers.links import LINKS
from fly_billing.customers.organizations import ListedOrganization, show_organization
from fly_billing.customers.price_overrides import MEMBERSHIPS, OVERRIDES
from fly_billing.customers.subscriptions import SUBSCRIPTIONS
from fly_billing.customers.taxes import TAX_STATUSES, TAXES
from fly_billing.customers.writing import TermTable, known_rows, shown
from fly_billing.money import plain
from fly_billing.postgres.database import BillingDatabase

# The tables of terms, with the name of a row for people.
TABLES: tuple[tuple[str, TermTable], ...] = (
    ("subscription", SUBSCRIPTIONS), ("charge", CHARGES), ("credit", CREDITS), ("coupon", DISCOUNTS),
    ("commitment", COMMITMENTS), ("tax", TAXES), ("tax status", TAX_STATUSES), ("payer", LINKS),
    ("negotiated price", OVERRIDES), ("price group", MEMBERSHIPS), ("billing details", DETAILS),
)  # fmt: skip
# Columns that say nothing to people, or that every row of the organization has.
LEFT_OUT = frozenset({"id", "organization_id"})
# Values that most rows have.
USUAL: tuple[Any, ...] = (None, {}, [], "", False)
MOST_NAMES = 50


@dataclass(frozen=True)
class Term:
    """A row of one of an organization's terms.

    Attributes:
        kind: The name of its kind, for people.
        columns: Its columns as they are in the database.
    """

    kind: str
    columns: dict[str, Any]

    @property
    def facts(self) -> dict[str, str]:
        """The columns that say something, as text."""
        return {
            name: shown(value)
            for name, value in self.columns.items()
            if name not in LEFT_OUT and not any(value is usual or value == usual for usual in USUAL)
        }

    def as_data(self) -> dict[str, Any]:
        return {"kind": self.kind, **{name: _json(value) for name, value in self.columns.items()}}


@dataclass(frozen=True)
class Overview:
    """An organization and all its terms, past ones included."""

    organization: ListedOrganization
    terms: Sequence[Term]

    def as_data(self) -> dict[str, Any]:
        organization = {name: _json(value) for name, value in asdict(self.organization).items()}
        return {**organization, "terms": [term.as_data() for term in self.terms]}


def _json(value: Any) -> Any:
    if isinstance(value, Decimal):
        return plain(value) if value.is_finite() else str(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value


def read_overview(database: BillingDatabase, organization_id: str, at: datetime) -> Overview:
    """Read an organization with its terms. Raises CustomerRefused, with the id that was probably meant."""
    with database.consistent_read() as connection:
        organization = show_organization(connection, organization_id, at)
        terms = [
            Term(kind, dict(row))
            for kind, table in TABLES
            for row in known_rows(connection, table, [organization_id]).values()
        ]
    return Overview(organization, terms)


def organizations_beginning(database: BillingDatabase, beginning: str) -> list[str]:
    """Return the first ids of organizations that begin so."""
    return database.values("organizations_beginning", beginning=beginning, most=MOST_NAMES)


def price_keys_beginning(database: BillingDatabase, beginning: str, *, fees: bool) -> list[str]:
    """Return the first price keys that begin so: those of fees only, or all."""
    return database.values("price_keys_beginning", beginning=beginning, fees=fees, most=MOST_NAMES)
