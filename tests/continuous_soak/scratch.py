"""Builds the same month from scratch on a second platform, and compares every row that customers are billed from."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import text

from fly_billing.invoicing.bill_run import bill
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.usage.landing_folder import list_day_folders
from fly_billing.usage.landing_run import land_and_check
from fly_billing.usage.rollups import roll_up
from fly_billing.usage.usage_table import UsageTable
from tests.continuous_soak.day import TERMS

# One row per thing that is compared; ids that are not derived from content are left out.
ROWS = {
    "files": "select landing_day, path, sha256, landed, accepted, duplicate, rejected from usage_files",
    "snapshots": "select organization_id, month, fingerprint, events from usage_snapshots where is_current",
    "rollups": (
        "select s.organization_id, s.month, r.meter, r.dimensions::text, r.segment_start, r.quantity, r.events,"
        " r.daily::text from usage_rollups as r join usage_snapshots as s on s.id = r.snapshot_id and s.is_current"
    ),
    "invoices": "select organization_id, month, revision, status, currency, amount, total_cents from invoices",
    "items": (
        "select i.organization_id, i.month, t.position, t.kind, t.product, t.description, t.quantity, t.amount,"
        " t.amount_cents from invoice_items as t join invoices as i on i.id = t.invoice_id"
    ),
}
DIGEST = 'select count(*) as rows, md5(string_agg(each, chr(10) order by each collate "C")) as digest'


def build_from_scratch(
    database: BillingDatabase,
    usage: UsageTable,
    landing: Path,
    statements: Sequence[tuple[str, dict[str, Any]]],
    month: BillingMonth,
    now: datetime,
) -> None:
    """Land every day, roll up and bill the month once, with the terms as they are after `statements`."""
    with database.transaction() as connection:
        for statement, parameters in statements:
            connection.execute(text(statement), parameters)
    land_and_check(database, usage, landing, list_day_folders(landing), now, from_scratch=True)
    with database.transaction() as connection:
        groups = list(connection.execute(text("select distinct billing_group from organizations order by 1")).scalars())
    roll_up(database, usage, month, groups, now, from_scratch=True)
    bill(database, month, groups, TERMS, now, finalize=False, from_scratch=True)


def digests(database: BillingDatabase) -> dict[str, tuple[int, str]]:
    """Return (number, hash) of the rows of each kind."""
    found = {}
    with database.transaction() as connection:
        for name, rows in ROWS.items():
            statement = f"{DIGEST} from (select r::text as each from ({rows}) as r) as x"  # noqa: S608
            ((number, digest),) = connection.execute(text(statement))
            found[name] = (number, digest)
    return found
