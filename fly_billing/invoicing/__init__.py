"""Invoicing: rated usage, fees, discounts, credits and taxes become one invoice per organization and month."""
