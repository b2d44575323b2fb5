"""A customer's statement as one HTML file or a live page, for screen, phone and paper.

It has no scripts and loads nothing.

Not here: the statement's data (`statements.rules.statement`) and reading it (`statements.statement_reader`).
"""

from fly_billing.statements.page.page import content_security_policy, notice_page, statement_page

__all__ = ["content_security_policy", "notice_page", "statement_page"]
