"""One invoice, one currency: amounts of another one are never added up."""

from __future__ import annotations

from fly_billing.domain.errors import not_computable


def same_currency(found: str, wanted: str, what: str) -> None:
    """Raise BillingError `currency_mismatch` where `what` is in another currency than the invoice."""
    if found != wanted:
        raise not_computable(
            "currency_mismatch",
            f"{what} is in {found}, the organization is billed in {wanted}: give it a price in {wanted}",
        )
