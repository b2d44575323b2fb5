"""A spend threshold alerts once a month, from the upcoming invoice, and again in the next month."""

from collections.abc import Iterator

import pytest
from dagster import DagsterInstance, SkipReason, build_sensor_context

from fly_billing.alerting.outbox import post_waiting
from fly_billing.alerting.spend_thresholds import (
    NoSuchThreshold,
    SpendAlertFailed,
    add_threshold,
    queue_spend_alerts,
    remove_threshold,
    thresholds,
)
from fly_billing.alerting.webhook import WebhookChannel
from fly_billing.resources.alerts import Alerts
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.sensors.alert_on_spend import alert_on_spend
from tests.support.alert_servers import Webhook
from tests.support.builders import CLOSED, OCTOBER, Platform, at, event, write_jsonl
from tests.support.unguarded import damage


@pytest.fixture
def spending(platform: Platform) -> Platform:
    """Acme has thresholds at $10.00, $20.00 and $50.00 a month."""
    for amount in ("10", "20", "50"):
        assert add_threshold(platform.database, "acme", amount)
    return platform


def spend(platform: Platform, name: str, amount: str, on: str = "2026-09-10") -> None:
    """Charge acme once more and compute the upcoming invoice again."""
    platform.add_one_off("acme", name, amount, at(on))
    platform.roll_up()
    platform.bill()


def new_alerts(platform: Platform, webhook: Webhook) -> list[str]:
    """Queue the spend alerts and post them; return the first line of each."""
    channels = [WebhookChannel(webhook.url)]
    webhook.taken.clear()
    count = queue_spend_alerts(platform.database, channels, lambda text: None)
    post_waiting(platform.database, channels)
    assert len(webhook.taken) == count
    return [text.splitlines()[0] for text in webhook.taken]


def test_a_threshold_alerts_once_when_it_is_reached(spending: Platform, webhook: Webhook) -> None:
    spend(spending, "first", "9.99")
    assert new_alerts(spending, webhook) == []
    spend(spending, "second", "0.01")
    assert new_alerts(spending, webhook) == ["Spend alert: Acme crossed $10.00 in 2026-09"]
    spend(spending, "third", "5.00")
    assert [new_alerts(spending, webhook) for _ in range(2)] == [[], []]


def test_the_message_gives_the_organization_the_amount_and_its_time(spending: Platform, webhook: Webhook) -> None:
    spend(spending, "first", "12.34")
    new_alerts(spending, webhook)
    assert webhook.taken == [
        "Spend alert: Acme crossed $10.00 in 2026-09\n"
        "Acme (acme) has spent $12.34 in 2026-09 so far, as of 2026-09-20 12:00 UTC.\n"
        "What to do: run `fly-billing statement acme 2026-09` to see the line items."
    ]


def test_several_thresholds_crossed_at_once_are_one_message(spending: Platform, webhook: Webhook) -> None:
    spend(spending, "first", "25.00")
    assert new_alerts(spending, webhook) == ["Spend alert: Acme crossed $20.00 in 2026-09"]
    assert "It also crossed $10.00." in webhook.taken[0]
    spend(spending, "second", "25.00")
    assert new_alerts(spending, webhook) == ["Spend alert: Acme crossed $50.00 in 2026-09"]
    assert "also" not in webhook.taken[0]


def test_crossing_a_threshold_again_in_one_month_does_not_alert_again(spending: Platform, webhook: Webhook) -> None:
    spend(spending, "first", "10.00")
    assert len(new_alerts(spending, webhook)) == 1
    spend(spending, "goodwill", "-5.00")
    assert new_alerts(spending, webhook) == []
    spend(spending, "second", "6.00")
    assert new_alerts(spending, webhook) == []


def test_a_threshold_alerts_again_in_a_new_month(spending: Platform, webhook: Webhook) -> None:
    spend(spending, "september", "10.00")
    assert len(new_alerts(spending, webhook)) == 1
    spending.add_one_off("acme", "october", "10.00", at("2026-10-02"))
    spending.roll_up(OCTOBER, now=CLOSED)
    spending.bill(OCTOBER, now=CLOSED)
    assert new_alerts(spending, webhook) == ["Spend alert: Acme crossed $10.00 in 2026-10"]


def test_a_final_month_does_not_alert(spending: Platform, webhook: Webhook) -> None:
    write_jsonl(spending.landing_dir, [event("e1", "300")])
    spending.close()
    assert new_alerts(spending, webhook) == []


def test_a_threshold_set_again_does_not_alert_again_in_its_month(spending: Platform, webhook: Webhook) -> None:
    spend(spending, "first", "10.00")
    new_alerts(spending, webhook)
    remove_threshold(spending.database, "acme", "10")
    add_threshold(spending.database, "acme", "10.00")
    assert new_alerts(spending, webhook) == []


def test_a_new_threshold_below_the_present_spend_alerts_at_once(spending: Platform, webhook: Webhook) -> None:
    spend(spending, "first", "7.00")
    add_threshold(spending.database, "acme", "5")
    assert new_alerts(spending, webhook) == ["Spend alert: Acme crossed $5.00 in 2026-09"]


def test_a_linked_organization_is_alerted_about_its_own_share(spending: Platform, webhook: Webhook) -> None:
    """Globex pays for acme: acme's part is $12.00, globex's invoice $15.00."""
    spending.add_organization("globex")
    spending.execute("insert into organization_links values ('acme', 'globex', '2026-09-01')")
    add_threshold(spending.database, "globex", "15")
    spending.add_one_off("globex", "setup", "3.00", at("2026-09-10"))
    spend(spending, "first", "12.00")
    assert new_alerts(spending, webhook) == [
        "Spend alert: Acme crossed $10.00 in 2026-09",
        "Spend alert: Globex crossed $15.00 in 2026-09",
    ]


def test_alerts_go_to_the_log_without_a_channel(spending: Platform) -> None:
    spend(spending, "first", "10.00")
    log: list[str] = []
    assert [queue_spend_alerts(spending.database, [], log.append) for _ in range(2)] == [1, 0]
    assert [text.splitlines()[0] for text in log] == ["Spend alert: Acme crossed $10.00 in 2026-09"]


def test_thresholds_are_listed_with_the_month_of_their_last_alert(spending: Platform) -> None:
    spend(spending, "first", "10.00")
    queue_spend_alerts(spending.database, [], lambda text: None)
    assert [
        (threshold.amount_cents, threshold.last_alerted) for threshold in thresholds(spending.database, "acme")
    ] == [
        (1000, "2026-09"),
        (2000, None),
        (5000, None),
    ]
    assert thresholds(spending.database, "globex") == []


def test_adding_a_threshold_twice_adds_it_once(spending: Platform) -> None:
    assert not add_threshold(spending.database, "acme", "10.00")
    assert len(thresholds(spending.database)) == 3


def test_an_invalid_threshold_is_refused(spending: Platform) -> None:
    with pytest.raises(NoSuchThreshold, match="no organization 'nobody'"):
        add_threshold(spending.database, "nobody", "10")
    with pytest.raises(NoSuchThreshold, match="'ten' is not an amount"):
        add_threshold(spending.database, "acme", "ten")
    with pytest.raises(NoSuchThreshold, match="acme has no spend alert at 11"):
        remove_threshold(spending.database, "acme", "11")


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as instance:
        yield instance


def test_the_sensor_queues_an_alert_once(spending: Platform, webhook: Webhook, instance: DagsterInstance) -> None:
    spend(spending, "first", "10.00")
    url = spending.database.engine.url.render_as_string(hide_password=False)
    resources = {"billing_postgres": BillingPostgres(url=url), "alerts": Alerts(alert_webhook_url=webhook.url)}
    with build_sensor_context(instance) as context:
        outcomes = [alert_on_spend(context, **resources) for _ in range(2)]
    assert [outcome.skip_message for outcome in outcomes if isinstance(outcome, SkipReason)] == [
        "1 alert queued",
        "nothing new",
    ]
    post_waiting(spending.database, [WebhookChannel(webhook.url)])
    assert webhook.subjects() == ["Spend alert: Acme crossed $10.00 in 2026-09"]


def test_unreadable_spend_is_reported_and_all_others_are_alerted(spending: Platform, webhook: Webhook) -> None:
    for name in ("labs", "zeta"):
        spending.add_organization(name)
        assert add_threshold(spending.database, name, "10")
        spending.add_one_off(name, "setup", "12", at("2026-09-10"))
    spend(spending, "first", "12.00")
    spending.execute("alter table invoices drop constraint computed_at_is_a_time")
    damage(spending.database, "update invoices set computed_at = 'infinity' where organization_id in ('acme', 'labs')")
    channels = [WebhookChannel(webhook.url)]
    for _ in range(3):  # alerted once, and not at each run of the sensor
        with pytest.raises(SpendAlertFailed, match=r"2 spend alerts could not be sent: .*acme.*as_of infinity.*labs"):
            queue_spend_alerts(spending.database, channels, lambda text: None)
        post_waiting(spending.database, channels)
    assert sorted(webhook.subjects()) == [
        "Spend alert for acme could not be sent",
        "Spend alert for labs could not be sent",
        "Spend alert: Zeta crossed $10.00 in 2026-09",
    ]
    damage(spending.database, "update invoices set computed_at = now() where organization_id in ('acme', 'labs')")
    assert len(new_alerts(spending, webhook)) == 2
