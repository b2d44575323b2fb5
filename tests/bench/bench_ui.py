"""Times Dagster's pages on the instance that the environment names, until their content shows.

Uses headless Chromium (Debian's package `chromium`) and a webserver that is started and stopped here. Each page is
loaded whole, in a new tab, and reached by a click inside the UI. Warm is the median of five after the first load. Not
here: the content of the instance (`soak`).
"""

from __future__ import annotations

import re
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from playwright.sync_api import Page, sync_playwright

from tests.bench.sample_of_size import MONTH

WARM_LOADS = 5
PATIENCE = 120
LAUNCH = """
mutation Launch($parameters: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $parameters) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}
"""
PARTITIONS = """
query Partitions($asset: AssetKeyInput!) {
  assetNodeOrError(assetKey: $asset) { ... on AssetNode { partitionKeysByDimension { name partitionKeys } } }
}
"""


@dataclass(frozen=True)
class PageTime:
    """A page of the UI: seconds of its first load, and the medians of later loads and of later clicks.

    There are no clicks if the page before already shows the content by which the next page is recognized.
    """

    name: str
    cold_seconds: float
    warm_seconds: float
    clicked_seconds: float | None


def time_pages() -> list[PageTime]:
    """Time the asset's page, the status of its partitions, the list of backfills and one backfill of a year."""
    browser_path = shutil.which("chromium")
    if browser_path is None:
        raise RuntimeError("there is no chromium on this machine: install it (Debian: apt-get install chromium)")
    with webserver() as url, sync_playwright() as playwright:
        backfill = _request_backfill(url)
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1500, "height": 1000})
        steps = _steps(backfill)
        loads = [_load(page, url, step) for step in steps]
        clicks = _click_through(page, url, steps)
        browser.close()
        return [
            PageTime(
                step.name, load[0], statistics.median(load[1:]), statistics.median(clicked[1:]) if clicked else None
            )
            for step, load, clicked in zip(steps, loads, clicks, strict=True)
        ]


@dataclass(frozen=True)
class Step:
    """A page: its path, and `content` that it shows when loaded. On the page `before`, if any, `link` leads to it."""

    name: str
    path: str
    content: str | re.Pattern[str]
    before: str = ""
    link: str = ""


def _steps(backfill: str) -> list[Step]:
    asset, backfills = "/assets/invoices", "/runs?view=backfills"
    partitions, year = f"{asset}?view=partitions", f"/runs/b/{backfill}"
    return [
        Step("asset: invoices", asset, "total (exact)", "/assets", f"a[href^='{asset}']"),
        Step("its partitions", partitions, re.compile(r"Materialized \([1-9]"), asset, f"a[href^='{partitions}']"),
        Step("backfills", backfills, backfill),
        Step("a backfill of 12 months x all groups", year, re.compile("usage_rollups")),
    ]


def _load(page: Page, url: str, step: Step) -> list[float]:
    seconds = []
    for _ in range(1 + WARM_LOADS):
        started = time.perf_counter()
        page.goto(url + step.path)
        _wait_until_there(page, step)
        seconds.append(time.perf_counter() - started)
        page.goto("about:blank")
    return seconds


def _click_through(page: Page, url: str, steps: list[Step]) -> list[list[float]]:
    seconds: list[list[float]] = [[] for _ in steps]
    for _ in range(1 + WARM_LOADS):
        for step, taken in zip(steps, seconds, strict=True):
            if not step.before:
                continue
            page.goto(url + step.before)
            link = page.locator(step.link).first
            link.wait_for(timeout=PATIENCE * 1000)
            page.wait_for_load_state("networkidle")
            if page.get_by_text(step.content).count():
                raise RuntimeError(f"{step.before} shows the content of {step.name}: nothing would be timed")
            started = time.perf_counter()
            link.click()
            _wait_until_there(page, step)
            taken.append(time.perf_counter() - started)
    return seconds


def shown_seconds(page: PageTime) -> list[str]:
    """Write a page's times for a table: cold, warm, by a click."""
    times = (page.cold_seconds, page.warm_seconds, page.clicked_seconds)
    return ["not timed" if seconds is None else f"{seconds:.2f} s" for seconds in times]


def _wait_until_there(page: Page, step: Step) -> None:
    page.get_by_text(step.content).first.wait_for(timeout=PATIENCE * 1000)


@contextmanager
def webserver() -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        str(Path(sys.executable).with_name("dagster-webserver")), "-m", "fly_billing.definitions",
        "-h", "127.0.0.1", "-p", str(port),
    ]  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            _wait_for(f"{url}/server_info", server)
            yield url
        finally:
            server.terminate()


def _wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while server.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    raise RuntimeError(f"Dagster's webserver did not come up at {url}")


def _request_backfill(url: str) -> str:
    """Request a backfill of the last 12 months for all groups, as the UI does. No daemon executes it."""
    asset = {"path": ["invoices"]}
    dimensions = _ask(url, PARTITIONS, asset=asset)["assetNodeOrError"]["partitionKeysByDimension"]
    (groups,) = (keys["partitionKeys"] for keys in dimensions if keys["name"] == "org")
    months = [MONTH.plus(-n).first_day.isoformat() for n in range(12)]
    assets = [{"path": ["usage_rollups"]}, asset]
    parameters = {
        "assetSelection": assets,
        "partitionNames": [f"{month}|{group}" for month in months for group in groups],
    }
    answer = _ask(url, LAUNCH, parameters=parameters)["launchPartitionBackfill"]
    if "backfillId" not in answer:
        raise RuntimeError(f"Dagster took no backfill: {answer}")
    return str(answer["backfillId"])


def _ask(url: str, query: str, **variables: Any) -> dict[str, Any]:
    answer = requests.post(f"{url}/graphql", json={"query": query, "variables": variables}, timeout=PATIENCE)
    found: dict[str, Any] = answer.json()
    if "errors" in found:
        raise RuntimeError(f"Dagster's GraphQL: {found['errors']}")
    return dict(found["data"])
