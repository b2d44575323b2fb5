"""A small client for the control API: adds faults, moves the clock, reads the stored objects and the call log.

Standard library only, so that tests, demos and audits can use it anywhere. Not here: Stripe's own API; use
`stripe.StripeClient`.
"""

import json
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

Json = dict[str, Any]

# The sandbox runs on this machine, so a proxy from the environment can't reach it.
_DIRECT = build_opener(ProxyHandler({}))


class SandboxError(Exception):
    """The control API refused the request.

    Attributes:
        reason: The sandbox's reason; None if the server at the address is not a sandbox.
    """

    def __init__(self, call: str, answer: str) -> None:
        super().__init__(f"{call}: {answer}")
        try:
            self.reason: str | None = str(json.loads(answer)["error"])
        except (ValueError, TypeError, LookupError):
            self.reason = None


class SandboxControl:
    """The control API of the sandbox at `url`.

    Methods raise SandboxError if the sandbox refuses the request, and OSError if it can't be reached.
    """

    def __init__(self, url: str, *, timeout_seconds: float = 10.0) -> None:
        self.url = url.rstrip("/")
        self.timeout_seconds = timeout_seconds

    def health(self) -> Json:
        """Return the sandbox's status, store path and time."""
        return self._call("GET", "health")

    def reset(self) -> None:
        """Delete all state, including the clock and the faults."""
        self._call("POST", "reset")

    def add_fault(self, effect: str, endpoint: str = "*", **rule: Any) -> Json:
        """Add a fault and return it with its id. `rule` takes the fields of `faults.Rule`."""
        return self._call("POST", "faults", {"effect": effect, "endpoint": endpoint, **rule})

    def faults(self) -> list[Json]:
        """Return the fault rules with `matched` and `fired`."""
        return self._list("faults")

    def clear_faults(self, id: str | None = None) -> None:
        """Remove one fault, or all."""
        self._call("DELETE", f"faults/{id}" if id else "faults")

    def held(self) -> list[Json]:
        """Return the calls that `hold` rules keep open right now: `rule`, `endpoint`, `caller`."""
        return self._list("held")

    def settings(self, **change: Any) -> Json:
        """Change settings (`settings.SandboxSettings`) and return all of them."""
        return self._call("POST", "settings", change) if change else self._call("GET", "settings")

    def now(self) -> int:
        """Return the sandbox's time in seconds since 1970."""
        return int(self._call("GET", "clock")["now"])

    def advance_clock(self, seconds: int) -> Json:
        """Move the clock; return its time and the number of drafts that were finalized automatically."""
        return self._call("POST", "clock", {"advance_seconds": seconds})

    def calls(self, **wanted: Any) -> list[Json]:
        """Return logged calls, oldest first; filter by endpoint, idempotency_key, status, code, replayed, fault..."""
        return self._list("calls", **wanted)

    def call_counts(self, **wanted: Any) -> dict[str, int]:
        """Return the number of calls per endpoint."""
        counts: dict[str, int] = self._call("GET", "calls" + _query(wanted))["counts"]
        return counts

    def clear_calls(self) -> None:
        """Empty the call log."""
        self._call("DELETE", "calls")

    def seed_customer(self, id: str, **fields: Any) -> Json:
        """Create a customer with this id, such as `cus_1234`. An existing customer is not changed."""
        return self._call("POST", "customers", {"id": id, **fields})

    def invoices(self, customer: str | None = None) -> list[Json]:
        """Return all invoices, oldest first, each with all its `lines` as a plain list."""
        return self.objects("invoice", customer)

    def objects(self, object: str | None = None, customer: str | None = None) -> list[Json]:
        """Return objects as they are stored, without Stripe's API."""
        given = {"object": object, "customer": customer}
        return self._list("objects", **{name: value for name, value in given.items() if value})

    def object(self, id: str) -> Json:
        """Return one object as it is stored."""
        return self._call("GET", f"objects/{id}")

    def edit_object(self, id: str, **fields: Any) -> Json:
        """Overwrite fields of an object. No rule is applied."""
        return self._call("PATCH", f"objects/{id}", fields)

    def delete_object(self, id: str) -> Json:
        """Delete an object. No rule is applied."""
        return self._call("DELETE", f"objects/{id}")

    def add_webhook_endpoint(self, url: str, secret: str | None = None, *enabled_events: str) -> Json:
        """Deliver events to `url` (all types unless some are named); return the endpoint with its secret."""
        given = {"secret": secret, "enabled_events": list(enabled_events) or ["*"]}
        return self._call("POST", "webhook_endpoints", {"url": url, **given})

    def webhook_endpoints(self) -> list[Json]:
        """Return the receivers of events."""
        return self._list("webhook_endpoints")

    def clear_webhook_endpoints(self, id: str | None = None) -> None:
        """Remove one receiver, or all."""
        self._call("DELETE", f"webhook_endpoints/{id}" if id else "webhook_endpoints")

    def deliveries(self, event: str | None = None) -> list[Json]:
        """Return deliveries of events, oldest first: type, state, attempts, and the status of the last response."""
        return self._list("webhook_deliveries", **({"event": event} if event else {}))

    def resend_event(self, id: str) -> int:
        """Deliver an event again to all receivers; return their number."""
        return int(self._call("POST", f"events/{id}/resend")["endpoints"])

    def fail_payment(self, invoice: str, **given: Any) -> Json:
        """Fail an open invoice's payment with `code`, `message` and `next_attempt_seconds` (None: no more attempts)."""
        return self._call("POST", f"invoices/{invoice}/fail_payment", given)

    def actions(self) -> list[Json]:
        """Return the dashboard's actions: name, kind of object, meaning, and if they take an amount."""
        return self._list("actions")

    def act(self, action: str, id: str, **given: Any) -> Json:
        """Do a dashboard action (`dashboard.ACTIONS`); return the object that it made or changed.

        Args:
            id: Of the action's object, or of an invoice (its number, too), whose charge, refund or dispute is meant.
            given: Such as `amount` in minor units.
        """
        done: Json = self.acted(action, id, **given)["object"]
        return done

    def acted(self, action: str, id: str, **given: Any) -> Json:
        """Do a dashboard action; return the `object` that it made or changed, and the types of its `events`."""
        return self._call("POST", f"actions/{action}", {"id": id, **given})

    def subject(self, action: str, id: str) -> Json:
        """Return the object that an action would act on."""
        return self._call("GET", f"actions/{action}{_query({'id': id})}")

    def fail_finalization(self, invoice: str, **given: Any) -> Json:
        """Fail Stripe's automatic finalization of a draft with `code` and `message`."""
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
            raise SandboxError(f"{method} {path}", error.read().decode()) from None


def _query(wanted: Json) -> str:
    plain = {name: int(value) if isinstance(value, bool) else value for name, value in wanted.items()}
    return f"?{urlencode(plain)}" if plain else ""
