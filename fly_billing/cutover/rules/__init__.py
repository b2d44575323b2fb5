"""Rules of the comparison: reads a Stripe invoice, and finds where both sides differ. Pure."""
