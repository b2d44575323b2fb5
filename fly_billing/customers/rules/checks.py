"""Checks of single fields. Each raises ValueError that names the field, its value and what to write instead."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

from fly_billing.bounds import MOST_MONEY
from fly_billing.invoicing.rules.billing_groups import slug
from fly_billing.money import counted, minor_digits
from fly_billing.periods import BillingMonth
from fly_billing.pricing.rules.fields import has_more_decimals, refuse_other_word

_ID = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", re.ASCII)
_SHARED_GROUP = re.compile(r"tail-[0-9]+", re.ASCII)
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)
LONGEST_ID = 63
LONGEST_TEXT = 5000
# The times that the database accepts.
FIRST_TIME, END_OF_TIME = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
MOST_MONTHS = 1200


def check_id(text: str) -> None:
    """Refuse an organization's id that usage files and partitions can't name."""
    if not _ID.fullmatch(text) or len(text) > LONGEST_ID:
        raise ValueError(
            f"id {text!r} must have 1 to {LONGEST_ID} of a-z, 0-9 and hyphens inside, such as {slug(text)[:LONGEST_ID]}"
        )
    if _SHARED_GROUP.fullmatch(text):
        raise ValueError(f"id {text!r} is the name of a shared billing group: choose another one")


def check_text(name: str, text: str, longest: int = LONGEST_TEXT) -> None:
    """Refuse a text that is blank or too long."""
    if not text.strip():
        raise ValueError(f"{name} is empty")
    if len(text) > longest:
        raise ValueError(f"{name} has {counted(len(text), 'character')}, more than {longest:,}")


def check_currency(code: str) -> None:
    if not _CURRENCY.fullmatch(code):
        raise ValueError(f"currency {code!r} is not an ISO 4217 code: write it such as USD or EUR")


def check_money(name: str, amount: Decimal, currency: str | None, *, may_be_negative: bool = False) -> None:
    """Refuse an amount that is not above 0, too large, or finer than the currency's minor unit (None: unknown)."""
    if not amount.is_finite() or amount.copy_abs() >= MOST_MONEY:
        raise ValueError(f"{name} {amount} is not an amount of money: it must be below 10^12")
    if amount == 0:
        raise ValueError(f"{name} is 0: it would change nothing")
    if amount < 0 and not may_be_negative:
        raise ValueError(f"{name} {amount:f} is below zero")
    if currency is not None and has_more_decimals(amount, minor_digits(currency)):
        digits = minor_digits(currency)
        raise ValueError(f"{name} {amount:f} has too many decimals: {currency} has {digits or 'none'}")


def check_moment(name: str, moment: datetime | None) -> None:
    """Refuse a time without an offset, or one that the database can't hold. None is no time, and fine."""
    if moment is None:
        return
    if moment.tzinfo is None:
        raise ValueError(f"{name} {moment} has no offset: write it in UTC, such as 2026-10-01T00:00:00Z")
    if not FIRST_TIME <= moment < END_OF_TIME:
        raise ValueError(f"{name} {moment:%Y-%m-%d} must be from 1970 to 2199")


def check_order(start: datetime, end: datetime | None, *, names: tuple[str, str], may_be_empty: bool = False) -> None:
    """Refuse a half-open period that ends before it begins."""
    if end is not None and (end < start or (end == start and not may_be_empty)):
        raise ValueError(f"{names[1]} {end:%Y-%m-%d %H:%M} is not after {names[0]} {start:%Y-%m-%d %H:%M}")


def check_months(first: BillingMonth, last: BillingMonth | None) -> None:
    """Refuse months (both included) of which the last is before the first."""
    for month in (first, last):
        if month is not None and not FIRST_TIME.year <= month.year < END_OF_TIME.year:
            raise ValueError(f"month {month} must be from 1970-01 to 2199-12")
    if last is not None and last < first:
        raise ValueError(f"it would end with {last}, before its first month {first}")


def check_word(name: str, word: str, known: Sequence[str]) -> None:
    refuse_other_word(name, word, known)


def check_number_of_months(name: str, months: int | None) -> None:
    if months is not None and not 1 <= months <= MOST_MONTHS:
        raise ValueError(f"{name} {months} must be from 1 to {MOST_MONTHS:,}")
