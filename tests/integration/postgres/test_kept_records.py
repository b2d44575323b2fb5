"""Records that never change: each table is tried with DELETE, TRUNCATE and an UPDATE of each column.

Also with triggers off for a replica, as a restore or a careless session has it. A new table needs a decision here.
"""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from fly_billing.corrections.correction import Actor
from fly_billing.corrections.correction_run import correct_month
from fly_billing.corrections.rules.guard import OFF
from fly_billing.embedded_postgres import PostgresServer
from fly_billing.embedded_postgres.roles import OWNER
from fly_billing.embedded_postgres.server import connect
from tests.support.builders import SEPTEMBER, Platform, at, event, id_of, write_jsonl

# Rows are added and never change, or change in these columns only; none can be deleted.
APPEND_ONLY: dict[str, set[str]] = {
    "accounting_periods": set(),
    "adjustments": set(),
    "alerts": {"next_try_at", "refusals", "last_refusal", "taken_at", "given_up_at", "is_withdrawn"},
    "api_tokens": set(),
    "correction_approvals": set(),
    "correction_decisions": set(),
    "credit_entries": set(),
    "credit_expiries": set(),
    "credit_notes": set(),
    "credit_requests": set(),
    "customer_changes": set(),
    "first_alerts": set(),
    "invoice_changes": set(),
    "invoice_details": set(),
    "landed_months": set(),
    "ledger_entries": set(),
    "ledger_transactions": set(),
    "months_with_random_ids": set(),
    "landing_days": {"landed_at", "compared_at", "lake_version"},
    "organization_history": set(),
    "page_link_revocations": set(),
    "rejected_usage": {"is_free"},
    "rejected_usage_waivers": set(),
    "revenue_deferrals": set(),
    "spend_alerts": set(),
    "spend_cap_calls": set(),
    "spend_threshold_changes": set(),
    "spend_thresholds": {"removed_at"},
    "stripe_attempts": set(),
    "stripe_events": {"alerted_at", "recovery_told_at"},
    # Another generation: an invoice that was voided or deleted in Stripe is sent again.
    "stripe_invoices": {"run_id", "updated_at", "alerted_code", "generation"},
    "stripe_invoice_amounts": set(),
    "stripe_money": set(),
    "stripe_reconciliations": set(),
    "stripe_repairs": set(),
    "sync_approvals": set(),
    "term_changes": set(),
    "term_decisions": set(),
    "usage_files": set(),
    "usage_tables": {"acknowledged", "lost_after"},
}
# The parts of a final invoice: unchanged once it is final.
FROZEN: dict[str, set[str]] = {
    "coupons": {"months", "redeem_by", "most_redemptions"},
    "commitments": {"last_month"},
    "credit_grants": {"expires_at"},
    "discounts": {"last_month"},
    "invoice_commitments": {"counted"},
    "invoice_item_rollups": set(),
    "invoice_items": set(),
    "invoice_snapshots": set(),
    "invoice_tax_rates": set(),
    "invoice_taxes": set(),
    "invoices": {"status", "paid_at"},
    "negotiated_prices": {"effective_until"},
    "organization_links": {"last_month"},
    "price_group_members": {"effective_until"},
    "prices": {"effective_until", "match"},
    "subscriptions": {"ended_at", "billed"},
    "tax_rates": {"last_month"},
    "usage_rollups": set(),
    "usage_snapshots": {"is_current", "lake_version", "rolled_up_at"},
}
# Replaced as a whole only: a part of it would be wrong.
WHOLE: dict[str, set[str]] = {"carried_levels": set()}
# Current state, or data that can be rebuilt. Not emptied by accident either.
CURRENT = {
    "billing_details", "billing_failures", "billing_recoveries", "carried_months", "corrected_snapshots",
    "failed_checks", "invoice_confirmations", "meters", "threshold_checks", "usage_confirmations",
    "one_off_items", "organizations", "rollup_failures", "alert_addresses", "alert_unsubscriptions", "stripe_customers",
    "stripe_events_polled", "tax_customers", "workspace_records",
}  # fmt: skip
# Times of the next requests to Stripe: unlogged, and empty after a crash.
EMPTIED = {"stripe_pace"}
KEPT = APPEND_ONLY | FROZEN | WHOLE

# Another value of the same type.
OTHERWISE = {
    "bigint": "coalesce({0}, 0) + 1",
    "integer": "coalesce({0}, 0) + 1",
    "numeric": "coalesce({0}, 0) + 1",
    "boolean": "not coalesce({0}, false)",
    "text": "coalesce({0}, '') || 'x'",
    "character": "case {0} when 'USD' then 'EUR' else 'USD' end",
    "uuid": "gen_random_uuid()",
    "date": "coalesce({0}, '2026-01-01') + interval '1 month'",
    "timestamp with time zone": "coalesce({0}, now()) + interval '1 day'",
    "jsonb": """'{{"other": "1"}}'""",
    "ARRAY": "null",
}
JOURNALS = """
    insert into stripe_invoices (invoice_id, state, stripe_invoice_id, stripe_total_cents, updated_at, finalized_at)
    select id, 'finalized', 'in_1', total_cents, now(), now() from invoices where status <> 'open';
    insert into stripe_attempts (
        invoice_id, step, generation, idempotency_key, request_hash, sent_at, answered_at, outcome
    )
    select invoice_id, 'create', 0, 'key', 'hash', now(), now(), 'applied' from stripe_invoices;
    insert into credit_expiries (credit_grant_id, amount, recorded_at)
    select id, 1, now() from credit_grants limit 1;
    insert into stripe_repairs (
        stripe_invoice_id, claimed_invoice_id, step, idempotency_key, request_hash, run_id, sent_at, answered_at,
        outcome
    )
    values ('in_2', 'none', 'discard', 'key', 'hash', 'run', now(), now(), 'applied');
    insert into stripe_events (
        id, type, created_at, received_at, source, object_id, invoice_id, livemode, outcome, reason
    )
    select 'evt_1', 'invoice.paid', now(), now(), 'webhook', 'in_1', id, false, 'applied', 'paid' from invoices limit 1;
    insert into revenue_deferrals (month, invoice_change_id, organization_id, currency, amount_cents)
    select months.month, c.id, 'acme', 'USD', months.amount_cents
    from (values (date '2026-10-01', -100), ('2026-11-01', 100)) as months (month, amount_cents)
    cross join (select id from invoice_changes where to_status = 'finalized' limit 1) as c;
    insert into accounting_periods (month, last_transaction_id, closed_at, closed_by)
    values ('2026-09-01', 0, now(), 'ann');
    insert into credit_requests (
        id, invoice_id, amount_cents, pays_back, why, made_by, made_at, state, stripe_credit_note_id, updated_at
    )
    select gen_random_uuid(), id, 100, 'refund', 'an outage', 'ann', now(), 'issued', 'cn_1', now()
    from invoices limit 1;
    insert into stripe_money (
        object_id, number, kind, status, organization_id, currency, amount_cents, created_at, read_at, source
    )
    values ('re_1', 1, 'refund', 'succeeded', 'acme', 'USD', 100, now(), now(), 'webhook');
    insert into stripe_invoice_amounts (
        stripe_invoice_id, number, organization_id, status, currency, total_cents, starting_balance_cents, due_cents,
        paid_cents, remaining_cents, overpaid_cents, unpaid_credited_cents, paid_credited_cents, read_at, source
    )
    values ('in_1', 1, 'acme', 'open', 'USD', 100, 18, 118, 0, 118, 0, 0, 0, now(), 'sync');
    insert into sync_approvals (month, currency, total_cents, approved_by, approved_at)
    values ('2026-09-01', 'USD', 100, 'ann', now());
    insert into stripe_reconciliations (
        month, swept_at, run_id, invoices_here, invoices_in_stripe, totals_here, totals_in_stripe, discrepancies
    )
    values ('2026-09-01', now(), 'run', 1, 1, '{}', '{}', '[]');
    insert into correction_approvals (
        month, currency, total, up_to_decision, approved_by, why, approved_at
    )
    values ('2026-09-01', 'USD', 1, 0, 'ann', 'right', now());
    insert into correction_decisions (
        invoice_id, organization_id, month, currency, decision, gives_back, charges, causes, reason, decided_at,
        decided_by
    )
    select id, organization_id, month, currency, 'held', 1, 0, '{}', 'much', now(), 'ann' from invoices limit 1;
    insert into alerts (channel, code, subject, body, taken_at) values ('log', 'code', 'subject', 'body', now());
    insert into api_tokens (
        id, sha256, organization_id, scopes, name, issued_by, issued_at, expires_at, revoked_at, revoked_by
    )
    values (
        gen_random_uuid(), repeat('0', 64), 'acme', '{statement}', 'site', 'ann', now(), now() + interval '1 year',
        now(), 'ann'
    );
    insert into spend_thresholds (organization_id, kind, currency, amount_cents) values ('acme', 'amount', 'USD', 100);
    insert into spend_alerts (threshold_id, organization_id, month, currency, amount_cents, total_cents)
    select id, 'acme', '2026-09-01', 'USD', 100, 200 from spend_thresholds;
    insert into first_alerts (organization_id) values ('acme');
    insert into months_with_random_ids (month) values ('2026-08-01');
    insert into page_link_revocations (link_id, revoked_by) values (gen_random_uuid(), 'ann');
    insert into spend_cap_calls (
        organization_id, number, state, reason, month, currency, cap_cents, spent_cents, called_at
    )
    values ('acme', 1, 'reached', 'cap_reached', '2026-09-01', 'USD', 100, 200, now());
    insert into organization_history (organization_id, before_month, currency, price_book)
    values ('acme', '2026-11-01', 'USD', 'old');
    insert into term_changes (on_table, organization_id, first_month, what, changed_by)
    values ('subscriptions', 'acme', '2026-09-01', 'subscription support was added', 'ann');
    insert into customer_changes (organization_id, on_table, action, what, first_month, changed_by, why)
    values ('acme', 'subscriptions', 'added', 'subscription of acme to support', '2026-09-01', 'ann', 'asked for it');
    insert into term_decisions (invoice_id, up_to_change, decided_by, why, decided_at)
    select id, 1, 'ann', 'right', now() from invoices limit 1;
    insert into carried_months (month, lake_version) values ('2026-10-01', 1);
    insert into carried_levels (month, organization_id, meter, dimensions, series, level)
    values ('2026-10-01', 'acme', 'volume_gb', '{}', 'vol_1', 10);
    insert into rejected_usage_waivers (
        landing_day, path, line, reason, content_sha256, because, waived_by, waived_at
    )
    values ('2026-09-15', 'usage.jsonl', 2, 'negative_quantity', repeat('0', 64), 'a test', 'ann', now());
"""


@pytest.fixture(autouse=True)
def whoever_asks(postgres: PostgresServer) -> None:
    """Let the tables' owner switch off ordinary triggers, which otherwise only a superuser may."""
    with connect(postgres.port, postgres.superuser_password) as connection:
        connection.execute(f"grant set on parameter session_replication_role to {OWNER}")


@pytest.fixture
def booked(platform: Platform) -> Platform:
    """September is final for acme and for labs, whom acme pays for: with usage, all kinds of terms, and late usage that
    was corrected once as an adjustment and once as a credit note. Every kept table has rows."""
    platform.add_organization("labs")
    platform.link("labs", "acme")
    platform.insert("coupons", code="ten", description="10 % off", percent=10)
    platform.add_subscription("acme", "support", at("2026-01-10"))
    platform.insert("price_group_members", price_group="early", organization_id="acme", effective_from=at("2026-01-10"))
    platform.insert(
        "negotiated_prices", id=id_of("early"), book="fly", key="support", price_group="early",
        charges='{"percent_off": "10"}', effective_from=at("2026-01-10"),
    )  # fmt: skip
    platform.redeem("acme", "ten")
    platform.commit("acme", "minimum", "60", months=3)
    platform.grant("acme", "prepaid", "1000", scope='{"kinds": ["one_off"]}')
    platform.add_tax("acme", "VAT", "20", is_inclusive=True)
    platform.add_one_off("acme", "setup", "5", at("2026-09-10"))
    write_jsonl(platform.landing_dir, [event("e1", "3"), event("e2", "-1"), event("e3", "2", subject="labs")])
    platform.close()
    write_jsonl(platform.landing_dir, [event("e1", "3"), event("e2", "-1"), event("e4", "2")])
    platform.land(now=at("2026-10-05"))
    platform.roll_up(now=at("2026-10-05"))
    correct_month(
        platform.database, SEPTEMBER, ["acme"], platform.usage_table, Actor("ann", at("2026-10-05")), guard=OFF
    )
    with platform.database.transaction() as connection:
        for statement in JOURNALS.split(";\n"):
            if statement.strip():
                connection.execute(text(statement))
        connection.execute(
            text(
                "insert into credit_notes (id, invoice_id, number, amount_cents, credit_grant_id, made_at, made_by)"
                " select :id, i.id, 1, 100, g.id, now(), 'ann' from invoices as i, credit_grants as g limit 1"
            ),
            {"id": id_of("note")},
        )
    return platform


def tables_of(platform: Platform) -> dict[str, dict[str, str]]:
    """Table -> column -> type."""
    found: dict[str, dict[str, str]] = {}
    for row in platform.query(
        "select table_name, column_name, data_type, is_identity from information_schema.columns"
        " join information_schema.tables using (table_schema, table_name)"
        " where table_schema = current_schema() and table_type = 'BASE TABLE' and table_name <> 'alembic_version'"
    ):
        columns = found.setdefault(row["table_name"], {})
        if row["is_identity"] == "NO":  # those can't be set at all
            columns[row["column_name"]] = row["data_type"]
    return found


def refusal(platform: Platform, statement: str, role: str) -> str | None:
    """Return the database's message if it refuses this statement, which is rolled back in any case."""
    with platform.database.engine.connect() as connection:
        connection.execute(text(f"set session_replication_role = {role}"))
        try:
            connection.execute(text(statement))
        except IntegrityError as problem:
            return str(problem.orig)
        finally:
            connection.rollback()
            connection.execute(text("reset session_replication_role"))
            connection.commit()
        return None


def test_every_table_has_a_decision_about_its_rows(platform: Platform) -> None:
    decided = [*KEPT, *CURRENT, *EMPTIED]
    assert len(set(decided)) == len(decided)
    assert set(decided) == set(tables_of(platform))


@pytest.mark.parametrize("role", ["origin", "replica"])
def test_a_kept_record_can_not_be_deleted_changed_or_truncated(booked: Platform, role: str) -> None:
    tables = tables_of(booked)
    empty = [table for table in KEPT if not booked.query(f"select from {table} limit 1")]
    assert empty == []
    allowed = []
    for table, changing in KEPT.items():
        statements = [f"delete from {table}", f"truncate {table} cascade"]  # noqa: S608
        statements += [
            f"update {table} set {name} = {OTHERWISE[kind].format(name)}"  # noqa: S608
            for name, kind in tables[table].items()
            if name not in changing
        ]
        allowed += [statement for statement in statements if refusal(booked, statement, role) is None]
    assert allowed == []


@pytest.mark.parametrize("role", ["origin", "replica"])
def test_current_state_can_not_be_truncated_either(platform: Platform, role: str) -> None:
    allowed = [table for table in sorted(CURRENT) if refusal(platform, f"truncate {table} cascade", role) is None]
    assert allowed == []
    assert refusal(platform, "truncate stripe_pace", role) is None


def test_every_refusal_holds_in_every_session(platform: Platform) -> None:
    ordinary = platform.query(
        "select tgrelid::regclass::text as on_table, tgname from pg_trigger"
        " where not tgisinternal and tgname like 'refuse\\_%' and tgenabled <> 'A'"
    )
    assert ordinary == []


def test_only_landing_a_day_again_replaces_its_records(booked: Platform) -> None:
    """The day lands again with 5 requests in one file; no manual transaction can remove its file."""
    refused(booked, "usage_files of 2026-09-15", "delete from usage_files where landing_day = '2026-09-15'")
    refused(booked, "rejected_usage of 2026-09-15", "delete from rejected_usage where line = 2")
    write_jsonl(booked.landing_dir, [event("e1", "3"), event("e4", "2")])
    booked.land(now=at("2026-10-06"))
    assert booked.query("select accepted, rejected from usage_files where landing_day = '2026-09-15'") == [
        {"accepted": 2, "rejected": 0}
    ]
    assert booked.rejected() == []


def test_carried_levels_are_deleted_only_as_a_whole_month(booked: Platform) -> None:
    refused(booked, "carried into 2026-10 are kept as a whole", "delete from carried_levels where series = 'vol_1'")
    added = (
        "insert into carried_levels (month, organization_id, meter, dimensions, series, level)"
        " values ('2026-10-01', 'acme', 'volume_gb', '{}', 'vol_2', 10)"
    )
    refused(booked, "carried into 2026-10 are kept as a whole", added)
    booked.execute("delete from carried_months where month = '2026-10-01'")
    assert booked.query("select from carried_levels") == []


def test_the_response_to_a_request_is_recorded_once(booked: Platform) -> None:
    booked.execute(
        "insert into stripe_attempts (invoice_id, step, generation, idempotency_key, request_hash, sent_at)"
        " select invoice_id, 'finalize', 0, 'key 2', 'hash', now() from stripe_invoices"
    )
    answer = "update stripe_attempts set outcome = '{}', answered_at = now() where idempotency_key = 'key 2'"
    booked.execute(answer.format("applied"))
    refused(booked, "stripe_attempts is kept as it was written", answer.format("not_applied"))


def test_a_waiting_event_is_settled_once(booked: Platform) -> None:
    booked.execute(
        "insert into stripe_events"
        " (id, type, created_at, received_at, source, object_id, invoice_id, livemode, outcome, reason)"
        " select 'evt_2', type, created_at, received_at, source, object_id, invoice_id, livemode, 'waiting', 'sync'"
        " from stripe_events"
    )
    booked.execute("update stripe_events set outcome = 'applied', reason = 'paid' where id = 'evt_2'")
    refused(
        booked,
        "outcome, reason can not be changed",
        "update stripe_events set outcome = 'ignored', reason = 'x' where id = 'evt_2'",
    )


# --- One final invoice per organization and month ------------------------------------------------------------------


OPEN = (
    "insert into invoices"
    " (id, organization_id, month, revision, origin, status, currency, amount, total_cents, computed_at)"
    " values (:id, :organization, '2026-09-01', :revision, :origin, 'open', 'USD', 0, 0, now())"
)
FINALIZE = "update invoices set status = 'finalized', finalized_at = now(), due_on = '2026-12-01' where id = :id"


def refused(platform: Platform, because: str, statement: str, **parameters: object) -> None:
    with pytest.raises(IntegrityError, match=because):
        platform.execute(statement, **parameters)


@pytest.mark.parametrize("origin", ["billed", "imported"])
@pytest.mark.parametrize("status", ["finalized", "paid", "uncollectible"])
def test_an_organization_has_no_second_invoice_of_a_month_beside_its_final_one(
    platform: Platform, origin: str, status: str
) -> None:
    platform.use(event("e1", "3"))
    platform.close()
    if status != "finalized":
        paid_at = "now()" if status == "paid" else "null"
        platform.execute(f"update invoices set status = :status, paid_at = {paid_at}", status=status)  # noqa: S608
    again = {"id": id_of("again"), "organization": "acme", "revision": 1, "origin": origin}
    refused(platform, "one_invoice_per_organization_and_month", OPEN, **again)


def test_an_organization_has_no_second_open_invoice_of_a_month(platform: Platform) -> None:
    platform.execute(OPEN, id=id_of("one"), organization="acme", revision=0, origin="billed")
    again = {"id": id_of("again"), "organization": "acme", "revision": 1, "origin": "billed"}
    refused(platform, "one_invoice_per_organization_and_month", OPEN, **again)


def test_a_void_invoice_is_followed_by_another_and_never_becomes_valid_again(platform: Platform) -> None:
    platform.use(event("e1", "3"))
    platform.close()
    platform.execute("update invoices set status = 'void'")
    platform.execute(OPEN, id=id_of("again"), organization="acme", revision=1, origin="billed")
    platform.execute(FINALIZE, id=id_of("again"))
    refused(platform, "it can not become finalized", "update invoices set status = 'finalized' where revision = 0")


def test_an_organization_whose_payer_is_billed_for_it_has_no_final_invoice_itself(platform: Platform) -> None:
    platform.add_organization("labs")
    platform.link("labs", "acme")
    platform.execute(OPEN, id=id_of("labs"), organization="labs", revision=0, origin="billed")
    refused(platform, "2026-09 labs is on the invoice of its payer acme", FINALIZE, id=id_of("labs"))
