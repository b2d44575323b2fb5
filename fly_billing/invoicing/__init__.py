"""Invoicing: makes one invoice per payer and month from rated usage, fees, discounts, credits and taxes."""
