"""The history of an old platform: months of final invoices before the measured one, and ten years of totals.

The months are copies of the measured month with ids of their own, so they have its size and its kinds of items, except
one-off items, which are billed once. Not here: how the month itself is billed.
"""

from __future__ import annotations

from sqlalchemy import text

from fly_billing.postgres.database import BillingDatabase
from tests.bench.sample_of_size import MONTH
from tests.support.unguarded import unguarded

YEARS = 10
_EARLIER = "(:month - make_interval(months => k))::date"
# These are copies of rows that were checked when they were written; foreign keys would only check them again.
_UNCHECKED = "set local session_replication_role = replica"
# The copy's id: it begins with its month, as all ids do (`monthly_ids`).
_ID_IN = """
    create function pg_temp.id_in(of uuid, month date) returns uuid language sql immutable return overlay(
        md5(concat(of, month))
        placing lpad(to_hex((extract(year from month) * 12 + extract(month from month) - 1)::integer), 4, '0') from 1
    )::uuid
"""
COPIES = (
    """
    insert into usage_snapshots
    select pg_temp.id_in(s.id, {earlier}), organization_id, {earlier}, lake_version, fingerprint, events,
        rolled_up_at - make_interval(months => k), is_current
    from usage_snapshots as s cross join generate_series(1, :months) as k where month = :month
    """,
    """
    insert into usage_rollups (
        id, snapshot_id, meter, dimensions, segment_start, segment_end, quantity, events, daily
    )
    select pg_temp.id_in(r.id, {earlier}), pg_temp.id_in(s.id, {earlier}), meter, dimensions,
        segment_start - make_interval(months => k), segment_end - make_interval(months => k), quantity, r.events, daily
    from usage_rollups as r join usage_snapshots as s on s.id = r.snapshot_id
    cross join generate_series(1, :months) as k where s.month = :month
    """,
    """
    insert into invoices (
        id, organization_id, month, revision, origin, status, currency, amount, total_cents, usage_snapshot_id,
        computed_at, finalized_at, due_on, paid_at, number
    )
    select pg_temp.id_in(i.id, {earlier}), organization_id, {earlier}, revision, origin, 'paid', currency, amount,
        total_cents, case when k <= :months then pg_temp.id_in(usage_snapshot_id, {earlier}) end,
        computed_at - make_interval(months => k), finalized_at - make_interval(months => k),
        due_on - make_interval(months => k), finalized_at - make_interval(months => k - 1), :years * 12 + 1 - k
    from invoices as i cross join generate_series(1, :years * 12 - 1) as k where month = :month
    """,
    """
    insert into invoice_items (
        id, invoice_id, position, kind, organization_id, product, description, quantity, unit, amount, amount_cents,
        price_id, price_key, meter, subscription_id, period_start, period_end,
        interval_start, interval_end, discount_id, commitment_id, detail
    )
    select pg_temp.id_in(t.id, {earlier}), pg_temp.id_in(i.id, {earlier}), position, kind, t.organization_id, product,
        description, quantity, unit, t.amount, amount_cents, price_id, price_key, meter, subscription_id,
        period_start - make_interval(months => k), period_end - make_interval(months => k),
        interval_start - make_interval(months => k), interval_end - make_interval(months => k), discount_id,
        commitment_id, detail
    from invoice_items as t join invoices as i on i.id = t.invoice_id
    cross join generate_series(1, :months) as k where i.month = :month and kind <> 'one_off'
    """,
    """
    insert into invoice_item_rollups (invoice_id, rollup_id, item_id)
    select pg_temp.id_in(i.id, {earlier}), pg_temp.id_in(r.rollup_id, {earlier}), pg_temp.id_in(r.item_id, {earlier})
    from invoice_item_rollups as r join invoices as i on i.id = r.invoice_id
    cross join generate_series(1, :months) as k where i.month = :month
    """,
    """
    insert into invoice_snapshots (invoice_id, snapshot_id)
    select pg_temp.id_in(i.id, {earlier}), pg_temp.id_in(s.snapshot_id, {earlier})
    from invoice_snapshots as s join invoices as i on i.id = s.invoice_id
    cross join generate_series(1, :months) as k where i.month = :month
    """,
    """
    insert into invoice_details
    select (jsonb_populate_record(d, jsonb_build_object('invoice_id', pg_temp.id_in(d.invoice_id, {earlier})))).*
    from invoice_details as d join invoices as i on i.id = d.invoice_id
    cross join generate_series(1, :months) as k where i.month = :month
    """,
    """
    insert into ledger_transactions (id, organization_id, currency, month, event, invoice_change_id)
    overriding system value
    select -(id * 1000 + k), organization_id, currency, {earlier}, event, -(invoice_change_id * 1000 + k)
    from ledger_transactions cross join generate_series(1, :months) as k where month = :month
    """,
    """
    insert into ledger_entries (organization_id, currency, month, transaction_id, account, amount_cents)
    select organization_id, currency, {earlier}, -(transaction_id * 1000 + k), account, amount_cents
    from ledger_entries cross join generate_series(1, :months) as k where month = :month
    """,
)
_INVOICES = "(select id from invoices where month = :month)"
FORGET = (
    *(
        f"delete from {table} where invoice_id in {_INVOICES}"  # noqa: S608 our own literals
        for table in (
            "invoice_item_rollups", "invoice_items", "invoice_snapshots", "invoice_tax_rates", "invoice_taxes",
            "invoice_commitments", "invoice_details",
            "invoice_changes", "credit_entries", "corrected_snapshots", "correction_decisions",
        )
    ),
    *(
        f"delete from {table} where month = :month"  # noqa: S608 our own literals
        for table in ("adjustments", "usage_confirmations", "invoice_confirmations", "rollup_failures")
    ),
    "delete from ledger_entries where month = :month",
    "delete from ledger_transactions where month = :month",
    "delete from invoices where month = :month",
    "delete from usage_rollups where snapshot_id in (select id from usage_snapshots where month = :month)",
    "delete from usage_snapshots where month = :month",
)  # fmt: skip
LANDED = (
    "landing_days", "landed_months", "usage_files", "rejected_usage", "carried_months", "carried_levels",
    "usage_tables",
)  # fmt: skip
GROWN = (
    "usage_snapshots", "usage_rollups", "invoices", "invoice_items", "invoice_item_rollups", "invoice_snapshots",
    "invoice_details", "ledger_transactions", "ledger_entries",
)  # fmt: skip


def add_history(database: BillingDatabase, months: int) -> None:
    """Copy the final month into `months` months before it, and its totals into ten years; then remove the month."""
    parameters = {"month": MONTH.first_day, "months": months, "years": YEARS}
    with unguarded(database) as connection:
        connection.execute(text(_UNCHECKED))
        connection.execute(text(_ID_IN))
        for statement in COPIES:
            connection.execute(text(statement.format(earlier=_EARLIER)), parameters)
    forget_month(database, landed=True)


def forget_month(database: BillingDatabase, *, landed: bool) -> None:
    """Remove the month as if it had never been billed; with `landed`, as if its usage had never landed either."""
    with unguarded(database) as connection:
        connection.execute(text(_UNCHECKED))
        for statement in FORGET:
            connection.execute(text(statement), {"month": MONTH.first_day})
        for table in LANDED if landed else ():
            connection.execute(text(f"delete from {table}"))  # noqa: S608
    with database.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        for table in GROWN:
            connection.execute(text(f"vacuum analyze {table}"))
