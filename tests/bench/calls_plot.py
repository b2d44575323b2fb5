"""Plots the calls per second at each endpoint over a run, with the limit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt


def plot_calls(calls: Sequence[Mapping[str, Any]], limit: float, path: Path) -> None:
    """Write a PNG: one line per endpoint, in whole seconds since the first call."""
    moments = [(datetime.fromisoformat(call["at"]).timestamp(), str(call["endpoint"])) for call in calls]
    first = min(moment for moment, _ in moments)
    last = int(max(moment for moment, _ in moments) - first)
    counts = Counter((endpoint, int(moment - first)) for moment, endpoint in moments)
    figure, axes = plt.subplots(figsize=(9, 3.6), dpi=130)
    for endpoint in sorted({endpoint for _, endpoint in moments}):
        axes.plot(
            range(last + 1), [counts[endpoint, second] for second in range(last + 1)], label=endpoint, linewidth=1.4
        )
    axes.axhline(limit, color="0.4", linestyle="--", linewidth=1, label="Stripe's limit per endpoint")
    axes.set(xlabel="seconds since the first call", ylabel="calls per second", ylim=(0, limit * 1.2), xlim=(0, last))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.18), ncols=5, frameon=False, fontsize=8)
    figure.savefig(path, bbox_inches="tight")
    plt.close(figure)
