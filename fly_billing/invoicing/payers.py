"""The payers of a month: the organizations that get an invoice, with those that they pay for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from fly_billing.bounds import UnreadableTime
from fly_billing.errors import not_computable
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import records


@dataclass(frozen=True)
class BilledMember:
    """One organization on a payer's invoice: the payer itself, or an organization that it pays for.

    Attributes:
        id: The organization.
        currency: In the month.
        price_book: In the month.
        currency_now: Today.
        snapshot_id: The current snapshot of its usage, if there is one.
        usage_table_version: The version of the usage table from which the snapshot was made.
        rollup_problem: The reason why its rollups are damaged, if they are.
        revision: The latest revision of the payer's invoice.
        invoice_status: The status of that invoice; None: there is no invoice yet.
    """

    payer_id: str
    id: str
    currency: str
    price_book: str
    currency_now: str
    created_at: datetime | UnreadableTime
    snapshot_id: UUID | None
    rolled_up_at: datetime | None
    usage_table_version: int | None
    rollup_problem: str | None
    revision: int
    invoice_status: str | None


@dataclass(frozen=True)
class Payer:
    """An organization that gets an invoice for the month.

    Attributes:
        revision: The revision of the invoice.
        invoice_status: The status of the invoice; None: there is no invoice yet.
        members: The organizations on the invoice, the payer itself first.
    """

    organization_id: str
    currency: str
    revision: int
    invoice_status: str | None
    members: Sequence[BilledMember]

    @property
    def is_final(self) -> bool:
        return self.invoice_status not in (None, "open")

    @property
    def member_names(self) -> list[str]:
        return [member.id for member in self.members]

    @property
    def snapshots(self) -> list[UUID]:
        return [member.snapshot_id for member in self.members if member.snapshot_id]


def read_payers(connection: Connection, month: BillingMonth, groups: Sequence[str]) -> list[Payer]:
    """Read the payers of these billing groups that get an invoice for the month, each with its members."""
    span = {"month": month.first_day, "month_end": month.end}
    by_payer: dict[str, list[BilledMember]] = defaultdict(list)
    for member in records(connection, BilledMember, "billed_members", groups=list(groups), **span):
        by_payer[member.payer_id].append(member)
    return [
        Payer(name, members[0].currency, members[0].revision, members[0].invoice_status, members)
        for name, members in by_payer.items()
    ]


def refuse_damaged_usage(member: BilledMember) -> None:
    """Raise BillingError if the usage rollups of this member are damaged."""
    if member.rollup_problem:
        raise not_computable("usage_rollups_damaged", member.rollup_problem, retryable=True)
