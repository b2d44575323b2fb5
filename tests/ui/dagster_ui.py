"""Dagster's pages as a person uses them: the clicks, and the text that a page shows. For `tests/ui`."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from playwright.sync_api import Page, Response

from fly_billing.partitions import month_key
from fly_billing.periods import BillingMonth

# A run is a process that starts in ten seconds on a quiet machine. A busy one may take many times as long.
PATIENCE_SECONDS = 300
LOCATION = "fly_billing.definitions"
# Seconds in which a page shows its data, which it reads after it has loaded.
LOADS_WITHIN = 60
# The field's hint, which names the first partition; the second if no month of the last 90 days matches.
MONTHS = re.compile(r"ex: \d{4}|No matching partitions")
LAUNCH = re.compile("Launch (backfill|1 run)")
# The status of a backfill, and of a run.
SUCCEEDED = re.compile(r"Status\nSucceeded|^Success$", re.MULTILINE)
FAILED = re.compile(r"Status\n(Failed|Completed|Canceled)|^(Failure|Canceled)$", re.MULTILINE)


class DagsterUi:
    """One tab of a browser on the UI of one instance."""

    def __init__(self, page: Page, url: str) -> None:
        self._page, self._url = page, url
        page.set_default_timeout(PATIENCE_SECONDS * 1000)

    def materialize_job(
        self, job: str, first: BillingMonth, last: BillingMonth, *, by_organization: bool = True, fails: bool = False
    ) -> None:
        """Jobs -> the job -> Materialize -> these months (x All organizations) -> Launch.

        Returns when all of it has succeeded, or failed if it should fail.
        """
        self._page.goto(f"{self._url}/locations/{LOCATION}/jobs/{job}")
        self._page.get_by_role("button", name="Materialize").first.click()
        dialog = self._page.get_by_role("dialog")
        months, confirm = dialog.get_by_placeholder(MONTHS), dialog.get_by_role("button", name="Confirm")
        months.or_(confirm).first.wait_for()
        if confirm.is_visible():  # Dagster warns that the assets before it have no materialization
            confirm.click()
            months.wait_for()
        older = dialog.get_by_text("Show all partitions")
        if older.is_visible():
            older.click()
        months.fill(f"[{month_key(first)}...{month_key(last)}]")
        self._page.keyboard.press("Enter")
        if by_organization:
            dialog.get_by_role("button", name="All", exact=True).last.click()
        self._launch(fails=fails)

    def materialize_partition(self, asset: str, month: BillingMonth, group: str) -> None:
        """Assets -> the asset -> Partitions -> one month and organization -> Materialize -> Launch 1 run."""
        self.wait_for_partition(asset, month, group, f"{month_key(month)}|{group}")
        self._page.get_by_role("button", name="Materialize").first.click()
        self._launch()

    def wait_for_partitions(self, asset: str, *texts: str) -> None:
        """Open Assets -> the asset -> Partitions, and wait until it shows these texts."""
        self.wait_for(f"/assets/{asset}?view=partitions", *texts)

    def wait_for_partition(self, asset: str, month: BillingMonth, group: str, *texts: str) -> None:
        """Open Assets -> the asset -> Partitions -> one month and organization, and wait until it shows these texts."""
        self.wait_for(f"/assets/{asset}?view=partitions&partition={month_key(month)}%7C{group}", *texts)

    def cause_of_failure(self, asset: str, month: BillingMonth, group: str) -> str:
        """Open the failed partition -> View all historical events -> the newest event, and return what it shows."""
        key = f"{month_key(month)}|{group}"
        self.wait_for_partition(asset, month, group, key, "failed, and did not materialize this asset")
        self._page.get_by_text("View all historical events").click()
        dialog = self._page.get_by_role("dialog")
        dialog.get_by_text(key, exact=True).first.click()
        dialog.get_by_text("cause").first.wait_for()
        return str(dialog.inner_text())

    def wait_for_check(self, asset: str, check: str, *texts: str) -> None:
        """Open Assets -> the asset -> Checks -> the check, and wait until it shows these texts."""
        self.wait_for(f"/assets/{asset}?view=checks&checkDetail={check}", *texts)

    def first_of_them(self) -> str:
        """Click the table of the check that is shown, and return its text."""
        self._page.get_by_text("[Show Markdown]").first.click()
        dialog = self._page.get_by_role("dialog")
        dialog.get_by_role("table").wait_for()
        return str(dialog.inner_text())

    def plotted(self, asset: str, name: str) -> dict[str, float]:
        """Assets -> the asset -> Overview -> Metadata -> Plots. Return partition -> the number that it plots."""
        self.wait_for(f"/assets/{asset}?view=overview", "Plots")
        with self._page.expect_response(_reads_partitions) as response:
            self._page.get_by_text("Plots", exact=True).click()
        self._page.get_by_text("Loading plots").wait_for(state="detached")
        self._page.get_by_text(name, exact=True).first.wait_for()
        newest = response.value.json()["data"]["assetNodeOrError"]["latestMaterializationByPartition"]
        return {
            event["partition"]: entry["floatValue"]
            for event in newest
            if event
            for entry in event["metadataEntries"]
            if entry["label"] == name
        }

    def wait_for(self, path: str, *texts: str) -> None:
        """Load the page, again and again, until it shows these texts."""
        until = time.monotonic() + PATIENCE_SECONDS
        while not self._shows(path, lambda shown: all(text in shown for text in texts)):
            assert time.monotonic() < until, f"{path} shows no {texts}: {self._text()}"

    def _shows(self, path: str, condition: Callable[[str], bool]) -> bool:
        """Load the page once, and return True as soon as its text meets the condition, within a minute."""
        self._page.goto(self._url + path)
        for _ in range(LOADS_WITHIN):
            if condition(self._text()):
                return True
            self._page.wait_for_timeout(1000)
        return False

    def _text(self) -> str:
        # str: the type is unknown to `make lint`, which does without Playwright.
        return str(self._page.locator("body").inner_text())

    def _launch(self, *, fails: bool = False) -> None:
        """Click the dialog's button, and wait until the run or backfill has ended as it should."""
        with self._page.expect_response(_launches) as response:
            self._page.get_by_role("dialog").get_by_role("button", name=LAUNCH).click()
        (launched,) = response.value.json()["data"].values()
        path = f"/runs/b/{launched['backfillId']}" if "backfillId" in launched else f"/runs/{launched['run']['id']}"
        until = time.monotonic() + PATIENCE_SECONDS
        expected, unexpected = (FAILED, SUCCEEDED) if fails else (SUCCEEDED, FAILED)
        while not self._shows(path, lambda text: bool(expected.search(text) or unexpected.search(text))):
            assert time.monotonic() < until, f"{path} shows no end: {self._text()}"
        assert expected.search(self._text()), f"{path} ended otherwise: {self._text()}"


def _launches(response: Response) -> bool:
    sent = response.request.post_data or ""
    return "launchPartitionBackfill" in sent or "launchPipelineExecution" in sent


def _reads_partitions(response: Response) -> bool:
    return "AssetPartitionEventsQuery" in (response.request.post_data or "")


def wait_until(condition: Callable[[], bool], event: str) -> None:
    """Wait until the condition holds. Fails with the awaited event after PATIENCE_SECONDS."""
    until = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < until, f"not within {PATIENCE_SECONDS} seconds: {event}"
        time.sleep(1)
