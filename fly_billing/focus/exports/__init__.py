"""Exports a month's final invoices as a FOCUS 1.2 cost-and-usage file, CSV or Parquet.

FOCUS is the FinOps Open Cost and Usage Specification (focus.finops.org/focus-specification/v1-2). Finance and customers
can load such a file into the tools that they have. `columns` describes the columns, `rows` the rows of an invoice.
"""

from fly_billing.focus.exports.exporter import FocusExport, FocusExportError, export_focus

__all__ = ["FocusExport", "FocusExportError", "export_focus"]
