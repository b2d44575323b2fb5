"""The text of a token, and its digest. Only the digest is stored: who reads the database can't use a token.

A token is a prefix, 256 random bits and a checksum: `fbc_...` of an organization (customer), `fbo_...` of an operator.
Secret scanners find it by its prefix; the checksum tells it from other text without asking the database. A plain digest
can't be guessed backwards, because nobody can try 2^256 tokens.
"""

from __future__ import annotations

import base64
import hashlib
import re
import zlib

CUSTOMER, OPERATOR = "fbc_", "fbo_"
SECRET_BYTES = 32
_TOKEN = re.compile(r"(fb[co]_[A-Za-z0-9_-]{43})([0-9a-f]{8})", re.ASCII)


def token_of(secret: bytes, prefix: str) -> str:
    """Return the token with these random bytes. `prefix`: CUSTOMER or OPERATOR."""
    text = prefix + base64.urlsafe_b64encode(secret).decode().rstrip("=")
    return text + _checksum(text)


def digest_token(token: str) -> str:
    """Return the token's SHA-256 in hexadecimal."""
    return hashlib.sha256(token.encode()).hexdigest()


def is_token(text: str) -> bool:
    """Return True if the text has the form of a token. It may still be unknown."""
    found = _TOKEN.fullmatch(text)
    return found is not None and _checksum(found[1]) == found[2]


def _checksum(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"
