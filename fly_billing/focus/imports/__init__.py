"""Imports another provider's bill: a FOCUS cost-and-usage CSV becomes organizations, prices and usage.

FOCUS is the FinOps Open Cost and Usage Specification (focus.finops.org), versions 1.0 to 1.3. There are two ways. Rated
at list price, every invoice can be checked against the file's ListUnitPrice x PricingQuantity. Taken as billed
(BilledCost), an export can be imported again with its discounts and its rounding to cents.
"""

from fly_billing.focus.imports.importer import FocusImport, FocusImportError, import_focus
from fly_billing.focus.imports.rows import RejectedFocusRow

__all__ = ["FocusImport", "FocusImportError", "RejectedFocusRow", "import_focus"]
