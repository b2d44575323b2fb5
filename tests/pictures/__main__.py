"""`make pictures`: draws the plots in docs/ from the numbers beside them, and takes the screenshots of a new demo.

`make bench`, `make soak` and `make chaos` measure the numbers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from tests.bench.calls_plot import plot_calls
from tests.bench.month_plot import plot_months, plot_soak
from tests.chaos.plot import plot
from tests.continuous_soak.report import plot as plot_day

DOCS = Path(__file__).parents[2] / "docs"


def main() -> None:
    console = Console(stderr=True)
    for name, draw in PLOTS.items():
        console.print(f"Drawing {name}.png")
        draw(json.loads((DOCS / f"{name}.json").read_text(encoding="utf-8")), DOCS / f"{name}.png")
    with tempfile.TemporaryDirectory() as data:
        os.environ["FLY_BILLING_DATA_DIR"] = data
        console.print("Running the demo for the screenshots")
        demo = [str(Path(sys.executable).with_name("fly-billing")), "demo"]
        subprocess.run(demo, check=True, stdout=subprocess.DEVNULL)
        # Only here: Playwright is not among the packages that the tests need.
        from tests.pictures.screenshots import take_screenshots

        console.print("Taking the screenshots")
        take_screenshots(DOCS)


PLOTS = {
    "bench_month": lambda data, path: plot_months({int(size): results for size, results in data.items()}, path),
    "soak": lambda data, path: plot_soak(data["months"], path),
    "sync_pace": plot_calls,
    "chaos": plot,
    "soak_continuous": plot_day,
}

if __name__ == "__main__":
    main()
