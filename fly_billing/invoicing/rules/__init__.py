"""The rules that assemble an invoice, step by step. Pure."""
