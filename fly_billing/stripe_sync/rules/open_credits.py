"""Credit notes that need a person: what is wrong with each, and the command that fixes it. Pure.

Not here: reading them and alerting (`stripe_sync.open_credits`), and sending (`stripe_sync.credit_notes`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from fly_billing.alerting.rules.alerts import Alert
from fly_billing.money import format_cents
from fly_billing.stripe_sync.rules.credit_requests import FAILED, WAITING


@dataclass(frozen=True)
class OpenCredit:
    """A credit note that someone asked for and that Stripe does not have.

    Attributes:
        month: The month of its invoice, its first day.
        state: `waiting`, `failed`, `pending` or `unknown`.
        since: When it was asked for, or approved.
    """

    id: UUID
    organization_id: str
    month: date
    currency: str
    amount_cents: int
    why: str
    made_by: str
    state: str
    failure: str | None
    since: datetime

    @property
    def name(self) -> str:
        return f"{self.organization_id} {self.month:%Y-%m}"

    @property
    def problem(self) -> str:
        """The problem, in a sentence."""
        what = f"a credit note of {format_cents(self.amount_cents, self.currency)} ({self.why})"
        if self.state == WAITING:
            return f"{what} waits for an approval by somebody else than {self.made_by}. Or {self._withdraw}"
        if self.state == FAILED:
            return f"{what} was refused: {self.failure}. Fix the cause and send it again, or {self._withdraw}"
        because = f": {self.failure}" if self.failure else ""
        return f"{what} has not reached Stripe since {self.since:%Y-%m-%d %H:%M}Z{because}"

    @property
    def fix(self) -> str:
        """The command that goes on with it."""
        if self.state == WAITING:
            return f"fly-billing approve-credit {self.id} --by NAME"
        return f"fly-billing send-credit {self.id}"

    @property
    def _withdraw(self) -> str:
        return f"withdraw it: `fly-billing withdraw-credit {self.id} --by NAME --why REASON`"

    @property
    def alert_key(self) -> str:
        """The subject of one alert: the request in this state."""
        return f"credit request {self.id} {self.state if self.state in (WAITING, FAILED) else 'stuck'}"

    @property
    def alert(self) -> Alert:
        word = {WAITING: "waits for an approval", FAILED: "was refused"}.get(self.state, "did not reach Stripe")
        subject = f"Credit note {word}: {self.name}, {format_cents(self.amount_cents, self.currency)}"
        return Alert.of("credit_note", subject, [self.problem, f"What to do: {self.fix}"])
