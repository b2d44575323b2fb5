"""Checks that an invoice has one currency: amounts in different currencies are never added up."""

from __future__ import annotations

from fly_billing.errors import not_computable


def same_currency(found: str | None, wanted: str, what: str, remedy: str | None = None) -> None:
    """Check that an amount is in the invoice's currency.

    Args:
        found: The amount's currency; None: it has none of its own.
        wanted: The invoice's currency.
        what: Names the amount in the error.
        remedy: The next step. None: set a price in the invoice's currency.

    Raises:
        BillingError: `currency_mismatch`.
    """
    if found is not None and found != wanted:
        raise not_computable(
            "currency_mismatch",
            f"{what} is in {found}, but the organization is billed in {wanted}:"
            f" {remedy or f'give it a price in {wanted}'}",
        )
