"""Imports a bill that another provider made: a FOCUS cost-and-usage CSV becomes organizations, prices and usage.

FOCUS is the FinOps Open Cost and Usage Specification (focus.finops.org), versions 1.0 to 1.2. Imported charges are
rated at list price, so that every invoice can be checked against ListUnitPrice x PricingQuantity of the file; or they
are taken as they were billed (BilledCost), which reads back what `focus_export` wrote: list prices know of no discount
and of no rounding to the cent.
"""

from fly_billing.focus.imports.importing import FocusImport, FocusImportError, import_focus
from fly_billing.focus.imports.rows import RejectedRow

__all__ = ["FocusImport", "FocusImportError", "RejectedRow", "import_focus"]
