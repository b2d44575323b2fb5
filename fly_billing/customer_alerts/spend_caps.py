"""Caps: the amount of a month at which an organization wants to be stopped. Queues calls of the platform's cap hook.

A call waits in the outbox until the platform acknowledges it, also while no cap hook is set; a newer call of the same
organization replaces it. Operators are alerted about a call that is not acknowledged for an hour. Not here: when a call
is needed (`rules.cap_calls`), sending (`alerting.outbox`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from fly_billing.alerting.channel import Channel
from fly_billing.alerting.outbox import put_in
from fly_billing.alerting.rules.alerts import Alert
from fly_billing.bounds import refuse_incomplete
from fly_billing.customer_alerts.rules.cap_calls import CapCall, CappedSpend, next_call
from fly_billing.customer_alerts.thresholds import NoSuchThreshold, limit_of, set_author, store
from fly_billing.foreign_text import visible
from fly_billing.money import counted, format_cents
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, lock_until_commit, records, rows
from fly_billing.postgres.isolation import VALUE_ERRORS, UnreadableRow, reason_of

# The channel's name in the outbox.
NAME = "cap hook"
# After this time without an acknowledgement operators are alerted.
OVERDUE = timedelta(hours=1)
# Calls that a round queues at most, because a tick of Dagster must end within a minute; the next one goes on. A new
# month lifts all caps at once.
MOST_CALLS = 2000
_MAY_BE_MISSING = frozenset({"cap_cents", "spent_cents", "last_state", "last_month", "last_cap_cents", "last_currency"})


@dataclass(frozen=True)
class SpendCap:
    """An organization's cap, and the platform's newest call about it.

    Attributes:
        cap_cents: None if it was removed.
        number, state, reason, month, called_at: Of the newest call; None if there was none.
        acknowledged_at: None while the call waits.
        attempts: How often the call was not acknowledged.
        billed_in: The currency of this month's invoice: a cap in another one has no effect.
    """

    organization_id: str
    currency: str | None
    cap_cents: int | None
    number: int | None
    state: str | None
    reason: str | None
    month: str | None
    called_at: datetime | None
    acknowledged_at: datetime | None
    attempts: int | None
    last_refusal: str | None
    billed_in: str

    @property
    def cap(self) -> str:
        return "none" if self.cap_cents is None or not self.currency else format_cents(self.cap_cents, self.currency)

    def in_words(self) -> str:
        """Return the state: `below`, or that of the newest call; and whether the cap has no effect."""
        has_effect = self.cap_cents is None or self.currency == self.billed_in
        return self._state_in_words() + ("" if has_effect else f", no effect: this month is billed in {self.billed_in}")

    def _state_in_words(self) -> str:
        if self.state is None:
            return "below"
        call = f"{self.state} in {self.month}"
        if self.acknowledged_at:
            return f"{call}, acknowledged {self.acknowledged_at:%Y-%m-%d %H:%M} UTC"
        reason = f": {visible(self.last_refusal)}" if self.last_refusal else ""
        return f"{call}, not acknowledged, {counted(self.attempts or 0, 'attempt')}{reason}"


@dataclass(frozen=True)
class WaitingCall:
    """A call that the platform has not acknowledged."""

    organization_id: str
    key: str
    subject: str
    called_at: datetime
    refusals: int
    last_refusal: str | None


def set_cap(database: BillingDatabase, organization_id: str, amount: str, who: str = "") -> None:
    """Set an organization's cap, in its currency, in place of the one that it has. Raises NoSuchThreshold."""
    with database.transaction() as connection:
        set_author(connection, who)
        limit = limit_of(connection, organization_id, amount, "cap")
        store(
            connection, "set_spend_cap",
            organization_id=organization_id, currency=limit.currency, amount_cents=limit.amount_cents,
        )  # fmt: skip


def remove_cap(database: BillingDatabase, organization_id: str, who: str = "") -> None:
    """Remove an organization's cap. Raises NoSuchThreshold if it has none."""
    with database.transaction() as connection:
        set_author(connection, who)
        if not rows(connection, "remove_cap", organization_id=organization_id):
            raise NoSuchThreshold(f"{visible(organization_id)} has no cap: `fly-billing spend-cap list`")


def spend_caps(database: BillingDatabase, organization_id: str | None = None) -> list[SpendCap]:
    """List the caps of all organizations or one, and of those whose newest call still matters."""
    return database.records(SpendCap, "spend_caps", organization_id=organization_id, channel=NAME)


def acknowledge(database: BillingDatabase, organization_id: str) -> None:
    """Acknowledge the organization's newest call in place of the platform. Raises NoSuchThreshold if none waits."""
    if not all(database.values("acknowledge_cap_call", organization_id=organization_id, channel=NAME)):
        raise NoSuchThreshold(
            f"no call about the cap of {visible(organization_id)} waits: `fly-billing spend-cap list`"
        )


def queue_cap_calls(
    database: BillingDatabase, operators: Sequence[Channel], now: datetime
) -> tuple[list[CapCall], list[UnreadableRow]]:
    """Queue a call for each organization whose state differs from that of its last call. Repeating it queues nothing.

    Returns:
        The calls, and the organizations whose spend can't be read: they do not hold up the others.
    """
    calls: list[CapCall] = []
    failed: list[UnreadableRow] = []
    with database.transaction() as connection:
        lock_until_commit(connection, "alerts")  # two processes at once would both find the same organizations
        month = BillingMonth.containing(now).first_day
        for spend in records(connection, CappedSpend, "capped_spend", month=month):
            if len(calls) == MOST_CALLS:
                break
            try:
                refuse_incomplete(vars(spend), _MAY_BE_MISSING)
                call = next_call(spend)
            except VALUE_ERRORS as problem:
                failed.append(UnreadableRow(spend.organization_id, reason_of(problem)))
                continue
            if call:
                _queue(connection, call, now)
                calls.append(call)
        _alert_operators(connection, operators, now)
    return calls, failed


def _queue(connection: Connection, call: CapCall, now: datetime) -> None:
    rows(connection, "replace_cap_calls", channel=NAME, organization_id=call.organization_id)
    rows(connection, "record_cap_call", **asdict(call), called_at=now)
    message = Alert(call.type, call.subject, call.body(now), organization_id=call.organization_id)
    put_in(connection, message, [NAME], call.key)


def _alert_operators(connection: Connection, operators: Sequence[Channel], now: datetime) -> None:
    """Queue one alert for each call that is overdue, and for each cap that nothing is compared with."""
    for cap in rows(connection, "caps_in_another_currency", month=BillingMonth.containing(now).first_day):
        organization = visible(cap["organization_id"])
        alert = Alert.of(
            "cap_without_effect",
            f"The spending cap of {organization} has no effect: it is in {cap['cap_currency']}, and this month is"
            f" billed in {cap['currency']}",
            [
                "Nothing is compared with this cap: it stops no machines. The customer's statement says so.",
                f"What to do: `fly-billing spend-cap set {organization} AMOUNT` sets one in {cap['currency']};"
                f" `fly-billing spend-cap remove {organization}` removes it.",
            ],
        )
        put_in(connection, alert, [channel.name for channel in operators], f"cap {cap['id']} has no effect")
    for call in records(connection, WaitingCall, "unacknowledged_cap_calls", channel=NAME, before=now - OVERDUE):
        alert = Alert.of(
            "cap_call_unacknowledged",
            f"The platform has not acknowledged a call about a spending cap: {call.subject}",
            [
                f"Repeated since {call.called_at:%Y-%m-%d %H:%M} UTC, {counted(call.refusals, 'attempt')} so far.",
                f"Last refusal: {call.last_refusal or 'none: FLY_BILLING_CAP_HOOK_URL is not set, or nothing sends'}",
                f"What to do: stop or start what {call.organization_id} runs by hand if it is urgent, and correct the"
                f" cap hook; `fly-billing spend-cap acknowledge {call.organization_id}` ends the calls.",
            ],
        )
        put_in(connection, alert, [channel.name for channel in operators], f"{call.key} is overdue")
