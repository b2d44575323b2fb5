"""Errors that people read.

`ActionableError` is for whoever runs a command. `BillingError` is about one organization's bill and has two texts: one
for the customer, one for the operator.
"""

from __future__ import annotations

from fly_billing.foreign_text import visible


class ActionableError(Exception):
    """A problem that the person who runs a command can fix. Commands print its message without a traceback.

    The message may quote text that others wrote. `str()` escapes control characters, so they can't act on a terminal.
    """

    def __str__(self) -> str:
        return visible(super().__str__(), keep="\n")


class BillingError(Exception):
    """One organization's month can't be billed or synced. The other organizations are not affected.

    Both texts are one line: line breaks in text that they quote are escaped.

    Attributes:
        code: A stable name of the problem, for machines.
        customer_text: One honest sentence for the customer.
        operator_text: The problem, its place and the next step, for the operator.
        retryable: True if the same attempt can succeed later, without any change.
    """

    def __init__(self, code: str, customer_text: str, operator_text: str, *, retryable: bool) -> None:
        super().__init__(visible(f"{code}: {operator_text}"))
        self.code = code
        self.customer_text = visible(customer_text)
        self.operator_text = visible(operator_text)
        self.retryable = retryable


def not_computable(code: str, operator_text: str, *, retryable: bool = False) -> BillingError:
    """Return the error for an invoice that can't be calculated from our records. Nothing is charged meanwhile."""
    return BillingError(
        code,
        "We can't calculate this month's invoice yet and are looking into it."
        " You won't be charged until it is correct.",
        operator_text,
        retryable=retryable,
    )
