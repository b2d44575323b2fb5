"""Where alerts go (the log, and a webhook where one is set), and who has been told of what.

A failure counts as told only after the post was accepted; until then every look tries again.
"""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fly_billing.domain.alerts import Alert, FailedInvoice, failure_alerts, recovery_alert
from fly_billing.resources.postgres import BillingDatabase

WEBHOOK_SECONDS = 10


class AlertNotSent(Exception):
    """The webhook did not take the alert; it will be sent again at the next look."""


@dataclass(frozen=True)
class AlertChannel:
    """Writes to `log` and posts `{"text": ...}` (the form that Slack, Mattermost and others take) to the webhook."""

    log: Callable[[str], None]
    webhook_url: str | None = None

    def send(self, alert: Alert) -> None:
        """Send one alert. Raises AlertNotSent; the webhook's address is a secret and not in the message."""
        self.log(alert.text)
        if self.webhook_url is None:
            return
        body = json.dumps({"text": alert.text}).encode()
        try:
            # S310: the address comes from the operator's own settings.
            request = urllib.request.Request(  # noqa: S310
                self.webhook_url, body, {"Content-Type": "application/json"}, method="POST"
            )
            with urllib.request.urlopen(request, timeout=WEBHOOK_SECONDS) as answer:  # noqa: S310
                answer.read()
        except urllib.error.HTTPError as refusal:
            with refusal:
                raise AlertNotSent(_not_sent(alert, refusal.reason)) from None
        except (http.client.HTTPException, OSError, ValueError) as problem:
            # The words of an address that can't be read repeat it.
            reason = getattr(problem, "reason", type(problem).__name__)
            raise AlertNotSent(_not_sent(alert, reason)) from None


def _not_sent(alert: Alert, reason: object) -> str:
    return f"the alert webhook did not take {alert.subject!r}: {reason}"


def tell_failed_syncs(database: BillingDatabase, channel: AlertChannel) -> int:
    """Tell of invoices that did not reach Stripe, once per failure, and of recoveries. Returns how many alerts."""
    return _tell(database, channel, "Stripe sync", "failed_syncs_to_tell", "mark_failed_sync_told") + _tell_recovered(
        database, channel
    )


def tell_failed_invoices(database: BillingDatabase, channel: AlertChannel) -> int:
    """Tell of organizations whose invoice can't be computed, once per failure. Returns how many alerts were sent."""
    return _tell(database, channel, "Billing", "failed_invoices_to_tell", "mark_failed_invoice_told")


def _tell(database: BillingDatabase, channel: AlertChannel, stage: str, find: str, mark: str) -> int:
    found = database.rows(find)
    alerts = failure_alerts(stage, [_failed(row) for row in found])
    for alert in alerts:
        channel.send(alert)
        told = [row for row in found if row["code"] == alert.code]
        for row in told:
            database.rows(mark, organization_id=row["organization_id"], month=row["month_start"], code=row["code"])
    return len(alerts)


def _tell_recovered(database: BillingDatabase, channel: AlertChannel) -> int:
    found = database.rows("recovered_syncs_to_tell")
    if not found:
        return 0
    channel.send(recovery_alert("Stripe sync", [_failed(row) for row in found]))
    database.rows("forget_recovered_syncs", ids=[row["invoice_id"] for row in found])
    return 1


def _failed(row: Mapping[str, Any]) -> FailedInvoice:
    names: Sequence[str] = ("organization_id", "month", "code", "operator_text", "currency", "total_cents")
    return FailedInvoice(**{name: row[name] for name in names})
