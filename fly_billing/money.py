"""Exact arithmetic with amounts, rounding to cents, and numbers written for people.

Amounts are Decimals in the currency's major unit (dollars). `*_cents` are ints in its minor unit (ISO 4217). An amount
is rounded in one place only: `to_cents`. Not here: prices and quantities.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Context, Decimal, DivisionByZero, Inexact, InvalidOperation, Overflow
from functools import reduce

from fly_billing.bounds import MOST_CENTS

# Arithmetic that would lose a digit raises an error instead. 120 digits are enough for every sum in this project.
EXACT = Context(prec=120, rounding=ROUND_HALF_UP, traps=[Inexact, InvalidOperation, DivisionByZero, Overflow])

# A quotient without an end (a price per 2,592,000 seconds) is rounded half-up at this decimal place. Every other
# amount is exact.
DIVISION_DIGITS = 20
_ZERO, _ONE = Decimal(0), Decimal(1)

# Currencies whose ISO 4217 minor unit is not a hundredth. `invoicing.rules.chargeable_amounts` has Stripe's rules.
ZERO_DECIMAL = frozenset("BIF CLP DJF GNF ISK JPY KMF KRW MGA PYG RWF UGX VND VUV XAF XOF XPF".split())
THREE_DECIMAL = frozenset("BHD JOD KWD OMR TND".split())


def minor_digits(currency: str) -> int:
    """Return the number of decimals of the currency's minor unit: USD 2, JPY and ISK 0, KWD 3."""
    if currency in ZERO_DECIMAL:
        return 0
    return 3 if currency in THREE_DECIMAL else 2


def exact_sum(amounts: Sequence[Decimal]) -> Decimal:
    return reduce(EXACT.add, amounts, _ZERO)


def exact_product(quantity: Decimal, unit_amount: Decimal, per: Decimal = Decimal(1)) -> Decimal:
    """Return quantity x unit_amount / per: exact if it is a finite decimal, else rounded half-up to 20 decimals."""
    return divide(EXACT.multiply(quantity, unit_amount), per)


def divide(amount: Decimal, by: Decimal) -> Decimal:
    """Return the quotient: exact if it is a finite decimal, else rounded half-up to 20 decimals."""
    try:
        return EXACT.divide(amount, by)
    except Inexact:
        size = by.copy_abs()
        whole, rest = EXACT.divmod(amount.copy_abs().scaleb(DIVISION_DIGITS, context=EXACT), size)
        if EXACT.add(rest, rest) >= size:
            whole = EXACT.add(whole, _ONE)
        signed = whole if amount.is_signed() == by.is_signed() else EXACT.minus(whole)
        return signed.scaleb(-DIVISION_DIGITS, context=EXACT)


def to_cents(amount: Decimal, currency: str, rounding: str = ROUND_HALF_UP) -> int:
    """Round an exact amount to the currency's minor unit, halves away from zero. Once per invoice: its total.

    Args:
        rounding: Another way to round, as in `decimal`, for the rest of an amount of which a half was rounded up.
    """
    shifted = amount.scaleb(minor_digits(currency), context=EXACT)
    return int(shifted.to_integral_value(rounding))


def from_cents(cents: int, currency: str) -> Decimal:
    return Decimal(cents).scaleb(-minor_digits(currency), context=EXACT)


def share_out_cents(amounts: Sequence[Decimal], currency: str, total_cents: int | None = None) -> list[int]:
    """Split the rounded total over the amounts by largest remainder, so that the shares add up to the total.

    Each amount gets its floor. The remaining cents go to the largest fractions; of equal fractions, the earlier amount
    gets its cent first. Each share is less than one minor unit away from its exact amount, unless `total_cents` is
    further than that from their sum.

    Args:
        amounts: Exact amounts in the currency's major unit.
        currency: ISO 4217 code.
        total_cents: The total, if it was rounded elsewhere. None: the sum of the amounts, rounded.

    Returns:
        A share in minor units for each amount, in their order.
    """
    if not amounts:
        return []
    total = to_cents(exact_sum(amounts), currency) if total_cents is None else total_cents
    digits = minor_digits(currency)
    shifted = [amount.scaleb(digits, EXACT) for amount in amounts]
    floors = [int(value.to_integral_value(ROUND_FLOOR)) for value in shifted]
    remainders = list(map(EXACT.subtract, shifted, floors))
    by_remainder = sorted(range(len(amounts)), key=lambda n: (-remainders[n], n))
    each, odd = divmod(total - sum(floors), len(amounts))
    favoured = set(by_remainder[:odd])
    return [floor + each + (n in favoured) for n, floor in enumerate(floors)]


def format_cents(cents: int, currency: str) -> str:
    """Format an amount for people: `$1,234.50`, `-$0.05`, `JPY 1,200`."""
    digits = minor_digits(currency)
    number = f"{abs(from_cents(cents, currency)):,.{digits}f}"
    sign = "-" if cents < 0 else ""
    return f"{sign}${number}" if currency == "USD" else f"{sign}{currency} {number}"


def typed_amount(cents: int, currency: str) -> str:
    """Write an amount as a person types it in a command: `1234.50`, or `1200` yen."""
    return f"{from_cents(cents, currency):f}"


def parse_typed_amount(text: str, currency: str) -> int:
    """Parse an amount that a person typed, with exactly as many decimals as the currency has.

    An amount without its decimals is refused, because it may be in cents: read as dollars, it is 100 times as much.

    Args:
        text: Such as `1234.50`, or `1200` yen.
        currency: ISO 4217 code.

    Returns:
        The amount in cents, at least 0.

    Raises:
        ValueError: Says how to write the amount.
    """
    digits, given = minor_digits(currency), text.strip()
    match = re.fullmatch(r"(-?)([0-9]+)(?:\.([0-9]+))?", given)
    if not match:
        raise ValueError(f"{text!r} is not an amount: write it such as {typed_amount(123450, currency)}")
    if match[1]:
        raise ValueError(f"{given} is below zero: write an amount of at least {typed_amount(0, currency)}")
    decimals = match[3] or ""
    cents = int(match[2] + decimals.rstrip("0").ljust(digits, "0"))
    if len(decimals) != digits:
        raise ValueError(_wrong_decimals(given, decimals, currency, cents))
    if cents >= MOST_CENTS:
        raise ValueError(f"{given} is too large for an amount of money")
    return cents


def _wrong_decimals(given: str, decimals: str, currency: str, cents: int) -> str:
    digits = minor_digits(currency)
    if not decimals:
        problem = f"{given} has no {'cents' if digits == 2 else f'decimals, but {currency} has {digits}'}"
    else:
        problem = f"{given} has {counted(len(decimals), 'decimal')}, but {currency} has {digits or 'none'}"
    if len(decimals.rstrip("0")) > digits:
        return f"{problem}: write it such as {typed_amount(123450, currency)}"
    return f"{problem}: write {typed_amount(cents, currency)} if you mean {format_cents(cents, currency)}"


def grouped(number: str) -> str:
    """Format `2592000.5` as `2,592,000.5`."""
    whole, point, rest = number.partition(".")
    sign = "-" if whole.startswith("-") else ""
    return f"{sign}{abs(int(whole)):,}{point}{rest}"


def counted(number: str | int, unit: str) -> str:
    """Format a number with its unit for people: `1 month`, `2,592,000 seconds`, `3 discrepancies`, `1.5 GB`.

    Args:
        number: A count, or a quantity as text, with or without thousands separators.
        unit: In the singular. Of a phrase, the last word becomes a plural.
    """
    text = str(number).replace(",", "")
    if text == "1" or unit.isupper() or unit.endswith("s"):
        return f"{grouped(text)} {unit}"
    ends_in_ies = unit.endswith("y") and unit[-2:-1] not in ("a", "e", "i", "o", "u")
    return f"{grouped(text)} {unit[:-1]}ies" if ends_in_ies else f"{grouped(text)} {unit}s"


def plain(value: Decimal) -> str:
    """Format a Decimal without exponent and without trailing zeros: `0.15`, `2592000`."""
    return f"{EXACT.normalize(value):f}"
