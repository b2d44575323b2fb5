"""One platform and one browser for all stories: starting them takes longer than a story."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.ui.platform import UiPlatform, closed_months, ui_platform

# Lines of Dagster's log that a failed story shows.
LOGGED = 200


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the errors of Dagster's log to the report of a failed story: its pages show only that a run failed."""
    report = yield
    platform = getattr(item, "funcargs", {}).get("platform")
    if report.failed and isinstance(platform, UiPlatform):
        lines = (platform.data_dir / "dev.log").read_text(encoding="utf-8").splitlines()
        errors = [line for line in lines if " - DEBUG - " not in line and "BetaWarning" not in line]
        report.sections.append(("Dagster's log", "\n".join(errors[-LOGGED:])))
    return report


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UiPlatform]:
    with ui_platform(tmp_path_factory.mktemp("platform") / "data", closed_months(4)) as running:
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium")
    assert path is not None, "make test-ui needs chromium: install it (Debian: apt-get install chromium)"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1500, "height": 1000})
    yield page
    page.close()
