"""Assigns billing groups, the keys of the org partition dimension, and makes organization ids from names.

Not here: Dagster's partitions, which are built from the groups.
"""

from __future__ import annotations

import re
from hashlib import sha256


def billing_group_of(organization_id: str, existing_count: int, max_own: int, shared: int) -> str:
    """Return the billing group of a new organization. It never changes afterwards.

    The first `max_own` organizations each get a group of their own, named like the organization. A hash spreads the
    others over `shared` groups `tail-00`, `tail-01`, ...; it is the same on every machine.
    """
    if existing_count < max_own:
        return organization_id
    number = int.from_bytes(sha256(organization_id.encode()).digest()[:8]) % shared
    return f"tail-{number:0{max(2, len(str(shared - 1)))}d}"


def slug(text: str) -> str:
    """Turn a name into an organization's id: a-z, 0-9 and single hyphens; `x` if nothing is left."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "x"
