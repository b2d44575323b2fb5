"""Writes a comparison as an HTML page to sign, and as CSV."""

from __future__ import annotations

from pathlib import Path

from fly_billing.cutover.comparing import ComparedMonth
from fly_billing.cutover.rules.comparison import ComparedOrganization
from fly_billing.focus.spreadsheet_text import as_cell
from fly_billing.money import counted
from fly_billing.output_files import csv_writer, output_file
from fly_billing.statements.page.templates import open_templates

# The page shows this many organizations per currency; CSV has all.
MOST_ROWS = 200
COLUMNS = (
    "organization",
    "name",
    "currency",
    "stripe_cents",
    "our_cents",
    "difference_cents",
    "agrees",
    "stripe_invoices",
    "causes",
    "notes",
)

_TEMPLATES = open_templates(Path(__file__).parent)
_TEMPLATES.filters["counted"] = counted


def write_page(compared: ComparedMonth, path: Path, *, overwrite: bool = False) -> None:
    """Write the page. Raises OutputExists, OutputNotWritten."""
    with output_file(path, overwrite=overwrite) as file:
        file.write(comparison_page(compared).encode())


def comparison_page(compared: ComparedMonth) -> str:
    """Return the report as an HTML document."""
    comparison = compared.comparison
    by_currency = {total.currency: [each for each in comparison.differing if each.currency == total.currency]
                   for total in comparison.sums()}  # fmt: skip
    return _TEMPLATES.get_template("report.html.jinja").render(
        compared=compared,
        comparison=comparison,
        sums=comparison.sums(),
        differing=by_currency,
        largest={currency: abs(found[0].difference_cents) or 1 for currency, found in by_currency.items() if found},
        most=MOST_ROWS,
    )


def write_csv(compared: ComparedMonth, path: Path, *, overwrite: bool = False) -> None:
    """Write a row per organization and currency; amounts in minor units. Raises OutputExists, OutputNotWritten."""
    with output_file(path, overwrite=overwrite) as binary, csv_writer(binary) as writer:
        writer.writerow(COLUMNS)
        writer.writerows(map(_row, compared.comparison.organizations))


def _row(each: ComparedOrganization) -> list[object]:
    return [
        as_cell(each.organization_id),
        as_cell(each.organization_name),
        each.currency,
        each.stripe_cents,
        each.our_cents,
        each.difference_cents,
        "yes" if each.agrees else "no",
        as_cell("; ".join(each.stripe_invoices)),
        as_cell("; ".join(cause.text for cause in each.causes)),
        as_cell("; ".join(each.notes)),
    ]
