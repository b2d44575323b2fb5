"""Imports a bill that another provider made: a FOCUS 1.0 cost-and-usage file becomes organizations, prices and usage.

FOCUS is the FinOps Open Cost and Usage Specification (focus.finops.org). Imported charges are rated at list price, so
that every invoice can be checked against ListUnitPrice x PricingQuantity of the file.
"""

from fly_billing.focus_import.importing import FocusImport, FocusImportError, import_focus
from fly_billing.focus_import.rows import RejectedRow

__all__ = ["FocusImport", "FocusImportError", "RejectedRow", "import_focus"]
