"""Tokens of usage sources. Only their SHA-256 is configured: who reads the settings can't send usage.

A line names a source and a digest: `machines sha256:9f86d0...`. A source may have several, so that a token can be
replaced while both work. A token has 256 random bits, so a plain digest can't be guessed backwards.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass

PREFIX = "fbu_"
SECRET_BYTES = 32
_LINE = re.compile(r"(.*\S)\s+sha256:([0-9a-f]{64})", re.ASCII)


class InvalidTokenLine(ValueError):
    """A line is not a token of a source. The message has its number and the right form, never its text."""


@dataclass(frozen=True)
class SourceToken:
    """A source's token, by its digest: SHA-256 in hexadecimal."""

    source: str
    digest: str

    def line(self) -> str:
        """Return the line that configures it."""
        return f"{self.source} sha256:{self.digest}"


def token_of(secret: bytes) -> str:
    """Return the token with these random bytes."""
    return PREFIX + base64.urlsafe_b64encode(secret).decode().rstrip("=")


def digest_token(token: str) -> str:
    """Return the token's SHA-256 in hexadecimal."""
    return hashlib.sha256(token.encode()).hexdigest()


def read_tokens(lines: Sequence[str]) -> list[SourceToken]:
    """Read lines `SOURCE sha256:DIGEST`. Skips empty lines, and lines that begin with #. Raises InvalidTokenLine."""
    found = []
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        parts = _LINE.fullmatch(text)
        if parts is None:
            raise InvalidTokenLine(
                f"line {number} is not a token: write SOURCE sha256:DIGEST, as `fly-billing usage-token` prints it"
            )
        found.append(SourceToken(parts[1], parts[2]))
    return found


def find_source(token: str, tokens: Sequence[SourceToken]) -> str | None:
    """Return the source of a token, or None. Takes the same time wherever and however far a digest agrees."""
    digest = digest_token(token)
    found = None
    for known in tokens:
        if hmac.compare_digest(known.digest, digest):
            found = known.source
    return found


def bearer(header: str | None) -> str | None:
    """Return the token of an Authorization header, or None."""
    scheme, _, token = (header or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None
