"""What can go wrong with one organization's bill, told twice: to the customer and to whoever mends it."""

from __future__ import annotations

from fly_billing.foreign_text import visible


class ActionableError(Exception):
    """A problem that whoever runs a command can mend; the message is all that they need, a traceback would hide it.

    It may quote text that others wrote, and goes to logs as it is: nothing in it acts on a terminal.
    """

    def __str__(self) -> str:
        return visible(super().__str__(), keep="\n")


class BillingError(Exception):
    """One organization's month can't be billed (or synced); the others can.

    `code` is stable and machine-readable. `customer_text` is one honest sentence for the people being billed;
    `operator_text` says what, where and what to do. Both are one line, whatever they quote. `retryable` tells whether
    trying again unchanged can help.
    """

    def __init__(self, code: str, customer_text: str, operator_text: str, *, retryable: bool) -> None:
        super().__init__(visible(f"{code}: {operator_text}"))
        self.code = code
        self.customer_text = visible(customer_text)
        self.operator_text = visible(operator_text)
        self.retryable = retryable


def not_computable(code: str, operator_text: str, *, retryable: bool = False) -> BillingError:
    """Make the error for an invoice that can't be computed from what we know. Nothing is charged meanwhile."""
    return BillingError(
        code,
        "We can't work out this month's invoice yet and are looking into it. Nothing is charged until it is right.",
        operator_text,
        retryable=retryable,
    )
