"""An invoice's number as people read it. Pure. Not here: counting invoices (`invoicing.invoice_writer`)."""

from __future__ import annotations


def invoice_number(organization_id: str, number: int) -> str:
    """Format an invoice's number for people: `ACME-0007`."""
    return f"{organization_id.upper()}-{number:04d}"
