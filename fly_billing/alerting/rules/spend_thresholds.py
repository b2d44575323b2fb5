"""The text of a spend alert, and the reading of a threshold's amount. Not here: which alerts were sent already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from shlex import quote

from fly_billing.alerting.rules.alerts import Alert
from fly_billing.money import EXACT, format_cents, minor_digits

# A total is a bigint in Postgres.
MAX_CENTS = 2**63 - 1


@dataclass(frozen=True)
class Crossing:
    """An organization whose open month reached one or more thresholds.

    Attributes:
        month: Such as `2026-09`.
        thresholds_cents, total_cents: In `currency`.
        as_of: When the total was computed.
    """

    organization_id: str
    organization_name: str
    month: str
    currency: str
    thresholds_cents: Sequence[int]
    total_cents: int
    as_of: datetime


def spend_alert(crossing: Crossing) -> Alert:
    """Make one alert for all thresholds that were reached; the subject names the highest."""
    amounts = [format_cents(cents, crossing.currency) for cents in sorted(crossing.thresholds_cents)]
    total = format_cents(crossing.total_cents, crossing.currency)
    others = f" It also crossed {', '.join(amounts[:-1])}." if len(amounts) > 1 else ""
    return Alert.of(
        "spend_threshold",
        f"Spend alert: {crossing.organization_name} crossed {amounts[-1]} in {crossing.month}",
        [
            f"{crossing.organization_name} ({crossing.organization_id}) has spent {total} in {crossing.month} so far,"
            f" as of {crossing.as_of:%Y-%m-%d %H:%M} UTC.{others}",
            f"What to do: run `fly-billing statement {quote(crossing.organization_id)} {crossing.month}` to see"
            " the line items.",
        ],
    )


def threshold_cents(amount: str, currency: str) -> int:
    """Read a threshold such as `250` or `99.50` as cents.

    Raises ValueError if it is not an amount above zero, or has more decimals than the currency.
    """
    try:
        cents = Decimal(amount.replace(",", "")).scaleb(minor_digits(currency), context=EXACT)
    except InvalidOperation:
        raise ValueError(f"{amount!r} is not an amount: write it as 250 or 99.50") from None
    if not cents.is_finite() or not 0 < cents <= MAX_CENTS:
        raise ValueError(f"{amount!r} must be above zero and no more than a month can total")
    if cents != cents.to_integral_value():
        raise ValueError(f"{amount!r} has more than the {minor_digits(currency)} decimals that {currency} has")
    return int(cents)
