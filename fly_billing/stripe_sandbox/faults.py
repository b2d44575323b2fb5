"""Fault rules: which calls fail, and how. Each fault that is carried out is counted.

A rule matches calls by endpoint, customer, metadata and caller. It strikes the nth match, the first k, all from the nth
on, a share of them, or all, but at most `times`. Rules and counts are in the store, so they survive a restart.
Not here: carrying out a fault (`pipeline`).
"""

import asyncio
import json
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from fnmatch import fnmatchcase
from typing import Any

from fly_billing.stripe_sandbox import errors
from fly_billing.stripe_sandbox.endpoints import Endpoint
from fly_billing.stripe_sandbox.errors import StripeError
from fly_billing.stripe_sandbox.store import Json, Store, new_id

EFFECTS = {
    "hold": "keep the call open until the rule is removed, at most `seconds` (or 60); then continue normally",
    "slow": "sleep `seconds` before applying (with `after_apply`: after applying), then continue normally",
    "error": "return `status`, `type`, `code`, `message`; apply nothing; store it under the key if `stored`",
    "drop_before_apply": "close the connection; apply nothing",
    "apply_then_drop": "apply the call and store the response under the key, then close the connection",
    "applied_500": "apply the call, but return a 500 and store it under the key",
    "stored_500": "apply nothing; return a 500 and store it under the key",
    "lock_timeout": "return 429 lock_timeout; store it under the key if `stored`",
    "conflict_409": "return 409 idempotency_key_in_use; apply and store nothing",
    "rate_limited": "return 429 with Stripe-Rate-Limited-Reason `reason`; apply and store nothing",
    "deliver_late": "deliver the event after `seconds`",
    "deliver_twice": "deliver the event twice (after `seconds`)",
    "deliver_out_of_order": "hold the event until a later one was delivered, at most `seconds` (or 5)",
    "deliver_never": "do not deliver the event",
}
DELIVERIES = {name for name in EFFECTS if name.startswith("deliver_")}
KEPT_BY_NATURE = {"stored_500", "applied_500"}
DELAYING = {"hold", "slow"}
PASSING = {*DELAYING, "drop_before_apply", "apply_then_drop"}
HELD_SECONDS = 60.0
POLL_SECONDS = 0.01


@dataclass(frozen=True)
class Rule:
    """One fault: the calls that it matches, the ones that it strikes, and its effect.

    Attributes:
        endpoint: A name, or a method and path; wildcards allowed.
        metadata: Entries that the request, its invoice or its customer must have.
        caller: The API key of the call; wildcards allowed.
        nth, first, from_nth, probability: Which of the matching calls it strikes; all without one of them.
        times: The number of calls that it strikes at most.
        seconds: Delays any effect.
    """

    effect: str
    id: str = ""
    endpoint: str = "*"
    customer: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    caller: str | None = None
    nth: int | None = None
    first: int | None = None
    from_nth: int | None = None
    times: int | None = None
    probability: float | None = None
    seed: int = 0
    seconds: float = 0.0
    after_apply: bool = False
    stored: bool = False
    status: int = 500
    type: str = "api_error"
    code: str | None = None
    message: str = errors.BACKEND_DOWN
    param: str | None = None
    reason: str = "endpoint-rate"
    should_retry: bool | None = None

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> "Rule":
        """Read a rule from the control API. Raises ValueError for an unknown effect or field."""
        unknown = set(given) - {each.name for each in fields(cls)}
        if unknown:
            raise ValueError(f"a fault rule has no {', '.join(sorted(unknown))}")
        if given.get("effect") not in EFFECTS:
            raise ValueError(f"effect must be one of {', '.join(EFFECTS)}")
        return cls(**given)

    def names(self, endpoint: Endpoint) -> bool:
        """Return True if the rule matches this endpoint, by name or by method and path.

        Deliveries of events have endpoints `webhooks.<type>`, which only the effects `deliver_...` match.
        """
        if (self.effect in DELIVERIES) != endpoint.name.startswith("webhooks."):
            return False
        return any(fnmatchcase(name, self.endpoint) for name in (endpoint.name, f"{endpoint.method} {endpoint.path}"))

    def strikes(self, matched: int, fired: int) -> bool:
        """Return True if the rule strikes this call. The same seed always strikes the same calls.

        With `from_nth` and `times` a rule is sure to strike: if another rule strikes a call first, it strikes the next.

        Args:
            matched: The number of calls that the rule matched so far, with this one.
            fired: The number of calls that it struck so far.
        """
        if self.times is not None and fired >= self.times:
            return False
        if self.from_nth is not None:
            return matched >= self.from_nth
        if self.nth is not None:
            return matched == self.nth
        if self.first is not None:
            return matched <= self.first
        if self.probability is not None:
            return random.Random(f"{self.seed}:{matched}").random() < self.probability
        return True

    @property
    def is_refused_early(self) -> bool:
        """Return True if it refuses the call before the idempotency layer sees it."""
        kept = self.stored and self.effect in ("error", "lock_timeout")
        return self.effect in ("error", "lock_timeout", "conflict_409", "rate_limited") and not kept

    @property
    def keeps(self) -> bool:
        """Return True if its error is stored under the idempotency key."""
        return self.effect in KEPT_BY_NATURE or (self.stored and self.effect in ("error", "lock_timeout"))

    def error(self, key: str | None) -> StripeError | None:
        """Return the rule's error, or None for effects that let the call through."""
        if self.effect in PASSING:
            return None
        refusal = self._refusal(key)
        if self.should_retry is not None:
            refusal.headers["Stripe-Should-Retry"] = str(self.should_retry).lower()
        return refusal

    def _refusal(self, key: str | None) -> StripeError:
        made: dict[str, Callable[[], StripeError]] = {
            "lock_timeout": errors.lock_timeout,
            "conflict_409": lambda: errors.key_in_use(key or "none"),
            "rate_limited": lambda: errors.rate_limited(self.reason),
            "error": lambda: StripeError(
                self.message, status=self.status, type=self.type, code=self.code, param=self.param
            ),
        }
        return made.get(self.effect, errors.server_error)()


class Faults:
    """The fault rules of one sandbox, in order of addition. The first rule that strikes a call is carried out."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rules: list[Rule] = []
        self.reload()

    def reload(self) -> None:
        """Read the rules from the store."""
        rows = self._store.db.execute("select rule from faults order by seq")
        self._rules = [Rule.from_json(json.loads(row["rule"])) for row in rows]

    def add(self, rule: Rule) -> Json:
        """Add a fault and return it with its id and counts."""
        rule = replace(rule, id=new_id("flt", 12))
        self._store.db.execute("insert into faults (id, rule) values (?, ?)", (rule.id, json.dumps(asdict(rule))))
        self._rules.append(rule)
        return {**asdict(rule), "matched": 0, "fired": 0}

    def remove(self, id: str | None = None) -> None:
        """Remove one fault, or all."""
        self._store.db.execute("delete from faults where :id is null or id = :id", {"id": id})
        self.reload()

    def listing(self) -> list[Json]:
        """Return all rules with the number of calls that each matched and struck."""
        rows = self._store.db.execute("select * from faults order by seq")
        return [{**json.loads(row["rule"]), "matched": row["matched"], "fired": row["fired"]} for row in rows]

    def choose(
        self, endpoint: Endpoint, subject: Callable[[], tuple[str | None, list[Json]]], caller: str = ""
    ) -> Rule | None:
        """Count the call for every rule that matches it, and return the first rule that strikes it.

        Args:
            subject: Returns the call's customer and the metadata that it concerns. Called only if a rule needs them.
            caller: The call's API key.
        """
        named = [rule for rule in self._rules if rule.names(endpoint) and _is_called_by(rule, caller)]
        concerned = [rule for rule in named if _concerns(rule, subject)]
        striking = [rule for rule in concerned if rule.strikes(*self._matched(rule))]
        return striking[0] if striking else None

    def _matched(self, rule: Rule) -> tuple[int, int]:
        sql = "update faults set matched = matched + 1 where id = ? returning matched, fired"
        return tuple(self._store.db.execute(sql, (rule.id,)).fetchone())

    def count_strike(self, rule: Rule) -> None:
        """Count a call that the rule struck."""
        self._store.db.execute("update faults set fired = fired + 1 where id = ?", (rule.id,))

    async def released(self, rule: Rule) -> None:
        """Wait until the rule is removed, or for its `seconds`."""
        deadline = time.monotonic() + (rule.seconds or HELD_SECONDS)
        while rule in self._rules and time.monotonic() < deadline:
            await asyncio.sleep(POLL_SECONDS)


def _is_called_by(rule: Rule, caller: str) -> bool:
    return rule.caller is None or fnmatchcase(caller, rule.caller)


def _concerns(rule: Rule, subject: Callable[[], tuple[str | None, list[Json]]]) -> bool:
    if rule.customer is None and not rule.metadata:
        return True
    customer, metadata = subject()
    if rule.customer not in (None, customer):
        return False
    return all(any(each.get(key) == value for each in metadata) for key, value in rule.metadata.items())
