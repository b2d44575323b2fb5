"""Sells a one-year reservation: `fly-billing reserve`."""

from __future__ import annotations

from datetime import UTC, datetime

from fly_billing.cli.local_platform import local_platform
from fly_billing.cli.terminal import Terminal
from fly_billing.invoicing.reservation_sales import find_block
from fly_billing.invoicing.reservation_sales import reserve as write_reservation
from fly_billing.money import format_cents, to_cents
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.pricing.price_books import SHIPPED, read_price_book_files
from fly_billing.pricing.rules.reservations import Reservation


def reserve(
    console: Terminal, organization: str, block: str, value: str, first_month: BillingMonth | None, number: int
) -> None:
    """Sell a block of the shipped price book. Raises ReservationRefused."""
    reservation_block = find_block(read_price_book_files(SHIPPED / "fly").reservations, block)
    first = first_month or BillingMonth.containing(datetime.now(UTC))
    reservation = Reservation(reservation_block, organization, value, first, number)
    with local_platform() as settings:
        is_new = write_reservation(BillingDatabase(settings.database_url), reservation)
    once, monthly = (
        format_cents(to_cents(amount, reservation_block.currency), reservation_block.currency)
        for amount in (reservation_block.upfront_amount, reservation_block.monthly_credit)
    )
    outcome = "reserved" if is_new else "already reserved, nothing was written"
    console.print(
        f"{organization}: {outcome}: {reservation.description}. {once} on the invoice for {first}, for a credit of"
        f" {monthly} in each month from {first} to {reservation.last_month}.",
        soft_wrap=True,
    )
