"""Two customers' years, worked by hand against the sandbox. In cents; a debit is positive."""

from __future__ import annotations

from pathlib import Path

import pytest

from fly_billing.ledger.owed_and_asked import asked_differences
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.stripe_sandbox import SandboxServer
from tests.support.stripe_money import StripePlatform

JANUARY = BillingMonth(2024, 1)


@pytest.fixture
def acme(billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path) -> StripePlatform:
    return StripePlatform(billing_database, sandbox, tmp_path)


def check(acme: StripePlatform, owed: int, **balances: int) -> None:
    acme.poll()
    assert (acme.owed(), acme.asked(), acme.balances()) == (owed, owed, balances)
    assert asked_differences(acme.database) == []


def test_a_year_with_three_months_below_the_minimum_charge(acme: StripePlatform) -> None:
    """Stripe charges at least 0.50. Each month's total is carried over until the sum is large enough.

    | month | total | carried over before | asked for | carried over after |
    |---|---|---|---|---|
    | January | 0.18 | 0.00 | 0.00 | 0.18 |
    | February | 0.20 | 0.18 | 0.00 | 0.38 |
    | March | 0.09 | 0.38 | 0.00 | 0.47 |
    | April | 3.00 | 0.47 | 3.47 | 0.00 |

    acme pays April's 3.47, so the year's revenue of 3.47 is cash. It was 0.47 before, and nobody had paid.
    """
    january, february, march, april = (JANUARY.plus(number) for number in range(4))
    acme.bill(january, "0.18")
    check(acme, 18, stripe_balance=18, revenue=-18)
    acme.bill(february, "0.20")
    check(acme, 38, stripe_balance=38, revenue=-38)
    acme.bill(march, "0.09")
    check(acme, 47, stripe_balance=47, revenue=-47)
    assert acme.statement().headline() == (
        "Acme owes nothing. $0.47 is too small to charge and is added to the next invoice."
    )
    acme.bill(april, "3.00")
    check(acme, 347, receivable=347, revenue=-347)
    assert acme.statement().calculation() == [
        ("Unpaid invoices (1)", "$3.00"),
        ("Carried over, because it was below the minimum charge", "$0.47"),
        ("Owed", "$3.47"),
    ]
    acme.pay(april)
    check(acme, 0, cash=347, revenue=-347)


def test_a_year_with_a_lost_dispute(acme: StripePlatform) -> None:
    """acme pays 12.00 a month, and disputes February's payment. The bank decides for acme in April.

    | when | what | cash | disputed | written off | owed |
    |---|---|---|---|---|---|
    | January | 12.00, paid | 12.00 | | | 0.00 |
    | February | 12.00, paid | 24.00 | | | 0.00 |
    | March | acme disputes February's 12.00 | 12.00 | 12.00 | | 0.00 |
    | March | 12.00, not paid yet | 12.00 | 12.00 | | 12.00 |
    | April | the bank decides for acme | 12.00 | | 12.00 | 12.00 |
    | April | acme pays March | 24.00 | | 12.00 | 0.00 |

    Stripe does not ask for February again: 12.00 of the year's revenue of 36.00 is written off.
    """
    january, february, march = (JANUARY.plus(number) for number in range(3))
    for month in (january, february):
        acme.bill(month, "12.00")
        acme.pay(month)
    check(acme, 0, cash=2400, revenue=-2400)
    acme.act("dispute", february)
    check(acme, 0, cash=1200, disputed=1200, revenue=-2400)
    acme.bill(march, "12.00")
    check(acme, 1200, cash=1200, disputed=1200, receivable=1200, revenue=-3600)
    assert acme.statement().caveats() == ["Your bank disputes $12.00 that you paid. It is not part of what you owe."]
    acme.act("lose-dispute", february)
    check(acme, 1200, cash=1200, written_off=1200, receivable=1200, revenue=-3600)
    acme.pay(march)
    check(acme, 0, cash=2400, written_off=1200, revenue=-3600)
    assert acme.statement().caveats() == []
