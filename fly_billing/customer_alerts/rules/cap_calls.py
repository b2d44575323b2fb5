"""The calls to the platform about an organization's own cap: reached, or lifted. Pure.

The calls describe a state, not an event: the platform stops machines while the newest call says `reached`, and may run
them while it says `lifted`. A raised or removed cap, a new month and a correction below the cap lift it. Calls of an
organization have numbers, so that a call that arrives late does not undo a newer one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from fly_billing.customer_alerts.rules.messages import moment
from fly_billing.foreign_text import visible
from fly_billing.money import format_cents, typed_amount

CapState = Literal["reached", "lifted"]
CapReason = Literal["cap_reached", "cap_raised", "cap_removed", "new_month", "spend_fell"]


@dataclass(frozen=True)
class CappedSpend:
    """An organization with a cap, or whose last call says `reached`.

    Attributes:
        month: The calendar month of now.
        cap_cents: None if the cap was removed.
        spent_cents: The spend of that month so far; None if it has no invoice in the currency of the cap.
        last_state, last_month, last_cap_cents, last_currency: Of the last call; None if there was none.
        last_number: 0 if there was none.
    """

    organization_id: str
    month: str
    currency: str
    cap_cents: int | None
    spent_cents: int | None
    last_number: int = 0
    last_state: CapState | None = None
    last_month: str | None = None
    last_cap_cents: int | None = None
    last_currency: str | None = None

    @property
    def is_reached(self) -> bool:
        return self.cap_cents is not None and (self.spent_cents or 0) >= self.cap_cents

    @property
    def is_unknown(self) -> bool:
        """Return True if the month had reached the cap and now has no spend that could be compared with it.

        Its invoice is on its way to another payer's, or in another currency: nothing says that it fell.
        """
        return self.last_state == "reached" and self.last_month == self.month and self.spent_cents is None


@dataclass(frozen=True)
class CapCall:
    """A call of the cap hook. Amounts in cents of the currency."""

    organization_id: str
    number: int
    state: CapState
    reason: CapReason
    month: str
    currency: str
    cap_cents: int | None
    spent_cents: int

    @property
    def key(self) -> str:
        """The key of its message in the outbox."""
        return f"spend cap {self.organization_id} {self.number}"

    @property
    def type(self) -> str:
        return f"spend_cap.{self.state}"

    @property
    def subject(self) -> str:
        return f"{visible(self.organization_id)} {self.month}: cap {self.state}"

    def body(self, now: datetime) -> str:
        """Return the body, as Standard Webhooks says. ASCII."""
        data = {
            "organization_id": self.organization_id,
            "number": self.number,
            "state": self.state,
            "reason": self.reason,
            "month": self.month,
            "currency": self.currency,
            "cap": None if self.cap_cents is None else typed_amount(self.cap_cents, self.currency),
            "spent": typed_amount(self.spent_cents, self.currency),
        }
        return json.dumps({"type": self.type, "timestamp": moment(now), "data": data})

    def in_words(self) -> str:
        """Return a line for operators."""
        cap = "no cap" if self.cap_cents is None else f"cap {format_cents(self.cap_cents, self.currency)}"
        spent = format_cents(self.spent_cents, self.currency)
        return f"{visible(self.organization_id)} {self.month}: {self.state}, {cap}, spent {spent}"


def next_call(spend: CappedSpend) -> CapCall | None:
    """Return the call that the platform needs now; None if the last call is still right."""
    if spend.is_reached:
        if spend.last_state == "reached" and spend.last_month == spend.month:
            return None
        return _call(spend, "reached", "cap_reached")
    if spend.last_state != "reached" or (spend.cap_cents is not None and spend.is_unknown):
        return None
    return _call(spend, "lifted", _why_lifted(spend))


def _why_lifted(spend: CappedSpend) -> CapReason:
    if spend.cap_cents is None:
        return "cap_removed"
    if spend.last_month != spend.month:
        return "new_month"
    is_another = spend.last_currency not in (None, spend.currency)  # a cap that was set in another currency
    return "cap_raised" if is_another or spend.cap_cents > (spend.last_cap_cents or 0) else "spend_fell"


def _call(spend: CappedSpend, state: CapState, reason: CapReason) -> CapCall:
    return CapCall(
        spend.organization_id, spend.last_number + 1, state, reason, spend.month, spend.currency, spend.cap_cents,
        spend.spent_cents or 0,
    )  # fmt: skip
