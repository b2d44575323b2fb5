"""Does in the running Stripe sandbox what a person does in Stripe's dashboard: `fly-billing stripe-sandbox do`.

Not here: what an action does (`stripe_sandbox.dashboard`).
"""

from __future__ import annotations

from typing import Any

from fly_billing.cli.running_sandbox import ask_sandbox, running_sandbox
from fly_billing.cli.terminal import Terminal
from fly_billing.errors import ActionableError
from fly_billing.invoicing.rules.chargeable_amounts import from_stripe, to_stripe
from fly_billing.money import format_cents, parse_typed_amount
from fly_billing.stripe_sandbox import SandboxControl, SandboxError

# The amount of an object that a person looks at, and its name.
SHOWN = {
    "invoice": ("amount_remaining", "remaining"),
    "customer": ("balance", "balance"),
    "customer_balance_transaction": ("ending_balance", "balance"),
}
# The currency of a customer that has none yet.
ACCOUNT_CURRENCY = "usd"


class ActionRefused(ActionableError):
    """The sandbox refused a dashboard action."""


def do_action(console: Terminal, action: str, id: str, amount: str | None, to: str | None) -> None:
    """Do a dashboard action, and print what became of its object and the events. Raises ActionRefused, NoSandbox."""
    control = running_sandbox()
    try:
        given: dict[str, Any] = {} if to is None else {"to": to}
        if amount is not None:
            given["amount"] = _in_stripes_unit(control, action, id, amount)
        done = ask_sandbox(lambda: control.acted(action, id, **given))
    except SandboxError as refused:
        raise ActionRefused(f"{action} {id}: {refused.reason}. `stripe-sandbox actions` lists all") from refused
    console.print(_described(done["object"]), soft_wrap=True)
    console.print(f"Events: {', '.join(done['events']) or 'none'}", soft_wrap=True)


def _in_stripes_unit(control: SandboxControl, action: str, id: str, amount: str) -> int:
    currency = ask_sandbox(lambda: control.subject(action, id)).get("currency") or ACCOUNT_CURRENCY
    try:
        return to_stripe(parse_typed_amount(amount, currency.upper()), currency.upper())
    except ValueError as problem:
        raise ActionRefused(str(problem)) from problem


def _described(body: dict[str, Any]) -> str:
    """Return such as `refund re_1: succeeded, $5.00`."""
    field, name = SHOWN.get(body["object"], ("amount", ""))
    currency = (body.get("currency") or ACCOUNT_CURRENCY).upper()
    amount = f"{format_cents(from_stripe(body[field], currency)[0], currency)} {name}".strip()
    return f"{body['object'].replace('_', ' ')} {body['id']}: {', '.join(filter(None, [body.get('status'), amount]))}"


def show_actions(console: Terminal) -> None:
    """Print the dashboard actions. Raises NoSandbox."""
    amounts = {"required": " AMOUNT", "optional": " [AMOUNT]", None: ""}
    for action in ask_sandbox(running_sandbox().actions):
        kind = action["of"].replace("_", " ").upper()
        console.print(f"{action['name']} {kind}{amounts[action['amount']]}: {action['meaning']}", soft_wrap=True)
