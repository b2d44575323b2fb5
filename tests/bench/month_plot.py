"""Plots of `bench_month` (each stage by size, baselines beside ours) and of `soak` (month after month)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

from tests.pictures.facts import shows

STAGES = {"land": "#4c78a8", "rollup": "#72b7b2", "invoice": "#f58518"}
BASELINES = {
    "floor": "floor",
    "inside_postgres": "inside Postgres",
    "pandas_and_a_loop": "pandas and a loop, nothing landed",
    "to_sql_and_queries": "to_sql, a query per organization",
}


def plot_months(results: Mapping[int, Mapping[str, Mapping[str, Any]]], path: Path) -> None:
    """Write a PNG: on the left milliseconds per organization, on the right seconds beside the baselines."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), dpi=130)
    sizes = list(results)
    labels = [f"{size:,}" for size in sizes]
    bottom = [0.0] * len(sizes)
    for stage, colour in STAGES.items():
        parts = [1000 * results[size][stage]["seconds"] / size for size in sizes]
        left.bar(labels, parts, bottom=bottom, color=colour, label=stage, width=0.55)
        bottom = [low + part for low, part in zip(bottom, parts, strict=True)]
    left.set(ylabel="milliseconds per organization", xlabel="organizations")
    left.legend(frameon=False, fontsize=8)
    named = {"ours": [sum(results[size][stage]["seconds"] for stage in STAGES) for size in sizes]}
    named |= {
        label: [results[size].get(name, {}).get("seconds", float("nan")) for size in sizes]
        for name, label in BASELINES.items()
    }
    for label, seconds in named.items():
        right.plot(labels, seconds, marker="o", label=label, linewidth=2.2 if label == "ours" else 1.2)
    right.set(ylabel="seconds", xlabel="organizations", yscale="log")
    right.legend(frameon=False, fontsize=8)
    for axes in (left, right):
        axes.grid(alpha=0.25, axis="y")
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata=shows(results))
    plt.close(figure)


def plot_soak(months: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write a PNG: seconds and peak memory of each month, from the first to the last."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.4), dpi=130)
    labels = [month["month"] for month in months]
    landing, billing = ([month[f"{step}_seconds"] for month in months] for step in ("land", "bill"))
    left.bar(labels, landing, color=STAGES["land"], label="landing")
    left.bar(labels, billing, bottom=landing, color=STAGES["invoice"], label="billing")
    left.set(ylabel="seconds", ylim=(0, 1.25 * max(map(sum, zip(landing, billing, strict=True)))))
    left.legend(frameon=False, fontsize=8, loc="upper left", ncols=2)
    right.plot(labels, [month["peak_bytes"] / 1e9 for month in months], marker="o", markersize=3, color="#54a24b")
    right.set(ylabel="peak memory, GB", ylim=(0, None))
    for axes in (left, right):
        axes.set_xticks(range(0, len(labels), 6), labels[::6])
        axes.grid(alpha=0.25, axis="y")
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata=shows(months))
    plt.close(figure)
