"""Handles a call: API key, limits, faults, replay, and the endpoint, applied and stored in one transaction.

The order is Stripe's: API key, rate limits, idempotency layer, validation, endpoint. Not here: HTTP (`app`) and the
endpoints.
"""

import asyncio
import math
import random
import re

from fly_billing.stripe_sandbox import calls, params
from fly_billing.stripe_sandbox.calls import Call, SandboxResponse
from fly_billing.stripe_sandbox.cards import DeclinedChargeError
from fly_billing.stripe_sandbox.errors import (
    NO_KEY,
    InvalidParamsError,
    StripeError,
    unauthorized,
    unknown_version,
)
from fly_billing.stripe_sandbox.events import API_VERSION
from fly_billing.stripe_sandbox.expanding import expand
from fly_billing.stripe_sandbox.faults import DELAYING, PASSING, Faults, Rule
from fly_billing.stripe_sandbox.idempotency import Keys
from fly_billing.stripe_sandbox.limits import Limits
from fly_billing.stripe_sandbox.store import Json, Store
from fly_billing.stripe_sandbox.webhooks import Deliveries

NO_FAULT = Rule("slow")
TEST_KEY = re.compile(r"(?:sk|rk)_test_[0-9A-Za-z_]+")


class Pipeline:
    """The steps that every call of one sandbox passes."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.keys, self.limits, self.faults = Keys(store), Limits(store), Faults(store)
        self.deliveries = Deliveries(store, self.faults)
        self._random = random.Random(store.settings.latency_seed)
        self.open: list[tuple[Rule, Call]] = []

    async def answer(self, call: Call) -> SandboxResponse:
        """Return the response to a call, and log the call. A StripeError at any step becomes a response."""
        try:
            answer = await self._admitted(call)
        except StripeError as error:
            answer = SandboxResponse.refused(error, call.request_id)
        if not call.logged:
            calls.record(self.store, call, answer)
        self.deliveries.wake()
        return answer

    async def _admitted(self, call: Call) -> SandboxResponse:
        check_api_key(call.headers.get("authorization"))
        check_version(call.headers.get("stripe-version", API_VERSION))
        with self.limits.admitted(call.endpoint.name):
            rule = self.faults.choose(call.endpoint, lambda: self._subject(call), call.api_key) or NO_FAULT
            if rule.effect == "hold":
                return await self._held_open(call, rule)
            refusal = rule.error(call.key)
            if refusal is None or not rule.is_refused_early:
                return await self._keyed(call, rule)
            self._strike(call, rule)
            await self._pause(rule)
            raise refusal

    async def _held_open(self, call: Call, rule: Rule) -> SandboxResponse:
        """Keep a call open before or after it is applied, with any result. It locks nothing meanwhile."""
        self._strike(call, rule)
        if not rule.after_apply:
            await self._keep_open(call, rule)
        try:
            return await self._keyed(call, NO_FAULT)
        finally:
            if rule.after_apply:
                await self._keep_open(call, rule)

    async def _keep_open(self, call: Call, rule: Rule) -> None:
        self.open.append((rule, call))
        try:
            await self.faults.released(rule)
        finally:
            self.open.remove((rule, call))

    def _strike(self, call: Call, rule: Rule) -> None:
        if rule is not NO_FAULT:
            call.fault = rule.effect
            self.faults.count_strike(rule)

    async def _keyed(self, call: Call, rule: Rule) -> SandboxResponse:
        replay = self.keys.replay(call)
        if replay is not None:
            return await self._replayed(call, rule, replay)
        with self.keys.held(call), self.limits.locked(call, lambda: self._subject(call)[0]):
            self._strike(call, rule)
            if not rule.after_apply:
                await self._pause(rule)
            answer = self._run(call, rule)
            if rule.after_apply:
                await self._pause(rule)
            return answer

    async def _replayed(self, call: Call, rule: Rule, replay: SandboxResponse) -> SandboxResponse:
        """Replay a stored response. Of the faults, only delays and drops affect it."""
        if rule.effect in PASSING:
            self._strike(call, rule)
            await self._pause(rule)
            replay.dropped = rule.effect not in DELAYING
        return replay

    def _run(self, call: Call, rule: Rule) -> SandboxResponse:
        spec = call.endpoint.spec
        wanted = call.raw if spec is None else params.read(call.raw, spec)
        if rule.effect == "drop_before_apply":
            return SandboxResponse(0, "", dropped=True)
        with self.store.transaction():
            answer = self._outcome(call, rule, wanted)
            answer.dropped = rule.effect == "apply_then_drop"
            calls.record(self.store, call, answer)
        return answer

    def _outcome(self, call: Call, rule: Rule, wanted: Json) -> SandboxResponse:
        refusal = rule.error(call.key)
        if refusal is None or rule.effect == "applied_500":
            answer = self._applied(call, wanted)
        if refusal is not None:
            answer = SandboxResponse.refused(refusal, call.request_id)
        if refusal is None or rule.keeps:
            self.keys.keep(call, answer)
        return answer

    def _applied(self, call: Call, wanted: Json) -> SandboxResponse:
        """Apply the call. If the endpoint raises StripeError, roll back and return the error."""
        try:
            caused = {"id": call.request_id, "idempotency_key": call.key}
            with self.store.savepoint(), self.store.caused_by(caused):
                answer = self._responded(call, wanted)
        except InvalidParamsError:
            raise
        except StripeError as error:
            return SandboxResponse.refused(error, call.request_id)
        call.applied = call.method != "GET"
        return answer

    def _responded(self, call: Call, wanted: Json) -> SandboxResponse:
        """Return the endpoint's response. A declined charge is an error that is not rolled back."""
        paths = wanted.pop("expand", [])
        try:
            body = call.endpoint.handle(self.store, call.ids, wanted)
        except DeclinedChargeError as error:
            return SandboxResponse.refused(error, call.request_id)
        return SandboxResponse.ok(expand(self.store, body, paths))

    async def _pause(self, rule: Rule) -> None:
        seconds = rule.seconds + self._latency()
        if seconds > 0:
            await asyncio.sleep(seconds)

    def _latency(self) -> float:
        """Return the seconds that this call takes: `latency_seconds`, or lognormal with that median."""
        settings = self.store.settings
        if not settings.latency_seconds or not settings.latency_sigma:
            return settings.latency_seconds
        return self._random.lognormvariate(math.log(settings.latency_seconds), settings.latency_sigma)

    def reload(self) -> None:
        """Read faults and settings from the store again, after a reset or a change of settings."""
        self.faults.reload()
        self._random = random.Random(self.store.settings.latency_seed)

    def _subject(self, call: Call) -> tuple[str | None, list[Json]]:
        """Return the call's customer, and the metadata of the request, its invoice and its customer."""
        named = {name: value for name, value in {**call.raw, **call.ids}.items() if isinstance(value, str)}
        invoice = self.store.find("invoice", named.get("invoice", "")) or {}
        id = named.get("customer", invoice.get("customer"))
        customer = self.store.find("customer", id or "") or {}
        given = call.raw.get("metadata")
        return id, [given if isinstance(given, dict) else {}, invoice.get("metadata", {}), customer.get("metadata", {})]


def check_version(version: str) -> None:
    """Raise StripeError for a version of the API that the sandbox does not speak: it would answer in its own."""
    if version != API_VERSION:
        raise unknown_version(version)


def check_api_key(authorization: str | None) -> None:
    """Accept any test key. Raises StripeError for no key and for any other one, without repeating it."""
    scheme, _, key = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise unauthorized(NO_KEY)
    if key.startswith(("sk_live_", "rk_live_")):
        raise unauthorized("This is a sandbox: it refuses live keys. Use one that starts with sk_test_.")
    if TEST_KEY.fullmatch(key) is None:
        raise unauthorized("Invalid API Key provided: a key here starts with sk_test_.")
