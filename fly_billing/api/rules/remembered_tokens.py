"""Remembers tokens for a moment, so that a client that asks many times a second is looked up once.

A revocation takes effect when the token is forgotten. Only tokens that were found are remembered, by their digest.
In this process's memory only. Pass the time in, in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fly_billing.api.rules.access import ApiToken

# Seconds for which a token that was revoked may still read. docs/api.md promises them.
REMEMBERED_SECONDS = 2.0
# Tokens to remember.
MOST_TOKENS = 10_000


@dataclass
class RememberedTokens:
    """Tokens by digest, each for `seconds` from when the database had it."""

    seconds: float = REMEMBERED_SECONDS
    _found: dict[str, tuple[ApiToken, float]] = field(default_factory=dict)

    def find(self, digest: str, now: float) -> ApiToken | None:
        """Return the token, or None if it must be looked up."""
        token, until = self._found.get(digest, (None, 0.0))
        return token if now < until else None

    def remember(self, digest: str, token: ApiToken, asked: float) -> None:
        """Remember a token. `asked`: when the database was asked, which is before it answered."""
        if len(self._found) >= MOST_TOKENS:
            self._found = {key: kept for key, kept in self._found.items() if asked < kept[1]}
        if len(self._found) < MOST_TOKENS or digest in self._found:
            self._found[digest] = token, asked + self.seconds
