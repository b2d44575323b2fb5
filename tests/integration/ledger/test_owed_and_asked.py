"""Each kind of difference between the amounts owed and asked for at Stripe is named with its amounts, and repaired."""

from __future__ import annotations

from pathlib import Path

import pytest

from fly_billing.ledger.owed_and_asked import asked_differences
from fly_billing.postgres.database import BillingDatabase
from fly_billing.stripe_sandbox import SandboxServer
from fly_billing.stripe_sync.missed_statuses import apply_missed_statuses
from fly_billing.stripe_sync.money_inbox import record_asked
from fly_billing.stripe_sync.rules.invoice_amounts import read_asked_amounts
from tests.support.stripe_builders import JULY, JUNE, execute, utc_now
from tests.support.stripe_money import ACME, StripePlatform
from tests.support.unguarded import damage


@pytest.fixture
def acme(billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path) -> StripePlatform:
    """Acme owes 12.00 of June."""
    platform = StripePlatform(billing_database, sandbox, tmp_path)
    platform.bill(JUNE, "12.00")
    platform.poll()
    return platform


def found(acme: StripePlatform) -> list[tuple[str, int, int]]:
    return [(each.kind, each.here, each.there) for each in asked_differences(acme.database)]


def lose(acme: StripePlatform, *types: str) -> None:
    """Let the events of these types so far count as read, so that no poll applies them."""
    client = acme.tools.client
    for event in client.v1.events.list({"limit": 100, "types": list(types)}).data:
        execute(
            acme.database,
            "insert into stripe_events"
            " (id, type, created_at, received_at, source, object_id, livemode, outcome, reason)"
            " values (:id, :type, now(), now(), 'polling', 'lost', false, 'ignored', 'lost') on conflict do nothing",
            id=event.id, type=event.type,
        )  # fmt: skip


def sweep_invoice(acme: StripePlatform, **fields: object) -> None:
    """Record June's invoice as it is in Stripe, as the nightly sweep does; `fields` change it."""
    body = acme.tools.reader().invoice(acme.invoice()["id"])
    assert body is not None
    asked = read_asked_amounts({**body, **fields})
    assert asked is not None
    with acme.database.transaction() as connection:
        record_asked(connection, asked, "sweep", utc_now())


def test_what_is_read_and_posted_has_no_difference(acme: StripePlatform) -> None:
    acme.act("credit", amount=4000)
    acme.bill(JULY, "0.18", is_sent=False)
    acme.poll()
    assert found(acme) == []


def test_a_payment_whose_event_is_lost_is_named_and_repaired(acme: StripePlatform) -> None:
    """12.00 are due here and paid in Stripe. The repair applies the status once; a late event changes nothing."""
    acme.pay()
    lose(acme, "invoice.paid")
    acme.poll()
    sweep_invoice(acme)
    assert found(acme) == [("status", 1200, 0)]
    (difference,) = asked_differences(acme.database)
    stripe_id = acme.invoice()["id"]
    assert difference.cause == f"the invoice of 2023-06 ({stripe_id}) is paid in Stripe and open here"
    assert [apply_missed_statuses(acme.database, utc_now()) for _ in range(2)] == [1, 0]
    assert found(acme) == []
    assert acme.balances() == {"cash": 1200, "revenue": -1200}


@pytest.mark.parametrize(
    ("action", "event"), [("void", "invoice.voided"), ("write-off", "invoice.marked_uncollectible")]
)
def test_a_void_or_written_off_invoice_whose_event_is_lost_is_repaired(
    acme: StripePlatform, action: str, event: str
) -> None:
    acme.act(action)
    lose(acme, event)
    acme.poll()
    sweep_invoice(acme)
    assert found(acme) == [("status", 1200, 0)]
    assert apply_missed_statuses(acme.database, utc_now()) == 1
    assert (found(acme), acme.owed()) == ([], 0)


def test_a_credit_note_that_was_never_read_is_named(acme: StripePlatform) -> None:
    acme.act("credit-note", amount=500)
    lose(acme, "credit_note.created")
    sweep_invoice(acme)
    assert found(acme) == [("amount", 1200, 700)]


def test_an_invoice_that_is_not_ours_is_named(acme: StripePlatform) -> None:
    """Somebody bills 9.00 in the dashboard."""
    sweep_invoice(acme, id="in_by_hand", total=900, amount_due=900, amount_remaining=900)
    assert found(acme) == [("foreign", 0, 900)]


def test_a_balance_that_is_not_posted_is_named(acme: StripePlatform) -> None:
    execute(acme.database, "alter table stripe_money disable trigger post_stripe_money")
    acme.act("credit", amount=4000)
    acme.poll()
    assert found(acme) == [("balance", 0, -4000)]


def test_a_use_of_the_balance_that_is_not_read_yet_is_named(acme: StripePlatform) -> None:
    """40.00 of credit; July's 30.00 asks for nothing, which our sync knows before the poll reads the balance."""
    acme.act("credit", amount=4000)
    acme.poll()
    acme.bill(JULY, "30.00")
    assert [(each.kind, each.here) for each in asked_differences(acme.database)] == [("balance", 3000)]
    acme.poll()
    assert found(acme) == []


def test_a_balance_that_an_invoice_used_that_is_not_ours_is_named(acme: StripePlatform) -> None:
    """Of 40.00 of credit, an invoice made by hand used 9.00: they are missing for ours."""
    acme.act("credit", amount=4000)
    customer = acme.invoice()["customer"]
    client = acme.tools.client
    made = client.v1.invoices.create({"customer": customer, "currency": "usd"})
    client.v1.invoices.add_lines(made.id, {"lines": [{"amount": 900, "description": "by hand"}]})
    client.v1.invoices.finalize_invoice(made.id)
    acme.poll()
    assert found(acme) == [("used_elsewhere", -900, 0)]


def test_a_balance_in_another_currency_than_the_invoices_is_named_and_added_to_nothing(acme: StripePlatform) -> None:
    """40.00 EUR of credit beside invoices in USD: Stripe never uses it, so someone must decide."""
    acme.act("credit", amount=4000, currency="eur")
    acme.poll()
    (difference,) = asked_differences(acme.database)
    assert (difference.kind, difference.currency, difference.here, difference.there) == (
        "other_currency", "EUR", -4000, -4000,
    )  # fmt: skip
    assert difference.cause == "the customer balance is in EUR, and the invoices are in USD: none can use it"
    statement = acme.statement()
    assert statement.calculation() == [
        ("Credit for the next invoice", "-EUR 40.00"), ("Owed", "$12.00"),
    ]  # fmt: skip
    assert statement.headline() == (
        "Acme owes $12.00 on 1 unpaid invoice. A credit of EUR 40.00 reduces the next invoice in EUR."
    )
    assert statement.owed() == {"USD": 1200}


def test_a_customer_that_changed_its_currency_keeps_the_old_balance_until_someone_moves_it(
    acme: StripePlatform,
) -> None:
    """2.00 USD of credit; from now on acme is billed in EUR. Debited in USD and credited in EUR, nothing is left."""
    acme.act("credit", amount=200)
    acme.poll()
    assert found(acme) == []
    execute(acme.database, "update organizations set currency = 'EUR'")
    assert found(acme) == [("other_currency", -200, -200)]
    acme.act("debit", amount=200)
    acme.act("credit", amount=180, currency="eur")
    acme.poll()
    assert found(acme) == []
    assert acme.statement().balances()["EUR"].credit == 180


def test_a_changed_ledger_is_named_by_its_trial_balance(acme: StripePlatform) -> None:
    damage(acme.database, "update ledger_entries set amount_cents = amount_cents + 5 where account = 'receivable'")
    assert found(acme) == [("trial_balance", 5, 0), ("unexplained", 1205, 1200)]
    row = asked_differences(acme.database)[1].as_row(JUNE)
    assert (row["organization_id"], row["owed here"], row["asked in Stripe"], row["difference"]) == (
        ACME, "$12.05", "$12.00", "$0.05",
    )  # fmt: skip
