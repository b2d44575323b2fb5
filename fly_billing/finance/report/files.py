"""Writes a month's report into the folder of reports: one file per month, replaced as a whole."""

from __future__ import annotations

from pathlib import Path

from fly_billing.finance.month_report import FinanceReport
from fly_billing.finance.report.page import report_page
from fly_billing.output_files import make_folder, output_file


def write_report(folder: Path, report: FinanceReport) -> Path:
    """Write the report and return its file. Raises FolderNotMade, OutputNotWritten."""
    make_folder(folder, 0o700)
    path = folder / f"finance-{report.month}.html"
    with output_file(path, overwrite=True) as file:
        file.write(report_page(report).encode())
    return path
