"""The pure rules of finance: tables of amounts, and the sums that must tie."""
