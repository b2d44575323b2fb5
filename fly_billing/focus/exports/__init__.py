"""Exports a month's final invoices as a FOCUS 1.2 cost-and-usage file, CSV or Parquet.

FOCUS is the FinOps Open Cost and Usage Specification (focus.finops.org/focus-specification/v1-2): with it, finance and
customers can load the bill into the tools that they have. What each column says is in `columns`, how an invoice becomes
rows in `rows`.
"""

from fly_billing.focus.exports.exporting import FocusExport, FocusExportError, export_focus

__all__ = ["FocusExport", "FocusExportError", "export_focus"]
