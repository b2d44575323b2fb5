"""Stops: Stripe holds a call of the sync until an action has run, so that the action runs in the middle of the call.

The number of a call decides the strike, never a clock: a slow machine reaches the same calls later. Keeps out: the
actions at a stop (campaign.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fly_billing.stripe_sandbox import SandboxControl
from tests.chaos.worker_pool import KEYS

# The sync's requests that create, fill and finalize an invoice: three or more for each.
WRITES = "POST /v1/invoices*"
# The sync's requests that fill an invoice. Each is followed by another one of the same invoice.
LINES = "invoices.add_lines"
# No result depends on this: a stop ends when its action has run.
AT_MOST_SECONDS = 3600.0

# Gets the API key of the held call's caller; the call continues once it has returned.
Action = Callable[[str], None]


class Stops:
    """The outstanding stops."""

    def __init__(self, control: SandboxControl) -> None:
        self._control = control
        self._actions: dict[str, tuple[str, Action]] = {}

    def add(self, action_name: str, action: Action, **rule: Any) -> None:
        """Run the action while a call of the sync is held. `rule` selects the call by fields of the sandbox's Rule."""
        given = {"endpoint": WRITES, "caller": KEYS, "seconds": AT_MOST_SECONDS, **rule}
        self._actions[self._control.add_fault("hold", **given)["id"]] = (action_name, action)

    def look(self) -> None:
        """Run the actions of the calls that are held now, and let the calls continue."""
        for call in self._control.held():
            _, action = self._actions.pop(call["rule"], ("", None))
            if action:
                action(call["caller"])
                self._control.clear_faults(call["rule"])

    @property
    def pending(self) -> list[str]:
        """The names of the outstanding actions."""
        return [action for action, _ in self._actions.values()]
