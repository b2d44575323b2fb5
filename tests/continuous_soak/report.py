"""The table, the plot and the numbers of a simulated day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import matplotlib as mpl

mpl.use("Agg")  # without a screen
from matplotlib import pyplot as plt
from rich.table import Table

from tests.continuous_soak.day import CYCLE, CycleCost
from tests.pictures.facts import shows

CORES = 2
COLOURS = {"update": "#2b7bba", "hourly": "#fe9929", "nightly": "#cb181d"}


def data_of(costs: Sequence[CycleCost], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return everything that the table and the plot show, ready for JSON."""
    ages = sorted(age for cost in costs for age in cost.ages)
    cpu = sorted(cost.python + cost.postgres for cost in costs)
    return {
        **facts,
        "cycles": len(costs),
        "files": len(ages),
        "age_seconds": {"p50": median(ages), "p99": _percentile(ages, 99), "worst": ages[-1]},
        "cpu_seconds": {"p50": median(cpu), "p99": _percentile(cpu, 99), "worst": cpu[-1], "total": sum(cpu)},
        "share_of_cores": sum(cpu) / (len(costs) * CYCLE.total_seconds() * CORES),
        "wal_bytes": sum(cost.wal_bytes for cost in costs),
        "invoices_calculated": sum(cost.invoices for cost in costs),
        "by_cycle": [asdict(cost) for cost in costs],
    }


def _percentile(values: Sequence[float], percent: int) -> float:
    return quantiles(values, n=100, method="inclusive")[percent - 1] if len(values) > 1 else values[0]


def table_of(data: Mapping[str, Any]) -> Table:
    table = Table("", "p50", "p99", "worst", title=f"{data['organizations']:,} organizations, {data['cycles']} cycles")
    for name, label in (("age_seconds", "age, arrival to invoice (s)"), ("cpu_seconds", "CPU per cycle (s)")):
        found = data[name]
        table.add_row(label, *(f"{found[part]:.1f}" for part in ("p50", "p99", "worst")))
    table.add_row("share of two cores", f"{data['share_of_cores']:.1%}", "", "")
    table.add_row("WAL", f"{data['wal_bytes'] / 1e6:,.0f} MB", "", "")
    for name in ("database", "usage_table"):
        before, after = data[name]
        table.add_row(name.replace("_", " "), f"{before / 1e6:,.0f} MB", "to", f"{after / 1e6:,.0f} MB")
    equal = {True: "yes", False: "NO", None: "not compared"}[data["is_equal"]]
    table.add_row("equal to from scratch", equal, "", "")
    return table


def plot(data: Mapping[str, Any], path: Path) -> None:
    """Write a PNG: above the age of each file, below the CPU seconds of each cycle."""
    figure, (above, below) = plt.subplots(2, 1, figsize=(10, 5.4), dpi=130, sharex=True)
    hour = CYCLE.total_seconds() / 3600
    for cost in data["by_cycle"]:
        above.plot(
            [cost["number"] * hour] * len(cost["ages"]), [age / 60 for age in cost["ages"]], ".", color="#2b7bba", ms=3
        )
    above.axhline(5, color="0.6", lw=0.8, ls="--")
    above.axhline(15, color="#cb181d", lw=0.8, ls="--")
    above.set(ylabel="minutes from arrival to invoice", ylim=(0, 16))
    for did, colour in COLOURS.items():
        chosen = [cost for cost in data["by_cycle"] if cost["did"][0] == did]
        below.bar(
            [cost["number"] * hour for cost in chosen], [cost["python"] + cost["postgres"] for cost in chosen],
            width=hour, color=colour, label=did,
        )  # fmt: skip
    below.set(ylabel="CPU seconds of a cycle", xlabel="hour of the day")
    below.legend(frameon=False, fontsize=8)
    for axes in (above, below):
        axes.grid(alpha=0.25, axis="y")
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(
        f"{data['organizations']:,} organizations, 1 % of them with new usage every five minutes", fontsize=10
    )
    figure.tight_layout()
    figure.savefig(path, metadata=shows(data))
    plt.close(figure)
