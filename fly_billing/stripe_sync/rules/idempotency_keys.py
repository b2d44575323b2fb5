"""Idempotency keys: how a request is named to Stripe, and when it may be sent again under that name.

Stripe stores the first answer to a key for at least 24 hours and replays it, so a resend within that time changes
nothing twice. Not here: building requests (`requests`), sending them (`stripe_sync.sender`).
Source: docs.stripe.com/api/idempotent_requests.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from fly_billing.stripe_sync.rules.requests import StripeRequest

# Stripe remembers a key for at least 24 hours; one hour is reserved for clock differences and slow requests.
KEY_LIFE = timedelta(hours=23)


@dataclass(frozen=True)
class Attempt:
    """One journaled request under a key.

    Attributes:
        request_hash: `request_hash` of what was sent.
        sent_at: When it was journaled, just before it was sent.
        outcome: `applied`, `not_applied` or `unknown`; None while no answer is recorded.
    """

    id: int
    request_hash: str
    sent_at: datetime
    outcome: str | None


def idempotency_key(request: StripeRequest, subject: str, generation: int) -> str:
    """Return the key of a request. A resend uses the same key and is a replay; a new generation gives a new key.

    A landed format is a contract: an attempt in an existing database must be replayed under its old key.

    Args:
        subject: The id of our invoice, organization or Stripe invoice that the request is about.
        generation: Starts at 0; raised only after reading Stripe.
    """
    return f"fly_billing/{subject}/{generation}/{request.step}/{request.batch}"


def request_hash(request: StripeRequest) -> str:
    """Return the SHA-256 of the step and its parameters: a key must never be sent with different parameters."""
    canonical = json.dumps([request.step, request.batch, request.params], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def is_safe_to_send(request: StripeRequest, attempts: Sequence[Attempt], now: datetime) -> bool:
    """Return False if the key was sent with other parameters, or too long ago for Stripe to replay the answer.

    Deleting a draft needs no key, because deleting twice has the same effect as deleting once.

    Args:
        attempts: All attempts under the request's key, oldest first.
    """
    if request.step == "discard":
        return True
    possible = [attempt for attempt in attempts if attempt.outcome != "not_applied"]
    if not possible:
        return True
    is_replayable = now - possible[0].sent_at <= KEY_LIFE
    return is_replayable and all(attempt.request_hash == request_hash(request) for attempt in possible)
