"""Sells reservations: writes what one costs, and the credits that it gives, in one transaction.

Keeps out: the blocks on offer and what one comes to (`pricing.rules.reservations`), drawing the credits.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from sqlalchemy import Connection

from fly_billing.errors import ActionableError
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, Row, lock_until_commit, rows
from fly_billing.pricing.price_books import read_price_books
from fly_billing.pricing.rules.reservations import PRIORITY, Reservation, ReservationBlock


class ReservationRefused(ActionableError):
    """It can't be bought like that; the message says why and what can. Nothing was written."""


def find_block(blocks: Sequence[ReservationBlock], key: str) -> ReservationBlock:
    """Return the block on offer by its key. Raises ReservationRefused listing those there are."""
    for block in blocks:
        if block.key == key:
            return block
    raise ReservationRefused(f"no reservation {key!r}; there are {', '.join(block.key for block in blocks)}")


def reserve(database: BillingDatabase, reservation: Reservation) -> bool:
    """Charge the block in its first month and grant its credits; False if just this was bought already.

    Raises ReservationRefused where the organization, the value, the currency or a month is none that it can be
    bought for.
    """
    with database.transaction() as connection:
        lock_until_commit(connection, "invoices")  # no month becomes final, and nobody else buys it, meanwhile
        if _bought(connection, [reservation]):
            return False
        buyer = _buyer(connection, reservation)
        _refuse_wrong_buyer(reservation, buyer)
        _refuse_wrong_value(connection, reservation)
        _refuse_wrong_months(connection, reservation, buyer)
        _add(connection, reservation)
    return True


def _bought(connection: Connection, reservations: Sequence[Reservation]) -> list[Reservation]:
    known = rows(connection, "one_off_items_known", ids=[one.id for one in reservations])
    ids = {row["id"] for row in known}
    return [one for one in reservations if one.id in ids]


def _buyer(connection: Connection, reservation: Reservation) -> Row:
    found = rows(
        connection, "reservation_buyer",
        organization_id=reservation.organization_id,
        first=reservation.first_month.first_day, last=reservation.last_month.first_day,
    )  # fmt: skip
    if not found:
        raise ReservationRefused(f"no organization {reservation.organization_id!r}: see `fly-billing statement`")
    return found[0]


def _refuse_wrong_buyer(reservation: Reservation, buyer: Row) -> None:
    block, name = reservation.block, reservation.organization_id
    if buyer["price_book"] != block.book:
        raise ReservationRefused(
            f"{block.key} is of price book {block.book!r}, {name} is billed by {buyer['price_book']!r}"
        )
    if buyer["currency"] != block.currency:
        raise ReservationRefused(f"{block.key} is in {block.currency}, {name} is billed in {buyer['currency']}")
    if buyer["payer_id"]:
        payer = buyer["payer_id"]
        raise ReservationRefused(
            f"{name} is on the invoice of {payer} in some of these months, which the credits of {payer} pay: reserve it"
            f" for {payer}"
        )


def _refuse_wrong_value(connection: Connection, reservation: Reservation) -> None:
    block = reservation.block
    prices = read_price_books(connection).get(block.book, [])
    values = block.values(prices, reservation.first_month.start)
    if reservation.value not in values:
        known = ", ".join(values) or "none: load the price book first, `fly-billing load-prices`"
        raise ReservationRefused(
            f"{block.key} has no price in {block.bound_to} {reservation.value!r} in {reservation.first_month}; there is"
            f" {known}"
        )


def _refuse_wrong_months(connection: Connection, reservation: Reservation, buyer: Row) -> None:
    block, name = reservation.block, reservation.organization_id
    if reservation.first_month < BillingMonth.containing(block.effective_from):
        raise ReservationRefused(
            f"{block.key} is on offer since {block.effective_from:%Y-%m-%d}, not in {reservation.first_month}"
        )
    if buyer["final_month"]:
        raise ReservationRefused(
            f"the invoice of {name} for {buyer['final_month']:%Y-%m} is final, no credit can pay for it any more:"
            " reserve it from a later month on"
        )
    for other in _bought(connection, reservation.overlapping()):
        raise ReservationRefused(
            f"{name} has number {reservation.number} of {block.key} in {reservation.value} already, from"
            f" {other.first_month} to {other.last_month}: for one more, say --number {reservation.number + 1}"
        )


def _add(connection: Connection, reservation: Reservation) -> None:
    block = reservation.block
    rows(
        connection, "add_reservation",
        id=reservation.id, organization_id=reservation.organization_id, description=reservation.description,
        upfront_amount=block.upfront_amount, monthly_credit=block.monthly_credit, currency=block.currency,
        priority=PRIORITY, scope=json.dumps(reservation.scope), occurred_at=reservation.first_month.start,
        credit_ids=[reservation.credit_id(month) for month in reservation.months],
        starts=[month.start for month in reservation.months], ends=[month.end for month in reservation.months],
    )  # fmt: skip
