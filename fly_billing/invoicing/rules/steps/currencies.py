"""One invoice, one currency: amounts of another one are never added up."""

from __future__ import annotations

from fly_billing.errors import not_computable


def same_currency(found: str | None, wanted: str, what: str, remedy: str | None = None) -> None:
    """Raise BillingError `currency_mismatch` where `what` is in another currency than the invoice (None: it has none).

    `remedy`: what to do, if not to give it a price in the invoice's currency.
    """
    if found is not None and found != wanted:
        raise not_computable(
            "currency_mismatch",
            f"{what} is in {found}, the organization is billed in {wanted}: {remedy or f'give it a price in {wanted}'}",
        )
