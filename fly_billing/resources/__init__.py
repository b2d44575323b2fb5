"""The outside world: Postgres, the usage lake, Stripe, alerts, settings. Keeps out: the rules of billing."""
