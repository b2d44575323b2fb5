"""A customer's statement as one HTML file: no script, nothing loaded from elsewhere, for screen, phone and paper.

Keeps out: what is on a statement (`statements.rules.statement`), where it is read from (`statements.statement_reader`).
"""

from fly_billing.statements.page.page import statement_page

__all__ = ["statement_page"]
