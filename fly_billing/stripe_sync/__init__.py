"""Syncs finalized invoices to Stripe exactly once, and reconciles both sides."""
