"""A customer can always read the amount they owe, its reasons and any problem, even while Stripe is down."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from fly_billing.invoicing.bill_run import bill
from fly_billing.postgres.organizations import NoSuchOrganization
from fly_billing.pricing.price_books import PriceBookFiles, load_price_book
from fly_billing.pricing.rules.meters import Meter
from fly_billing.statements.page import statement_page
from fly_billing.statements.rules.spend import SpendShare
from fly_billing.statements.rules.statement import SELLER_NOT_RECORDED, StatementInvoice, StatementTax
from fly_billing.statements.statement_reader import read_statement
from tests.support.builders import (
    CLOSED,
    LANDING_DAYS,
    NOW,
    OCTOBER,
    SEPTEMBER,
    TERMS,
    Platform,
    at,
    event,
    id_of,
    price,
    write_jsonl,
)
from tests.support.statement_costs import database_cost
from tests.support.unguarded import damage

COMMAND = Path(sys.executable).with_name("fly-billing")


def test_the_statement_of_an_open_month_shows_the_calculation_of_each_amount(platform: Platform) -> None:
    """3 x 0.10; 110 GB - 100 free = 10 x 0.02; 14.50 for half a month; 1 second of a machine; -1.00."""
    platform.add_subscription("acme", "support", at("2026-09-16"))
    platform.add_one_off("acme", "goodwill", "-1.00", at("2026-09-10"))
    platform.use(
        event("e1", "3"),
        event("e2", "110", type="egress_gb", region="iad"),
        event("e3", "1", type="machine_seconds", preset="shared-cpu-1x", region="iad"),
    )
    platform.bill()
    statement = read_statement(platform.database, "acme", NOW)
    assert statement.headline() == "Acme owes nothing. Not invoiced yet: $14.00 so far."
    (invoice,) = statement.invoices
    assert (invoice.month, invoice.status, invoice.total_cents, invoice.as_of, invoice.trouble) == (
        "2026-09",
        "open",
        1400,
        NOW,
        None,
    )
    assert [(item.product, item.working, item.amount, item.amount_cents) for item in invoice.items] == [
        ("Egress", "100 GB free; 10 x 0.02", "0.2", 20),
        ("Machines", "1 second x 1.94 per 2,592,000", "0.00000074845679012346", 0),
        ("Requests", "3 requests x 0.1", "0.3", 30),
        ("Support", "1,296,000 seconds x 29 per 2,592,000", "14.5", 1450),
        ("One-off", "", "-1", -100),
    ]


def test_a_statement_lists_all_months_newest_first_with_the_items_of_the_requested_one(platform: Platform) -> None:
    write_jsonl(platform.landing_dir, [event("e1", "3")])
    write_jsonl(platform.landing_dir, [event("e2", "5", time="2026-10-02T00:00:00Z")], date(2026, 10, 2))
    platform.close()
    platform.roll_up(OCTOBER, now=CLOSED)
    platform.bill(OCTOBER, now=CLOSED)
    statement = read_statement(platform.database, "acme", CLOSED)
    assert [(invoice.month, invoice.status, len(invoice.items)) for invoice in statement.invoices] == [
        ("2026-10", "open", 1),
        ("2026-09", "finalized", 0),
    ]
    assert statement.headline() == ("Acme owes $0.30 on 1 unpaid invoice. Not invoiced yet: $0.50 so far.")
    september = read_statement(platform.database, "acme", CLOSED, SEPTEMBER).invoices[1]
    assert [item.working for item in september.items] == ["3 requests x 0.1"]
    assert (september.as_of, september.due_on) == (CLOSED, date(2026, 10, 18))


def test_the_statement_says_that_an_invoice_can_not_be_calculated_yet(platform: Platform) -> None:
    platform.use(event("e1", "3"))
    platform.bill()
    platform.add_subscription("acme", "unknown", at("2026-09-01"))
    platform.bill()
    (invoice,) = read_statement(platform.database, "acme", NOW).invoices
    assert (invoice.status, invoice.total_cents) == ("open", 30)
    assert invoice.trouble == (
        "We can't calculate this month's invoice yet and are looking into it. You won't be charged until it is correct."
    )


def test_a_month_that_was_never_calculated_is_on_the_statement_with_the_reason(platform: Platform) -> None:
    platform.bill()
    statement = read_statement(platform.database, "acme", NOW, SEPTEMBER)
    (invoice,) = statement.invoices
    assert (invoice.month, invoice.status, invoice.total_cents, invoice.items) == ("2026-09", "not computed", None, ())
    assert (invoice.trouble or "").startswith("We can't calculate this month's invoice yet")
    assert statement.headline() == "Acme owes nothing."


def test_the_statement_says_that_an_invoice_has_not_reached_stripe(platform: Platform) -> None:
    write_jsonl(platform.landing_dir, [event("e1", "3")])
    (billed,) = platform.close().invoices
    platform.execute(
        "insert into stripe_invoices (invoice_id, state, step, failure_code, failure_customer_text,"
        " failure_operator_text, retryable, updated_at)"
        " values (:id, 'failed', 'create', 'server_error', 'It is delayed.', 'Stripe failed', true, now())",
        id=billed.id,
    )
    (invoice,) = read_statement(platform.database, "acme", CLOSED).invoices
    assert (invoice.status, invoice.total_cents, invoice.trouble) == ("finalized", 30, "It is delayed.")


def test_a_final_invoice_that_was_never_synced_is_shown_as_delayed(platform: Platform) -> None:
    write_jsonl(platform.landing_dir, [event("e1", "3")])
    platform.close()
    (soon,) = read_statement(platform.database, "acme", CLOSED + timedelta(hours=6)).invoices
    (late,) = read_statement(platform.database, "acme", CLOSED + timedelta(hours=7)).invoices
    assert soon.trouble is None
    assert (late.trouble or "").startswith("Your invoice is ready and its amount is final")


def test_the_statement_links_to_an_invoice_in_stripe(platform: Platform) -> None:
    (billed,) = platform.close().invoices
    platform.execute(
        "insert into stripe_invoices"
        " (invoice_id, state, stripe_invoice_id, hosted_invoice_url, updated_at, finalized_at)"
        " values (:id, 'finalized', 'in_1', 'https://invoice.example/in_1', now(), now())",
        id=billed.id,
    )
    (invoice,) = read_statement(platform.database, "acme", CLOSED).invoices
    assert (invoice.stripe_invoice_id, invoice.hosted_invoice_url, invoice.trouble) == (
        "in_1",
        "https://invoice.example/in_1",
        None,
    )


def test_an_organization_without_invoices_owes_nothing(platform: Platform) -> None:
    statement = read_statement(platform.database, "acme", NOW)
    assert (statement.invoices, statement.headline()) == ((), "Acme owes nothing.")


def test_a_statement_as_json_is_exact(platform: Platform) -> None:
    platform.use(event("e1", "1234567890123.890123456789012"))
    platform.bill()
    data = json.loads(json.dumps(read_statement(platform.database, "acme", NOW).as_data()))
    (item,) = data["invoices"][0]["items"]
    assert item["amount"] == "123456789012.3890123456789012"
    assert item["working"] == "1,234,567,890,123.890123456789012 requests x 0.1"
    assert data["upcoming_cents"] == {"USD": 12345678901239}


def test_the_error_of_an_unknown_organization_lists_similar_names(platform: Platform) -> None:
    platform.add_organization("acme-labs")
    platform.add_organization("globex")
    with pytest.raises(NoSuchOrganization, match="no organization 'Acm'; did you mean acme, acme-labs"):
        read_statement(platform.database, "Acm", NOW)
    with pytest.raises(NoSuchOrganization, match=r"^no organization 'zebra'$"):
        read_statement(platform.database, "zebra", NOW)


def test_a_month_without_an_invoice_is_named_in_the_error(platform: Platform) -> None:
    with pytest.raises(ValueError, match="acme has no invoice for 2026-09"):
        read_statement(platform.database, "acme", NOW, SEPTEMBER)


# Spend, broken down ------------------------------------------------------------------------------------------------


def shown(platform: Platform, organization: str = "acme") -> StatementInvoice:
    invoice = read_statement(platform.database, organization, CLOSED, SEPTEMBER).shown()
    assert invoice is not None
    return invoice


def shares(found: tuple[SpendShare, ...]) -> list[tuple[str | None, int]]:
    return [(share.label, share.amount_cents) for share in found]


def days(invoice: StatementInvoice) -> dict[int, int]:
    """Return the cents of the days with spend."""
    assert invoice.spend is not None
    return {day.day.day: day.amount_cents for day in invoice.spend.by_day.days if day.amount_cents}


def test_a_statement_breaks_down_spend_by_product_app_region_and_day(platform: Platform) -> None:
    """Volumes: 30 GB x 0.20 = $6.00, 20 of them web's in ams on the 2nd, 10 worker's in fra on the 3rd; 3 requests."""
    meter = Meter("volume_gb", "Volumes", "GB", dimensions=("app", "region"))
    volumes = price("volumes", "0.20", "volume_gb", unit="GB")
    with platform.database.transaction() as connection:
        load_price_book(connection, PriceBookFiles("fly", [meter], [volumes]))
    platform.use(
        event("v1", "20", type="volume_gb", app="web", region="ams", time="2026-09-02T23:59:59Z"),
        event("v2", "10", type="volume_gb", app="worker", region="fra", time="2026-09-03T00:00:00Z"),
        event("r1", "3"),
    )
    platform.bill()
    invoice = shown(platform)
    assert invoice.spend is not None
    assert shares(invoice.spend.by_product) == [("Requests", 30), ("Volumes", 600)]
    assert shares(invoice.spend.by_app) == [("web", 400), ("worker", 200), (None, 30)]
    assert shares(invoice.spend.by_region) == [("ams", 400), ("fra", 200), (None, 30)]
    assert days(invoice) == {2: 400, 3: 200, 15: 30}


def test_fees_are_spread_over_their_days_and_one_off_items_are_on_their_day(platform: Platform) -> None:
    """$14.50 for the 16th to the 30th, 15 days: 96.67 cents each; $5.00 on the 10th."""
    platform.add_subscription("acme", "support", at("2026-09-16"))
    platform.add_one_off("acme", "setup", "5.00", at("2026-09-10T08:00:00"))
    platform.roll_up()
    platform.bill()
    found = days(shown(platform))
    assert found.pop(10) == 500
    assert list(found) == list(range(16, 31))
    assert sorted(found.values()) == [96] * 5 + [97] * 10


def test_usage_from_before_days_were_recorded_has_no_day(platform: Platform) -> None:
    platform.use(event("e1", "3"))
    platform.bill()
    platform.execute("update usage_rollups set daily = null")
    invoice = shown(platform)
    assert invoice.spend is not None
    assert (days(invoice), invoice.spend.by_day.day_not_known_cents) == ({}, 30)


def test_a_month_is_compared_with_the_previous_one(platform: Platform) -> None:
    """September: 3 requests, $0.30; October: 5 requests, $0.50, and $5.00 once. Both months are final."""
    write_jsonl(platform.landing_dir, [event("e1", "3")])
    write_jsonl(platform.landing_dir, [event("e2", "5", time="2026-10-02T00:00:00Z")], date(2026, 10, 2))
    platform.close()
    platform.add_one_off("acme", "setup", "5.00", at("2026-10-03"))
    platform.close(OCTOBER)
    october, september = read_statement(platform.database, "acme", at("2026-11-05")).invoices
    assert october.compared is not None and october.compared.until_day is None
    assert (october.compared.month, october.compared.total.difference_cents) == ("2026-09", 520)
    assert [(product.label, product.before_cents, product.now_cents) for product in october.compared.by_product] == [
        ("One-off", 0, 500),
        ("Requests", 30, 50),
    ]
    assert (september.compared, september.spend, september.number) == (None, None, "ACME-0001")
    assert shown(platform).compared is None


def test_an_open_month_is_compared_with_the_same_days_of_the_month_before(platform: Platform) -> None:
    """Until 4 October, 01:00, three days are complete. September had 2 requests on the 2nd, and 3 later.

    The fee of 29.00 counts in full in both months, and the setup of the 3rd. VAT belongs to whole months.
    """
    platform.add_subscription("acme", "support", at("2026-09-01"))
    platform.add_tax("acme", "VAT", "19")
    write_jsonl(platform.landing_dir, [event("e0", "2", time="2026-09-02T09:00:00Z"), event("e1", "3")])
    write_jsonl(platform.landing_dir, [event("e2", "5", time="2026-10-02T00:00:00Z")], date(2026, 10, 2))
    platform.close()
    platform.add_one_off("acme", "setup", "5.00", at("2026-10-03"))
    platform.roll_up(OCTOBER, now=CLOSED)
    platform.bill(OCTOBER, now=CLOSED)
    october, september = read_statement(platform.database, "acme", CLOSED).invoices
    compared = october.compared
    assert compared is not None
    assert (compared.title(september.month), compared.title(october.month)) == ("1 to 3 Sep", "1 to 3 Oct")
    assert [(product.label, product.before_cents, product.now_cents) for product in compared.by_product] == [
        ("One-off", 0, 500),
        ("Requests", 20, 50),
        ("Support", 2900, 2900),
    ]
    assert (compared.total.before_cents, compared.total.now_cents) == (2920, 3450)


def test_a_free_allowance_does_not_make_the_first_days_of_a_month_look_cheaper(platform: Platform) -> None:
    """100 GB are free. 33 GB on each of 1 to 3 October cost nothing yet; September's 132 GB cost 0.64 in all."""
    for day in (1, 2, 3, 15):
        add_egress(platform, date(2026, 9, day))
    for day in (1, 2, 3):
        add_egress(platform, date(2026, 10, day))
    platform.close()
    platform.roll_up(OCTOBER, now=CLOSED)
    platform.bill(OCTOBER, now=CLOSED)
    october, september = read_statement(platform.database, "acme", CLOSED).invoices
    assert (september.total_cents, october.total_cents, october.compared) == (64, 0, None)
    assert october.not_compared == (
        "Not compared with the same days: Egress, as its price depends on the usage of the whole month."
    )


def add_egress(platform: Platform, day: date) -> None:
    usage = event(f"egress {day}", "33", type="egress_gb", region="iad", time=f"{day}T12:00:00Z")
    write_jsonl(platform.landing_dir, [usage], day, name="egress")


def test_an_open_month_is_not_compared_with_usage_whose_days_were_not_recorded(platform: Platform) -> None:
    write_jsonl(platform.landing_dir, [event("e1", "3")])
    write_jsonl(platform.landing_dir, [event("e2", "5", time="2026-10-02T00:00:00Z")], date(2026, 10, 2))
    platform.close()
    damage(platform.database, "update usage_rollups set daily = null")
    platform.roll_up(OCTOBER, now=CLOSED)
    platform.bill(OCTOBER, now=CLOSED)
    october = read_statement(platform.database, "acme", CLOSED).invoices[0]
    assert (october.total_cents, october.compared) == (50, None)
    assert october.not_compared == (
        "Not compared with the same days of the month before: the days of some usage were not recorded."
    )


def test_discounts_credits_and_taxes_are_shown_with_the_remaining_credits(platform: Platform) -> None:
    """$30.00 - 10 % = $27.00 - $20.00 of credit = $7.00; 19 % of it is $1.33; $8.33. The other credit is not drawn."""
    platform.execute("insert into coupons (code, description, percent) values ('TEN', '10 % off', 10)")
    platform.execute(
        "insert into discounts (id, organization_id, coupon_code, first_month, redeemed_at)"
        " values (:id, 'acme', 'TEN', '2026-09-01', '2026-09-01')",
        id=id_of("discount"),
    )
    for name, amount, expires in (("welcome", "20", "2026-12-01"), ("later", "5.019", None)):
        platform.execute(
            "insert into credit_grants"
            " (id, organization_id, description, amount, currency, priority, granted_at, expires_at)"
            " values (:id, 'acme', :name, :amount, 'USD', :priority, :granted_at, :expires)",
            id=id_of(name),
            name=name,
            amount=Decimal(amount),
            priority=len(amount),
            granted_at=at("2026-09-01") if name == "welcome" else at("2026-10-01"),
            expires=expires and at(expires),
        )
    platform.execute(
        "insert into tax_rates (id, organization_id, name, percent, first_month)"
        " values (:id, 'acme', 'VAT', 19, '2026-01-01')",
        id=id_of("vat"),
    )
    platform.use(event("e1", "300"))
    platform.bill()
    statement = read_statement(platform.database, "acme", NOW)
    (invoice,) = statement.invoices
    assert [(item.kind, item.amount_cents) for item in invoice.items] == [
        ("usage", 3000),
        ("discount", -300),
        ("credit", -2000),
        ("tax", 133),
    ]
    assert invoice.taxes == (StatementTax("VAT", "19", False, 700, 133),)
    assert invoice.spend is not None
    assert (invoice.spend.by_day.whole_invoice_cents, days(invoice)) == (-2167, {15: 3000})
    assert [(credit.description, credit.granted_cents, credit.left_cents) for credit in statement.credits] == [
        ("later", 501, 501)
    ]


def test_an_adjustment_of_an_earlier_month_lists_its_causes(platform: Platform) -> None:
    (billed,) = platform.close().invoices
    platform.execute(
        "insert into adjustments"
        " (id, organization_id, month, invoice_id, item_key, product, description, amount, currency, causes, made_at,"
        "  made_by)"
        " values (:id, 'acme', '2026-09-01', :invoice, 'usage', 'Requests', '2026-09: requests', 0.20, 'USD',"
        "  '{late rows}', :now, 'by hand')",
        id=id_of("adjustment"),
        invoice=billed.id,
        now=CLOSED,
    )
    platform.roll_up(OCTOBER, now=CLOSED)
    platform.bill(OCTOBER, now=CLOSED)
    (item,) = read_statement(platform.database, "acme", CLOSED).invoices[0].items
    assert (item.kind, item.description, item.amount_cents, item.causes) == (
        "adjustment",
        "2026-09: requests",
        20,
        ("late rows",),
    )


# Payers ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def linked(platform: Platform) -> Platform:
    """Globex pays for acme. 3 requests of acme are $0.30; 5 of globex $0.50; globex has 10 % off and a $1.00 setup."""
    platform.add_organization("globex")
    platform.execute("insert into organization_links values ('acme', 'globex', '2026-09-01')")
    platform.execute("insert into coupons (code, description, percent) values ('TEN', '10 % off', 10)")
    platform.execute(
        "insert into discounts (id, organization_id, coupon_code, first_month, redeemed_at)"
        " values (:id, 'globex', 'TEN', '2026-09-01', '2026-09-01')",
        id=id_of("discount"),
    )
    platform.add_one_off("globex", "setup", "1.00", at("2026-09-10"))
    platform.use(event("e1", "3"), event("e2", "5", subject="globex"))
    platform.bill()
    return platform


def test_the_payers_statement_groups_all_lines_by_organization(linked: Platform) -> None:
    """0.30 + 0.50 + 1.00 - 0.18."""
    invoice = shown(linked, "globex")
    assert invoice.total_cents == 162
    assert [(item.organization_id, item.amount_cents) for item in invoice.items] == [
        ("acme", 30),
        ("globex", 50),
        ("globex", 100),
        ("globex", -18),
    ]
    assert invoice.spend is not None
    assert shares(invoice.spend.by_organization) == [("globex", 150), ("acme", 30), (None, -18)]
    assert invoice.payer is None


def test_a_linked_organizations_statement_shows_its_own_lines_and_the_payer(linked: Platform) -> None:
    statement = read_statement(linked.database, "acme", NOW)
    (invoice,) = statement.invoices
    assert statement.headline() == "Acme owes nothing."
    assert (invoice.total_cents, invoice.status_in_words()) == (30, "open (so far), paid by Globex")
    assert [(item.description, item.amount_cents) for item in invoice.items] == [("requests as used", 30)]
    assert invoice.spend is not None
    assert shares(invoice.spend.by_region) == [(None, 30)]
    assert (invoice.payer and invoice.payer.id, invoice.taxes) == ("globex", ())


def test_the_status_of_the_payers_invoice_in_stripe_is_not_shown_to_others(linked: Platform) -> None:
    (billed,) = linked.close().invoices
    linked.execute(
        "insert into stripe_invoices"
        " (invoice_id, state, stripe_invoice_id, hosted_invoice_url, step, failure_code, failure_customer_text,"
        " failure_operator_text, updated_at)"
        " values (:id, 'failed', 'in_1', 'https://invoice.example/in_1', 'create', 'x', 'It is delayed.', 'x', now())",
        id=billed.id,
    )
    own, paid_for = shown(linked, "globex"), shown(linked, "acme")
    assert (own.trouble, own.stripe_invoice_id, own.due_on) == ("It is delayed.", "in_1", date(2026, 10, 18))
    assert (paid_for.trouble, paid_for.stripe_invoice_id, paid_for.hosted_invoice_url, paid_for.due_on) == (None,) * 4
    assert paid_for.number == "GLOBEX-0001"


def test_months_before_a_link_belong_to_the_organization(linked: Platform) -> None:
    august = SEPTEMBER.plus(-1)
    linked.add_one_off("acme", "setup", "2.00", at("2026-08-10"))
    linked.roll_up(august, now=at("2026-08-20"))
    linked.bill(august, now=at("2026-08-20"))
    invoices = read_statement(linked.database, "acme", NOW).invoices
    assert [(invoice.month, invoice.total_cents, invoice.payer is None) for invoice in invoices] == [
        ("2026-09", 30, False),
        ("2026-08", 200, True),
    ]
    assert invoices[0].compared is None  # its own invoice is not part of the payer's


# Included usage ----------------------------------------------------------------------------------------------------


def test_a_statement_lists_the_included_usage_with_its_files(platform: Platform) -> None:
    for number, day in enumerate(LANDING_DAYS[:19]):
        name = "machines" if number < 12 else f"proxy-{number}"
        write_jsonl(platform.landing_dir, [event(f"e{number}", "1", time=f"{day}T08:00:00Z")], day, name)
    platform.land(*LANDING_DAYS[:19], now=NOW)
    platform.roll_up()
    platform.bill()
    found = read_statement(platform.database, "acme", NOW).completeness
    assert found is not None
    assert [(source.name, source.days, str(source.until)) for source in found.sources] == [
        ("machines.jsonl", 12, "2026-09-12"),
        ("proxy-#.jsonl", 7, "2026-09-19"),
    ]
    assert found.in_words() == (
        "Includes all usage received by the end of 2026-09-19 (UTC)."
        " Overdue: machines.jsonl (last received 2026-09-12)."
    )


def test_a_statement_is_as_of_the_last_look_at_todays_folder_also_if_that_found_nothing_new(platform: Platform) -> None:
    """The 20th lasts until the next midnight. Its folder is read at 9:00, and is the same at 9:05."""
    write_jsonl(platform.landing_dir, [event("e1", "1", time="2026-09-20T08:00:00Z")], LANDING_DAYS[19], "machines")
    nine = at("2026-09-20 09:00")
    platform.land(*LANDING_DAYS[:20], now=nine)
    platform.roll_up(now=nine)
    platform.bill(now=nine)
    first = read_statement(platform.database, "acme", NOW).completeness
    platform.land(LANDING_DAYS[19], now=at("2026-09-20 09:05"))
    then = read_statement(platform.database, "acme", NOW).completeness
    assert first is not None and then is not None
    assert first.in_words() == (
        "Includes all usage received by 2026-09-20 09:00 UTC. Last received: machines.jsonl on 2026-09-20 by 09:00."
    )
    assert then.as_of == at("2026-09-20 09:05")

    write_jsonl(platform.landing_dir, [event("e2", "1", time="2026-09-20T09:00:00Z")], LANDING_DAYS[19], "more")
    platform.land(LANDING_DAYS[19], now=at("2026-09-20 09:10"))  # landed, and not billed yet
    later = read_statement(platform.database, "acme", NOW).completeness
    assert later is not None
    assert (later.until, later.as_of) == (date(2026, 9, 19), None)


def test_a_day_that_was_not_landed_ends_the_complete_usage(platform: Platform) -> None:
    platform.land(*LANDING_DAYS[:8], *LANDING_DAYS[9:19], now=NOW)
    platform.roll_up()
    platform.bill()
    found = read_statement(platform.database, "acme", NOW).completeness
    assert found is not None
    assert found.until == date(2026, 9, 8)


def test_usage_landed_after_the_invoice_was_calculated_is_not_included(platform: Platform) -> None:
    platform.land(*LANDING_DAYS[:19], now=NOW)
    platform.roll_up()
    platform.bill()
    write_jsonl(platform.landing_dir, [event("late", "1")], LANDING_DAYS[4])
    platform.land(LANDING_DAYS[4], now=NOW)
    found = read_statement(platform.database, "acme", NOW).completeness
    assert found is not None
    assert found.until == date(2026, 9, 4)


# The cost of reading, and the output -------------------------------------------------------------------------------


def test_a_long_invoice_needs_no_more_database_statements_than_a_short_one(platform: Platform, tmp_path: Path) -> None:
    platform.use(event("e1", "3"))
    platform.bill()
    few = database_cost(platform, tmp_path)
    for number in range(60):
        platform.add_one_off("acme", f"item {number}", "1.00", at("2026-09-10"))
    platform.use(event("e1", "3"), event("e2", "110", type="egress_gb", region="iad"))
    platform.bill()
    assert len(shown(platform).items) == 62
    assert database_cost(platform, tmp_path) == few


def statement_command(platform: Platform, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    url = platform.database.engine.url.render_as_string(hide_password=False)
    environment = {
        **os.environ,
        "FLY_BILLING_DATA_DIR": str(folder),
        "COLUMNS": "132",
        "DATABASE_URL": url,
        "DAGSTER_DATABASE_URL": url,
    }
    return subprocess.run(
        [COMMAND, "statement", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        encoding="utf-8",
    )


def test_the_command_shows_writes_and_prints_a_statement(platform: Platform, tmp_path: Path) -> None:
    platform.use(event("e1", "3"))
    platform.bill()
    text = statement_command(platform, tmp_path, "acme")
    assert "Acme owes nothing. Not invoiced yet: $0.30 so far." in text.stdout
    assert "peak 09-15: $0.30" in text.stdout
    page = tmp_path / "acme.html"
    both = statement_command(platform, tmp_path, "acme", "2026-09", "--json", "--html", str(page))
    assert json.loads(both.stdout)["invoices"][0]["spend"]["by_day"]["days"][14] == {
        "day": "2026-09-15",
        "amount_cents": 30,
    }
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert "3 requests × 0.1" in page.read_text(encoding="utf-8")


def test_a_page_replaces_a_file_only_if_asked_and_goes_to_standard_output(platform: Platform, tmp_path: Path) -> None:
    platform.use(event("e1", "3"))
    platform.bill()
    page = tmp_path / "acme.html"
    page.write_text("mine", encoding="utf-8")
    refused = statement_command(platform, tmp_path, "acme", "--html", str(page))
    assert (refused.returncode, page.read_text(encoding="utf-8")) == (2, "mine")
    assert "exists already: choose another file, or replace it with --overwrite" in " ".join(refused.stderr.split())
    assert statement_command(platform, tmp_path, "acme", "--html", str(page), "--overwrite").returncode == 0
    whole = page.read_text(encoding="utf-8")
    assert whole.startswith("<!doctype html>")
    shown = statement_command(platform, tmp_path, "acme", "--html", "/dev/stdout")
    assert (shown.returncode, shown.stdout[:15]) == (0, "<!doctype html>")


def test_a_page_that_can_not_be_written_is_reported_in_one_line(platform: Platform, tmp_path: Path) -> None:
    platform.use(event("e1", "3"))
    platform.bill()
    result = statement_command(platform, tmp_path, "acme", "--html", str(tmp_path / "missing" / "acme.html"))
    assert result.returncode == 2
    assert "can't be written: No such file or directory: create the folder" in " ".join(result.stderr.split())


def test_a_final_invoice_keeps_the_seller_of_its_time(platform: Platform) -> None:
    """The company moves to Berlin after September is final. October is open, so it names the new address."""
    before, after = ("Fly.io, Inc.", "Chicago"), ("Fly.io GmbH", "Berlin")
    platform.add_one_off("acme", "Setup", "10", at("2026-09-03"))
    platform.land(*LANDING_DAYS, now=CLOSED)
    platform.roll_up(SEPTEMBER, CLOSED)
    bill(platform.database, SEPTEMBER, platform.organizations(), replace(TERMS, seller=before), CLOSED, "run")
    bill(platform.database, OCTOBER, platform.organizations(), replace(TERMS, seller=after), CLOSED, "run")
    pages = {
        month: statement_page(read_statement(platform.database, "acme", CLOSED, month), after)
        for month in (SEPTEMBER, OCTOBER)
    }
    assert [("Chicago" in page, "Berlin" in page) for page in pages.values()] == [(True, False), (False, True)]
    (kept,) = platform.query("select seller from invoice_details")
    assert kept["seller"] == "Fly.io, Inc.\nChicago"


def test_an_older_final_invoice_says_that_it_names_the_seller_of_today(platform: Platform) -> None:
    """September became final before sellers were recorded; October is open, so today's seller is its own."""
    platform.add_one_off("acme", "Setup", "10", at("2026-09-03"))
    platform.close()
    platform.bill(OCTOBER)
    damage(platform.database, "update invoice_details set seller = null")
    pages = [
        statement_page(read_statement(platform.database, "acme", CLOSED, month), ("Berlin",))
        for month in (SEPTEMBER, OCTOBER)
    ]
    assert [("Berlin" in page, SELLER_NOT_RECORDED in page) for page in pages] == [(True, True), (True, False)]
    nobody = statement_page(read_statement(platform.database, "acme", CLOSED, SEPTEMBER), ())
    assert SELLER_NOT_RECORDED not in nobody


def test_an_invoice_that_became_final_without_a_seller_names_none_later(platform: Platform) -> None:
    platform.add_one_off("acme", "Setup", "10", at("2026-09-03"))
    platform.close()
    assert "Berlin" not in statement_page(read_statement(platform.database, "acme", CLOSED, SEPTEMBER), ("Berlin",))
