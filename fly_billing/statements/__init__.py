"""Statements: what an organization owes and why, as text, JSON and a page."""
