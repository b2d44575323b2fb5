"""A customer's statement as one HTML file: no script, nothing loaded from elsewhere, for screen, phone and paper.

Keeps out: what is on a statement (`domain.statement`), where it is read from (`resources.statements_of_account`).
"""

from fly_billing.statement_page.page import statement_page

__all__ = ["statement_page"]
