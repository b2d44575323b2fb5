"""Breaks the running Stripe sandbox, to practise an outage: `fly-billing stripe-sandbox fault`.

Not here: what a fault does (`stripe_sandbox.faults`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fly_billing.cli.running_sandbox import ask_sandbox, running_sandbox
from fly_billing.cli.terminal import Terminal
from fly_billing.errors import ActionableError
from fly_billing.money import counted
from fly_billing.stripe_sandbox.faults import EFFECTS

# Short names of the faults that a person practises: effect and fields of a fault rule.
SHORT: Mapping[str, Mapping[str, Any]] = {
    "http_500": {"effect": "error", "status": 500},
    "http_401": {
        "effect": "error", "status": 401, "type": "invalid_request_error", "message": "Invalid API Key provided"
    },
    "no_answer": {"effect": "drop_before_apply"},
}  # fmt: skip


class NoSuchFault(ActionableError):
    """No fault has this name."""


def add_fault(console: Terminal, effect: str, endpoint: str, times: int | None) -> None:
    """Add a fault to the running sandbox. Raises NoSuchFault, NoSandbox."""
    if effect not in SHORT and effect not in EFFECTS:
        names = ", ".join([*SHORT, *EFFECTS])
        raise NoSuchFault(f"{effect!r} is not an effect of a fault. Choose from: {names}")
    rule = dict(SHORT.get(effect, {"effect": effect}))
    control = running_sandbox()
    ask_sandbox(lambda: control.add_fault(rule.pop("effect"), endpoint, times=times, **rule))
    calls = "every call" if times is None else f"the next {counted(times, 'call')}"
    console.print(f"{effect}: {calls} of {endpoint}. `fly-billing stripe-sandbox clear` removes it.", soft_wrap=True)


def show_faults(console: Terminal) -> None:
    """Print the effects, and the faults of the running sandbox. Raises NoSandbox."""
    for name, rule in SHORT.items():
        console.print(f"{name}: {' '.join(f'{key}={value}' for key, value in rule.items())}", soft_wrap=True)
    for name, meaning in EFFECTS.items():
        console.print(f"{name}: {meaning}", soft_wrap=True)
    control = running_sandbox()
    found = ask_sandbox(control.faults)
    console.print(f"{counted(len(found), 'fault')} in the running sandbox" + (":" if found else "."))
    for fault in found:
        console.print(f"  {fault['effect']} of {fault['endpoint']}: hit {counted(fault['fired'], 'call')}")


def clear_faults(console: Terminal) -> None:
    """Remove all faults. Raises NoSandbox."""
    control = running_sandbox()
    ask_sandbox(control.clear_faults)
    console.print("The sandbox has no faults.")
