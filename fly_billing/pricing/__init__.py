"""Pricing: what a quantity costs, by which price, from which book."""
