"""The rights of the pipeline's, the API's and the readers' roles on each table of the billing database.

The role that runs migrations owns the tables and can change or drop anything. Runs, sensors and commands need only the
rights listed here. Every `fly-billing migrate` grants them again to the roles that exist. On your own server,
deploy/roles.sql creates the roles. All of them can read a table that is not listed, and none can write to it. A test
compares the list with all tables and statements.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

from fly_billing.postgres.statements import sql

PIPELINE = "fly_billing_pipeline"
READER = "fly_billing_reader"
# Reads the same, and calls the functions of EXECUTES, for `fly-billing api`. A local server has no such role, and
# neither has one with older roles: there the reader calls them.
API = "fly_billing_api"

# Stripe's data as received: customers' e-mail addresses, and links with which anyone can view and pay an invoice.
NOT_FOR_READERS = frozenset({"stripe_events"})

INSERT, UPDATE, DELETE = "insert", "update", "delete"
# Rights besides reading. Triggers also protect rows that are final, sent or kept as evidence, and only the owner can
# disable triggers. Rows that are deleted with their parent (`on delete cascade`) need no right.
WRITES: dict[str, frozenset[str]] = {
    table: frozenset(verbs)
    for table, verbs in {
        "accounting_periods": (INSERT,),
        "adjustments": (INSERT,),
        "alert_addresses": (INSERT, UPDATE, DELETE),
        "alert_unsubscriptions": (DELETE,),
        "alerts": (INSERT, UPDATE),
        "api_tokens": (INSERT, UPDATE),
        "billing_details": (INSERT, UPDATE),
        "billing_failures": (INSERT, UPDATE, DELETE),
        "billing_recoveries": (INSERT, UPDATE, DELETE),
        "carried_levels": (INSERT,),
        "carried_months": (INSERT, DELETE),
        "commitments": (INSERT, UPDATE, DELETE),
        "correction_approvals": (INSERT,),
        "correction_decisions": (INSERT,),
        "corrected_snapshots": (INSERT, DELETE),
        "coupons": (INSERT, UPDATE),
        "credit_entries": (INSERT,),
        "credit_expiries": (INSERT,),
        "credit_grants": (INSERT, UPDATE),
        "credit_notes": (INSERT,),
        "credit_requests": (INSERT, UPDATE),
        "customer_changes": (INSERT,),
        "discounts": (INSERT, UPDATE, DELETE),
        "failed_checks": (INSERT, UPDATE, DELETE),
        "first_alerts": (INSERT,),
        "invoice_changes": (INSERT,),
        "invoice_commitments": (INSERT, UPDATE, DELETE),
        "invoice_confirmations": (INSERT, UPDATE),
        "invoice_details": (INSERT, UPDATE),
        "invoice_items": (INSERT, UPDATE, DELETE),
        "invoice_snapshots": (INSERT, DELETE),
        "invoice_tax_rates": (INSERT, DELETE),
        "invoice_taxes": (INSERT, DELETE),
        "invoices": (INSERT, UPDATE, DELETE),
        "landed_months": (INSERT, UPDATE),
        "landing_days": (INSERT, UPDATE),
        "ledger_entries": (INSERT,),
        "ledger_transactions": (INSERT,),
        "meters": (INSERT, UPDATE),
        "negotiated_prices": (INSERT, UPDATE, DELETE),
        "one_off_items": (INSERT, UPDATE, DELETE),
        "organization_links": (INSERT, UPDATE, DELETE),
        "organization_history": (INSERT,),
        "organizations": (INSERT, UPDATE),
        "price_group_members": (INSERT, UPDATE),
        "page_link_revocations": (INSERT,),
        "prices": (INSERT, UPDATE, DELETE),
        "rejected_usage": (INSERT, UPDATE),
        "rejected_usage_waivers": (INSERT,),
        "revenue_deferrals": (INSERT,),
        "rollup_failures": (INSERT, UPDATE, DELETE),
        "spend_alerts": (INSERT,),
        "spend_cap_calls": (INSERT,),
        "spend_threshold_changes": (INSERT,),
        "spend_thresholds": (INSERT, UPDATE),
        "stripe_attempts": (INSERT, UPDATE),
        "stripe_customers": (INSERT, UPDATE),
        "stripe_events": (INSERT, UPDATE),
        "stripe_events_polled": (INSERT, UPDATE),
        "stripe_invoice_amounts": (INSERT,),
        "stripe_invoices": (INSERT, UPDATE),
        "stripe_money": (INSERT,),
        "stripe_pace": (INSERT, UPDATE),
        "stripe_reconciliations": (INSERT,),
        "stripe_repairs": (INSERT, UPDATE),
        "subscriptions": (INSERT, UPDATE),
        "sync_approvals": (INSERT,),
        "tax_customers": (INSERT, UPDATE, DELETE),
        "tax_rates": (INSERT, UPDATE, DELETE),
        "term_changes": (INSERT,),
        "term_decisions": (INSERT,),
        "threshold_checks": (INSERT, UPDATE),
        "usage_confirmations": (INSERT, UPDATE),
        "usage_files": (INSERT, UPDATE, DELETE),
        "usage_rollups": (INSERT, UPDATE),
        "usage_snapshots": (INSERT, UPDATE, DELETE),
        "usage_tables": (INSERT, UPDATE),
        "workspace_records": (INSERT, DELETE),
    }.items()
}

# The functions that run with the owner's rights. The pipeline's: items are added by set, and tables are analyzed,
# whoever calls them.
RUN_AS_OWNER = ("add_staged_items", "analyze_table", "stage_invoice_items")
# Only the API's role may call them: they trust its id of a token, which
# whoever reads the tables finds, too. Everyone may call any other function.
EXECUTES = (
    "acknowledge_cap_call_with_token",
    "add_spend_threshold_with_token",
    "issue_organization_token",
    "remove_spend_threshold_with_token",
    "revoke_page_link_with_token",
    "set_alert_address_with_token",
    "set_spend_cap_with_token",
    "unsubscribe_from_alerts",
)


def owns_tables(connection: Connection) -> bool:
    """Return True if this user can migrate: it owns the tables, or can create the first one."""
    return bool(connection.execute(text(sql("owns_tables"))).scalar_one())


def grant_rights(connection: Connection) -> None:
    """Grant the existing roles exactly the rights that they need. The connection must be the owner's."""
    roles = set(connection.execute(text(sql("roles_with_rights"))).scalars())
    tables = list(connection.execute(text(sql("billing_tables"))).scalars())
    pipelines = [role for role in (PIPELINE,) if role in roles]
    readers = [role for role in (API, READER) if role in roles]
    for role in pipelines:
        _grant(connection, role, {table: {"select", *WRITES.get(table, ())} for table in tables})
    for role in readers:
        _grant(connection, role, {table: {"select"} for table in tables if table not in NOT_FOR_READERS})
    for functions, callers in ((RUN_AS_OWNER, pipelines), (EXECUTES, readers[:1])):
        for function in functions:
            others = ", ".join(["public", *pipelines, *readers])
            connection.exec_driver_sql(f'revoke all on function "{function}" from {others}')
            for caller in callers:
                connection.exec_driver_sql(f'grant execute on function "{function}" to {caller}')


def _grant(connection: Connection, role: str, rights: dict[str, set[str]]) -> None:
    schema = connection.exec_driver_sql("select quote_ident(current_schema())").scalar_one()
    statements = [
        f"revoke all on all tables in schema {schema} from {role}",
        f"grant usage on schema {schema} to {role}",
        *(f'grant {", ".join(sorted(verbs))} on "{table}" to {role}' for table, verbs in rights.items()),
    ]
    for statement in statements:
        connection.exec_driver_sql(statement)
