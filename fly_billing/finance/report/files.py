"""Writes a month's report into the folder of reports: one file per month, replaced as a whole."""

from __future__ import annotations

from pathlib import Path

from fly_billing.finance.month_report import FinanceReport
from fly_billing.finance.report.page import report_page
from fly_billing.output_files import make_folder, output_file
from fly_billing.periods import BillingMonth


def report_name(month: BillingMonth) -> str:
    """Return the name of the month's file: `finance-2026-10.html`."""
    return f"finance-{month}.html"


def write_report(folder: Path, report: FinanceReport) -> Path:
    """Write the report and return its file. Raises FolderNotMade, OutputNotWritten."""
    make_folder(folder, 0o700)
    path = folder / report_name(report.month)
    with output_file(path, overwrite=True) as file:
        file.write(report_page(report).encode())
    return path
