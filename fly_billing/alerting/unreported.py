"""Finds what nobody was told of yet (failed syncs, invoices, payments, and what is over of them) and has it told.

In one transaction it is put into the outbox and marked as told: once per failure, whatever happens in between. Without
a channel the log is the place. Keeps out: posting (`outbox`), the words (`alerting.rules.alerts`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection

from fly_billing.alerting.channel import Channel
from fly_billing.alerting.outbox import Log, put
from fly_billing.alerting.rules.alerts import Alert, FailedInvoice, failure_alerts, recovery_alert
from fly_billing.alerting.rules.payment_alerts import payment_alerts
from fly_billing.postgres.database import BillingDatabase, Row, lock_until_commit, rows


def queue_sync_failure_alerts(database: BillingDatabase, channels: Sequence[Channel], log: Log) -> int:
    """Tell of invoices that did not reach Stripe, once per failure, and of recoveries. Returns how many alerts."""

    def tell(telling: PendingAlerts) -> None:
        failures = failure_alerts("Stripe sync", telling.found("failed_syncs_to_alert"))
        telling.tell(failures, "mark_failed_syncs_alerted", lambda alert: {"ids": _ids(alert), "code": alert.code})
        recovered = _recovery("Stripe sync", telling.found("recovered_syncs_to_alert"))
        telling.tell(recovered, "forget_recovered_syncs", lambda alert: {"ids": _ids(alert)})

    return _in_one_transaction(database, channels, log, tell)


def queue_invoice_failure_alerts(database: BillingDatabase, channels: Sequence[Channel], log: Log) -> int:
    """Tell of organizations whose invoice can't be computed, once per failure, and of those where it can be again.

    Returns how many alerts.
    """

    def tell(telling: PendingAlerts) -> None:
        failures = failure_alerts("Billing", telling.found("failed_invoices_to_alert"))
        telling.tell(failures, "mark_failed_invoices_alerted", lambda alert: {**_months(alert), "code": alert.code})
        recovered = _recovery("Billing", telling.found("recovered_invoices_to_alert"))
        telling.tell(recovered, "forget_recovered_invoices", _months)

    return _in_one_transaction(database, channels, log, tell)


def queue_payment_failure_alerts(database: BillingDatabase, channels: Sequence[Channel], log: Log) -> int:
    """Tell of payments that failed, invoices written off or voided by hand, once each, and of those paid after all.

    Returns how many alerts.
    """

    def tell(telling: PendingAlerts) -> None:
        failures = payment_alerts(telling.found("stripe_events_to_alert"))
        telling.tell(failures, "mark_stripe_events_alerted", lambda alert: {"ids": _ids(alert), "code": alert.code})
        recovered = _recovery("Payment", telling.found("stripe_events_recovered"))
        telling.tell(recovered, "stripe_events_mark_recovered", lambda alert: {"ids": _ids(alert)})

    return _in_one_transaction(database, channels, log, tell)


class PendingAlerts:
    """One transaction in which alerts are made; they are logged only once it is committed."""

    def __init__(self, connection: Connection, channels: Sequence[Channel]) -> None:
        self._connection = connection
        self._channels = channels
        self.alerts: list[Alert] = []

    def found(self, statement: str) -> list[FailedInvoice]:
        return [_failed(row) for row in rows(self._connection, statement)]

    def tell(self, alerts: Sequence[Alert], mark: str, whom: Callable[[Alert], dict[str, Any]]) -> None:
        for alert in alerts:
            put(self._connection, alert, self._channels)
            rows(self._connection, mark, **whom(alert))
            self.alerts.append(alert)


def _in_one_transaction(
    database: BillingDatabase, channels: Sequence[Channel], log: Log, tell: Callable[[PendingAlerts], None]
) -> int:
    with database.transaction() as connection:
        lock_until_commit(connection, "alerts")  # two that tell at once would both find what nobody was told of
        telling = PendingAlerts(connection, channels)
        tell(telling)
    for alert in telling.alerts:
        log(alert.text)
    return len(telling.alerts)


def _recovery(stage: str, recovered: Sequence[FailedInvoice]) -> list[Alert]:
    return [recovery_alert(stage, recovered)] if recovered else []


def _failed(row: Row) -> FailedInvoice:
    return FailedInvoice(**row)


def _ids(alert: Alert) -> list[Any]:
    return [one.invoice_id for one in alert.invoices]


def _months(alert: Alert) -> dict[str, Any]:
    return {
        "organizations": [one.organization_id for one in alert.invoices],
        "months": [one.month for one in alert.invoices],
    }
