"""An invoice as a PDF, with page and invoice numbers. Not here: its content (`statements.rules.statement`)."""

from fly_billing.statements.pdf.fonts import PdfNotPossible
from fly_billing.statements.pdf.invoice_pdf import invoice_pdf

__all__ = ["PdfNotPossible", "invoice_pdf"]
