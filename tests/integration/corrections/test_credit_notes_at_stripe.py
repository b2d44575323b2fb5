"""A correction of an invoice that Stripe has can become a credit note there: once, with its taxes, no credit here."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from fly_billing.cli.main import app
from fly_billing.corrections.correction import Actor, Correction
from fly_billing.corrections.rebill import Booking, Rebill, Rebilling, rebill
from fly_billing.corrections.rules.guard import OFF
from fly_billing.errors import ActionableError
from fly_billing.ledger.owed_and_asked import asked_differences
from fly_billing.stripe_sandbox import SandboxServer
from fly_billing.stripe_sync.credit_notes import plan_credit, request_correction, send_unfinished
from fly_billing.stripe_sync.event_inbox import poll_events
from fly_billing.stripe_sync.invoice_sync import SyncTools
from tests.support.builders import CLOSED, DAY, OCTOBER, SEPTEMBER, TERMS, Platform, at, event, write_jsonl
from tests.support.credit_builders import notes
from tests.support.stripe_builders import API_KEY, invoice_in_stripe, sync, sync_tools

TENTH = date(2026, 10, 10)
LATER = CLOSED + timedelta(days=1)


@pytest.fixture
def tools(platform: Platform, sandbox: SandboxServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SyncTools:
    """September of acme is in Stripe and open: 100 requests at 0.10, and 20 % VAT. 10.00 + 2.00 = 12.00.

    Then it turns out that acme made 60 requests. 40 x 0.10 = 4.00 and 0.80 of VAT are too much: 4.80.
    """
    set_environment(platform, sandbox, tmp_path, monkeypatch)
    platform.add_tax("acme", "VAT", "20")
    platform.use(event("e1", "100"))
    tools = close_and_sync(platform, sandbox)
    use_sixty(platform)
    return tools


@pytest.fixture
def three_rates(
    platform: Platform, sandbox: SandboxServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> SyncTools:
    """September of acme is in Stripe and open: net 10.00 + 10.00 + 1.94, VAT 2.00 + 1.00 + 0.00, together 24.94.

    100 requests at 0.10 with 20 % VAT; 500 GB (of 600, 100 are free) at 0.02 with 10 %; 30 days of a machine at 1.94,
    exempt.
    """
    set_environment(platform, sandbox, tmp_path, monkeypatch)
    platform.add_tax("acme", "VAT", "20", tax="VAT")
    platform.add_tax("acme", "Reduced VAT", "10", tax="VAT", category="reduced", scope='{"products": ["Egress"]}')
    platform.add_tax(
        "acme", "No VAT", "0", tax="VAT", category="exempt", legal_text="Exempt", scope='{"products": ["Machines"]}'
    )
    use_three(platform, 100, 600, 30)
    return close_and_sync(platform, sandbox)


def close_and_sync(platform: Platform, sandbox: SandboxServer) -> SyncTools:
    platform.close()
    tools = sync_tools(platform.database, sandbox.url)
    sync(tools, SEPTEMBER)
    return tools


def set_environment(
    platform: Platform, sandbox: SandboxServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = platform.database.engine.url.render_as_string(hide_password=False)
    for name, value in {
        "DATABASE_URL": url, "DAGSTER_DATABASE_URL": url, "FLY_BILLING_DATA_DIR": str(tmp_path / "data"),
        "FLY_BILLING_LAKE_DIR": str(platform.usage_table.path), "FLY_BILLING_LANDING_DIR": str(platform.landing_dir),
        "STRIPE_API_KEY": API_KEY, "STRIPE_API_BASE": sandbox.url, "FLY_BILLING_CORRECTION_GUARD_PERCENT": "0",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)


def use_three(platform: Platform, requests: int, egress: int, days: int, now: datetime = CLOSED) -> None:
    usage = [
        event("e1", str(requests)), event("e2", str(egress), type="egress_gb", region="ams"),
        event("e3", str(days * 86_400), type="machine_seconds", preset="shared-cpu-1x", region="ams"),
    ]  # fmt: skip
    write_jsonl(platform.landing_dir, usage, DAY, "usage")
    platform.land(DAY, now=now)


def use_sixty(platform: Platform) -> None:
    write_jsonl(platform.landing_dir, [event("e1", "60")], DAY, "usage")
    platform.land(DAY, now=LATER)


def use_in_october(platform: Platform, requests: str) -> None:
    write_jsonl(platform.landing_dir, [event("e2", requests, time="2026-10-10T00:00:00Z")], TENTH, "october")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["rebill", "acme", "2026-09", *arguments], env={"COLUMNS": "132"})


def said(*arguments: str) -> str:
    """Run a command that succeeds, and return what it prints."""
    result = run(*arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def booked(platform: Platform) -> list[tuple[Any, ...]]:
    """List the adjustments: (amount, has a credit note here, has one at Stripe). Without both: on the next invoice."""
    rows = platform.query(
        "select amount, credit_note_id is not null as here, credit_request_id is not null as there from adjustments"
        " order by made_at, item_key"
    )
    return [tuple(row.values()) for row in rows]


def credits_here(platform: Platform) -> list[tuple[Any, ...]]:
    """List the credits that the next invoices use: (amount before tax, description)."""
    return [tuple(row.values()) for row in platform.query("select amount, description from credit_grants")]


def october(platform: Platform) -> int:
    """Return October's total in cents: a setup of 30.00 and its VAT of 6.00, and what it takes off or adds."""
    platform.add_one_off("acme", "Setup", "30.00", at("2026-10-03"))
    assert platform.close(OCTOBER).failures == []
    (row,) = platform.query("select total_cents from invoices where month = '2026-10-01'")
    return int(row["total_cents"])


def poll(tools: SyncTools) -> None:
    poll_events(tools.journal.database, tools.reader(), tools.clock() - timedelta(days=1), tools.clock())


def test_a_correction_lowers_the_open_invoice_at_stripe_by_its_amount_with_tax(
    platform: Platform, sandbox: SandboxServer, tools: SyncTools
) -> None:
    """Stripe asks for 12.00 - 4.80 = 7.20. October's 36.00 has nothing of it, and owed here is asked there."""
    text = said("--credit-note", "--to", "balance", "--why", "a meter counted twice")
    assert "Booked as a credit note at Stripe, taxes included." in text
    assert "Credit note of $4.80: Stripe has the credit note cn_" in text
    assert notes(sandbox) == [(480, 480, 0, 0, 0)]
    assert invoice_in_stripe(sandbox, "acme")["amount_remaining"] == 720
    assert booked(platform) == [(-4, False, True)]
    poll(tools)
    assert asked_differences(platform.database) == []
    assert credits_here(platform) == []
    assert october(platform) == 3600


@pytest.mark.parametrize(
    ("to", "note"),
    [("refund", (480, 0, 480, 0, 0)), ("balance", (480, 0, 0, 480, 0)), ("out-of-band", (480, 0, 0, 0, 480))],
)
def test_of_a_paid_invoice_it_goes_back_as_asked(
    sandbox: SandboxServer, tools: SyncTools, to: str, note: tuple[int, ...]
) -> None:
    invoice = invoice_in_stripe(sandbox, "acme")
    sandbox.control.act("give-card", invoice["customer"])
    sandbox.control.act("pay", invoice["id"])
    poll(tools)
    said("--credit-note", "--to", to)
    assert notes(sandbox) == [note]


def test_the_same_command_again_credits_nothing_more(
    platform: Platform, sandbox: SandboxServer, tools: SyncTools
) -> None:
    said("--credit-note", "--to", "balance")
    assert "no difference. The invoice is right." in said("--credit-note", "--to", "balance")
    assert notes(sandbox) == [(480, 480, 0, 0, 0)]
    assert len(booked(platform)) == 1


def test_without_a_destination_it_stays_credit_here(
    platform: Platform, sandbox: SandboxServer, tools: SyncTools
) -> None:
    """The next invoice uses 4.00 before tax, and so 0.80 of VAT less."""
    said("--credit-note")
    assert (notes(sandbox), booked(platform)) == ([], [(-4, True, False)])
    assert credits_here(platform) == [(4, "Credit note for 2026-09")]


def test_a_dry_run_shows_the_amount_with_tax_and_writes_and_sends_nothing(
    platform: Platform, sandbox: SandboxServer, tools: SyncTools
) -> None:
    text = said("--credit-note", "--to", "balance", "--dry-run")
    assert "It would be a credit note at Stripe of $4.80, with taxes." in text
    assert (notes(sandbox), booked(platform), platform.query("select id from credit_requests")) == ([], [], [])


# Taxes of items with different rates ----------------------------------------------------------------------------------


def taxes_of_notes(sandbox: SandboxServer) -> list[list[tuple[int, int]]]:
    """List the taxes of each credit note at Stripe: (tax, taxed amount), smallest first."""
    return [
        sorted((tax["amount"], tax["taxable_amount"]) for tax in body["total_taxes"])
        for body in sandbox.control.objects("credit_note")
    ]


@pytest.mark.parametrize(
    ("usage", "amount", "taxes"),
    [
        ((100, 350, 30), 550, [(50, 500)]),  # 250 GB x 0.02 at 10 %; a share of the invoice's tax would be 0.66
        ((60, 600, 30), 480, [(80, 400)]),  # 40 requests x 0.10 at 20 %; a share would be 0.58
        ((100, 600, 15), 97, []),  # half of 1.94, exempt; a share would be 0.12
        ((60, 350, 15), 1127, [(50, 500), (80, 400)]),  # all three
    ],
)
def test_the_credit_note_has_the_tax_of_the_corrected_items(
    platform: Platform, sandbox: SandboxServer, three_rates: SyncTools, usage: tuple[int, int, int], amount: int,
    taxes: list[tuple[int, int]],
) -> None:  # fmt: skip
    """Tax payable was 3.00 and falls by the tax of the corrected items; both sides have the same balance."""
    use_three(platform, *usage, now=LATER)
    said("--credit-note", "--to", "balance")
    assert (notes(sandbox), taxes_of_notes(sandbox)) == ([(amount, amount, 0, 0, 0)], [taxes])
    poll(three_rates)
    (payable,) = platform.query("select -sum(amount_cents) as cents from ledger_entries where account = 'tax_payable'")
    assert payable["cents"] == 300 - sum(tax for tax, _ in taxes)
    assert asked_differences(platform.database) == []


def test_the_next_invoice_gives_the_same_correction_back_to_the_cent(
    platform: Platform, three_rates: SyncTools
) -> None:
    """Setup 30.00 + 6.00 of VAT, less 4.00 + 0.80, 5.00 + 0.50 and 0.97: 36.00 - 11.27, as in the credit note above."""
    use_three(platform, 60, 350, 15, now=LATER)
    said()
    assert october(platform) == 3600 - 1127


def test_a_credit_note_that_stripe_makes_after_a_failure_has_the_same_taxes(
    platform: Platform, sandbox: SandboxServer, three_rates: SyncTools
) -> None:
    """A part is paid before Stripe answers, so the credit note is planned again: 5.50 with 0.50 of tax."""
    use_three(platform, 100, 350, 30, now=LATER)
    sandbox.control.add_fault("drop_before_apply", "credit_notes.create", first=9)
    run("--credit-note", "--to", "balance")
    sandbox.control.clear_faults()
    sandbox.control.act("give-card", invoice_in_stripe(sandbox, "acme")["customer"])
    sandbox.control.act("pay", invoice_in_stripe(sandbox, "acme")["id"])
    send_unfinished(three_rates)
    assert (notes(sandbox), taxes_of_notes(sandbox)) == ([(550, 0, 0, 550, 0)], [[(50, 500)]])


def test_a_correction_that_takes_tax_back_and_adds_some_is_for_the_next_invoice(
    platform: Platform, sandbox: SandboxServer, three_rates: SyncTools
) -> None:
    """40 requests less, 50 GB more: -4.00 - 0.80 + 1.00 + 0.10. A credit note can't charge the 0.10."""
    use_three(platform, 60, 650, 30, now=LATER)
    for arguments in ([], ["--dry-run"]):
        result = run("--credit-note", "--to", "balance", *arguments)
        assert "some of its taxes go up" in str(result.exception)
        assert "Leave out --credit-note" in str(result.exception)
    assert (booked(platform), notes(sandbox)) == ([], [])
    said()
    assert booked(platform) == [(1, False, False), (-4, False, False)]
    assert october(platform) == 3600 - 370


def test_tax_that_the_dashboard_took_back_is_not_taken_back_again(
    platform: Platform, sandbox: SandboxServer, three_rates: SyncTools
) -> None:
    """20.00 of 24.94 took back 0.80 of the 1.00 at 10 %. A correction of 150 GB needs 0.30, and 0.20 are left."""
    sandbox.control.act("credit-note", invoice_in_stripe(sandbox, "acme")["id"], amount=2000)
    use_three(platform, 100, 450, 30, now=LATER)
    result = run("--credit-note", "--to", "balance")
    assert "the tax of this correction is not left" in str(result.exception)
    assert (booked(platform), len(notes(sandbox))) == ([], 1)


def test_tax_that_the_dashboard_takes_back_before_the_correction_is_sent_fails_it(
    platform: Platform, sandbox: SandboxServer, three_rates: SyncTools
) -> None:
    use_three(platform, 100, 450, 30, now=LATER)
    book_and_die(platform, three_rates)
    sandbox.control.act("credit-note", invoice_in_stripe(sandbox, "acme")["id"], amount=2000)
    (failed,) = send_unfinished(three_rates)
    assert (failed.state, "the tax of this correction is not left" in str(failed.failure)) == ("failed", True)
    assert len(notes(sandbox)) == 1


# Kills and failures ---------------------------------------------------------------------------------------------------


def book_and_die(platform: Platform, tools: SyncTools) -> None:
    """Book the correction with its request, and be killed before anything is sent."""
    rebilling = Rebilling(platform.database, platform.usage_table, TERMS, OFF)
    dry = Rebill("acme", SEPTEMBER, Booking.AT_STRIPE, is_dry_run=True)
    found = rebill(rebilling, dry, Actor("ann", LATER)).correction
    assert found is not None
    plan = plan_credit(
        tools, "acme", SEPTEMBER, lambda currency, asked: found.gross_cents, "balance", why="a meter counted twice",
        made_by="ann", limit_cents=lambda currency: 10_000, corrected=found.taxes,
    )  # fmt: skip
    rebill(
        rebilling, Rebill("acme", SEPTEMBER, Booking.AT_STRIPE), Actor("ann", LATER),
        lambda connection, correction: request_correction(connection, plan, tools.clock()),
    )  # fmt: skip


@pytest.mark.parametrize("resumed_by", ["the poll of events", "the same command"])
def test_a_process_that_dies_after_booking_is_continued_once(
    platform: Platform, sandbox: SandboxServer, tools: SyncTools, resumed_by: str
) -> None:
    book_and_die(platform, tools)
    assert (notes(sandbox), len(booked(platform))) == ([], 1)
    if resumed_by == "the same command":
        assert "Credit note of $4.80: Stripe has" in said("--credit-note", "--to", "balance")
    for _ in range(2):
        send_unfinished(tools)
        said("--credit-note", "--to", "balance")
    assert (notes(sandbox), len(booked(platform))) == ([(480, 480, 0, 0, 0)], 1)


def test_a_process_that_dies_while_booking_books_and_asks_for_nothing(
    platform: Platform, sandbox: SandboxServer, tools: SyncTools
) -> None:
    rebilling = Rebilling(platform.database, platform.usage_table, TERMS, OFF)

    def dies(connection: object, correction: Correction) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rebill(rebilling, Rebill("acme", SEPTEMBER, Booking.AT_STRIPE), Actor("ann", LATER), dies)
    assert (booked(platform), platform.query("select id from credit_requests"), notes(sandbox)) == ([], [], [])
    said("--credit-note", "--to", "balance")
    assert (notes(sandbox), len(booked(platform))) == ([(480, 480, 0, 0, 0)], 1)


@pytest.mark.parametrize("effect", ["drop_before_apply", "apply_then_drop", "applied_500"])
def test_a_failing_stripe_delays_it_and_never_doubles_it(
    platform: Platform, sandbox: SandboxServer, tools: SyncTools, effect: str
) -> None:
    sandbox.control.add_fault(effect, "credit_notes.create", first=5)
    run("--credit-note", "--to", "balance")
    for _ in range(3):
        send_unfinished(tools)
    assert (notes(sandbox), len(booked(platform))) == ([(480, 480, 0, 0, 0)], 1)


def test_one_that_stripe_refuses_and_nobody_wants_becomes_credit_here(
    platform: Platform, sandbox: SandboxServer, tools: SyncTools
) -> None:
    """Withdrawn, the next invoice uses 4.00 before tax, and so 0.80 of VAT less. Nothing is credited at Stripe."""
    sandbox.control.add_fault("error", "credit_notes.create", status=400, type="invalid_request_error", message="No")
    failed = run("--credit-note", "--to", "balance")
    assert (failed.exit_code, "Nothing was credited: " in failed.output) == (1, True)
    sandbox.control.clear_faults()
    (request,) = platform.query("select id from credit_requests")
    arguments = ["withdraw-credit", str(request["id"]), "--by", "bo", "--why", "Stripe says no"]
    for _ in range(2):
        withdrawn = CliRunner().invoke(app, arguments)
        assert (withdrawn.exit_code, "It is withdrawn" in withdrawn.output) == (0, True)
    assert (notes(sandbox), credits_here(platform)) == ([], [(4, "Credit note for 2026-09")])
    assert platform.query("select amount_cents from credit_notes") == [{"amount_cents": 400}]
    assert asked_differences(platform.database) == []


# Refusals -------------------------------------------------------------------------------------------------------------


def test_a_charge_is_no_credit_note(platform: Platform, sandbox: SandboxServer, tools: SyncTools) -> None:
    write_jsonl(platform.landing_dir, [event("e1", "160")], DAY, "usage")
    platform.land(DAY, now=LATER)
    result = run("--credit-note", "--to", "balance")
    assert "the correction is a charge, and a credit note can't charge" in str(result.exception)
    assert (booked(platform), notes(sandbox)) == ([], [])


def test_what_stripe_can_not_credit_is_not_booked(platform: Platform, sandbox: SandboxServer, tools: SyncTools) -> None:
    """The dashboard credited 8.00 of the 12.00, so 4.80 are too much."""
    sandbox.control.act("credit-note", invoice_in_stripe(sandbox, "acme")["id"], amount=800)
    result = run("--credit-note", "--to", "balance")
    assert isinstance(result.exception, ActionableError)
    assert "$8.00 are credited already: at most $4.00 can be credited" in str(result.exception)
    assert (booked(platform), platform.query("select id from credit_requests")) == ([], [])


def test_an_invoice_that_prepaid_credit_paid_in_part_is_corrected_here(
    platform: Platform, sandbox: SandboxServer, tools: SyncTools
) -> None:
    """A deposit of 5.00 pays a part of October's 12.00. Of a correction of 7.20, a part goes back to the deposit."""
    platform.grant("acme", "Deposit", "5", pays="gross", granted_at=at("2026-10-01"))
    platform.add_one_off("acme", "Setup", "3.00", at("2026-10-03"))
    write_jsonl(
        platform.landing_dir, [event("e2", "70", time="2026-10-10T00:00:00Z")], at("2026-10-10").date(), "october"
    )
    platform.close(OCTOBER)
    sync(tools, OCTOBER)
    write_jsonl(
        platform.landing_dir, [event("e2", "10", time="2026-10-10T00:00:00Z")], at("2026-10-10").date(), "october"
    )
    platform.land(at("2026-10-10").date(), now=OCTOBER.closes_at(TERMS.grace) + timedelta(days=2))
    arguments = ["rebill", "acme", "2026-10", "--credit-note", "--to", "balance"]
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "132"})
    assert "credit paid a part of this invoice and gets it back" in str(result.exception)
    assert (booked(platform), notes(sandbox)) == ([], [])


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--to", "balance"], "--to is where a credit note at Stripe pays back: add --credit-note"),
        (["--credit-note", "--to", "cash"], "--to cash: choose from balance, refund, out-of-band"),
    ],
)
def test_a_destination_needs_a_credit_note_and_must_exist(tools: SyncTools, arguments: list[str], problem: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert problem in result.output.replace("\n", " ")
