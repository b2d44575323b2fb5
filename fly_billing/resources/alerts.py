"""Where alerts go (the log, and a webhook where one is set), and who has been told of what.

A failure counts as told only after the post was accepted; until then every look tries again.
"""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
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
    webhook_url: str | None = field(default=None, repr=False)

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
    """Tell of invoices that did not reach Stripe, once per failure, and of recoveries. Returns how many alerts.

    Raises AlertNotSent after all have been tried, where one was refused: it is sent again at the next look.
    """
    teller = _Teller(database, channel)
    teller.tell_failures("Stripe sync", "failed_syncs_to_tell", "mark_failed_sync_told")
    teller.tell_recoveries("Stripe sync", "recovered_syncs_to_tell", "forget_recovered_syncs")
    return teller.end()


def tell_failed_invoices(database: BillingDatabase, channel: AlertChannel) -> int:
    """Tell of organizations whose invoice can't be computed, once per failure. Returns how many alerts were sent.

    Raises AlertNotSent after all have been tried, where one was refused: it is sent again at the next look.
    """
    teller = _Teller(database, channel)
    teller.tell_failures("Billing", "failed_invoices_to_tell", "mark_failed_invoice_told")
    return teller.end()


class _Teller:
    """Sends alerts and writes down who was told; a refused one does not hold up the others."""

    def __init__(self, database: BillingDatabase, channel: AlertChannel) -> None:
        self._database = database
        self._channel = channel
        self._sent = 0
        self._refused: list[AlertNotSent] = []

    def tell_failures(self, stage: str, find: str, mark: str) -> None:
        found = self._database.rows(find)
        for alert in failure_alerts(stage, [_failed(row) for row in found]):
            if self._was_taken(alert):
                for row in (row for row in found if row["code"] == alert.code):
                    told = {"organization_id": row["organization_id"], "month": row["month_start"], "code": row["code"]}
                    self._database.rows(mark, **told)

    def tell_recoveries(self, stage: str, find: str, forget: str) -> None:
        found = self._database.rows(find)
        if found and self._was_taken(recovery_alert(stage, [_failed(row) for row in found])):
            self._database.rows(forget, ids=[row["invoice_id"] for row in found])

    def _was_taken(self, alert: Alert) -> bool:
        try:
            self._channel.send(alert)
        except AlertNotSent as refused:
            self._refused.append(refused)
            return False
        self._sent += 1
        return True

    def end(self) -> int:
        if self._refused:
            raise self._refused[0]
        return self._sent


def _failed(row: Mapping[str, Any]) -> FailedInvoice:
    names: Sequence[str] = ("organization_id", "month", "code", "operator_text", "currency", "total_cents")
    return FailedInvoice(**{name: row[name] for name in names})
