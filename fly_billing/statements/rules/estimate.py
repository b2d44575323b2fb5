"""Estimates an open month's total at its end: low, likely and high. It is never part of the amounts owed.

The month is calculated three times as an invoice, from the same inputs as the real one and with more usage: so tiers,
allowances, minimums, negotiated prices, discounts, commitments, credits and taxes are right, and fees and charges that
are already registered are included as they are. The usage so far is never reduced: an estimate is below the amount so
far only where more usage costs less (a volume tier).

Not here: how usage continues (`usage_forecast`), and reading (`statements.month_end`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid5

from fly_billing.errors import BillingError
from fly_billing.invoicing.rules.assembly import assemble_invoice
from fly_billing.invoicing.rules.inputs import InvoiceInputs, Member, UsageRollup
from fly_billing.money import counted, format_cents
from fly_billing.periods import BillingMonth
from fly_billing.pricing.rules.prices import MOMENT, PriceBook
from fly_billing.statements.rules.usage_forecast import (
    FEWEST_DAYS,
    ForecastUsage,
    KnownDays,
    UsageSeries,
    days_of_use,
    forecast_rest,
)

_ROLLUPS = UUID("4d1c8a50-6d0e-5f0c-9a51-2a4b1f6f6a11")
CASES = ("low", "likely", "high")


@dataclass(frozen=True)
class MonthEndEstimate:
    """The estimated total of an open month at its end, in cents of its currency: low <= likely <= high.

    Attributes:
        month: As `2026-09`.
        as_of: When it was made.
        complete_days: The number of days of the month, from the 1st on, whose usage is complete.
        days: The number of days of the month.
        method: How it was made, in sentences for the customer.
    """

    month: str
    currency: str
    low_cents: int
    likely_cents: int
    high_cents: int
    as_of: datetime
    complete_days: int
    days: int
    method: tuple[str, ...]

    @property
    def range_cents(self) -> tuple[int, int, int]:
        return self.low_cents, self.likely_cents, self.high_cents

    def in_words(self) -> str:
        """Return it as a sentence: `Estimate for the end of 2026-09, not owed: about $41.20 ($38.00 to $47.50).`"""
        low, likely, high = (format_cents(cents, self.currency) for cents in self.range_cents)
        span = "" if low == high else f" ({low} to {high})"
        return f"Estimate for the end of {self.month}, not owed: about {likely}{span}."

    def as_data(self) -> dict[str, Any]:
        """Return it JSON-ready."""
        return asdict(self) | {"as_of": self.as_of.isoformat(), "method": [*self.method]}


@dataclass(frozen=True)
class NoEstimate:
    """Why there is no estimate.

    Attributes:
        month: As `2026-09`.
        code: A stable name of the reason, one of `NO_ESTIMATE`.
        reason: A sentence for the customer.
    """

    month: str
    code: str
    reason: str

    def in_words(self) -> str:
        """Return it as a sentence."""
        return f"No estimate for the end of {self.month}: {self.reason[0].lower()}{self.reason[1:]}"

    def as_data(self) -> dict[str, Any]:
        """Return it JSON-ready."""
        return asdict(self)

    @classmethod
    def because(cls, month: BillingMonth, code: str, **values: object) -> NoEstimate:
        return cls(str(month), code, NO_ESTIMATE[code].format(month=month, **values))


NO_ESTIMATE = {
    "month_is_final": "{month} has a final invoice.",
    "month_is_over": "{month} is over: its invoice has the usage that was received.",
    "month_has_not_begun": "{month} has not begun.",
    "too_early": "It is too early: there is usage of {days} so far, and an estimate needs {needed}.",
    "not_computable": "This month can't be calculated at the moment, and so it can't be estimated.",
}


@dataclass(frozen=True)
class EstimateInputs:
    """The inputs of an estimate.

    Attributes:
        invoice: The inputs of the month's invoice, with the usage so far.
        usage: The same usage by day, and that of the month before.
        aggregations: By meter.
        days: The days whose usage is known.
        as_of: When the estimate is made.
        payer_name: The organization that pays, if it is another one. `invoice` then has only the member, and no terms.
    """

    invoice: InvoiceInputs
    usage: Sequence[UsageSeries]
    aggregations: Mapping[str, str]
    days: KnownDays
    as_of: datetime
    payer_name: str | None = None


def why_no_estimate(month: BillingMonth, now: datetime, invoice_status: str | None) -> NoEstimate | None:
    """Return the reason that no records are needed for; None if the month may be estimated."""
    if invoice_status not in (None, "open"):
        return NoEstimate.because(month, "month_is_final")
    if now >= month.end:
        return NoEstimate.because(month, "month_is_over")
    return NoEstimate.because(month, "month_has_not_begun") if now < month.start else None


def estimate_month_end(inputs: EstimateInputs) -> MonthEndEstimate | NoEstimate:
    """Estimate the month's total at its end, or say why that is not possible."""
    month, days = inputs.invoice.month, inputs.days
    if inputs.usage and (used := days_of_use(inputs.usage, days)) < FEWEST_DAYS:
        return NoEstimate.because(month, "too_early", days=counted(used, "complete day"), needed=FEWEST_DAYS)
    try:
        totals = sorted(assemble_invoice(at_end).total_cents for at_end in _at_end(inputs))
    except BillingError:
        return NoEstimate.because(month, "not_computable")
    return MonthEndEstimate(
        month=str(month),
        currency=inputs.invoice.currency,
        low_cents=totals[0],
        likely_cents=totals[1],
        high_cents=totals[2],
        as_of=inputs.as_of,
        complete_days=days.complete,
        days=month.days,
        method=tuple(_method(inputs)),
    )


def _at_end(inputs: EstimateInputs) -> list[InvoiceInputs]:
    """Return the invoice's inputs at the month's end, with low, likely and high usage."""
    by_member: dict[str, list[ForecastUsage]] = defaultdict(list)
    for forecast in forecast_rest(inputs.usage, inputs.days, inputs.aggregations):
        if forecast.more.high:
            by_member[forecast.series.organization_id].append(forecast)
    start = inputs.invoice.month.start + timedelta(days=inputs.days.complete)
    placed = [(member, [*_placed(member, by_member, start, inputs)]) for member in inputs.invoice.members]
    return [
        replace(inputs.invoice, members=[_with_more(member, found, case) for member, found in placed]) for case in CASES
    ]


@dataclass(frozen=True)
class _Placed:
    """A part of a forecast that has one price: `share` of it, from `start` on."""

    forecast: ForecastUsage
    share: Decimal
    start: datetime
    end: datetime

    def rollup(self, case: str) -> UsageRollup:
        series, more = self.forecast.series, getattr(self.forecast.more, case)
        return UsageRollup(
            uuid5(_ROLLUPS, f"{series.meter}|{sorted(series.dimensions.items())}|{self.start}"),
            series.meter, series.dimensions, self.start, self.end, more * self.share,
        )  # fmt: skip


def _with_more(member: Member, placed: Sequence[_Placed], case: str) -> Member:
    return replace(member, rollups=[*member.rollups, *(part.rollup(case) for part in placed)])


def _placed(
    member: Member, by_member: Mapping[str, Sequence[ForecastUsage]], start: datetime, inputs: EstimateInputs
) -> Iterator[_Placed]:
    """Place the forecasts in time. Where the price changes, each day is priced as it begins."""
    end = inputs.invoice.month.end
    for forecast in by_member.get(member.organization_id, ()):
        series = forecast.series
        if not any(series.now) and not _is_priced(member.prices, series, start):
            continue  # used only last month, under a price that has ended
        if not member.prices.changes_inside(series.meter, series.dimensions, start, end):
            yield _Placed(forecast, Decimal(1), start, end)
            continue
        share = Decimal(1) / inputs.days.rest
        for n in range(inputs.days.rest):
            day = start + timedelta(days=n)
            yield _Placed(forecast, share, day, day + MOMENT)


def _is_priced(prices: PriceBook, series: UsageSeries, moment: datetime) -> bool:
    try:
        prices.for_usage(series.meter, series.dimensions, moment)
    except BillingError:
        return False
    return True


def _method(inputs: EstimateInputs) -> Iterator[str]:
    days, invoice = inputs.days, inputs.invoice
    yield "This is an estimate. It is not owed, and it is in no other amount."
    if inputs.payer_name:
        yield f"It is your share of the invoice of {inputs.payer_name}, before its discounts, credits and taxes."
    yield "Fees and charges that are already registered for the month are included as they are."
    if not inputs.usage:
        yield "There is no usage this month or last month, so none is expected."
        return
    last = f"{days.before} days of last month and " if days.before else ""
    yield (
        f"Usage of {days.complete} of {days.month.days} days is complete. The other {days.rest} continue the daily"
        f" averages of each meter on {last}{counted(days.complete, 'day')} of this month; recent days count more."
    )
    if days.has_weekly_pattern:
        yield "Weekdays and weekends are averaged apart."
    if not inputs.payer_name:
        taxes = "Taxes are included." if any(rate.percent for rate in invoice.taxes) else "No taxes are added."
        yield f"Your prices, allowances, discounts and credits then apply as on an invoice. {taxes}"
    yield "About 8 of 10 months should end within the range, which is made from how much usage differs between days."
