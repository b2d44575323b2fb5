"""Names of organizations: ids made from their names, and billing groups, the keys of the org partition dimension.

Keeps out: Dagster's partitions, which are made of the groups.
"""

from __future__ import annotations

import re
from hashlib import sha256


def billing_group_of(organization_id: str, existing_count: int, max_own: int, shared: int) -> str:
    """Return the group that a new organization joins for good.

    While fewer than `max_own` organizations exist it is a group of its own, named like the organization. Later ones are
    spread over `shared` groups `tail-00`, `tail-01`, ... by a hash that never changes, whatever machine computes it.
    """
    if existing_count < max_own:
        return organization_id
    number = int.from_bytes(sha256(organization_id.encode()).digest()[:8]) % shared
    return f"tail-{number:0{max(2, len(str(shared - 1)))}d}"


def slug(text: str) -> str:
    """Write a name with a-z, 0-9 and single hyphens only, as an organization's id has them; `x` if nothing is left."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "x"
