"""How an invoice is assembled, step by step. Pure."""
