"""The state of an invoice's payment, in words for the customer. Pure.

  - due: the due date is not over yet.
  - past due: it is over. The day after it is day 1.
  - retried: a payment failed, and Stripe tries again at a known time, whether the invoice is past due or not.
  - given up: it is marked as uncollectible, in Stripe or here.
  - paid: it is paid.
An open or void invoice, or one that asks for nothing, has no state. Not here: why a payment failed
(`stripe_sync.rules.payment_failures`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Literal

from fly_billing.money import counted, format_cents

PaymentStateName = Literal["due", "past due", "retried", "given up", "paid"]


@dataclass(frozen=True)
class LatePayment:
    """A final invoice that is past due.

    Attributes:
        month: Such as `2026-09`.
        due_cents: What Stripe asks for now.
        next_attempt_at: When Stripe tries again after the last payment failed.
    """

    organization_id: str
    month: str
    currency: str
    due_cents: int
    due_on: date
    next_attempt_at: datetime | None

    def in_words(self, now: datetime) -> str:
        """Return a sentence for the operator: `2026-09: $70.00 is 14 days past due`."""
        days = counted((now.astimezone(UTC).date() - self.due_on).days, "day")
        again = self.next_attempt_at
        then = f"; Stripe tries again on {again:%Y-%m-%d}" if again and again > now else ""
        return f"{self.month}: {format_cents(self.due_cents, self.currency)} is {days} past due{then}"


@dataclass(frozen=True)
class PaymentState:
    """The state of an invoice's payment.

    Attributes:
        amount_cents: The amount asked for.
        days_past_due: Full days since the due date; 0 until it is over.
        next_attempt_at: When Stripe tries to collect it again.
        paid_on: The day of the payment.
    """

    name: PaymentStateName
    currency: str
    amount_cents: int
    due_on: date
    days_past_due: int = 0
    next_attempt_at: datetime | None = None
    paid_on: date | None = None

    def in_words(self) -> str:
        """Return a kind and exact sentence for the customer."""
        amount = format_cents(self.amount_cents, self.currency)
        match self.name:
            case "paid":
                return f"{amount} was paid on {self.paid_on}. Thank you." if self.paid_on else "Paid. Thank you."
            case "given up":
                return f"{amount} was not paid, and we no longer try to collect it. Please contact us to settle it."
            case "retried":
                again = f"We will try to collect {amount} again on {self.next_attempt_at:%Y-%m-%d}."
                return f"{again} {self._since()}".strip()
            case "past due":
                return f"{amount} {self._since()} If it is on its way already, thank you."
            case _:
                return f"{amount} is due by {self.due_on}."

    def _since(self) -> str:
        if not self.days_past_due:
            return ""
        days = counted(self.days_past_due, "day")
        return f"{'It was' if self.name == 'retried' else 'was'} due on {self.due_on}, {days} ago."


def payment_state(
    status: str,
    currency: str,
    amount_cents: int,
    due_on: date | None,
    now: datetime,
    next_attempt_at: datetime | None = None,
    paid_at: datetime | None = None,
) -> PaymentState | None:
    """Return the state of an invoice's payment; None if there is nothing to pay.

    Args:
        status: As in the table invoices.
        currency: ISO 4217.
        amount_cents: The amount asked for: now, or of a paid invoice then.
        due_on: The day by which it must be paid.
        now: The time.
        next_attempt_at: When Stripe tries again after the last payment failed; None if it does not.
        paid_at: When it was paid.
    """
    if due_on is None or amount_cents <= 0 or status not in ("finalized", "uncollectible", "paid"):
        return None
    if status == "paid":
        paid_on = paid_at.astimezone(UTC).date() if paid_at else None
        return PaymentState("paid", currency, amount_cents, due_on, paid_on=paid_on)
    late = max(0, (now.astimezone(UTC).date() - due_on).days)
    if status == "uncollectible":
        return PaymentState("given up", currency, amount_cents, due_on, late)
    if next_attempt_at is not None and next_attempt_at > now:
        return PaymentState("retried", currency, amount_cents, due_on, late, next_attempt_at)
    return PaymentState("past due" if late else "due", currency, amount_cents, due_on, late)
