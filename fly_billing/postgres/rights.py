"""What the pipeline and readers may do with each table of the billing database. Keeps out: making roles.

Whoever runs migrations owns the tables, and could change or drop anything; runs, sensors and commands need only this.
Every `fly-billing migrate` grants these rights again to the roles that exist: on a server of your own, deploy/roles.sql
makes them. A table that is not listed here can be read by both and written by neither; a test compares the list with
the tables and statements that there are.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

from fly_billing.postgres.statements import sql

PIPELINE = "fly_billing_pipeline"
READER = "fly_billing_reader"

# What Stripe sent as it sent it: e-mail addresses of customers, and links that let anyone see and pay an invoice.
NOT_FOR_READERS = frozenset({"stripe_events"})

INSERT, UPDATE, DELETE = "insert", "update", "delete"
# Beyond reading. Rows that are final, sent or kept as evidence are guarded by triggers too, which only the owner can
# disable. Rows that go with the row they belong to (`on delete cascade`) need no right.
WRITES: dict[str, frozenset[str]] = {
    table: frozenset(verbs)
    for table, verbs in {
        "adjustments": (INSERT,),
        "alerts": (INSERT, UPDATE),
        "billing_failures": (INSERT, UPDATE, DELETE),
        "billing_recoveries": (INSERT, UPDATE, DELETE),
        "carried_levels": (INSERT,),
        "carried_months": (INSERT, DELETE),
        "commitments": (INSERT,),
        "correction_approvals": (INSERT,),
        "correction_decisions": (INSERT,),
        "corrected_snapshots": (INSERT, DELETE),
        "coupons": (INSERT, UPDATE),
        "credit_entries": (INSERT,),
        "credit_grants": (INSERT,),
        "credit_notes": (INSERT,),
        "discounts": (INSERT,),
        "invoice_changes": (INSERT,),
        "invoice_commitments": (INSERT, UPDATE, DELETE),
        "invoice_item_rollups": (INSERT,),
        "invoice_items": (INSERT, UPDATE, DELETE),
        "invoice_snapshots": (INSERT, DELETE),
        "invoice_tax_rates": (INSERT, DELETE),
        "invoice_taxes": (INSERT, DELETE),
        "invoices": (INSERT, UPDATE, DELETE),
        "landed_months": (INSERT, UPDATE),
        "landing_days": (INSERT, UPDATE),
        "meters": (INSERT, UPDATE),
        "negotiated_prices": (INSERT, UPDATE),
        "one_off_items": (INSERT,),
        "organization_links": (INSERT,),
        "organization_history": (INSERT,),
        "organizations": (INSERT, UPDATE),
        "price_group_members": (INSERT, UPDATE),
        "prices": (INSERT, UPDATE),
        "rejected_usage": (INSERT, UPDATE),
        "rollup_failures": (INSERT, UPDATE, DELETE),
        "spend_alerts": (INSERT,),
        "spend_thresholds": (INSERT, DELETE),
        "stripe_attempts": (INSERT, UPDATE),
        "stripe_events": (INSERT, UPDATE),
        "stripe_events_polled": (INSERT, UPDATE),
        "stripe_invoices": (INSERT, UPDATE),
        "stripe_pace": (INSERT, UPDATE),
        "stripe_reconciliations": (INSERT,),
        "stripe_repairs": (INSERT, UPDATE),
        "subscriptions": (INSERT, UPDATE),
        "sync_approvals": (INSERT,),
        "tax_rates": (INSERT, UPDATE),
        "term_changes": (INSERT,),
        "term_decisions": (INSERT,),
        "usage_files": (INSERT, UPDATE, DELETE),
        "usage_rollups": (INSERT, UPDATE),
        "usage_snapshots": (INSERT, UPDATE, DELETE),
        "usage_tables": (INSERT, UPDATE),
    }.items()
}


def owns_tables(connection: Connection) -> bool:
    """Tell whether this user may migrate: owns what there is, or may make the first table."""
    return bool(connection.execute(text(sql("owns_tables"))).scalar_one())


def grant_rights(connection: Connection) -> None:
    """Give the roles that exist exactly what they need of the tables that there are; the connection is the owner's."""
    roles = set(connection.execute(text(sql("roles_with_rights"))).scalars())
    tables = list(connection.execute(text(sql("billing_tables"))).scalars())
    if PIPELINE in roles:
        _grant(connection, PIPELINE, {table: {"select", *WRITES.get(table, ())} for table in tables})
    if READER in roles:
        _grant(connection, READER, {table: {"select"} for table in tables if table not in NOT_FOR_READERS})


def _grant(connection: Connection, role: str, rights: dict[str, set[str]]) -> None:
    schema = connection.exec_driver_sql("select quote_ident(current_schema())").scalar_one()
    statements = [
        f"revoke all on all tables in schema {schema} from {role}",
        f"grant usage on schema {schema} to {role}",
        *(f'grant {", ".join(sorted(verbs))} on "{table}" to {role}' for table, verbs in rights.items()),
    ]
    for statement in statements:
        connection.exec_driver_sql(statement)
