"""Writes fees, charges and credit: `subscribe`, `change-plan`, `cancel`, `charge`, `credit grant`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from fly_billing.cli.change_options import ChangeOptions
from fly_billing.cli.changes import Work, make
from fly_billing.cli.terminal import Terminal
from fly_billing.customers.charges import final_invoice_notices, write_charges
from fly_billing.customers.credits import write_credits
from fly_billing.customers.known import typed_amount_of
from fly_billing.customers.rules.terms import (
    CreditTerms,
    OneOffCharge,
    SubscriptionTerms,
)
from fly_billing.customers.subscriptions import cancel, change_plan, write_subscriptions
from fly_billing.customers.writing import Effect, Written
from fly_billing.periods import BillingMonth


def subscribe(
    console: Terminal, options: ChangeOptions, organization: str, key: str, start: datetime | None, **terms: Any
) -> None:
    """Begin a subscription, now or at an instant. `terms`: other fields of SubscriptionTerms."""

    def act(work: Work) -> Sequence[Written]:
        one = SubscriptionTerms(organization, key, start or work.actor.at, **terms)
        return write_subscriptions(work.connection, work.actor, [one])

    make(console, options, act)


def replace_plan(
    console: Terminal, options: ChangeOptions, organization: str, old: str, new: str, at: datetime | None,
    **choice: Any,
) -> None:  # fmt: skip
    """End a subscription and begin another one, now or at an instant. `choice`: of `change_plan`."""
    make(
        console, options,
        lambda work: change_plan(
            work.connection, work.actor, organization, old, new, at or work.actor.at, **choice
        ),
    )  # fmt: skip


def end_fee(
    console: Terminal, options: ChangeOptions, organization: str, key: str, at: datetime | None,
    *, at_month_end: bool, **choice: Any,
) -> None:  # fmt: skip
    """End a subscription now, at an instant, or with the month. `choice`: of `cancel`."""

    def act(work: Work) -> Sequence[Written]:
        moment = BillingMonth.containing(at or work.actor.at).end if at_month_end else at or work.actor.at
        return [cancel(work.connection, work.actor, organization, key, moment, **choice)]

    make(console, options, act)


def charge(
    console: Terminal, options: ChangeOptions, organization: str, amount: str, on: datetime | None, *,
    gives_back: bool, **terms: Any,
) -> None:  # fmt: skip
    """Charge an amount once, or give it back. `terms`: other fields of OneOffCharge; with a quantity, of each unit."""

    def act(work: Work) -> Sequence[Written]:
        moment = on or work.today
        given = typed_amount_of(work.connection, organization, amount, moment)[0] * (-1 if gives_back else 1)
        name = "amount" if terms["quantity"] == 1 and terms["unit"] == "item" else "unit_amount"
        columns: dict[str, Any] = {**terms, name: given}
        one = OneOffCharge(organization, occurred_at=moment, **columns)
        written = write_charges(work.connection, work.actor, [one], may_change=False)
        if written[0].effect == Effect.NEW:  # otherwise an invoice may have it already
            work.notices.extend(final_invoice_notices(work.connection, [one]))
        return written

    make(console, options, act)


def grant_credit(
    console: Terminal, options: ChangeOptions, organization: str, amount: str, start: datetime | None, **terms: Any
) -> None:
    """Grant credit from today or a time on. `terms`: other fields of CreditTerms."""

    def act(work: Work) -> Sequence[Written]:
        given, _ = typed_amount_of(work.connection, organization, amount)
        one = CreditTerms(organization, amount=given, granted_at=start or work.today, **terms)
        return write_credits(work.connection, work.actor, [one])

    make(console, options, act)
