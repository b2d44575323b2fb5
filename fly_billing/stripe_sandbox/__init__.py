"""A local Stripe that keeps state, behaves like the real one and can misbehave like it.

Real HTTP, real idempotency keys, real dropped connections, a movable clock and every state in one SQLite file. It
imports nothing else of fly_billing, and nothing here is used in production.
"""

from fly_billing.stripe_sandbox.client import SandboxControl, SandboxError
from fly_billing.stripe_sandbox.server import SandboxServer, run, spawn

__all__ = ["SandboxControl", "SandboxError", "SandboxServer", "run", "spawn"]
