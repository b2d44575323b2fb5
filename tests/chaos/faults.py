"""Every kind of fault the sandbox has, as rules of a campaign, and how often each struck.

Keeps out: what a fault does (fly_billing/stripe_sandbox/faults.py), and what people do by hand (hands.py).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from fly_billing.stripe_sandbox import SandboxControl
from fly_billing.stripe_sandbox.faults import EFFECTS
from tests.chaos.call_log import CallLog
from tests.chaos.plan import Plan

REASONS = ("global-rate", "global-concurrency", "endpoint-rate", "endpoint-concurrency", "resource-specific")
OUTAGE: Mapping[str, Any] = {"status": 503, "type": "api_error"}

# By the name it has in the report: the effect and the rest of its rule.
CALL_FAULTS: Mapping[str, Mapping[str, Any]] = {
    "slow before it is applied": {"effect": "slow", "seconds": 0.3},
    "slow after it was applied": {"effect": "slow", "seconds": 0.3, "after_apply": True},
    "error": {"effect": "error", **OUTAGE},
    "error, stored": {"effect": "error", **OUTAGE, "stored": True},
    "drop_before_apply": {"effect": "drop_before_apply"},
    "apply_then_drop": {"effect": "apply_then_drop"},
    "applied_500": {"effect": "applied_500"},
    "stored_500": {"effect": "stored_500"},
    "lock_timeout": {"effect": "lock_timeout"},
    "lock_timeout, stored": {"effect": "lock_timeout", "stored": True},
    "conflict_409": {"effect": "conflict_409"},
    **{f"rate_limited, {reason}": {"effect": "rate_limited", "reason": reason} for reason in REASONS},
}
DELIVERY_FAULTS: Mapping[str, Mapping[str, Any]] = {
    "deliver_late": {"effect": "deliver_late", "seconds": 1.5},
    "deliver_twice": {"effect": "deliver_twice", "seconds": 0.2},
    "deliver_out_of_order": {"effect": "deliver_out_of_order", "seconds": 2.0},
    "deliver_never": {"effect": "deliver_never"},
}
SHARE_OF_DELIVERIES = 0.06
# The account's limits, each lowered so far for a moment that our pace, which does not know of it, runs into it.
LOW_LIMITS: Mapping[str, Mapping[str, float]] = {
    "limit per endpoint": {"endpoint_per_second": 6},
    "limit of the account": {"global_per_second": 15},
    # Calls take long enough to meet one another.
    "limit of calls at once": {"concurrency": 1, "latency_seconds": 0.05},
}
# For a machine that is too slow to meet those.
LOWEST_LIMITS: Mapping[str, Mapping[str, float]] = {
    **LOW_LIMITS,
    "limit per endpoint": {"endpoint_per_second": 1},
    "limit of the account": {"global_per_second": 2},
}
NO_LIMITS = {"endpoint_per_second": None, "global_per_second": None, "concurrency": None, "latency_seconds": 0.0}


class Faults:
    """The fault rules of one campaign, each with dice of its own: the same seed strikes the same calls by number."""

    def __init__(self, control: SandboxControl, plan: Plan) -> None:
        self._control = control
        self._plan = plan
        self._names: dict[str, str] = {}
        self._struck = dict.fromkeys((*CALL_FAULTS, *DELIVERY_FAULTS), 0)
        unused = set(EFFECTS) - {str(rule["effect"]) for rule in (*CALL_FAULTS.values(), *DELIVERY_FAULTS.values())}
        assert not unused, f"the sandbox has faults that no campaign uses: {unused}"

    def switch_on(self) -> None:
        """Strike calls and deliveries from now on, and have Stripe lock what a request is changing."""
        self._control.settings(object_locks=True, webhook_retry_seconds=0.2)
        share = self._plan.fault_probability
        for number, (name, rule) in enumerate(CALL_FAULTS.items()):
            self._add(name, rule, share, nth=30 + 15 * number)
        for number, (name, rule) in enumerate(DELIVERY_FAULTS.items()):
            self._add(name, {"endpoint": "webhooks.*", **rule}, SHARE_OF_DELIVERIES, nth=2 + 2 * number)

    def _add(self, name: str, rule: Mapping[str, Any], probability: float, nth: int) -> None:
        """Strike a share of the calls, and the n-th: a short campaign is to meet every fault too."""
        seed = self._plan.seed * 100 + len(self._names)
        for when in ({"nth": nth}, {"probability": probability, "seed": seed}):
            added = self._control.add_fault(**{**rule, **when})
            self._names[added["id"]] = name

    def switch_off(self) -> None:
        """Let Stripe be well again."""
        self._struck = self.struck()
        self._control.clear_faults()
        self._names.clear()

    def struck(self) -> dict[str, int]:
        """Return how often each fault has struck so far, those that never did as 0."""
        counts = dict(self._struck)
        for rule in self._control.faults():
            counts[self._names[rule["id"]]] += rule["fired"]
        return counts


class LowLimits:
    """Lowers one of the account's limits after the other until it refused calls, and counts them.

    However slow the machine is, each limit strikes: it stays low, and gets lower, until it did.
    """

    def __init__(self, control: SandboxControl, log: CallLog, every: float, lasting: float) -> None:
        """Begin one `every` so many seconds, `lasting` so many."""
        self._control = control
        self._log = log
        self._every = every
        self._lasting = lasting
        self._names = list(LOW_LIMITS)
        self._due = time.monotonic() + every
        self._since: int | None = None
        self.refusals = dict.fromkeys(LOW_LIMITS, 0)

    def look(self) -> None:
        """Lower the next limit, or lift the one that is low, when it is time to."""
        if time.monotonic() < self._due:
            return
        if self._since is None:
            self._since = self._log.calls
            self._control.settings(**LOW_LIMITS[self._names[0]])
            self._due = time.monotonic() + self._lasting
        elif self._log.refused_since(self._since):
            self.lift()
            self._due = time.monotonic() + self._every
        else:
            self._control.settings(**LOWEST_LIMITS[self._names[0]])
            self._due = time.monotonic() + self._lasting

    def lift(self) -> None:
        """Give the account its full limits back."""
        self._control.settings(**NO_LIMITS)
        if self._since is not None:
            self.refusals[self._names[0]] += self._log.refused_since(self._since)
            self._names.append(self._names.pop(0))
            self._since = None
