"""The text of a link to a customer's page: the organization, an expiry, and a signature (HMAC-SHA256) of both.

Nothing is stored. Whoever has the text can read that organization's page until it expires, so it expires soon, and only
the holder of a secret can make another one. Pure: pass the time in. Not here: which secrets (`api.page_links`).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

# The longest that a link works.
MOST_LINK_DAYS = 90
DEFAULT_LINK_DAYS = 7
# An organization's id has at most 200 characters.
MOST_TEXT = 1200

_VERSION = b"\x01"
_SIGNATURE_BYTES = hashlib.sha256().digest_size
_EXPIRY_BYTES = 5
_PURPOSE = b"fly_billing: link to a customer's page"


@dataclass(frozen=True)
class PageLink:
    """What a link shows: the page of one organization, until `expires_at` (a whole second in UTC)."""

    organization_id: str
    expires_at: datetime


def write_link(link: PageLink, secret: str) -> str:
    """Return the link's text, which an address can contain as it is."""
    expiry = int(link.expires_at.timestamp()).to_bytes(_EXPIRY_BYTES, "big")
    signed = _VERSION + expiry + link.organization_id.encode()
    return _encode(signed + _signature(signed, secret))


def read_link(text: str, secrets: Sequence[str], now: datetime) -> PageLink | None:
    """Return what the text links to; None if no secret signed it, somebody changed it, or it has expired."""
    signed, signature = _parts(text)
    # All secrets are tried, in constant time each, so that the time reveals nothing.
    matches = [hmac.compare_digest(signature, _signature(signed, secret)) for secret in secrets]
    if not any(matches):
        return None
    link = _content(signed)
    return link if now < link.expires_at <= now + timedelta(days=MOST_LINK_DAYS) else None


def _parts(text: str) -> tuple[bytes, bytes]:
    """Return the signed bytes and the signature; empty bytes for a text that `write_link` never returns."""
    if len(text) > MOST_TEXT or not text.isascii():
        return b"", b""
    try:
        decoded = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b"", b""
    is_written_so = _encode(decoded) == text  # base64 ignores bits of the last letter: one link has one text
    is_complete = len(decoded) > len(_VERSION) + _EXPIRY_BYTES + _SIGNATURE_BYTES
    if not is_written_so or not is_complete or not decoded.startswith(_VERSION):
        return b"", b""
    return decoded[:-_SIGNATURE_BYTES], decoded[-_SIGNATURE_BYTES:]


def _content(signed: bytes) -> PageLink:
    start = len(_VERSION)
    seconds = int.from_bytes(signed[start : start + _EXPIRY_BYTES], "big")
    return PageLink(signed[start + _EXPIRY_BYTES :].decode(), datetime.fromtimestamp(seconds, UTC))


def _signature(signed: bytes, secret: str) -> bytes:
    """Sign with a key for this purpose only, so that no signature made for something else is a link."""
    key = hmac.digest(secret.encode(), _PURPOSE, "sha256")
    return hmac.digest(key, signed, "sha256")


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")
