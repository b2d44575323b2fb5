"""Credit notes that we ask Stripe to make arrive exactly once, and do what was asked with what the customer paid."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterInstance, build_sensor_context

from fly_billing.postgres.database import BillingDatabase
from fly_billing.resources.alerts import Alerts
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.resources.clock import Clock
from fly_billing.resources.stripe_account import StripeAccount
from fly_billing.sensors.alert_on_open_credits import alert_on_open_credits
from fly_billing.sensors.poll_stripe_events import poll_stripe_events
from fly_billing.stripe_sandbox import SandboxServer
from fly_billing.stripe_sync.credit_notes import (
    CreditRefused,
    approve_credit,
    send_credit,
    send_unfinished,
    withdraw_credit,
)
from fly_billing.stripe_sync.event_inbox import poll_events
from fly_billing.stripe_sync.invoice_sync import SyncTools
from fly_billing.stripe_sync.open_credits import list_open_credits
from fly_billing.stripe_sync.rules.credit_requests import OUTSIDE, TO_BALANCE, TO_CARD
from tests.support.alert_servers import Webhook
from tests.support.credit_builders import ask_for_credit, credit, notes, requests
from tests.support.stripe_builders import (
    API_KEY,
    MovableClock,
    bill_june,
    execute,
    invoice_in_stripe,
    query,
    sent,
    sync,
    sync_tools,
)


@pytest.fixture
def tools(billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path) -> SyncTools:
    """June 2023 of acme ($12.00), in Stripe and open."""
    bill_june(billing_database, tmp_path, acme=["12.00"])
    tools = sync_tools(billing_database, sandbox.url, clock=MovableClock(sandbox))
    sync(tools)
    return tools


@pytest.fixture
def paid(tools: SyncTools, sandbox: SandboxServer) -> SyncTools:
    """Acme paid its $12.00 by card."""
    invoice = invoice_in_stripe(sandbox, "acme")
    sandbox.control.act("give-card", invoice["customer"])
    sandbox.control.act("pay", invoice["id"])
    poll(tools)
    return tools


def poll(tools: SyncTools) -> None:
    now = tools.clock()
    poll_events(tools.journal.database, tools.reader(), now - timedelta(days=1), now)


def recorded(database: BillingDatabase) -> list[tuple[Any, ...]]:
    """List the recorded credit notes: (status, amount, unpaid, refunded, credited, outside, source)."""
    found = query(
        database,
        "select status, amount_cents, unpaid_cents, refunded_cents, credited_cents, out_of_band_cents, source"
        " from stripe_money where kind = 'credit_note' order by id",
    )
    return [tuple(row.values()) for row in found]


def balances(database: BillingDatabase) -> dict[str, int]:
    """Return the ledger's balances that are not zero: account -> cents."""
    found = query(
        database,
        "select account, cast(sum(amount_cents) as bigint) as cents from ledger_entries group by account"
        " having sum(amount_cents) <> 0",
    )
    return {row["account"]: row["cents"] for row in found}


def remaining(database: BillingDatabase) -> int:
    """Return what Stripe asks for with the invoice, as recorded here."""
    (row,) = query(database, "select remaining_cents from stripe_invoice_amounts order by number desc limit 1")
    return int(row["remaining_cents"])


def test_a_credit_note_on_an_open_invoice_lowers_what_it_asks_for(tools: SyncTools, sandbox: SandboxServer) -> None:
    """Of $12.00, $2.00 are credited: Stripe asks for $10.00, and so does the ledger."""
    made = credit(tools, "acme", "2.00")
    database = tools.journal.database
    assert (made.state, notes(sandbox)) == ("issued", [(200, 200, 0, 0, 0)])
    assert invoice_in_stripe(sandbox, "acme")["amount_remaining"] == 1000
    assert recorded(database) == [("issued", 200, 200, 0, 0, 0, "sync")]
    assert remaining(database) == 1000
    assert balances(database) == {"receivable": 1000, "revenue": -1000}


@pytest.mark.parametrize(
    ("to", "note", "accounts"),
    [
        # $2.00 go back to the card.
        (TO_CARD, (200, 0, 200, 0, 0), {"cash": 1000, "revenue": -1000}),
        # $2.00 become credit at Stripe for the next invoice.
        (TO_BALANCE, (200, 0, 0, 200, 0), {"cash": 1200, "revenue": -1000, "stripe_balance": -200}),
        # $2.00 are paid back by somebody else, outside Stripe.
        (OUTSIDE, (200, 0, 0, 0, 200), {"cash": 1000, "revenue": -1000}),
    ],
)
def test_a_credit_note_on_a_paid_invoice_goes_where_it_was_asked_to(
    paid: SyncTools, sandbox: SandboxServer, to: str, note: tuple[int, ...], accounts: dict[str, int]
) -> None:
    assert credit(paid, "acme", "2.00", to).state == "issued"
    poll(paid)
    assert notes(sandbox) == [note]
    assert len(recorded(paid.journal.database)) == 1  # the event of our own note brings no second state
    assert balances(paid.journal.database) == accounts


def test_the_customer_is_not_credited_twice_by_a_correction_note_and_one_at_stripe(
    paid: SyncTools, sandbox: SandboxServer
) -> None:
    """A correction already gave $7.00 of the $12.00 back as credit for the next invoice: $5.00 are left."""
    database = paid.journal.database
    execute(
        database,
        "with g as (insert into credit_grants (id, organization_id, amount, currency, description, granted_at, pays)"
        " select gen_random_uuid(), 'acme', 7, 'USD', 'Credit note', now(), 'net' returning id)"
        " insert into credit_notes (id, invoice_id, number, amount_cents, credit_grant_id, made_at, made_by)"
        " select gen_random_uuid(), i.id, 1, 700, g.id, now(), 'ann' from invoices as i, g where i.total_cents = 1200",
    )
    with pytest.raises(CreditRefused, match=r"of the invoice's \$12.00, \$7.00 are credited already: at most \$5.00"):
        credit(paid, "acme", "5.01", TO_CARD)
    assert credit(paid, "acme", "5.00", TO_CARD).state == "issued"
    assert notes(sandbox) == [(500, 0, 500, 0, 0)]


def test_what_a_refund_or_a_dispute_gave_back_can_not_be_credited_once_more(
    paid: SyncTools, sandbox: SandboxServer
) -> None:
    """Of $12.00, the dashboard refunded $5.00 without a credit note: $7.00 are left, and nothing after them."""
    invoice = invoice_in_stripe(sandbox, "acme")
    sandbox.control.act("refund", invoice["id"], amount=500)
    poll(paid)
    for to in (TO_CARD, TO_BALANCE, OUTSIDE):
        with pytest.raises(CreditRefused, match=r"^acme 2023-06: \$5.00 went back .* at most \$7.00 of what was paid"):
            credit(paid, "acme", "7.01", to)
    assert credit(paid, "acme", "7.00", TO_CARD).state == "issued"
    poll(paid)  # the refund of our own credit note is no further one
    with pytest.raises(CreditRefused, match=r"at most \$0.00 of what was paid"):
        credit(paid, "acme", "0.01")
    assert balances(paid.journal.database) == {"refunds": 500, "revenue": -500}


@pytest.mark.parametrize(("end", "left"), [("lose-dispute", "0.00"), ("win-dispute", "12.00"), (None, "0.00")])
def test_money_that_a_bank_holds_back_or_gave_back_is_not_credited(
    paid: SyncTools, sandbox: SandboxServer, end: str | None, left: str
) -> None:
    invoice = invoice_in_stripe(sandbox, "acme")
    sandbox.control.act("dispute", invoice["id"])
    if end:
        sandbox.control.act(end, invoice["id"])
    poll(paid)
    if left == "12.00":
        assert credit(paid, "acme", left).state == "issued"
    else:
        with pytest.raises(CreditRefused, match=rf"\$12.00 went back .* at most \${left}"):
            credit(paid, "acme", "1.00")


def test_a_credit_note_that_waited_while_the_dashboard_refunded_is_not_sent(
    paid: SyncTools, sandbox: SandboxServer
) -> None:
    """$6.00 wait for an approval. Meanwhile somebody refunds all $12.00: the customer must not have $18.00."""
    waiting = credit(paid, "acme", "6.00", limit=500)
    sandbox.control.act("refund", invoice_in_stripe(sandbox, "acme")["id"])
    poll(paid)
    approve_credit(paid.journal.database, waiting.id, "bo", paid.clock())
    (failed,) = send_unfinished(paid)
    assert (failed.state, notes(sandbox)) == ("failed", [])
    assert failed.failure is not None and failed.failure.startswith("$12.00 went back to the customer")


def test_a_refund_of_a_part_leaves_the_open_rest_creditable(tools: SyncTools, sandbox: SandboxServer) -> None:
    """$5.00 of $12.00 are paid and refunded: the open $7.00 can be credited, and no cent more."""
    invoice = invoice_in_stripe(sandbox, "acme")
    sandbox.control.act("give-card", invoice["customer"])
    sandbox.control.act("pay-part", invoice["id"], amount=500)
    sandbox.control.act("refund", invoice["id"])
    poll(tools)
    with pytest.raises(CreditRefused, match=r"\$5.00 went back .* at most \$0.00"):
        credit(tools, "acme", "7.01")
    assert credit(tools, "acme", "7.00").state == "issued"
    assert notes(sandbox) == [(700, 700, 0, 0, 0)]


def test_asking_twice_for_the_same_credit_makes_one_credit_note(paid: SyncTools, sandbox: SandboxServer) -> None:
    """Another reason is another credit."""
    assert len({credit(paid, "acme", "2.00").id for _ in range(3)}) == 1
    assert notes(sandbox) == [(200, 0, 0, 200, 0)]
    credit(paid, "acme", "2.00", why="another outage")
    assert len(notes(sandbox)) == 2


@pytest.mark.parametrize(
    ("amount", "to", "why"),
    [
        ("12.01", TO_BALANCE, r"of the invoice's \$12.00, \$0.00 are credited already: at most \$12.00"),
        ("0.00", TO_BALANCE, "more than 0"),
        ("2.00", TO_BALANCE, "a credit note needs a reason"),
    ],
)
def test_a_credit_that_makes_no_sense_is_refused_and_not_recorded(
    paid: SyncTools, amount: str, to: str, why: str
) -> None:
    with pytest.raises(CreditRefused, match=why):
        ask_for_credit(paid, "acme", amount, to, why="  " if "reason" in why else "an outage")
    assert requests(paid.journal.database) == []


def test_money_that_was_paid_outside_stripe_cannot_go_to_a_card(tools: SyncTools, sandbox: SandboxServer) -> None:
    sandbox.control.act("mark-paid", invoice_in_stripe(sandbox, "acme")["id"])
    with pytest.raises(CreditRefused, match=r"only \$0.00 were paid by card"):
        credit(tools, "acme", "2.00", TO_CARD)
    assert credit(tools, "acme", "2.00", OUTSIDE).state == "issued"


def test_an_invoice_that_stripe_does_not_have_or_that_is_void_cannot_be_credited(
    tools: SyncTools, sandbox: SandboxServer
) -> None:
    with pytest.raises(CreditRefused, match="bolt has no final invoice for 2023-06"):
        credit(tools, "bolt", "1.00")
    sandbox.control.act("void", invoice_in_stripe(sandbox, "acme")["id"])
    with pytest.raises(CreditRefused, match="the invoice is void at Stripe"):
        credit(tools, "acme", "1.00")


def test_above_the_limit_somebody_else_approves(paid: SyncTools, sandbox: SandboxServer) -> None:
    """The limit is $5.00. Ann asks for $6.00, can't approve it herself, and Bo does."""
    database = paid.journal.database
    waiting = credit(paid, "acme", "6.00", TO_CARD, limit=500)
    assert (waiting.state, send_unfinished(paid), notes(sandbox)) == ("waiting", [], [])
    with pytest.raises(CreditRefused, match="ann asked for this credit note: someone else must approve it"):
        approve_credit(database, waiting.id, "ann", paid.clock())
    approve_credit(database, waiting.id, "bo", paid.clock())
    assert [each.state for each in send_unfinished(paid)] == ["issued"]
    assert notes(sandbox) == [(600, 0, 600, 0, 0)]
    (row,) = query(database, "select made_by, approved_by from credit_requests")
    assert tuple(row.values()) == ("ann", "bo")
    assert credit(paid, "acme", "5.00", TO_CARD, limit=500).state == "issued"  # up to the limit: none needed


def test_what_waits_for_an_approval_counts_as_credited(paid: SyncTools) -> None:
    """$6.00 wait. Of the other $6.00, $7.00 can't be credited."""
    ask_for_credit(paid, "acme", "6.00", limit=500)
    with pytest.raises(CreditRefused, match=r"\$6.00 are credited already: at most \$6.00"):
        ask_for_credit(paid, "acme", "7.00")


def test_a_payment_between_planning_and_sending_makes_a_new_plan(tools: SyncTools, sandbox: SandboxServer) -> None:
    """The note of $2.00 was planned for the open invoice. The customer pays first, so $2.00 go to the balance."""
    asked = ask_for_credit(tools, "acme", "2.00")
    execute(tools.journal.database, "update credit_requests set unpaid_cents = 200")
    invoice = invoice_in_stripe(sandbox, "acme")
    sandbox.control.act("give-card", invoice["customer"])
    sandbox.control.act("pay", invoice["id"])
    assert send_credit(tools, asked.id).state == "issued"
    assert notes(sandbox) == [(200, 0, 0, 200, 0)]
    assert requests(tools.journal.database) == [("issued", 1)]


@pytest.mark.parametrize(
    "effect", ["drop_before_apply", "apply_then_drop", "applied_500", "stored_500", "conflict_409", "lock_timeout"]
)
@pytest.mark.parametrize("times", [1, 3])
def test_a_failing_stripe_delays_a_credit_note_and_never_doubles_it(
    paid: SyncTools, sandbox: SandboxServer, effect: str, times: int
) -> None:
    sandbox.control.add_fault(effect, "credit_notes.create", first=times)
    credit(paid, "acme", "2.00", TO_CARD)
    for _ in range(3):
        send_unfinished(paid)
    assert notes(sandbox) == [(200, 0, 200, 0, 0)]
    assert [state for state, _ in requests(paid.journal.database)] == ["issued"]
    assert len(recorded(paid.journal.database)) == 1


def test_stripe_that_stays_silent_leaves_the_outcome_unknown_until_it_answers(
    paid: SyncTools, sandbox: SandboxServer
) -> None:
    """Every response is lost, the first request was applied. Three days later its key is forgotten: a read finds it."""
    fault = sandbox.control.add_fault("apply_then_drop", "credit_notes.create")
    assert credit(paid, "acme", "2.00", TO_CARD).state == "unknown"
    sandbox.control.clear_faults(fault["id"])
    clock: Any = paid.clock
    clock.advance(hours=72)
    sandbox.control.clear_calls()
    assert [each.state for each in send_unfinished(paid)] == ["issued"]
    assert sent(sandbox) == []
    assert notes(sandbox) == [(200, 0, 200, 0, 0)]


def test_a_request_that_never_arrived_is_sent_under_a_new_key_after_days(
    paid: SyncTools, sandbox: SandboxServer
) -> None:
    fault = sandbox.control.add_fault("drop_before_apply", "credit_notes.create")
    assert credit(paid, "acme", "2.00", TO_CARD).state == "unknown"
    sandbox.control.clear_faults(fault["id"])
    clock: Any = paid.clock
    clock.advance(hours=72)
    assert [each.state for each in send_unfinished(paid)] == ["issued"]
    assert (notes(sandbox), requests(paid.journal.database)) == ([(200, 0, 200, 0, 0)], [("issued", 1)])


def test_what_stripe_refuses_fails_with_its_words_and_can_be_asked_for_again(
    paid: SyncTools, sandbox: SandboxServer
) -> None:
    """The payment is disputed, so Stripe refunds nothing. Once the dispute is won, the same command works."""
    invoice = invoice_in_stripe(sandbox, "acme")
    sandbox.control.act("dispute", invoice["id"])
    refused = credit(paid, "acme", "2.00", TO_CARD)
    assert (refused.state, notes(sandbox)) == ("failed", [])
    assert "charged back" in (refused.failure or "")
    assert send_unfinished(paid) == []
    sandbox.control.act("win-dispute", invoice["id"])
    assert credit(paid, "acme", "2.00", TO_CARD).state == "issued"
    assert notes(sandbox) == [(200, 0, 200, 0, 0)]


def test_a_credit_note_of_the_dashboard_counts_as_credited(paid: SyncTools, sandbox: SandboxServer) -> None:
    sandbox.control.act("credit-note", invoice_in_stripe(sandbox, "acme")["id"], amount=900, to="credit")
    with pytest.raises(CreditRefused, match=r"\$9.00 are credited already: at most \$3.00"):
        credit(paid, "acme", "3.01")


def test_one_credit_note_that_fails_stops_no_other(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path
) -> None:
    bill_june(billing_database, tmp_path, acme=["12.00"], bolt=["5.00"])
    tools = sync_tools(billing_database, sandbox.url)
    sync(tools)
    for name in ("acme", "bolt"):
        ask_for_credit(tools, name, "1.00")
    sandbox.control.act("void", invoice_in_stripe(sandbox, "acme")["id"])
    assert [each.state for each in send_unfinished(tools)] == ["failed", "issued"]
    assert notes(sandbox) == [(100, 100, 0, 0, 0)]


def problems(tools: SyncTools, *, hours: int = 0) -> list[tuple[str, str]]:
    """List what `fly-billing status` shows of credit notes: (problem, fix), without ids."""
    found = list_open_credits(tools.journal.database, tools.clock() + timedelta(hours=hours))
    return [(each.problem.replace(str(each.id), "ID"), each.fix.replace(str(each.id), "ID")) for each in found]


WITHDRAW = "withdraw it: `fly-billing withdraw-credit ID --by NAME --why REASON`"


def test_a_credit_note_that_waits_or_was_refused_or_is_stuck_is_listed_with_the_command_that_goes_on(
    paid: SyncTools, sandbox: SandboxServer
) -> None:
    """$6.00 wait for an approval, $2.00 were refused because of a dispute, and $1.00 got no answer for an hour."""
    ask_for_credit(paid, "acme", "6.00", limit=500)
    sandbox.control.act("dispute", invoice_in_stripe(sandbox, "acme")["id"])
    refused = credit(paid, "acme", "2.00", TO_CARD)
    sandbox.control.add_fault("drop_before_apply", "credit_notes.create")
    assert credit(paid, "acme", "1.00").state == "unknown"
    waiting = f"a credit note of $6.00 (an outage) waits for an approval by somebody else than ann. Or {WITHDRAW}"
    failed = f"a credit note of $2.00 (an outage) was refused: {refused.failure}. Fix the cause and send it again,"
    failed += f" or {WITHDRAW}"
    assert problems(paid) == [
        (waiting, "fly-billing approve-credit ID --by NAME"),
        (failed, "fly-billing send-credit ID"),
    ]
    stuck, fix = problems(paid, hours=2)[-1]
    assert stuck.startswith("a credit note of $1.00 (an outage) has not reached Stripe since 20")
    assert fix == "fly-billing send-credit ID"


def test_each_of_them_is_alerted_once(paid: SyncTools, webhook: Webhook) -> None:
    database = paid.journal.database
    asked = ask_for_credit(paid, "acme", "6.00", limit=500)
    resources = {
        "alerts": Alerts(alert_webhook_url=webhook.url),
        "billing_postgres": BillingPostgres(url=database.engine.url.render_as_string(hide_password=False)),
        "clock": Clock(),
    }

    def tick(cursor: str | None) -> tuple[str | None, str | None]:
        with (
            DagsterInstance.ephemeral() as instance,
            build_sensor_context(instance, cursor=cursor, resources=resources) as context,
        ):
            result = alert_on_open_credits.evaluate_tick(context)
        return result.cursor, result.skip_message

    cursor, said = tick(None)
    assert (cursor, said) == (f'["credit request {asked.id} waiting"]', "1 alert queued")
    assert tick(cursor) == (cursor, "nothing new")
    tick(None)  # the cursor is lost
    (row,) = query(database, "select subject, body from alerts")
    assert row["subject"] == "Credit note waits for an approval: acme 2023-06, $6.00"
    assert f"What to do: fly-billing approve-credit {asked.id} --by NAME" in row["body"]
    approve_credit(database, asked.id, "bo", paid.clock())
    assert tick(cursor) == ("[]", "nothing new")


def test_a_withdrawn_credit_note_is_never_made_and_frees_its_amount(paid: SyncTools, sandbox: SandboxServer) -> None:
    """$6.00 of $12.00 wait. Withdrawn, they can be credited again, but not by the same request."""
    waiting = ask_for_credit(paid, "acme", "6.00", limit=500)
    with pytest.raises(CreditRefused, match="withdrawing needs a name and a reason"):
        withdraw_credit(paid, waiting.id, "bo", " ")
    assert withdraw_credit(paid, waiting.id, "bo", "a mistake").state == "withdrawn"
    assert withdraw_credit(paid, waiting.id, "bo", "a mistake").state == "withdrawn"
    assert (send_credit(paid, waiting.id).state, send_unfinished(paid), problems(paid)) == ("withdrawn", [], [])
    approve_credit(paid.journal.database, waiting.id, "cy", paid.clock())
    with pytest.raises(CreditRefused, match="the same credit note was withdrawn"):
        credit(paid, "acme", "6.00")
    assert credit(paid, "acme", "12.00", why="goodwill", limit=2_000).state == "issued"
    assert notes(sandbox) == [(1200, 0, 0, 1200, 0)]
    (row,) = query(
        paid.journal.database, "select person, reason, amount_cents from finance_history where action = 'withdrawn'"
    )
    assert tuple(row.values()) == ("bo", "a mistake", 600)


def test_a_credit_note_that_may_be_at_stripe_is_not_withdrawn(paid: SyncTools, sandbox: SandboxServer) -> None:
    """The request of $2.00 was applied and its answer lost. Later, someone believes that it failed."""
    sandbox.control.add_fault("apply_then_drop", "credit_notes.create")
    unknown = credit(paid, "acme", "2.00", TO_CARD)
    with pytest.raises(CreditRefused, match="it is unknown and may be at Stripe"):
        withdraw_credit(paid, unknown.id, "bo", "no answer")
    sandbox.control.clear_faults()
    execute(paid.journal.database, "update credit_requests set state = 'failed'")
    with pytest.raises(CreditRefused, match=r"Stripe has its credit note cn_\w+: void it there first"):
        withdraw_credit(paid, unknown.id, "bo", "no answer")


def test_the_poll_of_events_sends_a_credit_note_that_stripe_did_not_answer(
    paid: SyncTools, sandbox: SandboxServer
) -> None:
    fault = sandbox.control.add_fault("drop_before_apply", "credit_notes.create")
    assert credit(paid, "acme", "2.00", TO_CARD).state == "unknown"
    sandbox.control.clear_faults(fault["id"])
    url = paid.journal.database.engine.url.render_as_string(hide_password=False)
    account = StripeAccount(api_key=API_KEY, api_base=sandbox.url)
    with DagsterInstance.ephemeral() as instance, build_sensor_context(instance) as context:
        poll_stripe_events(context, billing_postgres=BillingPostgres(url=url), stripe_account=account, clock=Clock())
    assert (notes(sandbox), requests(paid.journal.database)) == ([(200, 0, 200, 0, 0)], [("issued", 0)])
