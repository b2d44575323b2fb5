"""Sells reservations: writes the upfront charge and the monthly credits in one transaction.

Not here: the blocks on offer and their amounts (`pricing.rules.reservations`), and drawing the credits.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import Connection

from fly_billing.errors import ActionableError
from fly_billing.periods import LAST_MONTH, BillingMonth
from fly_billing.postgres.database import BillingDatabase, lock_until_commit, records, rows
from fly_billing.pricing.price_books import read_price_books
from fly_billing.pricing.rules.reservations import PRIORITY, Reservation, ReservationBlock


class ReservationRefused(ActionableError):
    """The reservation can't be bought; the message names the reason and the alternatives. Nothing was written."""


@dataclass(frozen=True)
class _Buyer:
    """The organization that buys a reservation.

    Attributes:
        payer_id: The organization that pays for it in one of the months, if there is one.
        final_month: The first of the months whose invoice is final, if there is one.
    """

    id: str
    currency: str
    price_book: str
    payer_id: str | None
    final_month: date | None


def find_block(blocks: Sequence[ReservationBlock], key: str) -> ReservationBlock:
    """Return the block with this key. Raises ReservationRefused listing the blocks on offer."""
    for block in blocks:
        if block.key == key:
            return block
    raise ReservationRefused(f"no reservation {key!r}; on offer are {', '.join(block.key for block in blocks)}")


def reserve(database: BillingDatabase, reservation: Reservation) -> bool:
    """Charge the block in its first month and grant its credits.

    Returns:
        False if exactly this reservation was bought before. Then nothing is written.

    Raises:
        ReservationRefused: The block can't be bought for this organization, value, currency or month.
    """
    first = reservation.first_month
    if first > LAST_MONTH.plus(1 - reservation.block.months):
        raise ReservationRefused(f"a reservation from {first} would last beyond {LAST_MONTH}: choose an earlier month")
    with database.transaction() as connection:
        lock_until_commit(connection, "invoices")  # no month is finalized and no reservation is sold meanwhile
        if _bought(connection, [reservation]):
            return False
        buyer = _buyer(connection, reservation)
        _refuse_wrong_buyer(reservation, buyer)
        _refuse_wrong_value(connection, reservation)
        _refuse_wrong_months(connection, reservation, buyer)
        _add(connection, reservation)
    return True


def _bought(connection: Connection, reservations: Sequence[Reservation]) -> list[Reservation]:
    ids = [reservation.id for reservation in reservations]
    bought = set(records(connection, _item_id, "one_off_items_known", ids=ids))
    return [reservation for reservation in reservations if reservation.id in bought]


def _item_id(*, id: UUID) -> UUID:
    return id


def _buyer(connection: Connection, reservation: Reservation) -> _Buyer:
    buyers = records(
        connection, _Buyer, "reservation_buyer",
        organization_id=reservation.organization_id,
        first=reservation.first_month.first_day, last=reservation.last_month.first_day,
    )  # fmt: skip
    if not buyers:
        raise ReservationRefused(f"no organization {reservation.organization_id!r}: see `fly-billing statement`")
    return buyers[0]


def _refuse_wrong_buyer(reservation: Reservation, buyer: _Buyer) -> None:
    block, name = reservation.block, reservation.organization_id
    if buyer.price_book != block.book:
        raise ReservationRefused(
            f"{block.key} is of price book {block.book!r}, but {name} has price book {buyer.price_book!r}"
        )
    if buyer.currency != block.currency:
        raise ReservationRefused(f"{block.key} is in {block.currency}, but {name} is billed in {buyer.currency}")
    if payer := buyer.payer_id:
        raise ReservationRefused(
            f"{name} is on the invoice of {payer} in some of these months, and only credits of {payer} pay for that"
            f" invoice: reserve the block for {payer}"
        )


def _refuse_wrong_value(connection: Connection, reservation: Reservation) -> None:
    block = reservation.block
    prices = read_price_books(connection).get(block.book, [])
    values = block.values(prices, reservation.first_month.start)
    if reservation.value not in values:
        offer = f"choose {', '.join(values)}" if values else "load the price book first, with `fly-billing load-prices`"
        raise ReservationRefused(
            f"{block.key} has no price for {block.bound_to} {reservation.value!r} in {reservation.first_month}: {offer}"
        )


def _refuse_wrong_months(connection: Connection, reservation: Reservation, buyer: _Buyer) -> None:
    block, name = reservation.block, reservation.organization_id
    if reservation.first_month < BillingMonth.containing(block.effective_from):
        raise ReservationRefused(
            f"{block.key} is on offer from {block.effective_from:%Y-%m-%d} on, not in {reservation.first_month}"
        )
    if buyer.final_month:
        raise ReservationRefused(
            f"the invoice of {name} for {buyer.final_month:%Y-%m} is final, so no credit can pay for it: reserve from a"
            " later month on"
        )
    for other in _bought(connection, reservation.overlapping()):
        raise ReservationRefused(
            f"{name} already has number {reservation.number} of {block.key} in {reservation.value}, from"
            f" {other.first_month} to {other.last_month}: to buy another one, add --number {reservation.number + 1}"
        )


def _add(connection: Connection, reservation: Reservation) -> None:
    block = reservation.block
    rows(
        connection, "add_reservation",
        id=reservation.id, organization_id=reservation.organization_id, description=reservation.description,
        upfront_amount=block.upfront_amount, monthly_credit=block.monthly_credit, currency=block.currency,
        priority=PRIORITY, scope=json.dumps(reservation.scope), occurred_at=reservation.first_month.start,
        ends_at=reservation.last_month.end,
        credit_ids=[reservation.credit_id(month) for month in reservation.months],
        starts=[month.start for month in reservation.months], ends=[month.end for month in reservation.months],
    )  # fmt: skip
