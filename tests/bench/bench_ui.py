"""How long Dagster's pages take on the instance that the environment names, from the click until their content shows.

In headless Chromium (Debian's package `chromium`), against a webserver that is started and stopped here. Warm is the
median of five loads after the first one. Keeps out: what there is to show (`soak`).
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

from fly_billing.resources.settings import PROJECT
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
    """A page of the UI: seconds of its first load, and the median of those after it."""

    name: str
    cold_seconds: float
    warm_seconds: float


def time_pages() -> list[PageTime]:
    """Time the asset's page, the status of its partitions, the list of backfills and one backfill of a year."""
    browser_path = shutil.which("chromium")
    if browser_path is None:
        raise RuntimeError("there is no chromium on this machine: install it (Debian: apt-get install chromium)")
    with _webserver() as url, sync_playwright() as playwright:
        backfill = _request_backfill(url)
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1500, "height": 1000})
        pages: dict[str, tuple[str, str | re.Pattern[str]]] = {
            "asset: invoices": ("/assets/invoices", "were final already"),
            "its partitions": ("/assets/invoices?view=partitions", re.compile(r"Materialized \([1-9]")),
            "backfills": ("/runs?view=backfills", backfill),
            "a backfill of 12 months x all groups": (f"/runs/b/{backfill}", re.compile("usage_rollups")),
        }
        found = [_time(page, name, url + path, content) for name, (path, content) in pages.items()]
        browser.close()
        return found


def _time(page: Page, name: str, url: str, content: str | re.Pattern[str]) -> PageTime:
    seconds = []
    for _ in range(1 + WARM_LOADS):
        started = time.perf_counter()
        page.goto(url)
        page.get_by_text(content).first.wait_for(timeout=PATIENCE * 1000)
        seconds.append(time.perf_counter() - started)
        page.goto("about:blank")
    return PageTime(name, seconds[0], statistics.median(seconds[1:]))


@contextmanager
def _webserver() -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        str(Path(sys.executable).with_name("dagster-webserver")), "-w", str(PROJECT / "workspace.yaml"),
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
    """Ask for a backfill of the last 12 months for all groups, as people do in the UI; no daemon carries it out."""
    asset = {"path": ["invoices"]}
    dimensions = _ask(url, PARTITIONS, asset=asset)["assetNodeOrError"]["partitionKeysByDimension"]
    (groups,) = (one["partitionKeys"] for one in dimensions if one["name"] == "org")
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
