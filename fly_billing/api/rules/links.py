"""The text of a link to a customer's page: the organization, an expiry, an id, and a signature (HMAC-SHA256) of them.

Nothing is stored until a link is revoked, by its id. Whoever has the text can read that organization's page until then,
or until it expires, so it expires soon, and only the holder of a secret can make another one. Links of version 1 have
no id. Pure: pass the time in. Not here: which secrets, and which links are revoked (`api.page_links`).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

# The longest that a link works.
MOST_LINK_DAYS = 90
DEFAULT_LINK_DAYS = 7
# An organization's id has at most 200 characters.
MOST_TEXT = 1200

_WITHOUT_ID, _WITH_ID = b"\x01", b"\x02"
# Version -> bytes of the id.
_ID_BYTES = {_WITHOUT_ID: 0, _WITH_ID: 16}
_SIGNATURE_BYTES = hashlib.sha256().digest_size
# A version and five bytes of expiry.
_EXPIRY_END = 6
_PURPOSE = b"fly_billing: link to a customer's page"


@dataclass(frozen=True)
class PageLink:
    """What a link shows: the page of one organization, until `expires_at` (a whole second in UTC).

    Attributes:
        id: Names the link, so that it can be revoked; no secret. None: it was made before links had ids.
    """

    organization_id: str
    expires_at: datetime
    id: UUID | None


def write_link(link: PageLink, secret: str) -> str:
    """Return the link's text, which an address can contain as it is. Raises ValueError for a link without an id."""
    if link.id is None:
        raise ValueError("every new link has an id")
    expiry = int(link.expires_at.timestamp()).to_bytes(_EXPIRY_END - 1, "big")
    signed = _WITH_ID + expiry + link.id.bytes + link.organization_id.encode()
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


def read_link_id(text: str) -> UUID | None:
    """Return the id in a link's text, whether it works or not; None for a link without an id, or any other text."""
    signed, _ = _parts(text)
    return _id(signed) if signed else None


def _parts(text: str) -> tuple[bytes, bytes]:
    """Return the signed bytes and the signature; empty bytes for a text that `write_link` never returns."""
    if len(text) > MOST_TEXT or not text.isascii():
        return b"", b""
    try:
        decoded = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b"", b""
    is_written_so = _encode(decoded) == text  # base64 ignores bits of the last letter: one link has one text
    fixed = _EXPIRY_END + _ID_BYTES.get(decoded[:1], len(decoded)) + _SIGNATURE_BYTES
    if not is_written_so or len(decoded) <= fixed:
        return b"", b""
    return decoded[:-_SIGNATURE_BYTES], decoded[-_SIGNATURE_BYTES:]


def _content(signed: bytes) -> PageLink:
    seconds = int.from_bytes(signed[1:_EXPIRY_END], "big")
    name = signed[_EXPIRY_END + _ID_BYTES[signed[:1]] :]
    return PageLink(name.decode(), datetime.fromtimestamp(seconds, UTC), _id(signed))


def _id(signed: bytes) -> UUID | None:
    found = signed[_EXPIRY_END : _EXPIRY_END + _ID_BYTES[signed[:1]]]
    return UUID(bytes=found) if found else None


def _signature(signed: bytes, secret: str) -> bytes:
    """Sign with a key for this purpose only, so that no signature made for something else is a link."""
    key = hmac.digest(secret.encode(), _PURPOSE, "sha256")
    return hmac.digest(key, signed, "sha256")


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")
