"""Credits an invoice at Stripe: `fly-billing credit-note`, `refund`, and `approve-`, `send-` and `withdraw-credit`."""

from __future__ import annotations

import getpass
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from fly_billing.cli.local_platform import local_platform
from fly_billing.cli.terminal import Terminal
from fly_billing.errors import ActionableError
from fly_billing.money import parse_typed_amount, to_cents
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.resources.clock import Clock
from fly_billing.resources.stripe_account import StripeAccount
from fly_billing.stripe_sync.credit_notes import (
    CreditPlan,
    approve_credit,
    effect_of,
    everything_paid,
    plan_credit,
    request_credit,
    send_credit,
    waiting_credits,
    withdraw_credit,
)
from fly_billing.stripe_sync.invoice_sync import SyncTools
from fly_billing.stripe_sync.rules.credit_requests import (
    FAILED,
    ISSUED,
    UNKNOWN,
    WAITING,
    WITHDRAWN,
    CreditRequest,
)
from fly_billing.stripe_sync.rules.invoice_amounts import AskedAmounts


@dataclass(frozen=True)
class CreditOrder:
    """The credit note that the command was asked for. `amount`: as typed; None: everything that was paid by card."""

    organization: str
    month: BillingMonth
    amount: str | None
    pays_back: str
    why: str


@contextmanager
def credit_tools(name: str) -> Iterator[tuple[SyncTools, Callable[[str], int]]]:
    """Yield access to Stripe, and the largest amount in cents of a currency that needs no approval."""
    with local_platform(stripe=True) as settings:
        tools = StripeAccount().sync_tools(BillingDatabase(settings.database_url), Clock(), f"fly-billing {name}")
        yield tools, lambda currency: to_cents(settings.credit_approval_above(currency), currency)


def credit_invoice(console: Terminal, order: CreditOrder, *, is_dry_run: bool, as_json: bool) -> bool:
    """Make the credit note, unless it is a dry run or needs an approval. Returns False if Stripe does not have it.

    Raises:
        ActionableError: The amount can't be credited, or Stripe does not answer.
    """
    with credit_tools("credit-note") as (tools, limit_cents):
        plan = plan_credit(
            tools, order.organization, order.month,
            lambda currency, asked: _amount(order.amount, currency, asked), order.pays_back,
            why=order.why, made_by=getpass.getuser(), limit_cents=limit_cents,
        )  # fmt: skip
        credit = plan.credit
        if not is_dry_run:
            credit = send_credit(tools, request_credit(tools.journal.database, plan, tools.clock()).id)
    if as_json:
        print(json.dumps(_as_data(credit, plan, is_dry_run=is_dry_run), indent=2))
    else:
        _print(console, order, credit, plan, is_dry_run=is_dry_run)
    return is_dry_run or credit.state in (ISSUED, WAITING)


def _amount(typed: str | None, currency: str, asked: AskedAmounts) -> int:
    if typed is None:
        return everything_paid(asked)
    try:
        return parse_typed_amount(typed, currency)
    except ValueError as problem:
        raise ActionableError(f"AMOUNT: {problem}") from problem


def _print(console: Terminal, order: CreditOrder, credit: CreditRequest, plan: CreditPlan, *, is_dry_run: bool) -> None:
    whose = f"{order.organization} {order.month}"
    console.print(f"{whose}: {credit.amount} because of: {credit.why}", soft_wrap=True)
    if is_dry_run or credit.state == WAITING:
        console.print(f"It would do this: {effect_of(plan)}.", soft_wrap=True)
    if plan.corrected_cents:
        console.print(
            "Corrections gave a part of this invoice back already, as credit for the next one.", soft_wrap=True
        )
    if is_dry_run:
        approval = " It needs an approval." if plan.needs_approval else ""
        console.print(f"Nothing was written or sent (--dry-run).{approval}")
    else:
        console.print(credit_outcome(credit), soft_wrap=True)


def credit_outcome(credit: CreditRequest) -> str:
    """Say what became of a credit note, and what to do next."""
    if credit.state == ISSUED:
        return f"Stripe has the credit note {credit.stripe_credit_note_id}."
    if credit.state == WAITING:
        return f"It waits. Someone else approves it: `fly-billing approve-credit {credit.id} --by NAME`"
    if credit.state == WITHDRAWN:
        return "It is withdrawn. Nothing was credited at Stripe."
    if credit.state == FAILED:
        return (
            f"Nothing was credited: {credit.failure}. Once that is fixed: `fly-billing send-credit {credit.id}`; or"
            f" withdraw it: `fly-billing withdraw-credit {credit.id}`"
        )
    why = f" ({credit.failure})" if credit.failure else ""
    sent = "perhaps sent" if credit.state == UNKNOWN else "not sent"
    return f"It was {sent}{why}. `poll_stripe_events` or the same command continues; nothing is credited twice."


def _as_data(credit: CreditRequest, plan: CreditPlan, *, is_dry_run: bool) -> dict[str, object]:
    return {
        "id": str(credit.id),
        "organization": credit.organization_id,
        "currency": credit.currency,
        "amount_cents": credit.amount_cents,
        "lowers_open_invoice_cents": plan.unpaid_cents,
        "pays_back_cents": credit.amount_cents - plan.unpaid_cents,
        "to": credit.pays_back,
        "why": credit.why,
        "needs_approval": plan.needs_approval,
        "dry_run": is_dry_run,
        "state": None if is_dry_run else credit.state,
        "stripe_credit_note": credit.stripe_credit_note_id,
        "failure": credit.failure,
    }


def approve(console: Terminal, id: str | None, by: str) -> bool:
    """Approve a credit note that waits and send it; without an id, list those that wait.

    Raises ActionableError if no such credit note waits, or the same person asked for it.
    """
    with credit_tools("approve-credit") as (tools, _):
        database = tools.journal.database
        if id is None:
            _list(console, waiting_credits(database))
            return True
        credit = send_credit(tools, approve_credit(database, _id(id), by, tools.clock()).id)
    console.print(f"{credit.organization_id}: {credit.amount} because of: {credit.why}", soft_wrap=True)
    console.print(credit_outcome(credit), soft_wrap=True)
    return credit.state == ISSUED


def send_again(console: Terminal, id: str) -> bool:
    """Send a credit note that was refused, or that did not reach Stripe. Returns False if Stripe does not have it.

    Raises ActionableError if there is no such credit note.
    """
    with credit_tools("send-credit") as (tools, _):
        credit = send_credit(tools, _id(id))
    console.print(f"{credit.organization_id}: {credit.amount} because of: {credit.why}", soft_wrap=True)
    console.print(credit_outcome(credit), soft_wrap=True)
    return credit.state == ISSUED


def withdraw(console: Terminal, id: str, by: str, why: str) -> None:
    """Withdraw a credit note that waits or was refused. Raises ActionableError if it may be at Stripe."""
    with credit_tools("withdraw-credit") as (tools, _):
        credit = withdraw_credit(tools, _id(id), by, why)
    console.print(f"{credit.organization_id}: {credit.amount} because of: {credit.why}", soft_wrap=True)
    console.print(credit_outcome(credit), soft_wrap=True)


def _list(console: Terminal, waiting: list[CreditRequest]) -> None:
    for credit in waiting:
        console.print(
            f"{credit.id} {credit.organization_id} {credit.amount}, asked for by {credit.made_by}: {credit.why}",
            soft_wrap=True,
        )
    if not waiting:
        console.print("No credit note waits for an approval.")


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as problem:
        raise ActionableError(
            f"{text} is not an id of a credit note: `fly-billing approve-credit` lists them"
        ) from problem
