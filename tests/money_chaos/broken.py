"""Ledgers broken on purpose, each by one statement after the migrations: the audit must detect them.

Keeps out: the campaign in which they break (campaign.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_DROP = """
create function drop_state() returns trigger language plpgsql as $$ begin return null; end $$;
create trigger a_drop_state before insert on stripe_money for each row when ({}) execute function drop_state();
"""
BROKEN: Mapping[str, Sequence[str]] = {
    "credit notes are not recorded": (_DROP.format("new.kind = 'credit_note'"),),
    "refunds are not recorded": (_DROP.format("new.kind = 'refund'"),),
    "disputes are not recorded": (_DROP.format("new.kind = 'dispute'"),),
    "balances are recorded and not posted": ("alter table stripe_money disable trigger post_stripe_money",),
    "a state is posted twice": (
        "drop index stripe_money_is_posted_once",
        """
        create trigger post_stripe_money_again after insert on stripe_money
        referencing new table as added for each statement execute function post_stripe_money()
        """,
    ),
    "parts of payments are not posted": ("alter table stripe_invoice_amounts disable trigger post_stripe_amounts",),
    "credit notes lose their tax": (
        """
        create function no_tax() returns trigger language plpgsql as $$
        begin new.tax_cents := null; return new; end $$
        """,
        "create trigger a_no_tax before insert on stripe_money for each row execute function no_tax()",
    ),
    "revenue is recognized twenty years too late": (
        """
        create function too_late() returns trigger language plpgsql as $$
        begin new.month := new.month + interval '20 years'; return new; end $$
        """,
        "create trigger a_too_late before insert on revenue_deferrals for each row when (new.amount_cents > 0)"
        " execute function too_late()",
    ),
    "credit notes leave their revenue deferred": (
        """
        create function stay_deferred() returns trigger language plpgsql as $$ begin return null; end $$
        """,
        "create trigger a_stay_deferred before insert on revenue_deferrals for each row"
        " when (new.stripe_money_id is not null) execute function stay_deferred()",
    ),
    "a payment is posted with the total": (
        """
        create or replace function asked_of_invoice(invoice invoices, from_status text) returns bigint
        language sql stable as $$ select greatest(invoice.total_cents, 0) $$
        """,
    ),
}
