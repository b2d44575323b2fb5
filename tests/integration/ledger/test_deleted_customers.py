"""Stripe deletes a balance with its customer: nothing promises it any more, and it is named until it is back.

Worked by hand, in cents: June's 12.00 are paid, and 5.00 of credit were given in the dashboard.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from fly_billing.ledger.owed_and_asked import asked_differences
from fly_billing.postgres.database import BillingDatabase
from fly_billing.stripe_sandbox import SandboxServer
from fly_billing.stripe_sync.client import make_stripe_client
from fly_billing.stripe_sync.money_inbox import FoundMoney, record_money
from fly_billing.stripe_sync.money_sweep import BALANCES, sweep_money
from fly_billing.stripe_sync.rules.events import ACTED_ON
from tests.support.stripe_builders import API_KEY, JULY, JUNE, execute, query, utc_now
from tests.support.stripe_money import StripePlatform, agree

LOST = ("customer_deleted", -500, 0)
CAVEAT = (
    "A credit of $5.00 was deleted with your customer account at Stripe. It is not in these sums, and reduces no"
    " invoice until we enter it again."
)


@pytest.fixture
def acme(billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path) -> StripePlatform:
    acme = StripePlatform(billing_database, sandbox, tmp_path)
    acme.bill(JUNE, "12.00")
    acme.pay()
    acme.act("credit", amount=500)
    agree(acme, -500)
    return acme


def customer(acme: StripePlatform) -> str:
    return str(query(acme.database, "select stripe_customer_id as id from organizations")[0]["id"])


def delete(acme: StripePlatform) -> str:
    """Delete the customer in Stripe; return its id."""
    id = customer(acme)
    make_stripe_client(API_KEY, acme.sandbox.url).v1.customers.delete(id)
    return id


def differences(acme: StripePlatform) -> list[tuple[str, int, int]]:
    return [(each.kind, each.here, each.there) for each in asked_differences(acme.database)]


def test_a_poll_asks_for_no_more_types_than_stripe_takes() -> None:
    assert "customer.deleted" in ACTED_ON
    assert len(ACTED_ON) <= 20


def test_the_credit_of_a_deleted_customer_is_not_promised_and_is_named(acme: StripePlatform) -> None:
    assert "A credit of $5.00 reduces the next invoice." in acme.statement().headline()
    delete(acme)
    acme.poll()
    assert acme.statement().headline() == "Acme owes nothing."
    assert acme.statement().caveats() == [CAVEAT]
    assert acme.owed() == 0
    assert differences(acme) == [LOST]
    (event,) = query(acme.database, "select outcome from stripe_events where type = 'customer.deleted'")
    assert event["outcome"] == "applied"


def test_the_sweep_finds_a_deletion_whose_event_never_came(acme: StripePlatform) -> None:
    delete(acme)
    sweep = sweep_money(acme.database, acme.tools.reader(), utc_now())
    assert (sweep.missed[BALANCES], sweep.problems) == (1, [])
    assert differences(acme) == [LOST]
    assert sum(sweep_money(acme.database, acme.tools.reader(), utc_now()).missed.values()) == 0
    acme.poll()
    assert differences(acme) == [LOST]


def test_the_next_invoice_asks_for_what_the_statement_says_and_the_rest_is_named(acme: StripePlatform) -> None:
    """A new customer without credit: July's 8.00 ask for 8.00, and the 5.00 are still named."""
    delete(acme)
    acme.poll()
    execute(acme.database, "update organizations set stripe_customer_id = null")
    acme.bill(JULY, "8.00")
    acme.poll()
    assert (acme.owed(), acme.asked(), acme.statement().owed()) == (800, 800, {"USD": 800})
    assert differences(acme) == [LOST]
    assert acme.statement().caveats() == [CAVEAT]


def test_credit_that_is_given_to_the_new_customer_settles_it(acme: StripePlatform) -> None:
    """2.00 of the 5.00 are given again, and then the other 3.00: acme owes 8.00 less 5.00."""
    delete(acme)
    acme.poll()
    execute(acme.database, "update organizations set stripe_customer_id = null")
    acme.bill(JULY, "8.00")
    acme.act("credit", JULY, amount=200)
    acme.poll()
    assert differences(acme) == [("customer_deleted", -300, 0)]
    acme.act("credit", JULY, amount=300)
    agree(acme, 800 - 500)
    assert acme.statement().caveats() == []
    assert acme.balances() == {"cash": 1200, "receivable": 800, "stripe_balance": -500, "revenue": -1500}


def test_a_customer_that_was_replaced_before_the_deletion_was_read_leaves_the_credit_named(
    acme: StripePlatform,
) -> None:
    """The organization has a new customer already, so the event is about nobody. The sweep sees that it has no 5.00."""
    delete(acme)
    execute(acme.database, "update organizations set stripe_customer_id = null")
    acme.bill(JULY, "8.00")
    acme.poll()
    assert sweep_money(acme.database, acme.tools.reader(), utc_now()).missed[BALANCES] == 1
    assert differences(acme) == [LOST]
    assert (acme.owed(), acme.asked()) == (800, 800)
    assert sum(sweep_money(acme.database, acme.tools.reader(), utc_now()).missed.values()) == 0


def test_an_amount_that_was_carried_over_is_lost_with_the_customer_too(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path
) -> None:
    """0.18 was too small to charge. Nobody asks for it any more."""
    acme = StripePlatform(billing_database, sandbox, tmp_path)
    acme.bill(JUNE, "0.18")
    acme.poll()
    delete(acme)
    acme.poll()
    assert acme.owed() == 0
    assert differences(acme) == [("customer_deleted", 18, 0)]
    assert acme.statement().caveats() == [
        "An amount of $0.18 was deleted with your customer account at Stripe. It is not in these sums, and is added to"
        " no invoice until we enter it again."
    ]


def test_a_customer_without_a_balance_leaves_nothing_to_name(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path
) -> None:
    acme = StripePlatform(billing_database, sandbox, tmp_path)
    acme.bill(JUNE, "12.00")
    acme.pay()
    delete(acme)
    acme.poll()
    assert differences(acme) == []
    assert acme.statement().caveats() == []


def test_a_deletion_that_is_read_again_is_recorded_once(acme: StripePlatform) -> None:
    gone = delete(acme)
    acme.poll()
    with acme.database.transaction() as connection:
        assert record_money(connection, FoundMoney(deleted={gone: utc_now()}), "polling", utc_now()) == 0
    assert differences(acme) == [LOST]


def test_a_customer_of_another_account_is_not_taken_for_deleted(acme: StripePlatform) -> None:
    """A wrong API key, or an id with a typing mistake: Stripe does not know the customer, and its credit stays."""
    execute(acme.database, "update organizations set stripe_customer_id = 'cus_elsewhere'")
    sweep = sweep_money(acme.database, acme.tools.reader(), utc_now())
    assert sweep.missed[BALANCES] == 0
    assert acme.owed() == -500


def test_a_balance_that_changed_before_the_deletion_and_was_not_read_stops_no_poll(acme: StripePlatform) -> None:
    """Another 1.00 was given and never read: the 5.00 that the statement promised are named."""
    acme.act("credit", amount=100)
    delete(acme)
    acme.poll()
    assert differences(acme) == [LOST]
