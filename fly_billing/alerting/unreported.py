"""Finds failures and recoveries that nobody was alerted about yet: syncs, invoices, payments. Queues an alert for each.

An alert is added to the outbox and the failure marked as reported in one transaction, so each failure is reported once,
even after a crash. Alerts are also logged; without a channel the log is the only place. Not here: posting (`outbox`),
the texts (`alerting.rules`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection

from fly_billing.alerting.channel import Channel
from fly_billing.alerting.outbox import Log, put
from fly_billing.alerting.rules.alerts import Alert, FailedInvoice, failure_alerts, recovery_alert
from fly_billing.alerting.rules.payment_alerts import payment_alerts
from fly_billing.postgres.database import BillingDatabase, lock_until_commit, records, rows


def queue_sync_failure_alerts(
    database: BillingDatabase, channels: Sequence[Channel], log: Log, dagster_url: str | None = None
) -> int:
    """Queue alerts about invoices that did not reach Stripe, once per failure, and about recoveries.

    `dagster_url` is the address of Dagster's pages, to which alerts link. Returns the number of alerts.
    """

    def add_alerts(pending: PendingAlerts) -> None:
        failures = failure_alerts("Stripe sync", pending.read("failed_syncs_to_alert"), dagster_url=dagster_url)
        pending.add(failures, "mark_failed_syncs_alerted", lambda alert: {"ids": _ids(alert), "code": alert.code})
        recovered = _recovery("Stripe sync", pending.read("recovered_syncs_to_alert"))
        pending.add(recovered, "mark_recovered_syncs_alerted", lambda alert: {"ids": _ids(alert)})

    return _in_one_transaction(database, channels, log, add_alerts)


def queue_invoice_failure_alerts(
    database: BillingDatabase, channels: Sequence[Channel], log: Log, dagster_url: str | None = None
) -> int:
    """Queue alerts about organizations whose invoice can't be computed, once per failure, and about recoveries.

    `dagster_url` is the address of Dagster's pages, to which alerts link. Returns the number of alerts.
    """

    def add_alerts(pending: PendingAlerts) -> None:
        failures = failure_alerts("Billing", pending.read("failed_invoices_to_alert"), dagster_url=dagster_url)
        pending.add(failures, "mark_failed_invoices_alerted", lambda alert: {**_months(alert), "code": alert.code})
        recovered = _recovery("Billing", pending.read("recovered_invoices_to_alert"))
        pending.add(recovered, "mark_recovered_invoices_alerted", _months)

    return _in_one_transaction(database, channels, log, add_alerts)


def queue_payment_failure_alerts(database: BillingDatabase, channels: Sequence[Channel], log: Log) -> int:
    """Queue alerts about failed payments and invoices written off or voided in Stripe, once each, and about recoveries.

    Returns the number of alerts.
    """

    def add_alerts(pending: PendingAlerts) -> None:
        failures = payment_alerts(pending.read("stripe_events_to_alert"))
        pending.add(failures, "mark_stripe_events_alerted", lambda alert: {"ids": _ids(alert), "code": alert.code})
        recovered = _recovery("Payment", pending.read("recovered_payments_to_alert"))
        pending.add(recovered, "mark_recovered_payments_alerted", lambda alert: {"ids": _ids(alert)})

    return _in_one_transaction(database, channels, log, add_alerts)


class PendingAlerts:
    """The alerts of one transaction. They are logged only after it is committed."""

    def __init__(self, connection: Connection, channels: Sequence[Channel]) -> None:
        self._connection = connection
        self._channels = channels
        self.alerts: list[Alert] = []

    def read(self, statement: str) -> list[FailedInvoice]:
        return records(self._connection, FailedInvoice, statement)

    def add(self, alerts: Sequence[Alert], mark: str, parameters: Callable[[Alert], dict[str, Any]]) -> None:
        """Add alerts to the outbox and mark their invoices with the statement `mark`."""
        for alert in alerts:
            put(self._connection, alert, self._channels)
            rows(self._connection, mark, **parameters(alert))
            self.alerts.append(alert)


def _in_one_transaction(
    database: BillingDatabase, channels: Sequence[Channel], log: Log, add_alerts: Callable[[PendingAlerts], None]
) -> int:
    with database.transaction() as connection:
        lock_until_commit(connection, "alerts")  # two processes at once would both find the same unreported failures
        pending = PendingAlerts(connection, channels)
        add_alerts(pending)
    for alert in pending.alerts:
        log(alert.text)
    return len(pending.alerts)


def _recovery(stage: str, recovered: Sequence[FailedInvoice]) -> list[Alert]:
    return [recovery_alert(stage, recovered)] if recovered else []


def _ids(alert: Alert) -> list[Any]:
    return [invoice.invoice_id for invoice in alert.invoices]


def _months(alert: Alert) -> dict[str, Any]:
    return {
        "organizations": [invoice.organization_id for invoice in alert.invoices],
        "months": [invoice.month for invoice in alert.invoices],
    }
