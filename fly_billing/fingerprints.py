"""Hashes that show whether anything changed: equal fingerprints mean equal parts."""

from __future__ import annotations

from hashlib import blake2b

# 32 hex digits: two different values never meet by chance.
BYTES = 16


def fingerprint_of(parts: object) -> str:
    """Return a hash of `repr(parts)` as hex digits. `parts` must not contain sets, because their order is random."""
    return blake2b(repr(parts).encode(), digest_size=BYTES).hexdigest()
