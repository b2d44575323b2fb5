"""Checks that Stripe sent a request just now, by its body and its Stripe-Signature header.

All checks before an event is trusted belong here. Not here: HTTP (`app`), and the effect of an event
(`stripe_sync.rules.events`).
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

from stripe import SignatureVerificationError, WebhookSignature

from fly_billing.stripe_sync.rules.events import NotAnEvent

# Seconds for which a signature is valid, as Stripe recommends, so that a copied request is useless later.
REPLAY_WINDOW = 300
# Stripe sends a time, and a signature per secret (two while a secret is being replaced): about 200 characters.
MOST_CHARACTERS = 4096
# Seconds since 1970, as Stripe writes them. int() would also take signs, spaces, underscores and other scripts' digits.
_TIME = re.compile(r"[0-9]{1,11}")


class NotSigned(ValueError):
    """Stripe did not sign this request just now. The message has the reason."""


def read_signed(payload: bytes, headers: Sequence[str], secret: str) -> Mapping[str, Any]:
    """Return the JSON object in a payload that Stripe signed at most REPLAY_WINDOW seconds ago.

    Args:
        payload: The request's body, as it arrived.
        headers: The values of all its Stripe-Signature headers.
        secret: The endpoint's signing secret (whsec_...).

    Raises:
        NotSigned: The signature is missing, malformed, too old or not Stripe's.
        NotAnEvent: The payload is not UTF-8, or is signed but not a JSON object.
    """
    try:
        text = payload.decode()
    except UnicodeDecodeError as problem:
        raise NotAnEvent("not UTF-8, so Stripe did not send it") from problem
    _check_signature(text, headers, secret)
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise NotAnEvent("signed, but not JSON, or nested too deeply") from problem
    if not isinstance(body, dict):
        raise NotAnEvent("signed, but not a JSON object")
    return body


def _check_signature(text: str, headers: Sequence[str], secret: str) -> None:
    if len(headers) != 1:
        raise NotSigned(f"{len(headers) or 'no'} Stripe-Signature headers instead of one")
    (header,) = headers
    # Stripe's library compares with hmac.compare_digest, which raises TypeError for text that is not ASCII.
    if not header.isascii() or len(header) > MOST_CHARACTERS:
        raise NotSigned("the Stripe-Signature header is longer than Stripe's, or not ASCII")
    times = [value for name, _, value in (part.partition("=") for part in header.split(",")) if name == "t"]
    if len(times) != 1 or not _TIME.fullmatch(times[0]):
        raise NotSigned("the Stripe-Signature header has no time (t=, in seconds since 1970), or more than one")
    if int(times[0]) > time.time() + REPLAY_WINDOW:
        raise NotSigned("signed in the future: compare this machine's clock")
    try:
        WebhookSignature.verify_header(text, header, secret, REPLAY_WINDOW)
    except SignatureVerificationError as problem:
        raise NotSigned(str(problem)) from problem
