"""The amount that a promotional credit paid goes back to the credit, by the ledger that the database keeps."""

from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest

from fly_billing.corrections.correction import Actor
from fly_billing.corrections.correction_run import correct_month
from fly_billing.corrections.reissue import reissue
from fly_billing.corrections.rules.guard import OFF
from fly_billing.periods import BillingMonth
from fly_billing.statements.explanation_reader import read_explanation
from fly_billing.statements.statement_reader import read_statement
from tests.support.builders import CLOSED, DAY, OCTOBER, SEPTEMBER, TERMS, Platform, at, event, id_of, write_jsonl

LATER = CLOSED + timedelta(days=10)
NOVEMBER = BillingMonth(2026, 11)
OCTOBER_DAY = date(2026, 10, 15)


def correct(platform: Platform, quantity: str) -> Decimal:
    """September's usage turns out to be this number of requests of 0.10."""
    write_jsonl(platform.landing_dir, [event("e1", quantity)], DAY, "usage")
    platform.land(DAY, now=LATER)
    platform.roll_up(now=LATER)
    done = correct_month(
        platform.database,
        SEPTEMBER,
        platform.organizations(),
        platform.usage_table,
        Actor("ann", LATER, "wrong"),
        guard=OFF,
        with_terms=True,
    )
    assert not done.failures
    return sum((correction.amount for correction in done.found), Decimal(0))


def use_in_october(platform: Platform, quantity: str) -> None:
    used = event("e2", quantity, time=f"{OCTOBER_DAY}T12:00:00Z")
    write_jsonl(platform.landing_dir, [used], OCTOBER_DAY, "usage")


def correct_october(platform: Platform, now: datetime) -> None:
    platform.land(OCTOBER_DAY, now=now)
    platform.roll_up(OCTOBER, now)
    actor = Actor("ann", now, "wrong")
    done = correct_month(platform.database, OCTOBER, ["acme"], platform.usage_table, actor, guard=OFF, with_terms=True)
    assert not done.failures


def ledger(platform: Platform) -> list[tuple[str, int]]:
    """Return the kind and the cents of each entry of acme's credit."""
    return [
        (row["kind"], int(row["cents"]))
        for row in platform.query("select kind, amount * 100 as cents from credit_entries order by id")
    ]


def left(platform: Platform) -> int:
    """Return the remaining cents of acme's credit."""
    return sum(cents for _, cents in ledger(platform))


def all_is_explained(platform: Platform) -> bool:
    """Return True if every item of every invoice can be recalculated."""
    ids = [row["id"] for row in platform.query("select id from invoice_items")]
    return not any(read_explanation(platform.database, item_id).explanation.problems for item_id in ids)


def test_a_month_paid_by_credit_that_is_corrected_returns_credit_and_no_money(platform: Platform) -> None:
    """100.00 by credit, 10.00 in the end: October is 0.00 and not -90.00, tax included, and 90.00 are left."""
    platform.grant("acme", "Welcome", "100")
    platform.add_tax("acme", "VAT", "19")
    platform.use(event("e1", "1000"))
    platform.close()
    assert correct(platform, "100") == 0
    assert correct(platform, "100") == 0
    assert ledger(platform) == [("granted", 10000), ("drawn", -10000), ("given_back", 9000)]
    platform.close(OCTOBER)
    assert platform.totals() == [0, 0]
    assert platform.items(OCTOBER) == [
        ("adjustment", "Credit for 2026-09: Welcome, which had paid requests as used", Decimal(90)),
        (
            "adjustment",
            "requests as used, 2026-09: 100 requests instead of 1,000 requests (corrected rows)",
            Decimal(-90),
        ),
    ]
    assert left(platform) == 9000
    assert all_is_explained(platform)


def test_a_month_paid_by_credit_and_money_is_corrected_up_and_down_and_to_nothing(platform: Platform) -> None:
    """60 + 40 with 19 % on the 40. To 130: 30 in money, as the credit is used up. To 50: 70 less 10 for the credit."""
    platform.grant("acme", "Welcome", "60")
    platform.add_tax("acme", "VAT", "19")
    platform.use(event("e1", "1000"))
    platform.close()
    assert platform.totals() == [4760]
    assert correct(platform, "1300") == 30
    platform.close(OCTOBER)
    assert platform.totals() == [4760, 3570]
    assert correct(platform, "500") == -70
    platform.close(NOVEMBER)
    assert platform.totals() == [4760, 3570, -8330]
    assert left(platform) == 1000
    assert correct(platform, "0") == 0
    platform.close(NOVEMBER.next())
    assert (sum(platform.totals()), left(platform)) == (0, 6000)


def test_a_correction_that_a_credit_paid_returns_to_it(platform: Platform) -> None:
    """100 by credit, 10 in the end, then 60: October pays 50 of the 90 by credit. At 0 all 60 go back."""
    platform.grant("acme", "Welcome", "100")
    platform.use(event("e1", "1000"))
    platform.close()
    assert correct(platform, "100") == 0
    assert correct(platform, "600") == 50
    platform.close(OCTOBER)
    assert (platform.totals(), left(platform)) == ([0, 0], 4000)
    assert correct(platform, "0") == 0
    platform.close(NOVEMBER)
    assert (platform.totals(), left(platform)) == ([0, 0, 0], 10000)


def test_returned_credit_pays_for_the_next_invoice(platform: Platform) -> None:
    platform.grant("acme", "Welcome", "100")
    platform.use(event("e1", "1000"))
    platform.close()
    correct(platform, "100")
    platform.add_one_off("acme", "setup", "50.00", at("2026-10-10"))
    platform.close(OCTOBER)
    assert (platform.totals(), left(platform)) == ([0, 0], 4000)


@pytest.mark.parametrize(("granted", "money"), [("20", -1071), ("29", 0), ("100", 0), ("1", -3332)])
def test_a_fee_in_advance_that_is_cancelled_returns_money_as_money_and_credit_as_credit(
    platform: Platform, granted: str, money: int
) -> None:
    """29.00 for October, charged in September, less the credit, with 19 % on the rest."""
    platform.grant("acme", "Welcome", granted)
    platform.add_tax("acme", "VAT", "19")
    platform.add_subscription("acme", "support", OCTOBER.start, billed="in_advance")
    platform.close()
    assert platform.totals() == [-money]
    platform.execute("update subscriptions set ended_at = started_at")
    platform.close(OCTOBER)
    assert (platform.totals(), left(platform)) == ([-money, money], 100 * int(granted))
    platform.close(NOVEMBER)
    assert (platform.totals(), left(platform)) == ([-money, money, 0], 100 * int(granted))
    assert all_is_explained(platform)


def test_a_fee_that_is_cancelled_after_its_month_is_final_returns_credit_by_a_correction(platform: Platform) -> None:
    """29.00 for October, 20.00 of it by credit: 9.00 go back in money, by an adjustment."""
    platform.grant("acme", "Welcome", "20")
    platform.add_subscription("acme", "support", OCTOBER.start, billed="in_advance", proration="none")
    platform.close()
    platform.execute("update subscriptions set ended_at = '2026-11-01'")
    platform.close(OCTOBER)
    assert platform.totals() == [900, 0]
    platform.execute("update subscriptions set ended_at = started_at")
    actor = Actor("ann", LATER + timedelta(days=30), "cancelled")
    for amount in (-9, 0):
        (found,) = correct_month(
            platform.database, OCTOBER, ["acme"], platform.usage_table, actor, guard=OFF, with_terms=True
        ).found
        assert found.amount == amount
    platform.close(NOVEMBER)
    assert (platform.totals(), left(platform)) == ([900, 0, -900], 2000)


def test_15_a_credit_pays_an_increase_of_a_month_that_a_correction_brought_below_zero(platform: Platform) -> None:
    """October: 10.00 of usage by credit, then 29.00 of its fee go back late: 19.00 in money, 10.00 to the credit.

    The usage rises to 15.00 and 16.00: the credit pays 5.00 and 1.00. Without usage, the fee and all credit are back.
    """
    platform.add_subscription("acme", "support", OCTOBER.start, billed="in_advance", proration="none")
    platform.close()
    platform.execute("update subscriptions set ended_at = '2026-11-01'")
    platform.grant("acme", "Welcome", "100")
    use_in_october(platform, "100")
    platform.close(OCTOBER)
    assert (platform.totals(), left(platform)) == ([2900, 0], 9000)
    platform.execute("update subscriptions set ended_at = started_at")
    month, money = OCTOBER, [2900, 0]
    for requests, total, credit_left in (
        ("100", -1900, 10000),
        ("150", 0, 9500),
        ("160", 0, 9400),
        ("0", -1000, 10000),
    ):
        month = month.next()
        use_in_october(platform, requests)
        correct_october(platform, month.start)
        platform.close(month)
        money.append(total)
        assert (platform.totals(), left(platform)) == (money, credit_left), requests
    assert sum(money) == 0
    assert all_is_explained(platform)


def test_a_void_invoice_takes_back_the_credit_it_returned_and_its_replacement_returns_it_again(
    platform: Platform,
) -> None:
    platform.grant("acme", "Welcome", "29")
    platform.add_subscription("acme", "support", OCTOBER.start, billed="in_advance")
    platform.close()
    platform.execute("update subscriptions set ended_at = started_at")
    platform.close(OCTOBER)
    platform.execute("update invoices set status = 'void' where month = '2026-10-01'")
    assert ledger(platform)[1:] == [("drawn", -2900), ("given_back", 2900), ("returned", -2900)]
    reissue(platform.database, "acme", OCTOBER, TERMS, LATER + timedelta(days=30), "ann")
    assert (platform.totals(), left(platform)) == ([0, 0], 2900)


def test_the_ledger_refuses_entries_that_contradict_their_kind(platform: Platform) -> None:
    platform.grant("acme", "Welcome", "100")
    platform.use(event("e1", "1000"))
    platform.close()
    for kind, amount, problem in (
        ("given_back", "-1", "signed_as_its_kind"),
        ("returned", "0", "signed_as_its_kind"),
        ("drawn", "-0.01", "one_entry_each"),
    ):
        with pytest.raises(Exception, match=problem):
            platform.execute(
                "insert into credit_entries (grant_id, kind, amount, invoice_id)"
                " select :grant, :kind, cast(:amount as numeric), id from invoices",
                grant=id_of("acme Welcome"), kind=kind, amount=amount,
            )  # fmt: skip


def test_a_return_to_a_credit_is_taxed_like_the_item_that_it_had_paid(platform: Platform) -> None:
    """Usage at 19 % and a fee at 7 %, 100 and 29, half of each by credit: 9.50 and 1.02 of tax. All goes back."""
    platform.grant("acme", "Welcome", "64.5")
    everything = {"tax": "VAT", "first_month": SEPTEMBER.first_day}
    platform.add_tax("acme", "VAT", "19", **everything)
    platform.insert(
        "tax_rates", id=id_of("reduced"), organization_id="acme", name="VAT reduced", percent=Decimal(7),
        scope='{"price_keys": ["support"]}', **everything,
    )  # fmt: skip
    platform.add_subscription("acme", "support", SEPTEMBER.start, OCTOBER.start)
    platform.use(event("e1", "1000"))
    platform.close()
    assert platform.totals() == [5000 + 950 + 1450 + 102]
    platform.execute("update subscriptions set ended_at = started_at")
    correct(platform, "0")
    platform.close(OCTOBER)
    assert (platform.totals(), left(platform)) == ([7502, -7502], 6450)


# --- Credits that pay after tax ------------------------------------------------------------------------------------


def test_a_deposit_pays_after_tax_on_the_invoice_the_statement_and_in_focus(platform: Platform) -> None:
    """70.00 + 5.78 - 5.00 = 70.78."""
    platform.grant("acme", "Deposit", "5", pays="gross")
    platform.add_tax("acme", "Sales tax", "8.25")
    platform.use(event("e1", "700"))
    platform.close()
    assert (platform.totals(), left(platform)) == ([7078], 0)
    assert all_is_explained(platform)
    statement = read_statement(platform.database, "acme", LATER, SEPTEMBER)
    assert statement.owed() == {"USD": 7078}
    assert [(tax.taxable_cents, tax.tax_cents) for tax in statement.invoices[0].taxes] == [(7000, 578)]


@pytest.mark.parametrize("granted", ["5", "100", "59.5", "119"])
def test_a_month_that_a_deposit_paid_is_corrected_step_by_step_to_zero(platform: Platform, granted: str) -> None:
    """100.00 + 19.00. The deposit gets back everything that it paid, and no tax is kept."""
    platform.grant("acme", "Deposit", granted, pays="gross")
    platform.add_tax("acme", "VAT", "19")
    platform.use(event("e1", "1000"))
    platform.close()
    deposit = int(100 * Decimal(granted))
    paid = min(deposit, 11900)
    assert (platform.totals(), left(platform)) == ([11900 - paid], deposit - paid)
    correct(platform, "300")
    platform.close(OCTOBER)
    kept = min(deposit, 3570)
    assert (sum(platform.totals()), left(platform)) == (3570 - kept, deposit - kept)
    correct(platform, "0")
    platform.close(NOVEMBER)
    assert (sum(platform.totals()), left(platform)) == (0, deposit)
    (taxes,) = platform.query("select sum(tax_cents)::bigint as cents from invoice_taxes")
    assert taxes["cents"] == 0
    assert all_is_explained(platform)


@pytest.mark.parametrize(
    ("granted", "quantity", "money", "deposit"),
    [
        ("300", "200", 0, 24050),  # it pays 35.70 and 23.80 in the end
        ("119", "1000", 3570, 0),  # of 119.00 it pays the 83.30 that September gave back
    ],
)
def test_an_invoice_with_a_return_to_a_deposit_is_itself_corrected(
    platform: Platform, granted: str, quantity: str, money: int, deposit: int
) -> None:
    """With 19 %: September is 30.00 instead of 100.00, by October's invoice; then October is not 50.00 either."""
    platform.grant("acme", "Deposit", granted, pays="gross")
    platform.add_tax("acme", "VAT", "19")
    platform.use(event("e1", "1000"))
    platform.close()
    correct(platform, "300")
    use_in_october(platform, "500")
    platform.close(OCTOBER)
    assert (platform.totals(), left(platform)) == ([0, 0], int(granted) * 100 - 3570 - 5950)
    use_in_october(platform, quantity)
    correct_october(platform, LATER + timedelta(days=30))
    platform.close(NOVEMBER)
    assert (platform.totals(), left(platform)) == ([0, 0, money], deposit)
    assert all_is_explained(platform)


def test_a_promotion_does_not_pay_the_return_to_a_deposit(platform: Platform) -> None:
    """October: -119.00 and 119.00 back to the deposit. A promotion since then stays unused."""
    platform.grant("acme", "Deposit", "200", pays="gross")
    platform.add_tax("acme", "VAT", "19")
    platform.use(event("e1", "1000"))
    platform.close()
    correct(platform, "0")
    platform.grant("acme", "Promotion", "50", granted_at=OCTOBER.start)
    platform.close(OCTOBER)
    assert (platform.totals(), left(platform)) == ([0, 0], 25000)


@pytest.mark.parametrize(
    ("granted", "ended", "money", "kept"),
    [
        ("100", "2026-10-01", 0, 0),  # all of 34.51 goes back to the deposit
        ("20", "2026-10-01", -1451, 0),
        ("20", "2026-10-16T12:00:00", -1451, 1725),  # 17.26 of 34.51 are returned; the deposit keeps 17.25
    ],
)
def test_a_fee_in_advance_that_a_deposit_paid_goes_back_to_it_with_its_tax(
    platform: Platform, granted: str, ended: str, money: int, kept: int
) -> None:
    platform.grant("acme", "Deposit", granted, pays="gross")
    platform.add_tax("acme", "VAT", "19")
    platform.add_subscription("acme", "support", OCTOBER.start, billed="in_advance")
    platform.close()
    assert platform.totals() == [-money]
    platform.execute("update subscriptions set ended_at = :at", at=at(ended))
    platform.close(OCTOBER)
    assert (platform.totals(), left(platform)) == ([-money, money], 100 * int(granted) - kept)
    assert all_is_explained(platform)
