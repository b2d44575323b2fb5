"""The messages to a customer about thresholds that a month reached: an e-mail's text, and a webhook's body. Pure.

All thresholds that are found reached at the same time share one message, so that nobody gets five e-mails in a minute.
Not here: sending (`customer_alerts.customer_mail`, `alerting.signed_webhook`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import UUID

from fly_billing.alerting.rules.alerts import Alert
from fly_billing.customer_alerts.rules.thresholds import Kind, Limit
from fly_billing.foreign_text import visible
from fly_billing.money import format_cents, typed_amount
from fly_billing.periods import BillingMonth

REACHED = "spend_alert.reached"
# Marks a customer's message in the outbox.
CODE = "spend_alert"


@dataclass(frozen=True)
class Reached:
    """A threshold that a month reached.

    Attributes:
        month: Such as `2026-09`.
        limit_cents: The threshold; of a percentage, the amount that it is.
        reached_cents: The amount that reached it: the total so far, a part of it, or the estimate.
        total_cents: The month's total so far.
        as_of: When the total was computed.
    """

    threshold_id: UUID
    organization_id: str
    organization_name: str
    kind: Kind
    subject: str | None
    percent: int | None
    month: str
    currency: str
    limit_cents: int
    reached_cents: int
    total_cents: int
    as_of: datetime

    @property
    def limit(self) -> Limit:
        return Limit(self.kind, self.currency, self.limit_cents, self.percent, self.subject)

    def in_words(self, now: datetime) -> str:
        """Return the line of the e-mail as of now: the month may be over, and still open."""
        month = BillingMonth.parse(self.month)
        reached, limit = (format_cents(cents, self.currency) for cents in (self.reached_cents, self.limit_cents))
        match self.kind:
            case "percent":
                return f"{limit}, {self.percent}% of the invoice for {month.plus(-1)}"
            case "app" | "product":
                return f"{limit} for the {self.kind} {visible(self.subject or '')}, which has cost {reached} so far"
            case "forecast":
                return f"{limit} by the end of {month}, by our estimate of {reached} (not an amount that you owe)"
            case "cap" if now >= month.end:
                return f"your cap of {limit}: {month} is over, so nothing is stopped because of it"
            case "cap":
                return (
                    f"your cap of {limit}: your platform may stop what costs money until you raise it or {month} ends"
                )
            case _:
                return limit


def mail_of(reached: Sequence[Reached], now: datetime) -> Alert:
    """Return the e-mail about thresholds that one month of one organization reached. At least one."""
    first = reached[0]
    name, total = visible(first.organization_name), format_cents(first.total_cents, first.currency)
    mail = Alert.of(
        CODE,
        f"{name}: spend alert for {first.month}, {_head(_highest(reached), total)}",
        [
            f"{name} ({first.organization_id}) has spent {total} in {first.month} so far,"
            f" as of {first.as_of.astimezone(UTC):%Y-%m-%d %H:%M} UTC.",
            "",
            "It has reached:",
            *(f"- {each.in_words(now)}" for each in _in_order(reached)),
            "",
            "Each of these is sent once a month.",
        ],
    )
    return replace(mail, organization_id=first.organization_id)


def _head(highest: Reached, total: str) -> str:
    if highest.kind == "forecast":
        return f"{format_cents(highest.reached_cents, highest.currency)} estimated"
    return f"{total} so far"


def webhook_of(reached: Sequence[Reached], now: datetime) -> Alert:
    """Return the webhook about the same. Its body is ASCII and follows Standard Webhooks."""
    first = reached[0]
    data = {
        "organization_id": first.organization_id,
        "month": first.month,
        "currency": first.currency,
        "total": typed_amount(first.total_cents, first.currency),
        "as_of": moment(first.as_of),
        "thresholds": [_threshold(each) for each in _in_order(reached)],
    }
    body = json.dumps({"type": REACHED, "timestamp": moment(now), "data": data})
    subject = f"{first.organization_id} {first.month}: spend alert"
    return Alert(CODE, subject, body, organization_id=first.organization_id)


def _threshold(reached: Reached) -> dict[str, object]:
    return {
        "id": str(reached.threshold_id),
        "kind": reached.kind,
        "name": reached.subject,
        "percent": reached.percent,
        "threshold": typed_amount(reached.limit_cents, reached.currency),
        "reached": typed_amount(reached.reached_cents, reached.currency),
        "is_estimate": reached.kind == "forecast",
    }


def _in_order(reached: Sequence[Reached]) -> list[Reached]:
    """Return the cap first, then what was spent, then estimates; the highest amount first."""
    rank = {"cap": 0, "forecast": 2}
    return sorted(reached, key=lambda each: (rank.get(each.kind, 1), -each.limit_cents, str(each.threshold_id)))


def _highest(reached: Sequence[Reached]) -> Reached:
    return _in_order(reached)[0]


def moment(at: datetime) -> str:
    """Return a time as RFC 3339 in UTC: `2026-09-20T12:00:00Z`."""
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
