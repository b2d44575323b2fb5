"""A closed month is recalculated under its own terms, only where usage changed, and charged to that month's payer.

September is final for acme (30 requests of 0.10: 3.00) and for beta (10: 1.00).
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from fly_billing.corrections.changed_terms import keep_as_billed
from fly_billing.corrections.correction import Actor, Corrections
from fly_billing.corrections.correction_run import correct_month
from fly_billing.corrections.recalculation import find_corrections
from fly_billing.corrections.reissue import reissue
from fly_billing.corrections.rules.guard import OFF
from tests.support.builders import (
    CLOSED,
    OCTOBER,
    PRICES,
    REQUESTS,
    SEPTEMBER,
    TERMS,
    Platform,
    at,
    event,
    price,
    write_jsonl,
)

LATER = CLOSED + timedelta(days=10)
NIGHT = Actor("nightly", LATER)
DEAR = replace(price("requests", "0.30", "requests", unit="request"), book="dear")
EURO = replace(price("requests", "0.20", "requests", unit="request", currency="EUR"), book="euro")


@pytest.fixture
def closed(platform: Platform) -> Platform:
    platform.load(DEAR)
    platform.load(EURO)
    platform.add_organization("beta")
    platform.use(event("a", "30"), event("b", "10", subject="beta"))
    assert platform.close().failures == []
    return platform


def late(platform: Platform, organization: str, quantity: str = "10") -> None:
    """Requests of September that land on 13 October."""
    day = LATER.date()
    name = f"late-{organization}-{quantity}"
    write_jsonl(platform.landing_dir, [event(name, quantity, subject=organization)], day, name)
    platform.land(day, now=LATER)
    platform.roll_up(now=LATER)


def nightly(platform: Platform) -> Corrections:
    """Run September's correction as the nightly run does."""
    return correct_month(platform.database, SEPTEMBER, platform.organizations(), platform.usage_table, NIGHT, guard=OFF)


def booked(found: Corrections) -> dict[str, Decimal]:
    return {
        correction.payer.organization_id: correction.amount for correction in found.booked if correction.differences
    }


def undecided(found: Corrections) -> dict[str, Decimal]:
    return {
        correction.payer.organization_id: sum((difference.amount for difference in correction.undecided), Decimal(0))
        for correction in found.undecided
    }


def rebilled(platform: Platform, organization: str) -> Decimal:
    """Return the amount that `fly-billing rebill` of September would book."""
    with platform.database.transaction() as connection:
        (found,) = find_corrections(
            connection, SEPTEMBER, platform.organizations(), platform.usage_table, only={organization}
        ).found
    return found.amount


def rebill(platform: Platform, organization: str) -> None:
    correct_month(
        platform.database, SEPTEMBER, platform.organizations(), platform.usage_table, NIGHT, {organization}, guard=OFF,
        with_terms=True,
    )  # fmt: skip


def october(platform: Platform, organization: str = "acme") -> list[tuple[str, str, Decimal]]:
    platform.roll_up(OCTOBER, LATER)
    assert platform.bill(OCTOBER, LATER).failures == []
    return platform.items(OCTOBER, organization)


def change(platform: Platform, organization: str = "acme", **values: str) -> None:
    for name, value in values.items():
        platform.execute(f"update organizations set {name} = :value where id = :id", value=value, id=organization)  # noqa: S608


# --- The month's own terms -----------------------------------------------------------------------------------------


def test_a_dearer_price_book_from_october_on_charges_nothing_more_for_september(closed: Platform) -> None:
    """acme would be charged 6.00 more at 0.30; beta's late requests don't affect it."""
    change(closed, price_book="dear")
    late(closed, "beta")
    assert booked(nightly(closed)) == {"beta": Decimal(1)}
    assert rebilled(closed, "acme") == 0
    write_jsonl(closed.landing_dir, [event("o", "10", time="2026-10-05T12:00:00Z")], LATER.date(), "october")
    closed.land(LATER.date(), now=LATER)
    assert october(closed) == [("usage", "requests as used", Decimal(3))]


def test_late_usage_is_charged_at_the_price_book_of_its_month(closed: Platform) -> None:
    change(closed, price_book="dear")
    late(closed, "acme")
    assert booked(nightly(closed)) == {"acme": Decimal(1)}


def test_a_void_invoice_is_reissued_at_the_terms_of_its_month(closed: Platform) -> None:
    closed.execute("update invoices set status = 'void' where organization_id = 'acme'")
    change(closed, price_book="dear")
    reissue(closed.database, "acme", SEPTEMBER, TERMS, LATER, "ann")
    assert closed.totals() == [300]


def test_after_a_change_of_currency_no_invoice_is_reduced_in_the_old_one(closed: Platform) -> None:
    """2.00 USD would be returned, and acme is billed in EUR now: it is refused, and October is its usage."""
    change(closed, currency="EUR")
    change(closed, price_book="euro")
    write_jsonl(closed.landing_dir, [event("a", "10"), event("b", "10", subject="beta")])
    closed.land(now=LATER)
    closed.roll_up(now=LATER)
    found = nightly(closed)
    assert booked(found) == {}
    ((name, error),) = found.failures
    assert (name, error.code) == ("acme", "currency_changed_since")
    assert "is in USD" in error.operator_text and "billed in EUR now" in error.operator_text
    assert october(closed) == []
    assert closed.query("select currency from invoices where organization_id = 'acme' order by month") == [
        {"currency": "USD"},
        {"currency": "EUR"},
    ]


def test_a_currency_does_not_change_while_a_correction_in_the_old_one_is_not_billed(closed: Platform) -> None:
    late(closed, "acme")
    nightly(closed)
    with pytest.raises(IntegrityError, match="acme has adjustments in USD that no final invoice has yet"):
        change(closed, currency="EUR")


AGREED_IN_USD = {
    "coupon 'two' is in USD": "update discounts set last_month = '2026-09-01'",
    "commitment 'at least 60' is in USD": "update commitments set last_month = '2026-09-01'",
    "commitment 'at most 2' is in USD": "update commitments set last_month = '2026-09-01'",
    "credit 'prepaid' is in USD": "update credit_grants set expires_at = '2026-10-01'",
}


@pytest.mark.parametrize("named", AGREED_IN_USD)
def test_an_amount_agreed_in_another_currency_is_refused_until_it_is_ended(platform: Platform, named: str) -> None:
    """Each applies to September, in USD; October is in EUR: 10 requests of 0.20."""
    platform.load(EURO)
    match named.split()[0], "most" in named:
        case "coupon", _:
            platform.insert("coupons", code="two", description="2 off", amount=2, currency="USD")
            platform.redeem("acme", "two")
        case "credit", _:
            platform.grant("acme", "prepaid", "100")
        case _, is_most:
            platform.commit("acme", "maximum" if is_most else "minimum", "2" if is_most else "60")
    write_jsonl(platform.landing_dir, [event("a", "30")])
    assert platform.close().failures == []
    platform.execute("update organizations set currency = 'EUR', price_book = 'euro'")
    write_jsonl(platform.landing_dir, [event("o", "10", time="2026-10-05T12:00:00Z")], LATER.date(), "october")
    platform.land(LATER.date(), now=LATER)
    platform.roll_up(OCTOBER, LATER)
    (failure,) = platform.bill(OCTOBER, LATER).failures
    assert failure.error.code == "currency_mismatch"
    assert named in failure.error.operator_text
    platform.execute(AGREED_IN_USD[named])
    assert october(platform) == [("usage", "requests as used", Decimal(2))]


def test_a_change_before_the_first_invoice_applies_from_the_beginning(platform: Platform) -> None:
    platform.load(DEAR)
    change(platform, price_book="dear")
    platform.use(event("a", "30"))
    platform.close()
    assert platform.totals() == [900]
    assert platform.query("select * from organization_history") == []


def test_the_last_of_two_changes_before_the_next_invoice_applies(closed: Platform) -> None:
    change(closed, price_book="euro")
    change(closed, price_book="dear")
    late(closed, "acme")
    assert booked(nightly(closed)) == {"acme": Decimal(1)}
    assert closed.query("select before_month::text, price_book from organization_history") == [
        {"before_month": "2026-10-01", "price_book": "fly"}
    ]


def test_a_change_can_be_dated_to_a_later_month_and_never_to_a_billed_one(closed: Platform) -> None:
    def dated(month: str) -> None:
        with closed.database.transaction() as connection:
            connection.execute(text("select set_config('fly_billing.from_month', :month, true)"), {"month": month})
            connection.execute(text("update organizations set price_book = 'dear' where id = 'acme'"))

    with pytest.raises(IntegrityError, match="acme has a final invoice of 2026-09"):
        dated("2026-09-01")
    dated("2026-11-01")
    write_jsonl(closed.landing_dir, [event("o", "10", time="2026-10-05T12:00:00Z")], LATER.date(), "october")
    closed.land(LATER.date(), now=LATER)
    assert october(closed) == [("usage", "requests as used", Decimal(1))]
    with pytest.raises(IntegrityError, match="acme changes from 2026-11 on already"):
        change(closed, price_book="fly")


def test_a_linked_organization_has_the_price_book_of_its_payers_billed_month(platform: Platform) -> None:
    platform.load(DEAR)
    platform.add_organization("labs")
    platform.link("labs", "acme")
    platform.use(event("l", "10", subject="labs"))
    platform.close()
    change(platform, "labs", price_book="dear")
    late(platform, "labs")
    assert booked(nightly(platform)) == {"acme": Decimal(1)}


def test_an_organization_that_was_billed_was_not_created_later(closed: Platform) -> None:
    with pytest.raises(IntegrityError, match="acme was billed for 2026-09: it can not have been created later"):
        change(closed, created_at="2026-10-01")


def test_a_one_off_item_edited_later_does_not_change_the_discount_of_its_month(platform: Platform) -> None:
    """10 % off 3.00 and 10.00; the 10.00 are made 100.00 afterwards."""
    platform.insert("coupons", code="ten", description="10 % off", percent=10)
    platform.redeem("acme", "ten")
    platform.add_one_off("acme", "setup", "10", at("2026-09-10"))
    platform.use(event("a", "30"))
    platform.close()
    platform.execute("update one_off_items set amount = 100")
    assert rebilled(platform, "acme") == 0


# --- Only what changed itself --------------------------------------------------------------------------------------


def subscription(platform: Platform) -> None:
    """29.00 a month, for half of September: 14.50."""
    platform.add_subscription("acme", "support", at("2026-09-16"), at("2026-10-01"))


@pytest.mark.parametrize("organization", ["beta", "acme"])
def test_a_subscription_recorded_after_the_close_waits_even_if_others_have_late_usage(
    closed: Platform, organization: str
) -> None:
    subscription(closed)
    late(closed, organization)
    for expected in ({organization: Decimal(1)}, {}):
        found = nightly(closed)
        assert (booked(found), undecided(found)) == (expected, {"acme": Decimal("14.5")})
    rebill(closed, "acme")
    assert undecided(nightly(closed)) == {}
    adjusted = closed.query("select organization_id, amount from adjustments order by amount")
    assert [tuple(row.values()) for row in adjusted] == [(organization, Decimal(1)), ("acme", Decimal("14.5"))]


LATE_TERMS: Mapping[str, tuple[Mapping[str, Mapping[str, Any]], Decimal]] = {
    "a coupon": ({"discounts": {"coupon_code": "half", "redeemed_at": at("2026-09-20")}}, Decimal("-1.5")),
    "a minimum": (
        {"commitments": {"kind": "minimum", "description": "m", "amount": 10, "currency": "USD"}},
        Decimal(7),
    ),
    "a maximum": (
        {"commitments": {"kind": "maximum", "description": "m", "amount": 2, "currency": "USD"}},
        Decimal(-1),
    ),
}


@pytest.mark.parametrize("name", LATE_TERMS)
def test_a_term_of_a_closed_month_waits_for_a_decision(closed: Platform, name: str) -> None:
    rows, difference = LATE_TERMS[name]
    closed.insert("coupons", code="half", description="half", percent=50)
    for table, row in rows.items():
        closed.insert(table, id=REQUESTS.id, organization_id="acme", first_month=SEPTEMBER.first_day, **row)
    found = nightly(closed)
    assert (booked(found), undecided(found)) == ({}, {"acme": difference})
    rebill(closed, "acme")
    assert undecided(nightly(closed)) == {}


def test_a_superseded_price_of_a_closed_month_waits_for_every_organization_that_has_it(closed: Platform) -> None:
    closed.load(*PRICES, price("requests", "0.20", "requests", unit="request", effective_from=at("2026-09-01")))
    found = nightly(closed)
    assert (booked(found), undecided(found)) == ({}, {"acme": Decimal(3), "beta": Decimal(1)})


def test_usage_that_a_new_price_splits_waits_with_it(closed: Platform) -> None:
    """0.20 from 10 September on: the 30 requests of the 15th were rolled up without that boundary."""
    closed.load(*PRICES, price("requests", "0.20", "requests", unit="request", effective_from=at("2026-09-10")))
    late(closed, "acme")
    found = nightly(closed)
    assert (booked(found), undecided(found)) == ({}, {"acme": Decimal(5), "beta": Decimal(1)})
    rebill(closed, "acme")
    assert undecided(nightly(closed)) == {"beta": Decimal(1)}
    assert october(closed)[-1][2] == 5


def test_an_invoice_that_is_kept_needs_no_decision_until_another_change(closed: Platform) -> None:
    subscription(closed)
    with closed.database.transaction() as connection:
        (found,) = find_corrections(connection, SEPTEMBER, ["acme"], closed.usage_table).found
        keep_as_billed(connection, found, Actor("ann", LATER, "a gift"))
    assert undecided(nightly(closed)) == {}
    late(closed, "acme")
    assert booked(nightly(closed)) == {"acme": Decimal(1)}
    closed.execute("update subscriptions set ended_at = '2026-09-19'")
    assert undecided(nightly(closed)) == {"acme": Decimal("2.9")}


def command(platform: Platform, *arguments: str) -> str:
    """Return the output of `fly-billing`, which succeeds."""
    url, data = platform.database.engine.url.render_as_string(hide_password=False), platform.landing_dir.parent
    names = {
        "COLUMNS": "160",
        "DATABASE_URL": url,
        "DAGSTER_DATABASE_URL": url,
        "FLY_BILLING_DATA_DIR": str(data),
        "FLY_BILLING_LAKE_DIR": str(data / "usage_table"),
    }
    program = str(Path(sys.executable).with_name("fly-billing"))
    done = subprocess.run(
        [program, *arguments], env={**os.environ, **names}, capture_output=True, text=True, timeout=600,
        encoding="utf-8",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_commands_show_the_change_and_ask(closed: Platform) -> None:
    assert "No correction waits" in command(closed, "corrections")
    subscription(closed)
    listed = command(closed, "corrections")
    assert "acme" in listed
    assert "subscription support was added" in listed
    shown = command(closed, "rebill", "acme", "2026-09", "--dry-run")
    assert "$14.50" in shown
    assert "Nothing was written" in shown
    assert "Kept as billed" in command(closed, "rebill", "acme", "2026-09", "--keep", "--why", "a gift")
    assert "No correction waits" in command(closed, "corrections")
    assert closed.query("select * from adjustments") == []
    assert closed.query("select why from term_decisions") == [{"why": "a gift"}]


def test_terms_of_open_months_need_no_decision(closed: Platform) -> None:
    closed.add_subscription("acme", "support", at("2026-10-01"))
    closed.load(*PRICES, price("requests", "0.20", "requests", unit="request", effective_from=at("2026-10-01")))
    assert closed.query("select * from term_changes") == []


# --- The payer of the month ----------------------------------------------------------------------------------------


@pytest.fixture
def half_price(platform: Platform) -> Platform:
    """acme paid September for labs at half price (100 requests: 10.00, 5.00 paid); labs pays for itself since."""
    platform.add_organization("labs")
    platform.link("labs", "acme", SEPTEMBER, SEPTEMBER)
    platform.insert("coupons", code="half", description="half", percent=50)
    platform.redeem("acme", "half", SEPTEMBER, SEPTEMBER)
    platform.use(event("l", "100", subject="labs"))
    platform.close()
    return platform


def test_a_correction_after_a_link_ended_goes_to_the_months_payer_at_its_terms(half_price: Platform) -> None:
    late(half_price, "labs", "100")
    assert booked(nightly(half_price)) == {"acme": Decimal(5)}
    assert october(half_price) == [
        ("adjustment", "half, 2026-09: corrected (follows from other items)", Decimal(-5)),
        (
            "adjustment",
            "labs: requests as used, 2026-09: 200 requests instead of 100 requests (late rows)",
            Decimal(10),
        ),
    ]
    assert october(half_price, "labs") == []


def test_a_refund_after_a_link_ended_goes_to_the_months_payer(half_price: Platform) -> None:
    write_jsonl(half_price.landing_dir, [event("l", "40", subject="labs")])
    half_price.land(now=LATER)
    half_price.roll_up(now=LATER)
    assert booked(nightly(half_price)) == {"acme": Decimal(-3)}
    assert [amount for _, _, amount in october(half_price)] == [Decimal(3), Decimal(-6)]
    assert october(half_price, "labs") == []


def test_a_correction_while_the_link_lasts_is_the_organizations_own_line(platform: Platform) -> None:
    platform.add_organization("labs")
    platform.link("labs", "acme")
    platform.close()
    late(platform, "labs")
    nightly(platform)
    october(platform)
    (row,) = platform.query("select organization_id, description from invoice_items where kind = 'adjustment'")
    assert row["organization_id"] == "labs"
    assert row["description"].startswith("requests as used")


def test_a_correction_of_a_month_that_an_organization_paid_stays_with_it_under_a_later_payer(closed: Platform) -> None:
    closed.link("beta", "acme", OCTOBER)
    late(closed, "beta")
    assert booked(nightly(closed)) == {"beta": Decimal(1)}
    october(closed)
    (row,) = closed.query(
        "select t.organization_id, i.organization_id as payer, t.amount from invoice_items as t"
        " join invoices as i on i.id = t.invoice_id where t.kind = 'adjustment'"
    )
    assert tuple(row.values()) == ("beta", "acme", Decimal(1))


def test_corrections_of_a_payer_that_is_now_linked_go_to_its_own_payer(half_price: Platform) -> None:
    half_price.add_organization("holding")
    half_price.link("acme", "holding", OCTOBER)
    late(half_price, "labs", "100")
    nightly(half_price)
    assert [amount for _, _, amount in october(half_price, "holding")] == [Decimal(-5), Decimal(10)]
    assert october(half_price, "labs") == []
