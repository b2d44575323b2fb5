"""A small invented platform to try fly_billing on: organizations, what they use, and its files in the landing folder.

All of it is drawn from a seed: the same seed, day and size give the same rows and the same bytes. Keeps out: everything
that a real platform needs. Nothing of fly_billing depends on this package.
"""

from fly_billing.sample_platform.seed import Seeded, seed

__all__ = ["Seeded", "seed"]
