"""A small client for the control API: switch faults on, move the clock, read what really happened.

Standard library only, so that tests, demos and audits can use it anywhere. Keep out: Stripe's own API (use
`stripe.StripeClient` for that).
"""

import json
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

Json = dict[str, Any]

# The sandbox is on this machine: a proxy that the environment names can't reach it.
_DIRECT = build_opener(ProxyHandler({}))


class SandboxError(Exception):
    """The control API refused; the message says why."""


class SandboxControl:
    """The control API of the sandbox at `url`; raises SandboxError for a refusal and OSError when it is not there."""

    def __init__(self, url: str, *, timeout_seconds: float = 10.0) -> None:
        self.url = url.rstrip("/")
        self.timeout_seconds = timeout_seconds

    def health(self) -> Json:
        """Return the sandbox's status, store path and time."""
        return self._call("GET", "health")

    def reset(self) -> None:
        """Wipe everything, the clock and the faults included."""
        self._call("POST", "reset")

    def add_fault(self, effect: str, endpoint: str = "*", **rule: Any) -> Json:
        """Switch a fault on; `rule` takes the fields of faults.Rule. Return it with its id."""
        return self._call("POST", "faults", {"effect": effect, "endpoint": endpoint, **rule})

    def faults(self) -> list[Json]:
        """Return the fault rules with `matched` and `fired`."""
        return self._list("faults")

    def clear_faults(self, id: str | None = None) -> None:
        """Switch one fault off, or all."""
        self._call("DELETE", f"faults/{id}" if id else "faults")

    def held(self) -> list[Json]:
        """Return the calls that rules of the effect `hold` keep open right now: `rule`, `endpoint`, `caller`."""
        return self._list("held")

    def settings(self, **change: Any) -> Json:
        """Turn dials (settings.Settings) and return them all; without arguments only return them."""
        return self._call("POST", "settings", change) if change else self._call("GET", "settings")

    def now(self) -> int:
        """Return the sandbox's time in seconds since 1970."""
        return int(self._call("GET", "clock")["now"])

    def advance_clock(self, seconds: int) -> Json:
        """Move the clock; return its time and how many drafts finalized themselves."""
        return self._call("POST", "clock", {"advance_seconds": seconds})

    def calls(self, **wanted: Any) -> list[Json]:
        """Return logged calls, oldest first; filter by endpoint, idempotency_key, status, code, replayed, fault..."""
        return self._list("calls", **wanted)

    def call_counts(self, **wanted: Any) -> dict[str, int]:
        """Return how many calls each endpoint got."""
        counts: dict[str, int] = self._call("GET", "calls" + _query(wanted))["counts"]
        return counts

    def clear_calls(self) -> None:
        """Empty the call log."""
        self._call("DELETE", "calls")

    def seed_customer(self, id: str, **fields: Any) -> Json:
        """Create a customer with an id of one's own, such as `cus_1234`; an existing one is left as it is."""
        return self._call("POST", "customers", {"id": id, **fields})

    def invoices(self, customer: str | None = None) -> list[Json]:
        """Return every invoice the store holds, oldest first, each with all its `lines` as a plain list."""
        return self.objects("invoice", customer)

    def objects(self, object: str | None = None, customer: str | None = None) -> list[Json]:
        """Return stored objects as they are, past Stripe's API."""
        given = {"object": object, "customer": customer}
        return self._list("objects", **{name: value for name, value in given.items() if value})

    def object(self, id: str) -> Json:
        """Return one stored object as it is."""
        return self._call("GET", f"objects/{id}")

    def edit_object(self, id: str, **fields: Any) -> Json:
        """Overwrite fields of an object by hand, past every rule."""
        return self._call("PATCH", f"objects/{id}", fields)

    def delete_object(self, id: str) -> Json:
        """Delete an object by hand, past every rule."""
        return self._call("DELETE", f"objects/{id}")

    def add_webhook_endpoint(self, url: str, secret: str | None = None, *enabled_events: str) -> Json:
        """Have events delivered to `url`, all types unless some are named; return the endpoint with its secret."""
        given = {"secret": secret, "enabled_events": list(enabled_events) or ["*"]}
        return self._call("POST", "webhook_endpoints", {"url": url, **given})

    def webhook_endpoints(self) -> list[Json]:
        """Return the receivers of events."""
        return self._list("webhook_endpoints")

    def clear_webhook_endpoints(self, id: str | None = None) -> None:
        """Forget one receiver, or all."""
        self._call("DELETE", f"webhook_endpoints/{id}" if id else "webhook_endpoints")

    def deliveries(self, event: str | None = None) -> list[Json]:
        """Return deliveries of events, oldest first: type, state, attempts, and the last answer's status."""
        return self._list("webhook_deliveries", **({"event": event} if event else {}))

    def resend_event(self, id: str) -> int:
        """Deliver an event once more to every receiver; return to how many."""
        return int(self._call("POST", f"events/{id}/resend")["endpoints"])

    def fail_payment(self, invoice: str, **given: Any) -> Json:
        """Let an open invoice's payment fail: `code`, `message`, `next_attempt_seconds` (None: Stripe gives up)."""
        return self._call("POST", f"invoices/{invoice}/fail_payment", given)

    def fail_finalization(self, invoice: str, **given: Any) -> Json:
        """Let Stripe fail to finalize a draft by itself: `code`, `message`."""
        return self._call("POST", f"invoices/{invoice}/fail_finalization", given)

    def _list(self, path: str, **wanted: Any) -> list[Json]:
        data: list[Json] = self._call("GET", path + _query(wanted))["data"]
        return data

    def _call(self, method: str, path: str, body: Json | None = None) -> Json:
        request = Request(f"{self.url}/_sandbox/{path}", method=method)  # noqa: S310  (the sandbox)
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        try:
            with _DIRECT.open(request, timeout=self.timeout_seconds) as answer:
                result: Json = json.load(answer)
                return result
        except HTTPError as error:
            raise SandboxError(f"{method} {path}: {error.read().decode()}") from None


def _query(wanted: Json) -> str:
    plain = {name: int(value) if isinstance(value, bool) else value for name, value in wanted.items()}
    return f"?{urlencode(plain)}" if plain else ""
