"""The pure rules of customers' alerts."""
