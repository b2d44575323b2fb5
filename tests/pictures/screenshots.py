"""Takes screenshots of the demo in headless Chromium (Debian's package `chromium`): the asset graph and three pages."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from fly_billing.cli.local_platform import local_platform
from fly_billing.finance.month_report import read_month_report
from fly_billing.finance.report.page import report_page
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.statements.daily_costs_reader import read_daily_costs
from fly_billing.statements.live_page import LivePages
from fly_billing.statements.page import statement_page
from fly_billing.statements.statement_reader import read_statement
from tests.bench.bench_ui import webserver
from tests.pictures.facts import asset_graph, labels_of, save

ORGANIZATION = "finch-systems"
PATIENCE_MS = 60_000
# Dagster's page of all assets, with the assets of these groups.
GRAPH = "/asset-groups?expanded="
GROUP = "global@global:"
# Pixels around the assets, and the height of the statement that is shown.
MARGIN, PAGE_HEIGHT = 16, 1150


def take_screenshots(folder: Path) -> None:
    """Write asset_graph.png, statement.png, page.png and finance_report.png from the demo's data.

    The environment names the data folder, in which `fly-billing demo` has run. Raises RuntimeError where there is no
    chromium, and where Dagster's page shows something else than the definitions say.
    """
    month = BillingMonth.containing(datetime.now(UTC)).plus(-1)
    with local_platform(stripe=True, owns_sandbox=True, migrates=True) as settings, _chromium() as browser:
        # The demo materializes all assets but these.
        for asset in ("stripe_reconciliation", "finance_months", "finance_journals"):
            _run("dagster", "asset", "materialize", "-m", "fly_billing.definitions", "--select", asset,
                 "--partition", month.first_day.isoformat())  # fmt: skip
        with webserver() as url:
            _graph(browser, url, folder / "asset_graph.png")
        database, now = BillingDatabase(settings.database_url), datetime.now(UTC)
        statement = read_statement(database, ORGANIZATION, now, month)
        shown = statement_page(statement, (), read_daily_costs(database, statement))
        _page(browser, shown, folder / "statement.png")
        _page(browser, LivePages(database).read(ORGANIZATION, now), folder / "page.png")
        _page(browser, report_page(read_month_report(database, month, now)), folder / "finance_report.png")


@contextmanager
def _chromium() -> Iterator[Browser]:
    path = shutil.which("chromium")
    if path is None:
        raise RuntimeError("there is no chromium on this machine: install it (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


def _run(program: str, *arguments: str) -> None:
    command = [str(Path(sys.executable).with_name(program)), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")


def _graph(browser: Browser, url: str, picture: Path) -> None:
    # Wide enough that Dagster shows the assets with their checks.
    page = browser.new_page(viewport={"width": 3600, "height": 1300}, device_scale_factor=1)
    facts = asset_graph()
    page.goto(url + GRAPH + ",".join(sorted({f"{GROUP}{asset['group']}" for asset in facts.values()})))
    nodes = page.locator("foreignObject")
    for name, asset in facts.items():
        node = nodes.filter(has=page.get_by_text(name, exact=True))
        (node.get_by_text(re.compile(rf"/ {asset['checks']} Passed")) if asset["checks"] else node).wait_for(
            timeout=PATIENCE_MS
        )
    boxes = [box for node in nodes.all() if (box := node.bounding_box())]
    left, top = min(box["x"] for box in boxes), min(box["y"] for box in boxes)
    right, bottom = max(box["x"] + box["width"] for box in boxes), max(box["y"] + box["height"] for box in boxes)
    clip: Any = {
        "x": left - MARGIN, "y": top, "width": right - left + 2 * MARGIN, "height": bottom - top,
    }  # fmt: skip
    _save(page.screenshot(clip=clip), picture, facts)


def _page(browser: Browser, html: str, picture: Path) -> None:
    page = browser.new_page(viewport={"width": 1060, "height": PAGE_HEIGHT}, device_scale_factor=1.2)
    page.set_content(html)
    _save(page.screenshot(), picture, {"labels": labels_of(html)})


def _save(screenshot: bytes, picture: Path, facts: object) -> None:
    with Image.open(io.BytesIO(screenshot)) as image:
        save(image.convert("P", palette=Image.Palette.ADAPTIVE), picture, facts)
