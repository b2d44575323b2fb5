"""Plots a sync: calls per second at each endpoint over time, beside Stripe's limit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

from tests.pictures.facts import shows


def data_of(calls: Sequence[Mapping[str, Any]], limit: float) -> dict[str, Any]:
    """Return all that the plot shows, ready for JSON: calls in each second since the first one, by endpoint."""
    moments = [(datetime.fromisoformat(call["at"]).timestamp(), str(call["endpoint"])) for call in calls]
    first = min(moment for moment, _ in moments)
    seconds = range(int(max(moment for moment, _ in moments) - first) + 1)
    counts = Counter((endpoint, int(moment - first)) for moment, endpoint in moments)
    endpoints = sorted({endpoint for _, endpoint in moments})
    return {
        "limit": limit,
        "calls": {endpoint: [counts[endpoint, second] for second in seconds] for endpoint in endpoints},
    }


def plot_calls(data: Mapping[str, Any], path: Path) -> None:
    """Write a PNG of what `data_of` returned: a line per endpoint."""
    figure, axes = plt.subplots(figsize=(9, 3.6), dpi=130)
    for endpoint, counts in data["calls"].items():
        axes.plot(range(len(counts)), counts, label=endpoint, linewidth=1.4)
        axes.set_xlim(0, len(counts) - 1)
    axes.axhline(data["limit"], color="0.4", linestyle="--", linewidth=1, label="Stripe's limit per endpoint")
    axes.set(xlabel="seconds since the first call", ylabel="calls per second", ylim=(0, data["limit"] * 1.2))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.18), ncols=5, frameon=False, fontsize=8)
    figure.savefig(path, bbox_inches="tight", metadata=shows(data))
    plt.close(figure)
