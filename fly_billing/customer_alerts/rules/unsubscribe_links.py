"""The signed links by which an address stops alerts about an organization (RFC 8058). Pure.

A link names the organization and the digest of the address, and can't be changed without the secret. It does not
expire: an old e-mail must still stop the next one. It can only stop e-mails; to get them again needs a command.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass

# The bytes of a link's signature: 128 bits.
SIGNATURE_BYTES = 16
MOST_LENGTH = 400
_PURPOSE = b"fly_billing: stop e-mails to a customer"


@dataclass(frozen=True)
class Unsubscription:
    """An address, by its digest, that wants no alerts about an organization."""

    organization_id: str
    address_sha256: str


def digest_address(address: str) -> str:
    """Return the SHA-256 of the address in lower case, in hexadecimal."""
    return hashlib.sha256(address.lower().encode()).hexdigest()


def unsubscribe_token(secret: str, organization_id: str, address: str) -> str:
    """Return the token of a link, in characters that no URL escapes."""
    payload = f"{organization_id}\n{digest_address(address)}".encode()
    return f"{_text(payload)}.{_text(_signature(secret, payload))}"


def read_unsubscribe_token(secrets: Sequence[str], token: str) -> Unsubscription | None:
    """Return what a token says; None if none of the secrets signed it."""
    payload, _, signature = token.partition(".")
    try:
        if len(token) > MOST_LENGTH:
            return None
        content, signed = _bytes(payload), _bytes(signature)
    except ValueError:
        return None
    # All secrets are tried, in constant time each, so that the time reveals nothing.
    matches = [hmac.compare_digest(signed, _signature(secret, content)) for secret in secrets]
    if not any(matches):
        return None
    organization_id, _, digest = content.decode().partition("\n")
    return Unsubscription(organization_id, digest)


def _signature(secret: str, payload: bytes) -> bytes:
    """Sign with a key for this purpose only, so that no signature made for something else is a link."""
    key = hmac.digest(secret.encode(), _PURPOSE, "sha256")
    return hmac.digest(key, payload, "sha256")[:SIGNATURE_BYTES]


def _text(some: bytes) -> str:
    return base64.urlsafe_b64encode(some).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    """Decode exactly what `_text` writes. Raises ValueError for any other text."""
    decoded = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if _text(decoded) != text:
        raise ValueError("not written by this module")
    return decoded
