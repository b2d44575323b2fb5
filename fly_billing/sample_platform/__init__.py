"""An invented platform to try out fly_billing: organizations, their usage, and its files in the landing folder.

Everything is drawn from a random seed: the same seed, day and size give the same rows and bytes. Production does not
need this package.
"""

from fly_billing.sample_platform.seed import Seeded, seed

__all__ = ["Seeded", "seed"]
