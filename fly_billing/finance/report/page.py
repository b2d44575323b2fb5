"""Fills the template of the report. Long tables show their first rows, and one row for all others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fly_billing.finance.month_report import MONTHS_SHOWN, FinanceReport
from fly_billing.finance.report.bar_plot import BarPlot, bar_plot
from fly_billing.finance.rules.breakdowns import RevenueBy
from fly_billing.finance.rules.month_sums import MonthSums, untied
from fly_billing.finance.rules.tables import FinanceTable
from fly_billing.money import to_cents
from fly_billing.periods import BillingMonth
from fly_billing.statements.page.templates import open_templates

MOST_ROWS = 20
AGES = (
    ("current", "current_cents"),
    ("1-30 days", "days_1_30_cents"),
    ("31-60 days", "days_31_60_cents"),
    ("61-90 days", "days_61_90_cents"),
    ("over 90 days", "over_90_cents"),
)

_TEMPLATES = open_templates(Path(__file__).parent)


@dataclass(frozen=True)
class CurrencySection:
    """The report's part about one currency.

    Attributes:
        sums: None if the month was not billed in this currency.
    """

    currency: str
    sums: MonthSums | None
    plots: Sequence[BarPlot]
    months: FinanceTable
    recognized: FinanceTable
    revenue: Sequence[FinanceTable]
    taxes: FinanceTable
    receivables: FinanceTable
    credits: FinanceTable


def report_page(report: FinanceReport) -> str:
    """Return the report as an HTML document."""
    return _TEMPLATES.get_template("report.html.jinja").render(
        report=report,
        sections=[_section(report, currency) for currency in report.currencies],
        problems=untied(report.month, report.sums),
        most=MOST_ROWS,
    )


def _section(report: FinanceReport, currency: str) -> CurrencySection:
    months = report.months.in_currency(currency)
    receivables = report.receivables.in_currency(currency)
    return CurrencySection(
        currency=currency,
        sums=next((sums for sums in report.sums if sums.currency == currency), None),
        plots=[
            bar_plot("Revenue by month", _by_month(report, months, "revenue_cents"), currency),
            bar_plot("Tax by month", _by_month(report, months, "tax_cents"), currency),
            bar_plot("Credits used by month", _credits_by_month(report, currency), currency),
            bar_plot(
                "Receivables by days overdue", [(age, receivables.column_total(name)) for age, name in AGES], currency
            ),
        ],
        months=months,
        recognized=report.recognized.in_currency(currency),
        revenue=[report.revenue[by].in_currency(currency) for by in RevenueBy],
        taxes=report.taxes.in_currency(currency),
        receivables=receivables,
        credits=report.credits.in_currency(currency),
    )


def _shown_months(report: FinanceReport) -> list[BillingMonth]:
    return [report.month.plus(n - MONTHS_SHOWN + 1) for n in range(MONTHS_SHOWN)]


def _by_month(report: FinanceReport, months: FinanceTable, name: str) -> list[tuple[str, int]]:
    cents = {row["month"]: row[name] for row in months.rows}
    return [(_short(month), cents.get(month.first_day, 0)) for month in _shown_months(report)]


def _credits_by_month(report: FinanceReport, currency: str) -> list[tuple[str, int]]:
    """Return the credits used, rounded to the minor unit for the plot. The tables have the exact amounts."""
    cents = {used.month: to_cents(used.amount, currency) for used in report.credits_used if used.currency == currency}
    return [(_short(month), cents.get(month.first_day, 0)) for month in _shown_months(report)]


def _short(month: BillingMonth) -> str:
    return f"{month.first_day:%b}"


def _month(month: BillingMonth) -> str:
    return f"{month.first_day:%B %Y}"


_TEMPLATES.filters["month"] = _month
