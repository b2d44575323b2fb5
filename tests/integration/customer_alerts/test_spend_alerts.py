"""A threshold alerts the customer once a month, from an open month, and again in the next month."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from dagster import DagsterInstance, SkipReason, build_sensor_context

from fly_billing.customer_alerts.channels import WEBHOOK
from fly_billing.customer_alerts.customer_mail import NAME as MAIL
from fly_billing.customer_alerts.evaluation import (
    AlertChannels,
    AlertTerms,
    SpendAlertFailed,
    queue_spend_alerts,
)
from fly_billing.customer_alerts.figures import mark_checked, read_parts
from fly_billing.customer_alerts.rules.thresholds import Kind
from fly_billing.customer_alerts.thresholds import NoSuchThreshold, add_threshold, remove_threshold, thresholds
from fly_billing.periods import BillingMonth, open_months
from fly_billing.pricing.price_books import PriceBookFiles, load_price_book
from fly_billing.pricing.rules.meters import Meter
from fly_billing.resources.alerts import Alerts
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.resources.clock import Clock
from fly_billing.resources.customer_alerts import CustomerAlerts
from fly_billing.sensors.alert_on_spend import alert_on_spend
from tests.support.builders import CLOSED, NOW, OCTOBER, SEPTEMBER, Platform, at, event, price, write_jsonl
from tests.support.named_channels import NamedChannel
from tests.support.unguarded import damage

GRACE = timedelta(hours=72)
OPERATORS = NamedChannel("operators")
CHANNELS = AlertChannels([OPERATORS], NamedChannel(MAIL), NamedChannel(WEBHOOK))
IN_OCTOBER = at("2026-10-05T12:00:00")


@pytest.fixture
def spending(platform: Platform) -> Platform:
    """Acme has an e-mail address, and thresholds at $10.00, $20.00 and $50.00 a month."""
    platform.execute("insert into billing_details (organization_id, email) values ('acme', 'owner@acme.example')")
    for amount in ("10", "20", "50"):
        assert add_threshold(platform.database, "acme", amount)
    return platform


def spend(platform: Platform, name: str, amount: str, on: str = "2026-09-10") -> None:
    """Charge acme once more and compute the upcoming invoice again."""
    platform.add_one_off("acme", name, amount, at(on))
    platform.roll_up()
    platform.bill()


def evaluate(platform: Platform, now: datetime = NOW, **first_alert: int) -> int:
    terms = AlertTerms(GRACE, {currency: Decimal(units) for currency, units in first_alert.items()})
    return queue_spend_alerts(platform.database, CHANNELS, terms, now, lambda text: None)


def new_messages(platform: Platform, channel: str = MAIL) -> list[Any]:
    """Return the messages of a channel that were queued since the last call, and mark all as taken."""
    found = platform.query(
        "select organization_id, subject, body from alerts where channel = :channel and taken_at is null order by id",
        channel=channel,
    )
    platform.execute("update alerts set taken_at = now() where taken_at is null")
    return found


def reached(platform: Platform, now: datetime = NOW) -> list[list[str]]:
    """Evaluate, and return the lines of each new e-mail about what was reached."""
    evaluate(platform, now)
    return [[line for line in mail["body"].splitlines() if line.startswith("- ")] for mail in new_messages(platform)]


def test_a_threshold_alerts_once_when_it_is_reached(spending: Platform) -> None:
    spend(spending, "first", "9.99")
    assert reached(spending) == []
    spend(spending, "second", "0.01")
    assert reached(spending) == [["- $10.00"]]
    spend(spending, "third", "5.00")
    assert [reached(spending) for _ in range(2)] == [[], []]


def test_the_customer_and_the_platform_are_told_and_no_operator(spending: Platform) -> None:
    spend(spending, "first", "12.34")
    assert evaluate(spending) == 1
    mail = spending.query("select organization_id, subject from alerts where channel = :channel", channel=MAIL)
    assert mail == [{"organization_id": "acme", "subject": "Acme: spend alert for 2026-09, $12.34 so far"}]
    (webhook,) = spending.query("select organization_id, body from alerts where channel = :channel", channel=WEBHOOK)
    data = json.loads(webhook["body"])["data"]
    assert (webhook["organization_id"], data["total"], data["thresholds"][0]["threshold"]) == ("acme", "12.34", "10.00")
    assert spending.query("select * from alerts where channel = :channel", channel=OPERATORS.name) == []


def test_an_organization_without_an_address_gets_no_e_mail_and_the_platform_is_told(spending: Platform) -> None:
    spending.execute("delete from billing_details")
    spend(spending, "first", "12.34")
    assert evaluate(spending) == 1
    assert spending.query("select channel from alerts") == [{"channel": WEBHOOK}]


def test_several_thresholds_reached_at_once_are_one_message(spending: Platform) -> None:
    spend(spending, "first", "25.00")
    assert reached(spending) == [["- $20.00", "- $10.00"]]
    spend(spending, "second", "25.00")
    assert reached(spending) == [["- $50.00"]]


def test_processes_that_evaluate_at_the_same_time_queue_a_message_once(spending: Platform) -> None:
    for name in ("globex", "labs", "zeta"):
        spending.add_organization(name)
        add_threshold(spending.database, name, "10")
        spending.add_one_off(name, "setup", "12.00", at("2026-09-10"))
    spend(spending, "first", "25.00")
    with ThreadPoolExecutor(4) as threads:
        queued = [*threads.map(lambda _: evaluate(spending), range(8))]
    assert sum(queued) == 4
    webhooks = [json.loads(row["body"])["data"] for row in new_messages(spending, WEBHOOK)]
    assert sorted((data["organization_id"], len(data["thresholds"])) for data in webhooks) == [
        ("acme", 2),
        ("globex", 1),
        ("labs", 1),
        ("zeta", 1),
    ]


def test_reaching_a_threshold_again_in_one_month_does_not_alert_again(spending: Platform) -> None:
    spend(spending, "first", "10.00")
    assert len(reached(spending)) == 1
    spend(spending, "goodwill", "-5.00")
    assert reached(spending) == []
    spend(spending, "second", "6.00")
    assert reached(spending) == []


def test_a_threshold_alerts_again_in_a_new_month(spending: Platform) -> None:
    spend(spending, "september", "10.00")
    assert len(reached(spending)) == 1
    spending.add_one_off("acme", "october", "10.00", at("2026-10-02"))
    spending.roll_up(OCTOBER, now=CLOSED)
    spending.bill(OCTOBER, now=CLOSED)
    assert reached(spending, IN_OCTOBER) == [["- $10.00"]]


def test_both_open_months_are_compared_in_the_first_days_of_a_month(spending: Platform) -> None:
    """September closes at the end of October 3."""
    assert open_months(at("2026-10-03T23:59:59"), GRACE) == [SEPTEMBER, OCTOBER]
    assert open_months(at("2026-10-04"), GRACE) == [OCTOBER]
    assert open_months(at("2026-01-01"), GRACE) == [BillingMonth(2025, 12), BillingMonth(2026, 1)]
    spend(spending, "late", "10.00")
    assert reached(spending, at("2026-10-02")) == [["- $10.00"]]


def test_a_month_that_closed_long_ago_and_is_computed_now_alerts_nobody(spending: Platform) -> None:
    """A backfill computes September as an open month in December, before it closes it."""
    spend(spending, "first", "60.00")
    assert reached(spending, at("2026-12-05")) == []


def test_a_final_month_does_not_alert(spending: Platform) -> None:
    write_jsonl(spending.landing_dir, [event("e1", "300")])
    spending.close()
    assert reached(spending, at("2026-10-02")) == []


def test_a_threshold_set_again_does_not_alert_again_in_its_month(spending: Platform) -> None:
    spend(spending, "first", "10.00")
    reached(spending)
    remove_threshold(spending.database, "acme", "10")
    add_threshold(spending.database, "acme", "10.00")
    assert reached(spending) == []


def test_a_removed_threshold_does_not_alert(spending: Platform) -> None:
    remove_threshold(spending.database, "acme", "10")
    spend(spending, "first", "10.00")
    assert reached(spending) == []
    assert [each.amount_cents for each in thresholds(spending.database)] == [2000, 5000]


def test_a_new_threshold_below_the_present_spend_alerts_at_once(spending: Platform) -> None:
    spend(spending, "first", "7.00")
    add_threshold(spending.database, "acme", "5")
    assert reached(spending) == [["- $5.00"]]


def test_a_linked_organization_is_alerted_about_its_own_share(spending: Platform) -> None:
    """Globex pays for acme: acme's part is $12.00, globex's invoice $15.00."""
    spending.add_organization("globex")
    spending.execute("insert into organization_links values ('acme', 'globex', '2026-09-01')")
    add_threshold(spending.database, "globex", "15")
    spending.add_one_off("globex", "setup", "3.00", at("2026-09-10"))
    spend(spending, "first", "12.00")
    evaluate(spending)
    told = [
        (row["organization_id"], json.loads(row["body"])["data"]["total"]) for row in new_messages(spending, WEBHOOK)
    ]
    assert told == [("acme", "12.00"), ("globex", "15.00")]


def october(platform: Platform, amount: str) -> None:
    """Charge acme in October and compute its upcoming invoice."""
    platform.add_one_off("acme", f"october {amount}", amount, at("2026-10-02"))
    platform.roll_up(OCTOBER, now=CLOSED)
    platform.bill(OCTOBER, now=CLOSED)


def test_a_percentage_is_of_last_months_final_invoice(platform: Platform) -> None:
    """September is $10.01: 150 % of it is $15.015, which $15.01 has not reached and $15.02 has."""
    platform.execute("insert into billing_details (organization_id, email) values ('acme', 'owner@acme.example')")
    add_threshold(platform.database, "acme", "150%")
    platform.add_one_off("acme", "september", "10.01", at("2026-09-10"))
    platform.close()
    october(platform, "15.01")
    assert reached(platform, IN_OCTOBER) == []
    october(platform, "0.01")
    assert reached(platform, IN_OCTOBER) == [["- $15.02, 150% of the invoice for 2026-09"]]


@pytest.mark.parametrize("september", ["0.00", "-5.00"])
def test_a_percentage_of_nothing_does_not_alert(platform: Platform, september: str) -> None:
    platform.execute("insert into billing_details (organization_id, email) values ('acme', 'owner@acme.example')")
    add_threshold(platform.database, "acme", "1%")
    platform.add_one_off("acme", "september", september, at("2026-09-10"))
    platform.close()
    october(platform, "100.00")
    assert reached(platform, IN_OCTOBER) == []


def test_a_percentage_of_a_month_that_is_still_open_does_not_alert(platform: Platform) -> None:
    platform.execute("insert into billing_details (organization_id, email) values ('acme', 'owner@acme.example')")
    add_threshold(platform.database, "acme", "100%")
    spend(platform, "september", "1.00")
    october(platform, "100.00")
    assert reached(platform, at("2026-10-02")) == []


def test_a_part_alerts_when_the_app_or_product_reaches_it(platform: Platform) -> None:
    """Volumes: 30 GB x 0.20 = $6.00, of which web has 20 GB, $4.00. Requests cost $0.30."""
    platform.execute("insert into billing_details (organization_id, email) values ('acme', 'owner@acme.example')")
    meter = Meter("volume_gb", "Volumes", "GB", dimensions=("app", "region"))
    with platform.database.transaction() as connection:
        load_price_book(connection, PriceBookFiles("fly", [meter], [price("volumes", "0.20", "volume_gb", unit="GB")]))
    parts: list[tuple[str, Kind, str]] = [("4", "app", "web"), ("4.01", "app", "web"), ("2.01", "app", "worker")]
    for amount, kind, name in parts:
        add_threshold(platform.database, "acme", amount, kind, name)
    add_threshold(platform.database, "acme", "6", "product", "Volumes")
    platform.use(
        event("v1", "20", type="volume_gb", app="web", region="ams"),
        event("v2", "10", type="volume_gb", app="worker", region="fra"),
        event("r1", "3"),
    )
    platform.bill()
    assert reached(platform) == [
        [
            "- $6.00 for the product Volumes, which has cost $6.00 so far",
            "- $4.00 for the app web, which has cost $4.00 so far",
        ]
    ]
    assert reached(platform) == []
    platform.use(event("v3", "1", type="volume_gb", app="worker", region="fra"), name="more")
    platform.bill(now=at("2026-09-20T12:05:00"))
    assert reached(platform) == [["- $2.01 for the app worker, which has cost $2.20 so far"]]


def test_a_new_organization_gets_the_first_alert_and_an_older_one_does_not(platform: Platform) -> None:
    """Acme is older: it was decided that it gets none."""
    evaluate(platform)
    platform.add_organization("globex")
    platform.add_organization("nippon")
    platform.execute("update organizations set currency = 'JPY' where id = 'nippon'")
    evaluate(platform, USD=10)
    (first,) = thresholds(platform.database)
    assert (first.organization_id, first.amount_cents, first.is_first) == ("globex", 1000, True)
    evaluate(platform, USD=10, JPY=1500)
    assert len(thresholds(platform.database)) == 1


def test_a_first_alert_that_was_removed_does_not_come_back(platform: Platform) -> None:
    evaluate(platform, USD=10)
    assert [each.organization_id for each in thresholds(platform.database)] == ["acme"]
    remove_threshold(platform.database, "acme", "10")
    evaluate(platform, USD=10)
    assert thresholds(platform.database) == []


def test_the_log_has_the_e_mails_without_a_channel(spending: Platform) -> None:
    spend(spending, "first", "10.00")
    log: list[str] = []
    for _ in range(2):
        queue_spend_alerts(spending.database, AlertChannels(), AlertTerms(GRACE), NOW, log.append)
    assert [text.splitlines()[0] for text in log] == ["Acme: spend alert for 2026-09, $10.00 so far"]


def test_thresholds_are_listed_with_the_month_of_their_last_alert(spending: Platform) -> None:
    spend(spending, "first", "10.00")
    evaluate(spending)
    listed = [(each.amount_cents, each.last_alerted) for each in thresholds(spending.database, "acme")]
    assert listed == [(1000, "2026-09"), (2000, None), (5000, None)]
    assert thresholds(spending.database, "globex") == []


def test_adding_a_threshold_twice_adds_it_once(spending: Platform) -> None:
    assert not add_threshold(spending.database, "acme", "10.00")
    assert add_threshold(spending.database, "acme", "10", "forecast")
    assert len(thresholds(spending.database)) == 4


def test_an_invalid_threshold_is_refused(spending: Platform) -> None:
    with pytest.raises(NoSuchThreshold, match="no organization 'nobody'"):
        add_threshold(spending.database, "nobody", "10")
    with pytest.raises(NoSuchThreshold, match="'ten' is not an amount"):
        add_threshold(spending.database, "acme", "ten")
    with pytest.raises(NoSuchThreshold, match=r"acme has no spend alert at \$11.00"):
        remove_threshold(spending.database, "acme", "11")


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as instance:
        yield instance


def test_the_sensor_queues_a_message_once(spending: Platform, instance: DagsterInstance) -> None:
    spend(spending, "first", "10.00")
    resources = {
        "billing_postgres": BillingPostgres(url=spending.database.engine.url.render_as_string(hide_password=False)),
        "alerts": Alerts(),
        "customer_alerts": CustomerAlerts(
            fly_billing_customer_webhook_url="https://platform.example.com",
            fly_billing_customer_webhook_secret="whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
        ),
        "clock": Clock(fixed_at=NOW.isoformat()),
    }
    outcomes = []
    for _ in range(2):
        with build_sensor_context(instance) as context:
            outcomes.append(alert_on_spend(context, **resources))
    assert [outcome.skip_message for outcome in outcomes if isinstance(outcome, SkipReason)] == [
        "1 message queued",
        "nothing new",
    ]


def test_unreadable_spend_is_reported_to_operators_and_all_others_are_alerted(spending: Platform) -> None:
    for name in ("labs", "zeta"):
        spending.add_organization(name)
        assert add_threshold(spending.database, name, "10")
        spending.add_one_off(name, "setup", "12", at("2026-09-10"))
    spend(spending, "first", "12.00")
    spending.execute("alter table invoices drop constraint computed_at_is_a_time")
    damage(spending.database, "update invoices set computed_at = 'infinity' where organization_id in ('acme', 'labs')")
    for _ in range(3):  # alerted once, and not at each run of the sensor
        with pytest.raises(SpendAlertFailed, match=r"2 spend alerts could not be sent: .*acme.*as_of infinity.*labs"):
            evaluate(spending)
    told = spending.query("select channel, subject from alerts order by subject")
    assert told == [
        {"channel": OPERATORS.name, "subject": "Spend alert for acme could not be sent"},
        {"channel": OPERATORS.name, "subject": "Spend alert for labs could not be sent"},
        {"channel": WEBHOOK, "subject": "zeta 2026-09: spend alert"},
    ]
    damage(spending.database, "update invoices set computed_at = now() where organization_id in ('acme', 'labs')")
    assert evaluate(spending) == 2


def test_a_product_whose_item_can_not_be_read_is_reported_and_alerts_once_it_can(spending: Platform) -> None:
    """The invoice stays as it is meanwhile, so nothing else would compare the threshold of $6.00 again."""
    add_threshold(spending.database, "acme", "6", "product", "One-off")
    spending.add_one_off("acme", "setup", "7.00", at("2026-09-10"))
    spending.compute()
    spending.execute("alter table invoice_items alter column amount_cents drop not null")
    damage(spending.database, "update invoice_items set amount_cents = null")
    for _ in range(2):
        with pytest.raises(SpendAlertFailed, match=r"acme 2026-09 can't be read"):
            evaluate(spending)
    damage(spending.database, "update invoice_items set amount_cents = 700")
    assert evaluate(spending) == 1


def test_an_estimate_alerts_before_the_month_has_cost_that_much(platform: Platform) -> None:
    """10 requests a day at $0.10 for 15 days: $15.00, and about $30.00 by the end of the month."""
    platform.execute("insert into billing_details (organization_id, email) values ('acme', 'owner@acme.example')")
    for n in range(15):
        day = SEPTEMBER.first_day + timedelta(days=n)
        write_jsonl(platform.landing_dir, [event(f"d{day}", "10", time=f"{day}T12:00:00Z")], day)
        platform.land(day, now=at(f"{day + timedelta(days=1)}T00:30:00"))
    platform.compute()
    add_threshold(platform.database, "acme", "31", "forecast")
    add_threshold(platform.database, "acme", "25", "forecast")
    now = at("2026-09-16T08:00:00")
    expected = ["- $25.00 by the end of 2026-09, by our estimate of $30.00 (not an amount that you owe)"]
    assert [reached(platform, now), reached(platform, now)] == [[expected], []]


def test_a_comparison_with_the_newer_month_does_not_hide_the_older_one(platform: Platform) -> None:
    """In the days of grace October was compared, calculated at 12:05; then September appears, calculated at 12:00."""
    platform.execute("insert into billing_details (organization_id, email) values ('acme', 'owner@acme.example')")
    now = at("2026-10-02T12:10:00")
    add_threshold(platform.database, "acme", "6", "product", "One-off")
    platform.add_one_off("acme", "october", "1.00", at("2026-10-01"))
    platform.roll_up(OCTOBER, now=now)
    platform.bill(OCTOBER, now=at("2026-10-02T12:05:00"))
    assert reached(platform, now) == []
    platform.add_one_off("acme", "september", "7.00", at("2026-09-10"))
    platform.roll_up()
    platform.bill(now=at("2026-10-02T12:00:00"))
    assert reached(platform, now) == [["- $6.00 for the product One-off, which has cost $7.00 so far"]]


def test_a_forecast_is_compared_again_while_the_invoice_does_not_change(platform: Platform) -> None:
    """$1.00 on each of two days are too few for an estimate; after a third one without usage it is $20.00."""
    platform.execute("insert into billing_details (organization_id, email) values ('acme', 'owner@acme.example')")
    add_threshold(platform.database, "acme", "15", "forecast")
    for n in range(3):
        day = SEPTEMBER.first_day + timedelta(days=n)
        quantity = "10" if n < 2 else "0"
        write_jsonl(platform.landing_dir, [event(f"d{day}", quantity, time=f"{day}T12:00:00Z")], day)
        now = at(f"{day + timedelta(days=1)}T00:30:00")
        platform.land(day, now=now)
        platform.roll_up(now=now)
        platform.bill(now=now)
        if n == 1:
            assert reached(platform, now) == []
    platform.execute("update invoices set computed_at = '2026-09-03T00:30:00Z'")
    assert len(reached(platform, at("2026-09-04T08:00:00"))) == 1


def test_organizations_that_no_round_has_reached_yet_are_compared_first(platform: Platform) -> None:
    """Each round has time for one organization, and after each the month is billed again: zeta gets its turn."""
    for name in ("acme", "globex", "zeta"):
        if name != "acme":
            platform.add_organization(name)
        add_threshold(platform.database, name, "5", "product", "nothing")
        platform.add_one_off(name, "setup", "6.00", at("2026-09-10"))
    platform.compute()
    compared = []
    for number in range(1, 4):
        is_over = iter([False, True])
        parts = read_parts(platform.database, [SEPTEMBER.first_day], NOW, partial(next, is_over))
        compared += [each.organization_id for each in parts.checked]
        with platform.database.transaction() as connection:
            mark_checked(connection, parts, NOW)
        platform.bill(now=NOW + timedelta(minutes=5 * number))
    assert compared == ["acme", "globex", "zeta"]
