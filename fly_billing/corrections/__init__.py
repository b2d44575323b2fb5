"""Corrections: recalculates final invoices and books each difference once, as an adjustment or a credit note."""
