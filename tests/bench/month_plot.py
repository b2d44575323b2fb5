"""Plots of `bench_month` (each stage by size, ours beside the SQL month) and of `soak` (month after month)."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

from tests.pictures.facts import shows

STAGES = {"land": "#4c78a8", "rollup": "#72b7b2", "invoice": "#f58518", "check": "#b279a2"}


def plot_months(results: Mapping[int, Mapping[str, Any]], path: Path) -> None:
    """Write a PNG: CPU per organization by stage, ours beside the SQL month, of the easy and the realistic month."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.8), dpi=130, sharey=True)
    for month, axis in zip(("easy", "realistic"), axes, strict=True):
        _plot_month(axis, {size: result[month] for size, result in results.items() if month in result})
        axis.set_title(f"the {month} month", fontsize=10)
        axis.grid(alpha=0.25, axis="y")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set(ylabel="CPU of all processes, ms per organization")
    axes[0].legend(frameon=False, fontsize=8)
    figure.tight_layout()
    figure.savefig(path, metadata=shows(results))
    plt.close(figure)


def _plot_month(axis: Any, months: Mapping[int, Mapping[str, Sequence[Mapping[str, Any]]]]) -> None:
    labels = [f"{size:,}\n{side}" for size in months for side in ("ours", "in SQL")]
    bottom = [0.0] * len(labels)
    for stage, colour in STAGES.items():
        parts = [
            1000 * statistics.median(result["cpu"] for result in months[size][name]) / size
            for size in months
            for name in (stage, f"sql_{stage}")
        ]
        axis.bar(labels, parts, bottom=bottom, color=colour, label=stage, width=0.6)
        bottom = [low + part for low, part in zip(bottom, parts, strict=True)]


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
