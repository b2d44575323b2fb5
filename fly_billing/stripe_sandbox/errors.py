"""Stripe's errors: one exception with status, body and headers, and every error of the sandbox in Stripe's words.

Not here: when to raise which error (the endpoints), and faults (`faults`).
"""

from typing import Any

NO_KEY = (
    "You did not provide an API key. You need to provide your API key in the Authorization header, using Bearer auth "
    "(e.g. 'Authorization: Bearer YOUR_SECRET_KEY'). See https://stripe.com/docs/api#authentication for details, or "
    "we can help at https://support.stripe.com/."
)
LOCKED = (
    "This object cannot be accessed right now because another API request or Stripe process is currently accessing "
    "it. If you see this error intermittently, retry the request. If you see this error frequently and are making "
    "multiple concurrent requests to a single object, make your requests serially or at a lower rate. For more "
    "details, see https://stripe.com/docs/rate-limits#object-lock-timeouts."
)
TOO_MANY = "Request rate limit exceeded. Learn more about rate limits here https://stripe.com/docs/rate-limits."
BACKEND_DOWN = "Sorry! There was an error while talking to one of our backends. Support has been notified."


class StripeError(Exception):
    """An error with the status, body and headers of Stripe's response."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        type: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        headers: dict[str, str] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message, self.status, self.type = message, status, type
        self.code, self.param = code, param
        self.headers, self.extra = headers or {}, extra or {}

    def body(self, request_id: str) -> dict[str, Any]:
        """Return the JSON body. Like Stripe's, it has only the keys that apply."""
        error: dict[str, Any] = {}
        if self.code:
            error["code"] = self.code
            error["doc_url"] = f"https://stripe.com/docs/error-codes/{self.code.replace('_', '-')}"
        error["message"] = self.message
        if self.param:
            error["param"] = self.param
        error["request_log_url"] = f"https://dashboard.stripe.com/test/logs/{request_id}"
        return {"error": {**error, "type": self.type, **self.extra}}


class InvalidParamsError(StripeError):
    """An invalid request, refused before it ran. Its response is never stored under an idempotency key."""


def no_such(kind: str, id: str, *, param: str, status: int = 400) -> StripeError:
    """Return the error for an object that does not exist: 404 if the path names it, 400 if a parameter does."""
    return StripeError(f"No such {kind}: '{id}'", status=status, code="resource_missing", param=param)


def unknown_params(names: list[str]) -> InvalidParamsError:
    """Return the error for parameters that the endpoint does not have."""
    plural = "s" if len(names) > 1 else ""
    return InvalidParamsError(
        f"Received unknown parameter{plural}: {', '.join(names)}", code="parameter_unknown", param=names[0]
    )


def missing_param(name: str) -> InvalidParamsError:
    """Return the error for a required parameter that is missing."""
    return InvalidParamsError(f"Missing required param: {name}.", code="parameter_missing", param=name)


def unsupported_param(name: str) -> InvalidParamsError:
    """Return the error for a parameter that Stripe has and the sandbox does not, so that it is not silently ignored."""
    return InvalidParamsError(f"The sandbox does not support the parameter {name}.", param=name)


def exclusive_params(first: str, second: str, *, param: str) -> StripeError:
    """Return the error for two parameters of which a request may have only one."""
    return StripeError(f"You may only specify one of these parameters: {first}, {second}.", param=param)


def not_editable() -> StripeError:
    """Return the error for a change to the amounts of an invoice that is no longer a draft."""
    return StripeError(
        "Invalid invoice: This invoice is no longer editable", code="invoice_not_editable", param="invoice"
    )


def unknown_url(method: str, path: str) -> InvalidParamsError:
    """Return the 404 for a path that does not exist."""
    return InvalidParamsError(
        f"Unrecognized request URL ({method}: {path}). If you are trying to list objects, remove the trailing slash. "
        "If you are trying to retrieve an object, make sure you passed a valid (non-empty) identifier in your code. "
        "Please see https://stripe.com/docs or we can help at https://support.stripe.com/.",
        status=404,
    )


def rate_limited(reason: str) -> StripeError:
    """Return a 429 with the limiter's reason and, like Stripe, without Retry-After."""
    return StripeError(TOO_MANY, status=429, code="rate_limit", headers={"Stripe-Rate-Limited-Reason": reason})


def lock_timeout() -> StripeError:
    """Return a 429 for an object that another request is changing. It has no rate limit reason."""
    return StripeError(LOCKED, status=429, code="lock_timeout")


def key_in_use(key: str) -> StripeError:
    """Return a 409 for a key whose first request is still running."""
    return StripeError(
        "There is currently another in-progress request using this Idempotent Key (that probably means you submitted "
        f"twice, and the other request is still going through): {key}. Please try again later.",
        status=409,
        code="idempotency_key_in_use",
    )


def key_reused(key: str, *, first: str | None = None, now: str | None = None) -> StripeError:
    """Return the error for a key that is reused with other parameters, or on another path.

    Args:
        first: The first path, if the paths differ; `now` is the other one.
    """
    what = f"for the same endpoint they were first used for ('{first}' vs '{now}')"
    if first is None:
        what = "with the same parameters they were first used with"
    return StripeError(
        f"Keys for idempotent requests can only be used {what}. Try using a key other than '{key}' if you meant to "
        "execute a different request.",
        type="idempotency_error",
    )


def unknown_version(version: str) -> StripeError:
    """Return the error for an API version that the sandbox does not speak."""
    return StripeError(f"Invalid Stripe API version: {version[:255]}")


def unauthorized(message: str) -> StripeError:
    """Return the error for an API key. The message does not repeat the key."""
    return StripeError(message, status=401)


def server_error() -> StripeError:
    """Return a 500, which does not say if anything was applied."""
    return StripeError(BACKEND_DOWN, status=500, type="api_error")
