"""The picture of a campaign: calls per second at each endpoint over the run, with what struck from outside marked."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")  # there is no screen
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from tests.chaos.campaign import END, JUMP, KILL, RESTART, Outcome

# What the sync sends has a colour each; whatever it reads, one.
ENDPOINTS = {
    "customers.create": "#8c6bb1",
    "invoices.create": "#2b7bba",
    "invoices.add_lines": "#41ab5d",
    "invoices.finalize": "#fe9929",
    "invoices.delete": "#cb181d",
}
OTHERS, OTHERS_COLOUR = "reads and people's hands", "#bdbdbd"
RED, GREY = "#cb181d", "0.35"
# What is marked by a line: its colour and style, and how high above the picture it is named.
LINES = {RESTART: (RED, "-", 1.1), JUMP: (GREY, ":", 1.05), END: (GREY, "--", 1.05)}
# Each point is the mean of so many seconds: what a second brings is mostly chance.
WINDOW = 4


def plot(outcome: Outcome, path: Path) -> None:
    """Write a PNG."""
    moments = [(datetime.fromisoformat(at).timestamp(), endpoint) for at, endpoint in outcome.moments]
    first = min(moment for moment, _ in moments)
    counts = Counter(
        (endpoint if endpoint in ENDPOINTS else OTHERS, int((moment - first) // WINDOW)) for moment, endpoint in moments
    )
    windows = range(max(window for _, window in counts) + 1)
    names = (*ENDPOINTS, OTHERS)
    figure, axes = plt.subplots(figsize=(11, 4.6), dpi=130)
    axes.stackplot(
        [(window + 0.5) * WINDOW for window in windows],
        [[counts[name, window] / WINDOW for window in windows] for name in names],
        labels=names,
        colors=[*ENDPOINTS.values(), OTHERS_COLOUR],
        linewidth=0,
    )
    axes.set(xlabel="seconds", ylabel="calls per second", xlim=(0, len(windows) * WINDOW))
    axes.margins(y=0.02)
    _mark(axes, outcome, first)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=4, frameon=False, fontsize=8)
    axes.set_title(_title(outcome), loc="left", fontsize=10, pad=34)
    figure.savefig(path, bbox_inches="tight")
    plt.close(figure)


def _mark(axes: Axes, outcome: Outcome, first: float) -> None:
    """Kills as ticks along the top, everything else as a line with its name."""
    above = axes.get_xaxis_transform()
    kills = [mark.at.timestamp() - first for mark in outcome.marks if mark.what == KILL]
    axes.plot(
        kills, [1.02] * len(kills), "v", color=RED, markersize=5, transform=above, clip_on=False, label="process killed"
    )
    for mark in outcome.marks:
        if mark.what in LINES:
            at, (colour, style, height) = mark.at.timestamp() - first, LINES[mark.what]
            axes.axvline(at, color=colour, linestyle=style, linewidth=1.1)
            axes.text(at, height, mark.what, transform=above, fontsize=7, color=colour, ha="center", va="bottom")


def _title(outcome: Outcome) -> str:
    return (
        f"{outcome.findings.billable:,} invoices, {outcome.calls:,} calls, {outcome.faults:,} faults,"
        f" {outcome.lives.killed} kills: lost={outcome.findings.lost} duplicated={outcome.findings.duplicated}"
        f" cents_off={outcome.findings.cents_off}"
    )
