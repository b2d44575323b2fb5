"""Stops: Stripe keeps a call of the sync open until something has happened, so that it happens in the middle of it.

What strikes is decided by the number of a call, never by a clock: a slow machine gets to the same calls later. Keeps
out: what happens at a stop (campaign.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fly_billing.stripe_sandbox import SandboxControl
from tests.chaos.worker_pool import KEYS

# The sync's requests that make, fill and finalize an invoice: three or more for each.
WRITES = "POST /v1/invoices*"
# Nothing is to depend on this: a stop ends when its deed is done.
AT_MOST_SECONDS = 3600.0

# Is told who made the call that is kept open (the API key); the calls go on once it has returned.
Deed = Callable[[str], None]


class Stops:
    """The stops that are still to come."""

    def __init__(self, control: SandboxControl) -> None:
        self._control = control
        self._deeds: dict[str, tuple[str, Deed]] = {}

    def add(self, deed_name: str, deed: Deed, **rule: Any) -> None:
        """Do it while a call of the sync is kept open. `rule` says which call, as fields of the sandbox's Rule."""
        given = {"endpoint": WRITES, "caller": KEYS, "seconds": AT_MOST_SECONDS, **rule}
        self._deeds[self._control.add_fault("hold", **given)["id"]] = (deed_name, deed)

    def look(self) -> None:
        """Do what is to be done at the calls that are kept open right now, and let them go on."""
        for call in self._control.held():
            _, deed = self._deeds.pop(call["rule"], ("", None))
            if deed:
                deed(call["caller"])
                self._control.clear_faults(call["rule"])

    @property
    def pending(self) -> list[str]:
        """What has not happened yet."""
        return [deed for deed, _ in self._deeds.values()]
