"""Makes the Stripe client, and classifies its responses: applied, not applied, or unknown. Not here: requests, retries.

stripe-python makes no retries here: `sender` does, so that each attempt is journaled and rate limited.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import requests
import stripe
from pydantic import SecretStr
from stripe import StripeClient

from fly_billing.credentials import check_stripe_access
from fly_billing.stripe_sync.rules.sync_failures import request_log_url

# Seconds to connect, and to wait for an answer. Stripe's own default of 80 s would hold a worker for too long.
CONNECT_SECONDS = 5
READ_SECONDS = 25

APPLIED, NOT_APPLIED, UNKNOWN = "applied", "not_applied", "unknown"
RATE_LIMITED, LOCK_TIMEOUT = "rate_limited", "lock_timeout"


def make_stripe_client(
    api_key: str | SecretStr | None,
    api_base: str | None = None,
    *,
    production: bool = False,
    timeout: tuple[float, float] = (CONNECT_SECONDS, READ_SECONDS),
) -> StripeClient:
    """Make a client that threads may share. All clients are made here, so that every key is checked.

    Args:
        api_base: The address of a sandbox server; None for Stripe.
        timeout: Seconds to connect and to read.

    Raises:
        SettingsError: The key or the address must not be used in this environment.
    """
    text = api_key.get_secret_value() if isinstance(api_key, SecretStr) else api_key
    key = check_stripe_access(text, api_base, production=production)
    stripe.enable_telemetry = False  # it would write a file into the home folder
    return StripeClient(
        key,
        base_addresses={"api": api_base} if api_base else None,
        http_client=_DirectRequests(timeout=timeout),
        max_network_retries=0,
    )


class _DirectRequests(stripe.RequestsClient):
    """Sends requests to the checked address only.

    It follows no redirect, which could send an invoice to an address that nobody checked. Requests to this machine by
    http bypass a proxy from the environment, because they contain the key in the clear.
    """

    def request(  # type: ignore[override]  # RequestsClient's own differs from its base class, too
        self, method: str, url: str, headers: Mapping[str, str] | None, post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        if getattr(self._thread_local, "session", None) is None:
            session = requests.Session()
            session.max_redirects = 0
            session.trust_env = url.lower().startswith("https:")
            self._thread_local.session = session
        return super().request(method, url, headers, post_data)


@dataclass(frozen=True)
class StripeResponse:
    """The result of one request.

    Attributes:
        outcome: APPLIED, NOT_APPLIED or UNKNOWN.
        code: Our code for the error; None after a success.
        log_url: The page of Stripe's dashboard that shows a failed request.
        was_replayed: Stripe sent the response that it had stored under the idempotency key.
        rate_limit_reason: The header Stripe-Rate-Limited-Reason of a 429, where there is one.
    """

    outcome: str
    body: Mapping[str, Any] = field(default_factory=dict)
    http_status: int | None = None
    request_id: str | None = None
    code: str | None = None
    message: str = ""
    log_url: str | None = None
    was_replayed: bool = False
    rate_limit_reason: str | None = None

    @property
    def is_retryable(self) -> bool:
        """Return True if the same request can get a different response: a stored response never changes."""
        return not self.was_replayed and (self.outcome == UNKNOWN or self.code in (RATE_LIMITED, LOCK_TIMEOUT))

    @property
    def is_rate_limited(self) -> bool:
        """Return True if we send too fast. A stored 429 or one about an object in use says nothing of our rate."""
        return self.code == RATE_LIMITED and not self.was_replayed


def ask(call: Callable[[], stripe.StripeObject], *, livemode: bool = False) -> StripeResponse:
    """Make one request and return its response. Only errors of Stripe and the network become responses.

    Args:
        livemode: The request goes to Stripe's live mode: its log is on another page of the dashboard.
    """
    try:
        result = call()
    except stripe.StripeError as error:
        return _error_answer(error, livemode)
    response = result.last_response
    headers = response.headers if response else {}
    return StripeResponse(
        APPLIED,
        body=result.to_dict(),
        http_status=response.code if response else None,
        request_id=response.request_id if response else None,
        was_replayed=_was_replayed(headers),
    )


def _error_answer(error: stripe.StripeError, livemode: bool) -> StripeResponse:
    outcome, code = _meaning(error)
    return StripeResponse(
        outcome,
        http_status=error.http_status,
        request_id=error.request_id,
        code=code,
        message=str(error.user_message or error),
        log_url=_log_url(error, livemode),
        was_replayed=_was_replayed(error.headers or {}),
        rate_limit_reason=_header(error.headers or {}, "Stripe-Rate-Limited-Reason"),
    )


def _log_url(error: stripe.StripeError, livemode: bool) -> str | None:
    given: str | None = getattr(error.error, "request_log_url", None)
    if given or not error.request_id:
        return given
    return request_log_url(error.request_id, livemode=livemode)


def _meaning(error: stripe.StripeError) -> tuple[str, str]:
    """Return outcome and code of an error. 429 and other 4xx change nothing; 409, 5xx and silence are unknown."""
    given = getattr(error.error, "code", None) or error.code
    if isinstance(error, stripe.APIConnectionError):
        return UNKNOWN, "no_answer"
    if isinstance(error, (stripe.AuthenticationError, stripe.PermissionError)):
        return NOT_APPLIED, "authentication"
    if isinstance(error, stripe.RateLimitError):
        return NOT_APPLIED, LOCK_TIMEOUT if given == LOCK_TIMEOUT else RATE_LIMITED
    if error.http_status == 409:
        return UNKNOWN, "conflict"
    if isinstance(error, stripe.IdempotencyError):
        return NOT_APPLIED, "idempotency_error"
    if error.http_status is None or error.http_status >= 500:
        return UNKNOWN, "server_error"
    missing_customer = given == "resource_missing" and "customer" in str(error).lower()
    return NOT_APPLIED, "customer_missing" if missing_customer else given or "invalid_request"


def _was_replayed(headers: Mapping[str, str]) -> bool:
    return _header(headers, "Idempotent-Replayed") == "true"


def _header(headers: Mapping[str, str], wanted: str) -> str | None:
    return next((value for name, value in headers.items() if name.lower() == wanted.lower()), None)
