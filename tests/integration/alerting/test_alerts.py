"""Each failure and each recovery is alerted once, until a channel accepts it, and no alert reveals a secret."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from dagster import (
    AssetCheckResult,
    AssetCheckSpec,
    AssetExecutionContext,
    DagsterInstance,
    Failure,
    MaterializeResult,
    OpExecutionContext,
    SensorDefinition,
    SensorResult,
    SkipReason,
    asset,
    build_sensor_context,
    job,
    materialize,
    op,
)
from sqlalchemy.exc import IntegrityError

from fly_billing.alerting.channel import AlertNotSent, Channel
from fly_billing.alerting.outbox import Log, PostingReport, post_waiting, put
from fly_billing.alerting.rules.alerts import Alert
from fly_billing.alerting.slack import SlackChannel
from fly_billing.alerting.unreported import queue_invoice_failure_alerts, queue_sync_failure_alerts
from fly_billing.alerting.webhook import WebhookChannel
from fly_billing.assets.run_report import REPORTED_BY_SENSOR
from fly_billing.partitions import RANGE_END, RANGE_START
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.resources.alerts import Alerts, SlackWorkspace
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.resources.billing_terms import BillingTerms
from fly_billing.resources.usage_store import UsageStore
from fly_billing.sensors.alert_on_failed_check import alert_on_failed_check
from fly_billing.sensors.alert_on_failed_invoices import alert_on_failed_invoices
from fly_billing.sensors.alert_on_failed_run import alert_on_failed_run
from fly_billing.sensors.alert_on_failed_sync import alert_on_failed_sync
from fly_billing.sensors.register_new_organizations import register_new_organizations
from fly_billing.sensors.send_alerts import send_alerts
from fly_billing.stripe_sandbox import SandboxServer
from tests.support.alert_servers import BOT_TOKEN, Slack, Webhook
from tests.support.deployment import Deployment
from tests.support.stripe_builders import (
    JULY,
    add_organization,
    bill_june,
    charge,
    close_month,
    execute,
    in_stripe,
    query,
    sync,
    sync_tools,
)


@dataclass
class OnCall:
    """The on-call engineer: alerts go into the outbox, and from there to the channels."""

    database: BillingDatabase
    channels: Sequence[Channel]
    log: list[str] = field(default_factory=list)

    def queue_and_post(self, queue: Callable[[BillingDatabase, Sequence[Channel], Log], int]) -> int:
        """Queue the alerts and post them; return the number of new alerts."""
        count = queue(self.database, self.channels, self.log.append)
        post_waiting(self.database, self.channels)
        return count

    def post_again(self, seconds_later: int = 0) -> PostingReport:
        """Post the waiting alerts, this number of seconds later."""
        earlier = "update alerts set next_try_at = next_try_at - make_interval(secs => :seconds) where taken_at is null"
        execute(self.database, earlier, seconds=seconds_later)
        return post_waiting(self.database, self.channels)


@pytest.fixture
def on_call(billing_database: BillingDatabase, webhook: Webhook) -> OnCall:
    return OnCall(billing_database, [WebhookChannel(webhook.url)])


def fail_syncs(
    database: BillingDatabase, sandbox: SandboxServer, effect: str = "rate_limited", endpoint: str = "invoices.create"
) -> None:
    """Sync June while every call of an endpoint returns this fault."""
    sandbox.control.clear_faults()
    sandbox.control.add_fault(effect, endpoint)
    assert sync(sync_tools(database, sandbox.url)).failures


# Failed syncs ------------------------------------------------------------------------------------------------------


def test_a_failed_sync_is_alerted_once(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path, webhook: Webhook, on_call: OnCall
) -> None:
    bill_june(billing_database, tmp_path, acme=["12.00"])
    assert on_call.queue_and_post(queue_sync_failure_alerts) == 0
    fail_syncs(billing_database, sandbox)
    assert on_call.queue_and_post(queue_sync_failure_alerts) == 1
    (text,) = webhook.taken
    subject, affected, what_to_do = text.splitlines()
    assert (subject, affected) == ("Stripe sync failed (rate_limited): 1 invoice, $12.00", "- acme 2023-06: $12.00")
    assert what_to_do.startswith(
        "What to do: Stripe limits our request rate: the rate limiter slows down automatically, and the next run"
        " continues"
    )
    assert [on_call.queue_and_post(queue_sync_failure_alerts) for _ in range(3)] == [0, 0, 0]
    assert len(webhook.taken) == 1


def test_the_same_failure_in_a_later_run_is_not_alerted_again(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path, webhook: Webhook, on_call: OnCall
) -> None:
    bill_june(billing_database, tmp_path, acme=["12.00"])
    for _ in range(3):
        fail_syncs(billing_database, sandbox)
        on_call.queue_and_post(queue_sync_failure_alerts)
    assert webhook.subjects() == ["Stripe sync failed (rate_limited): 1 invoice, $12.00"]


def test_another_failure_of_the_same_invoice_is_alerted(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path, webhook: Webhook, on_call: OnCall
) -> None:
    bill_june(billing_database, tmp_path, acme=["12.00"])
    fail_syncs(billing_database, sandbox)
    on_call.queue_and_post(queue_sync_failure_alerts)
    fail_syncs(billing_database, sandbox, "drop_before_apply")
    assert on_call.queue_and_post(queue_sync_failure_alerts) == 1
    assert webhook.subjects() == [
        "Stripe sync failed (rate_limited): 1 invoice, $12.00",
        "Stripe sync failed (no_answer): 1 invoice, $12.00",
    ]


def test_a_recovery_is_alerted_once_and_a_new_failure_again(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path, webhook: Webhook, on_call: OnCall
) -> None:
    bill_june(billing_database, tmp_path, acme=["12.00"], bolt=["5.00"])
    fail_syncs(billing_database, sandbox)
    on_call.queue_and_post(queue_sync_failure_alerts)
    webhook.taken.clear()
    sandbox.control.clear_faults()
    sync(sync_tools(billing_database, sandbox.url))
    assert [on_call.queue_and_post(queue_sync_failure_alerts) for _ in range(2)] == [1, 0]
    assert webhook.taken == ["Stripe sync recovered: 2 invoices, $17.00\nacme 2023-06, bolt 2023-06"]


def test_a_failure_without_an_alert_has_no_recovery_alert(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path, webhook: Webhook, on_call: OnCall
) -> None:
    bill_june(billing_database, tmp_path, acme=["12.00"])
    fail_syncs(billing_database, sandbox)
    sandbox.control.clear_faults()
    sync(sync_tools(billing_database, sandbox.url))
    assert on_call.queue_and_post(queue_sync_failure_alerts) == 0
    assert webhook.taken == []


def test_failures_of_one_cause_are_one_alert_for_all_organizations(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path, webhook: Webhook, on_call: OnCall
) -> None:
    bill_june(billing_database, tmp_path, acme=["12.00"], bolt=["5.00"], crux=["3.00"])
    sandbox.control.seed_customer("cus_gone")
    sandbox.control.delete_object("cus_gone")
    execute(billing_database, "update organizations set stripe_customer_id = 'cus_gone' where id = 'crux'")
    sandbox.control.add_fault("rate_limited", "customers.create")
    sync(sync_tools(billing_database, sandbox.url))
    assert on_call.queue_and_post(queue_sync_failure_alerts) == 2
    assert webhook.subjects() == [
        "Stripe sync failed (customer_missing): 1 invoice, $3.00",
        "Stripe sync failed (rate_limited): 2 invoices, $17.00",
    ]


def test_a_later_organization_with_the_same_failure_gets_its_own_alert(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path, webhook: Webhook, on_call: OnCall
) -> None:
    bill_june(billing_database, tmp_path, acme=["12.00"])
    fail_syncs(billing_database, sandbox)
    on_call.queue_and_post(queue_sync_failure_alerts)
    add_organization(billing_database, "bolt")
    charge(billing_database, "bolt", "5.00")
    close_month(billing_database, tmp_path)
    fail_syncs(billing_database, sandbox)
    on_call.queue_and_post(queue_sync_failure_alerts)
    assert webhook.taken[1].splitlines()[:2] == [
        "Stripe sync failed (rate_limited): 1 invoice, $5.00",
        "- bolt 2023-06: $5.00",
    ]


# The outbox --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_a_refused_alert_is_sent_again_until_it_is_accepted(
    billing_database: BillingDatabase,
    sandbox: SandboxServer,
    tmp_path: Path,
    webhook: Webhook,
    on_call: OnCall,
    status: int,
) -> None:
    bill_june(billing_database, tmp_path, acme=["12.00"])
    fail_syncs(billing_database, sandbox)
    webhook.status = status
    assert [on_call.queue_and_post(queue_sync_failure_alerts) for _ in range(2)] == [1, 0]
    assert [len(on_call.post_again(seconds).refused) for seconds in (0, 29, 2)] == [0, 0, 1]
    webhook.status = 200
    assert [on_call.post_again(seconds).taken for seconds in (58, 3, 3600)] == [0, 1, 0]
    assert webhook.subjects() == ["Stripe sync failed (rate_limited): 1 invoice, $12.00"]
    assert len(on_call.log) == 1


def test_an_alert_is_retried_at_least_every_ten_minutes_until_accepted(
    billing_database: BillingDatabase, webhook: Webhook, on_call: OnCall
) -> None:
    webhook.status = 500
    on_call.queue_and_post(queue_something)
    waits = "select extract(epoch from next_try_at - made_at)::int as seconds from alerts"
    waited = []
    for _ in range(40):
        waited.append(query(billing_database, waits)[0]["seconds"])
        execute(billing_database, "update alerts set next_try_at = made_at")
        on_call.post_again()
    assert waited[-1] - waited[0] <= 600
    assert query(billing_database, "select refusals, last_refusal from alerts") == [
        {"refusals": 41, "last_refusal": "500 Internal Server Error"}
    ]
    webhook.status = 200
    assert on_call.post_again(600).taken == 1


def queue_something(database: BillingDatabase, channels: Sequence[Channel], log: Log) -> int:
    with database.transaction() as connection:
        put(connection, Alert("code", "Something failed", "What to do: mend it."), channels)
    return 1


def test_a_channel_that_refuses_neither_delays_the_others_nor_repeats_their_alerts(
    billing_database: BillingDatabase, webhook: Webhook, slack: Slack
) -> None:
    client = SlackWorkspace(token=BOT_TOKEN, base_url=slack.api_base).get_client()
    on_call = OnCall(billing_database, [WebhookChannel(webhook.url), SlackChannel(client, "#billing")])
    webhook.status = 500
    on_call.queue_and_post(queue_something)
    assert slack.texts() == ["Something failed\nWhat to do: mend it."]
    on_call.post_again(600)
    webhook.status = 200
    on_call.post_again(600)
    assert (len(slack.taken), webhook.subjects()) == (1, ["Something failed"])


def test_a_message_that_a_channel_refuses_does_not_delay_the_next(
    billing_database: BillingDatabase, slack: Slack
) -> None:
    client = SlackWorkspace(token=BOT_TOKEN, base_url=slack.api_base).get_client()
    on_call = OnCall(billing_database, [SlackChannel(client, "#billing")])
    slack.error = "invalid_blocks"
    on_call.queue_and_post(queue_something)
    slack.error = None
    on_call.queue_and_post(queue_something)
    assert len(slack.taken) == 1
    assert query(billing_database, "select count(*) as waiting from alerts where taken_at is null") == [{"waiting": 1}]


def test_an_unreachable_channel_is_paused_after_three_refusals(webhook: Webhook, on_call: OnCall) -> None:
    webhook.status = 500
    for _ in range(5):
        queue_something(on_call.database, on_call.channels, on_call.log.append)
    assert len(on_call.post_again().refused) == 3
    webhook.status = 200
    assert [on_call.post_again().taken, on_call.post_again(30).taken] == [2, 3]


def test_slack_is_not_retried_before_the_time_that_it_gave(billing_database: BillingDatabase, slack: Slack) -> None:
    client = SlackWorkspace(token=BOT_TOKEN, base_url=slack.api_base).get_client()
    on_call = OnCall(billing_database, [SlackChannel(client, "#billing")])
    slack.status, slack.error, slack.headers = 429, "ratelimited", {"Retry-After": "1200"}
    on_call.queue_and_post(queue_something)
    slack.status, slack.error = 200, None
    assert [on_call.post_again(1190).taken, on_call.post_again(11).taken] == [0, 1]


def test_waiting_alerts_are_posted_after_a_restart_by_one_process_only(
    billing_database: BillingDatabase, webhook: Webhook, on_call: OnCall
) -> None:
    on_call.queue_and_post(lambda database, channels, log: queue_something(database, channels, log) - 1)
    for _ in range(20):
        queue_something(billing_database, on_call.channels, on_call.log.append)
    another = BillingDatabase(billing_database.engine.url.render_as_string(hide_password=False))
    with ThreadPoolExecutor(4) as pool:
        posted = [pool.submit(post_waiting, another, on_call.channels) for _ in range(4)]
    assert sum(future.result().taken for future in posted) == 20
    assert webhook.subjects() == ["Something failed"] * 21


def test_a_failure_that_can_not_be_marked_as_alerted_is_not_alerted(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path, webhook: Webhook, on_call: OnCall
) -> None:
    bill_june(billing_database, tmp_path, acme=["12.00"])
    fail_syncs(billing_database, sandbox)
    execute(billing_database, "alter table stripe_invoices add constraint nothing_is_told check (alerted_code is null)")
    with pytest.raises(IntegrityError):
        on_call.queue_and_post(queue_sync_failure_alerts)
    assert (on_call.post_again().taken, on_call.log) == (0, [])
    execute(billing_database, "alter table stripe_invoices drop constraint nothing_is_told")
    assert on_call.queue_and_post(queue_sync_failure_alerts) == 1
    assert webhook.subjects() == ["Stripe sync failed (rate_limited): 1 invoice, $12.00"]


def test_two_simultaneous_sensors_alert_once(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path, webhook: Webhook, on_call: OnCall
) -> None:
    bill_june(billing_database, tmp_path, acme=["12.00"])
    fail_syncs(billing_database, sandbox)
    with ThreadPoolExecutor(4) as pool:
        alerting = [pool.submit(on_call.queue_and_post, queue_sync_failure_alerts) for _ in range(4)]
    assert sorted(future.result() for future in alerting) == [0, 0, 0, 1]
    assert webhook.subjects() == ["Stripe sync failed (rate_limited): 1 invoice, $12.00"]


def test_a_refused_recovery_alert_waits_too(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path, webhook: Webhook, on_call: OnCall
) -> None:
    bill_june(billing_database, tmp_path, acme=["12.00"])
    fail_syncs(billing_database, sandbox)
    on_call.queue_and_post(queue_sync_failure_alerts)
    sandbox.control.clear_faults()
    sync(sync_tools(billing_database, sandbox.url))
    webhook.status = 500
    on_call.queue_and_post(queue_sync_failure_alerts)
    webhook.status = 200
    assert on_call.post_again(30).taken == 1
    assert webhook.subjects()[-1] == "Stripe sync recovered: 1 invoice, $12.00"


def test_alerts_go_to_the_log_without_a_channel(billing_database: BillingDatabase, tmp_path: Path) -> None:
    bill_june(billing_database, tmp_path, acme=["12.00"])
    break_billing(billing_database, tmp_path, "acme")
    on_call = OnCall(billing_database, [])
    assert [on_call.queue_and_post(queue_invoice_failure_alerts) for _ in range(2)] == [1, 0]
    assert on_call.log[0].splitlines()[0] == "Billing failed (currency_mismatch): 1 invoice, amount unknown"


# Failed invoices ---------------------------------------------------------------------------------------------------


def break_billing(database: BillingDatabase, folder: Path, *names: str) -> None:
    """Bill July with a charge in a currency that the organization isn't billed in."""
    for name in names:
        charge(database, name, "1.00", month=JULY)
    in_currency(database, "EUR")
    assert len(close_month(database, folder, JULY).failures) == len(names)


def in_currency(database: BillingDatabase, currency: str) -> None:
    """Let July's charges be in this currency."""
    execute(database, "update one_off_items set currency = :c where occurred_at >= '2023-07-01'", c=currency)


def test_an_invoice_that_can_not_be_computed_is_alerted_once(
    billing_database: BillingDatabase, tmp_path: Path, webhook: Webhook, on_call: OnCall
) -> None:
    bill_june(billing_database, tmp_path, acme=["12.00"], bolt=["5.00"])
    break_billing(billing_database, tmp_path, "acme", "bolt")
    assert on_call.queue_and_post(queue_invoice_failure_alerts) == 1
    (text,) = webhook.taken
    assert text.splitlines()[:3] == [
        "Billing failed (currency_mismatch): 2 invoices, amount unknown",
        "- acme 2023-07: amount unknown",
        "- bolt 2023-07: amount unknown",
    ]
    assert on_call.queue_and_post(queue_invoice_failure_alerts) == 0
    close_month(billing_database, tmp_path, JULY)
    assert on_call.queue_and_post(queue_invoice_failure_alerts) == 0


def test_another_reason_for_a_failed_invoice_is_alerted(
    billing_database: BillingDatabase, tmp_path: Path, webhook: Webhook, on_call: OnCall
) -> None:
    bill_june(billing_database, tmp_path, acme=["12.00"])
    break_billing(billing_database, tmp_path, "acme")
    on_call.queue_and_post(queue_invoice_failure_alerts)
    execute(
        billing_database,
        """
        insert into subscriptions (id, organization_id, price_key, started_at)
        values (gen_random_uuid(), 'acme', 'a plan without a price', '2023-07-01T00:00:00Z')
        """,
    )
    close_month(billing_database, tmp_path, JULY)
    assert on_call.queue_and_post(queue_invoice_failure_alerts) == 1
    assert webhook.subjects() == [
        "Billing failed (currency_mismatch): 1 invoice, amount unknown",
        "Billing failed (unpriced_subscription): 1 invoice, amount unknown",
    ]


def test_the_recovery_of_a_failed_invoice_is_alerted_once_in_the_failures_channel(
    billing_database: BillingDatabase, tmp_path: Path, webhook: Webhook, on_call: OnCall
) -> None:
    bill_june(billing_database, tmp_path, acme=["12.00"], bolt=["5.00"])
    break_billing(billing_database, tmp_path, "acme", "bolt")
    execute(billing_database, "update billing_failures set alerted_code = code where organization_id = 'acme'")
    in_currency(billing_database, "USD")
    close_month(billing_database, tmp_path, JULY)
    assert [on_call.queue_and_post(queue_invoice_failure_alerts) for _ in range(2)] == [1, 0]
    assert webhook.taken == ["Billing recovered: 1 invoice, $1.00\nacme 2023-07"]


def test_a_failure_that_returns_before_its_recovery_alert_is_not_alerted_again(
    billing_database: BillingDatabase, tmp_path: Path, webhook: Webhook, on_call: OnCall
) -> None:
    bill_june(billing_database, tmp_path, acme=["12.00"])
    break_billing(billing_database, tmp_path, "acme")
    on_call.queue_and_post(queue_invoice_failure_alerts)
    for currency in ("USD", "EUR"):
        in_currency(billing_database, currency)
        close_month(billing_database, tmp_path, JULY, finalize=False)
    assert on_call.queue_and_post(queue_invoice_failure_alerts) == 0
    assert query(billing_database, "select 1 from billing_recoveries") == []


# The sensors -------------------------------------------------------------------------------------------------------


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def resources(billing_database: BillingDatabase, webhook: Webhook) -> dict[str, Any]:
    url = billing_database.engine.url.render_as_string(hide_password=False)
    return {"billing_postgres": BillingPostgres(url=url), "alerts": Alerts(alert_webhook_url=webhook.url)}


def send(resources: dict[str, Any], instance: DagsterInstance) -> str | None:
    """Run `send_alerts` once; return its message."""
    with build_sensor_context(instance) as context:
        outcome = send_alerts(context, **resources)
    assert isinstance(outcome, SkipReason)
    return outcome.skip_message


def test_alert_on_failed_sync_alerts_once(
    billing_database: BillingDatabase,
    sandbox: SandboxServer,
    tmp_path: Path,
    webhook: Webhook,
    instance: DagsterInstance,
    resources: dict[str, Any],
) -> None:
    bill_june(billing_database, tmp_path, acme=["12.00"])
    fail_syncs(billing_database, sandbox)
    with build_sensor_context(instance) as context:
        outcomes = [alert_on_failed_sync(context, **resources) for _ in range(2)]
    assert [outcome.skip_message for outcome in outcomes if isinstance(outcome, SkipReason)] == [
        "1 alert queued",
        "nothing new",
    ]
    assert [send(resources, instance) for _ in range(2)] == ["1 alert sent", "no alert is due"]
    assert webhook.subjects() == ["Stripe sync failed (rate_limited): 1 invoice, $12.00"]
    assert in_stripe(sandbox) == []


def test_alert_on_failed_invoices_alerts_once(
    billing_database: BillingDatabase,
    tmp_path: Path,
    webhook: Webhook,
    instance: DagsterInstance,
    resources: dict[str, Any],
) -> None:
    bill_june(billing_database, tmp_path, acme=["12.00"])
    break_billing(billing_database, tmp_path, "acme")
    with build_sensor_context(instance) as context:
        outcomes = [alert_on_failed_invoices(context, **resources) for _ in range(2)]
    assert [outcome.skip_message for outcome in outcomes if isinstance(outcome, SkipReason)] == [
        "1 alert queued",
        "nothing new",
    ]
    assert [send(resources, instance) for _ in range(2)] == ["1 alert sent", "no alert is due"]
    assert webhook.subjects() == ["Billing failed (currency_mismatch): 1 invoice, amount unknown"]


@op(config_schema={"reported_by_sensor": bool, "fails": bool})
def fail_on_purpose(context: OpExecutionContext) -> None:
    if not context.op_config["fails"]:
        return
    if context.op_config["reported_by_sensor"]:
        raise Failure("2 of this run failed", metadata={REPORTED_BY_SENSOR: True}, allow_retries=False)
    raise OSError("no space left on device")


@job
def a_month() -> None:
    fail_on_purpose()


def run_a_month(
    instance: DagsterInstance,
    reported_by_sensor: bool = False,
    *,
    month: str | None = None,
    fails: bool = True,
    first_group: str | None = None,
) -> str:
    config = {"ops": {"fail_on_purpose": {"config": {"reported_by_sensor": reported_by_sensor, "fails": fails}}}}
    tags = {"fly_billing/month": month} if month else {}
    if first_group:
        tags |= {RANGE_START: f"{month}-01|{first_group}", RANGE_END: f"{month}-01|zeta"}
    return a_month.execute_in_process(config, instance=instance, tags=tags, raise_on_error=False).run_id


class Looks:
    """A sensor that runs repeatedly, with its cursor kept as the daemon keeps it; its alerts are then posted."""

    def __init__(self, sensor: SensorDefinition, instance: DagsterInstance, resources: dict[str, Any]) -> None:
        self._sensor, self._instance, self._resources = sensor, instance, resources
        self._cursor: str | None = None

    def look(self) -> None:
        self.look_only()
        send(self._resources, self._instance)

    def look_only(self) -> None:
        self._cursor = self.look_without_memory()

    def look_without_memory(self) -> str | None:
        """Run the sensor without saving its cursor, as if it was killed; return that cursor."""
        with build_sensor_context(self._instance, cursor=self._cursor, resources=self._resources) as context:
            return self._sensor.evaluate_tick(context).cursor


def test_a_failed_run_is_alerted_unless_its_failures_are_in_postgres(
    webhook: Webhook, instance: DagsterInstance, resources: dict[str, Any]
) -> None:
    sensor = Looks(alert_on_failed_run, instance, resources)
    sensor.look()
    run_a_month(instance, reported_by_sensor=True)
    sensor.look()
    assert webhook.taken == []

    failed = run_a_month(instance, reported_by_sensor=False)
    sensor.look()
    (text,) = webhook.taken
    assert text.splitlines()[0] == "Run of a_month failed"
    assert "no space left on device" in text
    assert failed in text


def test_a_run_that_fails_every_hour_for_one_cause_is_alerted_once(
    webhook: Webhook, instance: DagsterInstance, resources: dict[str, Any]
) -> None:
    sensor = Looks(alert_on_failed_run, instance, resources)
    sensor.look()
    for _ in range(3):
        run_a_month(instance, reported_by_sensor=False)
        sensor.look()
    assert len(webhook.taken) == 1


def test_a_month_that_fails_every_night_is_alerted_once_even_if_another_month_succeeds_in_between(
    webhook: Webhook, instance: DagsterInstance, resources: dict[str, Any]
) -> None:
    sensor = Looks(alert_on_failed_run, instance, resources)
    sensor.look()
    for _ in range(2):
        run_a_month(instance, month="2026-09")
        sensor.look()
        run_a_month(instance, month="2026-10", fails=False)
        sensor.look()
    assert webhook.subjects() == ["Run of a_month failed: 2026-09"]
    run_a_month(instance, month="2026-09", fails=False)
    run_a_month(instance, month="2026-09")
    sensor.look()
    assert webhook.subjects() == ["Run of a_month failed: 2026-09"]


def test_the_success_of_other_organizations_of_the_month_does_not_end_a_failure(
    webhook: Webhook, instance: DagsterInstance, resources: dict[str, Any]
) -> None:
    """Two runs share the month, and both fail: two alerts, and none again until the same organizations succeed."""
    sensor = Looks(alert_on_failed_run, instance, resources)
    sensor.look()
    for fails in (True, False):
        run_a_month(instance, month="2026-09", first_group="acme")
        run_a_month(instance, month="2026-09", first_group="tail-00", fails=fails)
        sensor.look()
    assert webhook.subjects() == ["Run of a_month failed: 2026-09"] * 2


def test_the_success_of_the_whole_month_ends_the_failures_of_its_parts(
    webhook: Webhook, instance: DagsterInstance, resources: dict[str, Any]
) -> None:
    """The second part of the month fails, somebody bills all of it, and the next night the part fails again."""
    instance.add_dynamic_partitions("org", ["acme", "tail-00", "zeta"])
    sensor = Looks(alert_on_failed_run, instance, resources)
    sensor.look()
    run_a_month(instance, month="2026-09", first_group="tail-00")
    sensor.look()
    run_a_month(instance, month="2026-09", first_group="acme", fails=False)
    sensor.look()
    run_a_month(instance, month="2026-09", first_group="tail-00")
    sensor.look()
    assert webhook.subjects() == ["Run of a_month failed: 2026-09"] * 2


def test_a_failed_run_is_alerted_once_even_if_the_sensor_sees_it_twice(
    webhook: Webhook, instance: DagsterInstance, resources: dict[str, Any]
) -> None:
    sensor = Looks(alert_on_failed_run, instance, resources)
    sensor.look()
    run_a_month(instance, reported_by_sensor=False)
    sensor.look_without_memory()
    sensor.look()
    assert len(webhook.taken) == 1


def test_an_unreachable_billing_database_is_alerted_without_it(
    webhook: Webhook, instance: DagsterInstance, resources: dict[str, Any]
) -> None:
    away = {**resources, "billing_postgres": BillingPostgres(url="postgresql://nobody@127.0.0.1:9/billing")}
    sensor = Looks(alert_on_failed_run, instance, away)
    sensor.look_only()
    run_a_month(instance, reported_by_sensor=False)
    webhook.status = 503
    with pytest.raises(AlertNotSent):
        sensor.look_only()
    webhook.status = 200
    for _ in range(2):
        sensor.look_only()
    assert webhook.subjects() == ["Run of a_month failed"]


def test_a_missing_database_url_is_alerted_too(
    webhook: Webhook, instance: DagsterInstance, resources: dict[str, Any]
) -> None:
    sensor = Looks(alert_on_failed_run, instance, {**resources, "billing_postgres": BillingPostgres()})
    sensor.look_only()
    run_a_month(instance, reported_by_sensor=False)
    sensor.look_only()
    assert webhook.subjects() == ["Run of a_month failed"]


def test_send_alerts_fails_while_a_channel_refuses(
    billing_database: BillingDatabase, webhook: Webhook, instance: DagsterInstance, resources: dict[str, Any]
) -> None:
    queue_something(billing_database, resources["alerts"].channels(), print)
    webhook.status = 500
    with pytest.raises(AlertNotSent, match="webhook refused 'Something failed': 500 Internal Server Error"):
        send(resources, instance)
    assert send(resources, instance) == "no alert is due"


@asset(check_specs=[AssetCheckSpec("the_sum_is_right", asset="ledger")])
def ledger(context: AssetExecutionContext) -> Iterator[MaterializeResult[None]]:
    passed = "right" in context.run.tags
    checked = AssetCheckResult(check_name="the_sum_is_right", passed=passed, metadata={"wrong": 3})
    yield MaterializeResult(check_results=[checked])


def test_a_failed_check_of_a_successful_run_is_alerted_once_until_it_passes(
    webhook: Webhook, instance: DagsterInstance, resources: dict[str, Any]
) -> None:
    sensor = Looks(alert_on_failed_check, instance, resources)
    sensor.look()
    for _ in range(2):
        assert materialize([ledger], instance=instance, tags={"fly_billing/month": "2026-10"}).success
        sensor.look()
    (text,) = webhook.taken
    assert text.splitlines()[:2] == ["Check failed: the_sum_is_right of 2026-10", "3"]

    assert materialize([ledger], instance=instance, tags={"fly_billing/month": "2026-10", "right": "1"}).success
    assert materialize([ledger], instance=instance, tags={"fly_billing/month": "2026-10"}).success
    sensor.look()
    assert len(webhook.taken) == 2


def test_a_final_invoice_that_can_not_be_recalculated_is_alerted_with_the_fix_until_it_can(
    deployment: Deployment, webhook: Webhook
) -> None:
    """Acme turns out to have had an unpriced plan in October, whose invoice is final."""
    sensor = Looks(
        alert_on_failed_check,
        deployment.instance,
        {
            "billing_postgres": BillingPostgres(url=deployment.database_url),
            "alerts": Alerts(alert_webhook_url=webhook.url, fly_billing_dagster_url="https://dagster.example.com"),
        },
    )
    october = BillingMonth(2026, 10)
    sensor.look()
    deployment.load_prices()
    deployment.add_organization("acme")
    deployment.land_month(october)
    deployment.bill(october)
    deployment.execute(
        "insert into subscriptions values (gen_random_uuid(), 'acme', 'support/gold', '2026-10-01Z', null)"
    )
    for _ in range(2):
        deployment.bill(october)
        sensor.look()
    (text,) = webhook.taken
    assert text.splitlines()[:2] == ["Warning: final_invoices_can_be_recalculated of 2026-10", "1 row wrong"]
    assert "acme" in text
    assert "no price 'support/gold' in force at 2026-10-01: add it to the price book" in text
    runs = {run.run_id for run in deployment.instance.get_runs()}
    assert text.splitlines()[-1].removeprefix("Run: https://dagster.example.com/runs/") in runs
    assert deployment.totals(october) == {"acme": ("finalized", 0)}

    deployment.execute("update subscriptions set price_key = 'support/standard'")
    deployment.bill(october)
    for _ in range(2):
        sensor.look()
    asked = webhook.taken[1:]
    assert [text.splitlines()[0] for text in asked] == [
        "Warning: changed_terms_of_closed_months_are_decided of 2026-10"
    ]
    assert "fly-billing rebill acme 2026-10 --dry-run" in asked[0]
    assert deployment.execute("select amount from adjustments") == []


def test_register_new_organizations_makes_each_group_a_partition_once(
    billing_database: BillingDatabase, instance: DagsterInstance, resources: dict[str, Any], tmp_path: Path
) -> None:
    for name in ("acme", "bolt", "crux"):
        add_organization(billing_database, name)
    execute(billing_database, "update organizations set billing_group = 'tail-00' where id in ('bolt', 'crux')")
    given = {**resources, "billing_terms": BillingTerms(), "usage_store": UsageStore(landing_dir=str(tmp_path))}
    with build_sensor_context(instance) as context:
        found = register_new_organizations(context, **given)
    assert isinstance(found, SensorResult)
    (request,) = found.dynamic_partitions_requests or []
    assert (request.partitions_def_name, request.partition_keys) == ("org", ["acme", "tail-00"])
    instance.add_dynamic_partitions("org", list(request.partition_keys))
    with build_sensor_context(instance) as context:
        again = register_new_organizations(context, **given)
    assert isinstance(again, SkipReason)
