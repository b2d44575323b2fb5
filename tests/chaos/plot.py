"""Plots a campaign: calls per second at each endpoint over time, with kills, restarts and clock jumps marked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")  # without a screen
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from tests.chaos.campaign import END, JUMP, KILL, RESTART, Outcome
from tests.pictures.facts import shows

# A color for each kind of call that changes something, and one for all others.
ENDPOINTS = {
    "customers.create": "#8c6bb1",
    "invoices.create": "#2b7bba",
    "invoices.add_lines": "#41ab5d",
    "invoices.finalize": "#fe9929",
    "invoices.delete": "#cb181d",
}
OTHERS, OTHERS_COLOUR = "reads and manual calls", "#bdbdbd"
RED, GREY = "#cb181d", "0.35"
# Marked by a line: its color and style, and the height of its name.
LINES = {RESTART: (RED, "-", 1.1), JUMP: (GREY, ":", 1.05), END: (GREY, "--", 1.05)}
# The size of such a name, as shares of the plot.
NAME_WIDTH, LINE_HEIGHT = 0.12, 0.05
# Seconds per point: single seconds are mostly noise.
WINDOW = 4


def data_of(outcome: Outcome) -> dict[str, Any]:
    """Return the data of the picture, ready for JSON; times are seconds since the first call."""
    moments = [(datetime.fromisoformat(at).timestamp(), endpoint) for at, endpoint in outcome.moments]
    first = min(moment for moment, _ in moments)
    counts = Counter(
        (endpoint if endpoint in ENDPOINTS else OTHERS, int((moment - first) // WINDOW)) for moment, endpoint in moments
    )
    windows = range(max(window for _, window in counts) + 1)
    return {
        "title": _title(outcome),
        "window_seconds": WINDOW,
        "calls": {name: [counts[name, window] for window in windows] for name in (*ENDPOINTS, OTHERS)},
        "marks": [{"what": mark.what, "second": round(mark.at.timestamp() - first, 3)} for mark in outcome.marks],
    }


def plot(data: Mapping[str, Any], path: Path) -> None:
    """Write a PNG of the result of `data_of`."""
    calls, seconds = data["calls"], data["window_seconds"]
    windows = range(len(calls[OTHERS]))
    figure, axes = plt.subplots(figsize=(11, 4.6), dpi=130)
    axes.stackplot(
        [(window + 0.5) * seconds for window in windows],
        [[count / seconds for count in counts] for counts in calls.values()],
        labels=list(calls),
        colors=[*ENDPOINTS.values(), OTHERS_COLOUR],
        linewidth=0,
    )
    axes.set(xlabel="seconds", ylabel="calls per second", xlim=(0, len(windows) * seconds))
    axes.margins(y=0.02)
    _mark(axes, data["marks"])
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=4, frameon=False, fontsize=8)
    axes.set_title(data["title"], loc="left", fontsize=10, pad=54)
    figure.savefig(path, bbox_inches="tight", metadata=shows(data))
    plt.close(figure)


def _mark(axes: Axes, marks: Sequence[Mapping[str, Any]]) -> None:
    """Mark kills as ticks along the top, and other events as a line with its name."""
    above = axes.get_xaxis_transform()
    kills = [mark["second"] for mark in marks if mark["what"] == KILL]
    axes.plot(
        kills, [1.02] * len(kills), "v", color=RED, markersize=5, transform=above, clip_on=False, label="process killed"
    )
    named_until: dict[float, float] = {}  # by height
    for mark in sorted(marks, key=lambda mark: float(mark["second"])):
        if mark["what"] in LINES:
            at, (colour, style, height) = mark["second"], LINES[mark["what"]]
            while named_until.get(height, 0) > at:  # its name would cover another one
                height = round(height + LINE_HEIGHT, 2)
            named_until[height] = at + NAME_WIDTH * axes.get_xlim()[1]
            axes.axvline(at, color=colour, linestyle=style, linewidth=1.1)
            axes.text(at, height, mark["what"], transform=above, fontsize=7, color=colour, ha="center", va="bottom")


def _title(outcome: Outcome) -> str:
    return (
        f"{outcome.findings.billable:,} invoices, {outcome.calls:,} calls, {outcome.faults:,} faults,"
        f" {outcome.lives.killed} kills: lost={outcome.findings.lost} duplicated={outcome.findings.duplicated}"
        f" cents_off={outcome.findings.cents_off}"
    )
