"""A local Stripe server that keeps state, behaves like the real Stripe, and can fail like it.

It has real HTTP, idempotency keys, dropped connections and a movable clock, and keeps all state in one SQLite file. It
imports nothing else of fly_billing. Production does not use it.
"""

from fly_billing.stripe_sandbox.client import SandboxControl, SandboxError
from fly_billing.stripe_sandbox.server import SandboxServer, run, spawn

__all__ = ["SandboxControl", "SandboxError", "SandboxServer", "run", "spawn"]
