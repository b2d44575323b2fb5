"""Every kind of fault of the sandbox, as rules of a campaign, with their numbers of strikes.

Keeps out: the effects of faults (fly_billing/stripe_sandbox/faults.py), and manual changes (dashboard_user.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fly_billing.stripe_sandbox import SandboxControl
from fly_billing.stripe_sandbox.faults import EFFECTS
from tests.chaos.call_log import NOT_OF_THE_SYNC, CallLog
from tests.chaos.plan import Plan

REASONS = ("global-rate", "global-concurrency", "endpoint-rate", "endpoint-concurrency", "resource-specific")
OUTAGE: Mapping[str, Any] = {"status": 503, "type": "api_error"}

# Name in the report -> the effect and the rest of its rule.
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
AT_ONCE = "limit of calls at once"
# The account's limits, each lowered so far that the next call exceeds it. After the call that is held meanwhile, the
# same invoice needs another one: so a limit refuses a call even when nothing else is left to sync.
LOW_LIMITS: Mapping[str, Mapping[str, int]] = {
    # While a call is held, every other one exceeds the limit. That takes other work, so it comes first.
    AT_ONCE: {"concurrency": 1},
    "limit per endpoint": {"endpoint_per_second": 0},
    "limit of the account": {"global_per_second": 0},
}
NO_LIMITS = {"endpoint_per_second": None, "global_per_second": None, "concurrency": None}


class Faults:
    """The fault rules of one campaign, each with its own random numbers: a seed strikes the same numbers of calls."""

    def __init__(self, control: SandboxControl, plan: Plan) -> None:
        self._control = control
        self._plan = plan
        self._names: dict[str, str] = {}
        self._struck = dict.fromkeys((*CALL_FAULTS, *DELIVERY_FAULTS), 0)
        used = {str(rule["effect"]) for rule in (*CALL_FAULTS.values(), *DELIVERY_FAULTS.values())}
        unused = EFFECTS.keys() - used - {"hold"}  # stops are made of these
        assert not unused, f"the sandbox has faults that no campaign uses: {unused}"

    def switch_on(self) -> None:
        """Strike calls and deliveries from now on, and let Stripe lock the object that a request changes."""
        self._control.settings(object_locks=True, webhook_retry_seconds=0.2)
        share = self._plan.fault_probability
        for number, (name, rule) in enumerate(CALL_FAULTS.items()):
            self._add(name, rule, share, after=10 + 10 * number)
        for number, (name, rule) in enumerate(DELIVERY_FAULTS.items()):
            self._add(name, {"endpoint": "webhooks.*", **rule}, SHARE_OF_DELIVERIES, after=2 + 2 * number)

    def _add(self, name: str, rule: Mapping[str, Any], probability: float, after: int) -> None:
        """Strike a share of the calls, and once the first one after this number of calls that can be struck.

        So a short campaign meets every fault too: if another fault preempts it, or the response is a replay, which no
        fault can reach, the next call is struck.
        """
        seed = self._plan.seed * 100 + len(self._names)
        for moment in ({"from_nth": after, "times": 1}, {"probability": probability, "seed": seed}):
            added = self._control.add_fault(**{**rule, **moment})
            self._names[added["id"]] = name

    def switch_off(self) -> None:
        """Remove all faults."""
        self._struck = self.struck()
        self._control.clear_faults()
        self._names.clear()

    def struck(self) -> dict[str, int]:
        """Return the number of strikes of each fault so far, including 0."""
        counts = dict(self._struck)
        for rule in self._control.faults():
            if rule["id"] in self._names:  # the others are stops
                counts[self._names[rule["id"]]] += rule["fired"]
        return counts


class LowLimits:
    """Lowers one of the account's limits at a time, until it has refused a number of the sync's calls, and counts them.

    It stays low for as long as that takes: no call succeeds any more, and the sync retries.
    """

    def __init__(self, control: SandboxControl, log: CallLog, enough: int) -> None:
        self._control = control
        self._log = log
        self._enough = enough
        self._low: tuple[str, int] | None = None
        self.refusals = dict.fromkeys(LOW_LIMITS, 0)

    @property
    def is_low(self) -> bool:
        """True while one of them is low."""
        return self._low is not None

    def lower(self, name: str) -> None:
        """Lower one of LOW_LIMITS."""
        assert not self.is_low, "one limit at a time"
        self._low = name, self._log.calls
        self._control.settings(**LOW_LIMITS[name])

    def look(self) -> None:
        """Restore the account's full limits if the low one has refused enough calls."""
        if self._low is None:
            return
        name, since = self._low
        refused = self._log.refused_since(since, NOT_OF_THE_SYNC)
        if refused >= self._enough:
            self._control.settings(**NO_LIMITS)
            self.refusals[name] += refused
            self._low = None
