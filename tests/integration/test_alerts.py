"""A failure is told once, to somebody who took it; what is over is told too; secrets are told to nobody."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
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

from fly_billing.assets.outcomes import TOLD_ELSEWHERE
from fly_billing.domain.alerts import Alert
from fly_billing.resources.alerts import AlertChannel, AlertNotSent, tell_failed_invoices, tell_failed_syncs
from fly_billing.resources.dagster_resources import Alerts, BillingPostgres
from fly_billing.resources.postgres import BillingDatabase
from fly_billing.sensors.alert_on_failed_check import alert_on_failed_check
from fly_billing.sensors.alert_on_failed_invoices import alert_on_failed_invoices
from fly_billing.sensors.alert_on_failed_run import alert_on_failed_run
from fly_billing.sensors.alert_on_failed_sync import alert_on_failed_sync
from fly_billing.sensors.register_new_organizations import register_new_organizations
from fly_billing.stripe_sandbox import SandboxServer
from tests.stripe_builders import (
    JULY,
    add_organization,
    bill_june,
    charge,
    close_month,
    execute,
    in_stripe,
    sync,
    sync_tools,
)

SECRET = "T0/B0/very-secret"


class Webhook:
    """Takes alerts over HTTP on 127.0.0.1, or refuses them."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.status = 200
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if webhook.status == 200:
                    webhook.taken.append(body["text"])
                self.send_response(webhook.status)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/services/{SECRET}"

    def subjects(self) -> list[str]:
        """Return the first lines of what was taken since the last look."""
        taken, self.taken = self.taken, []
        return [text.splitlines()[0] for text in taken]


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    webhook = Webhook()
    thread = threading.Thread(target=webhook.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield webhook
    webhook.server.shutdown()
    thread.join()
    webhook.server.server_close()


@pytest.fixture
def channel(webhook: Webhook) -> AlertChannel:
    return AlertChannel(lambda _: None, webhook.url)


def fail_syncs(
    database: BillingDatabase, sandbox: SandboxServer, effect: str = "rate_limited", endpoint: str = "invoices.create"
) -> None:
    """Sync June while every call of an endpoint meets this fault."""
    sandbox.control.clear_faults()
    sandbox.control.add_fault(effect, endpoint)
    assert sync(sync_tools(database, sandbox.url)).failures


# Failed syncs ------------------------------------------------------------------------------------------------------


def test_a_failed_sync_is_told_once(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path, webhook: Webhook, channel: AlertChannel
) -> None:
    bill_june(billing_database, tmp_path, acme=["12.00"])
    assert tell_failed_syncs(billing_database, channel) == 0
    fail_syncs(billing_database, sandbox)
    assert tell_failed_syncs(billing_database, channel) == 1
    (text,) = webhook.taken
    subject, who, what_to_do = text.splitlines()
    assert (subject, who) == ("Stripe sync failed (rate_limited): 1 invoice, $12.00", "- acme 2023-06: $12.00")
    assert what_to_do.startswith(
        "What to do: Stripe limits our rate: the pace slows down by itself, the next run goes on"
    )
    assert [tell_failed_syncs(billing_database, channel) for _ in range(3)] == [0, 0, 0]
    assert len(webhook.taken) == 1


def test_the_same_failure_in_a_later_run_is_not_told_again(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path, webhook: Webhook, channel: AlertChannel
) -> None:
    bill_june(billing_database, tmp_path, acme=["12.00"])
    for _ in range(3):
        fail_syncs(billing_database, sandbox)
        tell_failed_syncs(billing_database, channel)
    assert webhook.subjects() == ["Stripe sync failed (rate_limited): 1 invoice, $12.00"]


def test_another_failure_of_the_same_invoice_is_told(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path, webhook: Webhook, channel: AlertChannel
) -> None:
    bill_june(billing_database, tmp_path, acme=["12.00"])
    fail_syncs(billing_database, sandbox)
    tell_failed_syncs(billing_database, channel)
    fail_syncs(billing_database, sandbox, "drop_before_apply")
    assert tell_failed_syncs(billing_database, channel) == 1
    assert webhook.subjects() == [
        "Stripe sync failed (rate_limited): 1 invoice, $12.00",
        "Stripe sync failed (no_answer): 1 invoice, $12.00",
    ]


def test_a_recovery_is_told_once_and_a_new_failure_again(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path, webhook: Webhook, channel: AlertChannel
) -> None:
    bill_june(billing_database, tmp_path, acme=["12.00"], bolt=["5.00"])
    fail_syncs(billing_database, sandbox)
    tell_failed_syncs(billing_database, channel)
    webhook.taken.clear()
    sandbox.control.clear_faults()
    sync(sync_tools(billing_database, sandbox.url))
    assert [tell_failed_syncs(billing_database, channel) for _ in range(2)] == [1, 0]
    assert webhook.taken == ["Stripe sync recovered: 2 invoices, $17.00\nacme 2023-06, bolt 2023-06"]


def test_what_nobody_was_told_of_needs_no_recovery(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path, webhook: Webhook, channel: AlertChannel
) -> None:
    bill_june(billing_database, tmp_path, acme=["12.00"])
    fail_syncs(billing_database, sandbox)
    sandbox.control.clear_faults()
    sync(sync_tools(billing_database, sandbox.url))
    assert tell_failed_syncs(billing_database, channel) == 0
    assert webhook.taken == []


def test_failures_of_one_cause_are_one_alert_for_all_organizations(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path, webhook: Webhook, channel: AlertChannel
) -> None:
    bill_june(billing_database, tmp_path, acme=["12.00"], bolt=["5.00"], crux=["3.00"])
    sandbox.control.seed_customer("cus_gone")
    sandbox.control.delete_object("cus_gone")
    execute(billing_database, "update organizations set stripe_customer_id = 'cus_gone' where id = 'crux'")
    sandbox.control.add_fault("rate_limited", "customers.create")
    sync(sync_tools(billing_database, sandbox.url))
    assert tell_failed_syncs(billing_database, channel) == 2
    assert webhook.subjects() == [
        "Stripe sync failed (customer_missing): 1 invoice, $3.00",
        "Stripe sync failed (rate_limited): 2 invoices, $17.00",
    ]


def test_a_later_organization_with_the_same_trouble_is_told_by_itself(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path, webhook: Webhook, channel: AlertChannel
) -> None:
    bill_june(billing_database, tmp_path, acme=["12.00"])
    fail_syncs(billing_database, sandbox)
    tell_failed_syncs(billing_database, channel)
    add_organization(billing_database, "bolt")
    charge(billing_database, "bolt", "5.00")
    close_month(billing_database, tmp_path)
    fail_syncs(billing_database, sandbox)
    tell_failed_syncs(billing_database, channel)
    assert webhook.taken[1].splitlines()[:2] == [
        "Stripe sync failed (rate_limited): 1 invoice, $5.00",
        "- bolt 2023-06: $5.00",
    ]


# The webhook -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_an_alert_that_was_refused_is_sent_again_at_the_next_look(
    billing_database: BillingDatabase,
    sandbox: SandboxServer,
    tmp_path: Path,
    webhook: Webhook,
    channel: AlertChannel,
    status: int,
) -> None:
    bill_june(billing_database, tmp_path, acme=["12.00"])
    fail_syncs(billing_database, sandbox)
    webhook.status = status
    for _ in range(2):
        with pytest.raises(AlertNotSent):
            tell_failed_syncs(billing_database, channel)
    webhook.status = 200
    assert [tell_failed_syncs(billing_database, channel) for _ in range(2)] == [1, 0]
    assert webhook.subjects() == ["Stripe sync failed (rate_limited): 1 invoice, $12.00"]


def test_a_recovery_that_was_refused_is_sent_again_at_the_next_look(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path, webhook: Webhook, channel: AlertChannel
) -> None:
    bill_june(billing_database, tmp_path, acme=["12.00"])
    fail_syncs(billing_database, sandbox)
    tell_failed_syncs(billing_database, channel)
    sandbox.control.clear_faults()
    sync(sync_tools(billing_database, sandbox.url))
    webhook.status = 500
    with pytest.raises(AlertNotSent):
        tell_failed_syncs(billing_database, channel)
    webhook.status = 200
    assert tell_failed_syncs(billing_database, channel) == 1
    assert webhook.subjects()[-1] == "Stripe sync recovered: 1 invoice, $12.00"


@pytest.mark.parametrize(
    "url",
    [
        f"http://127.0.0.1:9/services/{SECRET}",
        f"hooks.example.com/services/{SECRET}",
        f"http://127.0.0.1:9/services/{SECRET} ",
        f"http://127.0.0.1:9/ services/{SECRET}",
        f"http://127.0.0.1:not-a-port/services/{SECRET}",
        f"http://[127.0.0.1/services/{SECRET}",
        f"gopher://127.0.0.1/services/{SECRET}",
        f"http:///services/{SECRET}",
    ],
)
def test_the_webhooks_address_is_never_told(url: str) -> None:
    logged: list[str] = []
    with pytest.raises(AlertNotSent) as refused:
        AlertChannel(logged.append, url).send(Alert("code", "Stripe sync failed", "acme"))
    assert "secret" not in str(refused.value)
    assert refused.value.__suppress_context__
    assert logged == ["Stripe sync failed\nacme"]


def test_a_webhook_that_refuses_is_told_without_its_address(webhook: Webhook) -> None:
    webhook.status = 403
    with pytest.raises(AlertNotSent) as refused:
        AlertChannel(lambda _: None, webhook.url).send(Alert("code", "Stripe sync failed", "acme"))
    assert str(refused.value) == "the alert webhook did not take 'Stripe sync failed': Forbidden"


def test_without_a_webhook_the_log_is_the_place(billing_database: BillingDatabase) -> None:
    logged: list[str] = []
    AlertChannel(logged.append).send(Alert("code", "Stripe sync failed", "acme"))
    assert logged == ["Stripe sync failed\nacme"]


# Failed invoices ---------------------------------------------------------------------------------------------------


def break_billing(database: BillingDatabase, folder: Path, *names: str) -> None:
    """Bill July with a charge in a currency that the organization isn't billed in."""
    for name in names:
        charge(database, name, "1.00", month=JULY)
    execute(database, "update one_off_items set currency = 'EUR' where occurred_at >= '2023-07-01'")
    assert len(close_month(database, folder, JULY).failures) == len(names)


def test_an_invoice_that_can_not_be_computed_is_told_once(
    billing_database: BillingDatabase, tmp_path: Path, webhook: Webhook, channel: AlertChannel
) -> None:
    bill_june(billing_database, tmp_path, acme=["12.00"], bolt=["5.00"])
    break_billing(billing_database, tmp_path, "acme", "bolt")
    assert tell_failed_invoices(billing_database, channel) == 1
    (text,) = webhook.taken
    assert text.splitlines()[:3] == [
        "Billing failed (currency_mismatch): 2 invoices, amount not known",
        "- acme 2023-07: amount not known",
        "- bolt 2023-07: amount not known",
    ]
    assert tell_failed_invoices(billing_database, channel) == 0
    close_month(billing_database, tmp_path, JULY)
    assert tell_failed_invoices(billing_database, channel) == 0


def test_another_reason_that_keeps_an_invoice_from_being_computed_is_told(
    billing_database: BillingDatabase, tmp_path: Path, webhook: Webhook, channel: AlertChannel
) -> None:
    bill_june(billing_database, tmp_path, acme=["12.00"])
    break_billing(billing_database, tmp_path, "acme")
    tell_failed_invoices(billing_database, channel)
    execute(
        billing_database,
        """
        insert into subscriptions (id, organization_id, price_key, started_at)
        values (gen_random_uuid(), 'acme', 'a plan without a price', '2023-07-01T00:00:00Z')
        """,
    )
    close_month(billing_database, tmp_path, JULY)
    assert tell_failed_invoices(billing_database, channel) == 1
    assert webhook.subjects() == [
        "Billing failed (currency_mismatch): 1 invoice, amount not known",
        "Billing failed (unpriced_subscription): 1 invoice, amount not known",
    ]


def test_a_failed_invoice_that_was_refused_by_the_webhook_is_told_at_the_next_look(
    billing_database: BillingDatabase, tmp_path: Path, webhook: Webhook, channel: AlertChannel
) -> None:
    bill_june(billing_database, tmp_path, acme=["12.00"])
    break_billing(billing_database, tmp_path, "acme")
    webhook.status = 500
    with pytest.raises(AlertNotSent):
        tell_failed_invoices(billing_database, channel)
    webhook.status = 200
    assert [tell_failed_invoices(billing_database, channel) for _ in range(2)] == [1, 0]


# The sensors -------------------------------------------------------------------------------------------------------


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def resources(billing_database: BillingDatabase, webhook: Webhook) -> dict[str, Any]:
    url = billing_database.engine.url.render_as_string(hide_password=False)
    return {"billing_postgres": BillingPostgres(url=url), "alerts": Alerts(webhook_url=webhook.url)}


def test_alert_on_failed_sync_tells_and_then_keeps_quiet(
    billing_database: BillingDatabase,
    sandbox: SandboxServer,
    tmp_path: Path,
    webhook: Webhook,
    instance: DagsterInstance,
    resources: dict[str, Any],
) -> None:
    bill_june(billing_database, tmp_path, acme=["12.00"])
    fail_syncs(billing_database, sandbox)
    said = [alert_on_failed_sync(build_sensor_context(instance), **resources) for _ in range(2)]
    assert [one.skip_message for one in said if isinstance(one, SkipReason)] == ["1 alerts sent", "nothing new to tell"]
    assert webhook.subjects() == ["Stripe sync failed (rate_limited): 1 invoice, $12.00"]
    assert in_stripe(sandbox) == []


def test_alert_on_failed_invoices_tells_and_then_keeps_quiet(
    billing_database: BillingDatabase,
    tmp_path: Path,
    webhook: Webhook,
    instance: DagsterInstance,
    resources: dict[str, Any],
) -> None:
    bill_june(billing_database, tmp_path, acme=["12.00"])
    break_billing(billing_database, tmp_path, "acme")
    said = [alert_on_failed_invoices(build_sensor_context(instance), **resources) for _ in range(2)]
    assert [one.skip_message for one in said if isinstance(one, SkipReason)] == ["1 alerts sent", "nothing new to tell"]
    assert webhook.subjects() == ["Billing failed (currency_mismatch): 1 invoice, amount not known"]


@op(config_schema={"told_elsewhere": bool})
def fail_on_purpose(context: OpExecutionContext) -> None:
    if context.op_config["told_elsewhere"]:
        raise Failure("2 of this run failed", metadata={TOLD_ELSEWHERE: True}, allow_retries=False)
    raise OSError("no space left on device")


@job
def a_month() -> None:
    fail_on_purpose()


def run_a_month(instance: DagsterInstance, told_elsewhere: bool) -> str:
    config = {"ops": {"fail_on_purpose": {"config": {"told_elsewhere": told_elsewhere}}}}
    return a_month.execute_in_process(config, instance=instance, raise_on_error=False).run_id


class Looks:
    """A sensor that looks again and again, with its cursor kept as the daemon keeps it."""

    def __init__(self, sensor: SensorDefinition, instance: DagsterInstance, alerts: Alerts) -> None:
        self._sensor, self._instance, self._alerts = sensor, instance, alerts
        self._cursor: str | None = None

    def look(self) -> None:
        resources = {"alerts": self._alerts}
        with build_sensor_context(self._instance, cursor=self._cursor, resources=resources) as context:
            self._cursor = self._sensor.evaluate_tick(context).cursor


def test_a_failed_run_is_told_unless_its_failures_stand_in_postgres(
    webhook: Webhook, instance: DagsterInstance, resources: dict[str, Any]
) -> None:
    sensor = Looks(alert_on_failed_run, instance, resources["alerts"])
    sensor.look()
    run_a_month(instance, told_elsewhere=True)
    sensor.look()
    assert webhook.taken == []

    failed = run_a_month(instance, told_elsewhere=False)
    sensor.look()
    (text,) = webhook.taken
    assert text.splitlines()[0] == "Run of a_month failed"
    assert "no space left on device" in text
    assert failed in text


def test_a_run_that_fails_every_hour_for_one_cause_is_told_once(
    webhook: Webhook, instance: DagsterInstance, resources: dict[str, Any]
) -> None:
    sensor = Looks(alert_on_failed_run, instance, resources["alerts"])
    sensor.look()
    for _ in range(3):
        run_a_month(instance, told_elsewhere=False)
        sensor.look()
    assert len(webhook.taken) == 1


def test_a_failed_run_whose_alert_was_refused_is_told_at_the_next_look(
    webhook: Webhook, instance: DagsterInstance, resources: dict[str, Any]
) -> None:
    sensor = Looks(alert_on_failed_run, instance, resources["alerts"])
    sensor.look()
    run_a_month(instance, told_elsewhere=False)
    webhook.status = 503
    with pytest.raises(AlertNotSent):
        sensor.look()
    webhook.status = 200
    sensor.look()
    assert len(webhook.taken) == 1


@asset(check_specs=[AssetCheckSpec("the_sum_is_right", asset="ledger")])
def ledger(context: AssetExecutionContext) -> Iterator[MaterializeResult[None]]:
    passed = "right" in context.run.tags
    checked = AssetCheckResult(check_name="the_sum_is_right", passed=passed, metadata={"wrong": 3})
    yield MaterializeResult(check_results=[checked])


def test_a_check_that_fails_in_a_run_that_succeeds_is_told_once_until_it_passes(
    webhook: Webhook, instance: DagsterInstance, resources: dict[str, Any]
) -> None:
    sensor = Looks(alert_on_failed_check, instance, resources["alerts"])
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


def test_register_new_organizations_makes_each_group_a_partition_once(
    billing_database: BillingDatabase, instance: DagsterInstance, resources: dict[str, Any]
) -> None:
    for name in ("acme", "bolt", "crux"):
        add_organization(billing_database, name)
    execute(billing_database, "update organizations set billing_group = 'tail-00' where id in ('bolt', 'crux')")
    context = build_sensor_context(instance)
    found = register_new_organizations(context, billing_postgres=resources["billing_postgres"])
    assert isinstance(found, SensorResult)
    (request,) = found.dynamic_partitions_requests or []
    assert (request.partitions_def_name, request.partition_keys) == ("org", ["acme", "tail-00"])
    instance.add_dynamic_partitions("org", list(request.partition_keys))
    again = register_new_organizations(context, billing_postgres=resources["billing_postgres"])
    assert isinstance(again, SkipReason)
