"""Statements: what an organization owes, and why, as text, JSON or an HTML page; explanations of single items."""
