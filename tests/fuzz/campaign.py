"""Lands files of `rows` and `mutations`, batch by batch, and audits each against the disk, the table and Postgres."""

from __future__ import annotations

import random
import shutil
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fly_billing.usage.usage_table import open_duckdb
from tests.fuzz.mutations import MUTATIONS, odd_name
from tests.fuzz.rows import ODD_WRITERS, odd_rows
from tests.support.builders import DAY, Platform, event, json_line

CONTROL_ROWS = 20
ROWS_PER_FILE = 1_000
ROW_FILES_AT_ONCE = 30
MUTATED_FILES_AT_ONCE = 400
WRITTEN_BEFORE_MUTATION = 12


@dataclass(frozen=True)
class Plan:
    """The numbers of rows with odd cells and of mutated files, and the seed of both."""

    rows: int
    files: int
    seed: int


@dataclass
class Outcome:
    """The landed counts and the problems; `kept` are folders of batches that can be landed again."""

    rows: int = 0
    files: int = 0
    landed: int = 0
    accepted: int = 0
    duplicate: int = 0
    rejected: int = 0
    unaccounted: int = 0
    seconds: float = 0.0
    mutations: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    crashes: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not self.crashes and not self.wrong and not self.unaccounted


def run(plan: Plan, platform: Platform, keep: Path, tell: Callable[[str], None] = lambda _: None) -> Outcome:
    """Run the campaign on a new platform. Failed batches are copied below `keep`."""
    outcome = Outcome()
    started = time.monotonic()
    batch = 0
    while outcome.rows < plan.rows or outcome.files < plan.files:
        rng = random.Random(f"{plan.seed} {batch}")
        folder = platform.landing_dir / DAY.isoformat()
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        expected = _control(folder, batch)
        # In turn, while both have work left.
        if outcome.rows < plan.rows and (batch % 2 == 0 or outcome.files >= plan.files):
            expected |= _rows(rng, folder, batch, min(plan.rows - outcome.rows, ROWS_PER_FILE * ROW_FILES_AT_ONCE))
            outcome.rows += sum(expected.values()) - CONTROL_ROWS
        else:
            outcome.files += _mutated(
                rng, folder, batch, min(plan.files - outcome.files, MUTATED_FILES_AT_ONCE), outcome
            )
        _land(platform, folder, expected, f"batch {batch} of seed {plan.seed}", keep / f"{plan.seed}-{batch}", outcome)
        batch += 1
        tell(
            f"batch {batch}: {outcome.rows:,} rows, {outcome.files:,} mutated files, {len(outcome.crashes)} crashes,"
            f" {outcome.unaccounted} unaccounted rows, {time.monotonic() - started:.0f} s"
        )
    outcome.seconds = time.monotonic() - started
    return outcome


def _control(folder: Path, batch: int) -> dict[str, int]:
    rows = [event(f"control-{batch}-{number}", "2", source="control") for number in range(CONTROL_ROWS)]
    (folder / "control.jsonl").write_text("".join(f"{json_line(row)}\n" for row in rows), encoding="utf-8")
    return {"control.jsonl": CONTROL_ROWS}


def _rows(rng: random.Random, folder: Path, batch: int, count: int) -> dict[str, int]:
    """Write whole files of odd rows; return the number of rows of each file."""
    expected: dict[str, int] = {}
    while count > 0:
        ending = rng.choice(list(ODD_WRITERS))
        path = folder / f"rows-{len(expected)}{ending}"
        rows = odd_rows(rng, min(count, ROWS_PER_FILE), f"{batch}-{len(expected) // 2}")
        ODD_WRITERS[ending](path, rng, rows)
        expected[path.name] = len(rows)
        count -= len(rows)
    return expected


def _mutated(rng: random.Random, folder: Path, batch: int, count: int, outcome: Outcome) -> int:
    """Write a few files, and `count` broken copies of them in their place."""
    originals: list[tuple[str, bytes]] = []
    for number in range(WRITTEN_BEFORE_MUTATION):
        ending = list(ODD_WRITERS)[number % len(ODD_WRITERS)]
        path = folder / f"original{ending}"
        rows = odd_rows(rng, rng.choice([1, 10, 60]), f"{batch}-{number}")
        ODD_WRITERS[ending](path, rng, rows)
        originals.append((ending, path.read_bytes()))
        path.unlink()
    for number in range(count):
        ending, content = rng.choice(originals)
        for _ in range(rng.choice([1, 1, 1, 2])):
            mutation = rng.choice(list(MUTATIONS))
            content = MUTATIONS[mutation](rng, content)
            outcome.mutations[mutation] += 1
        path = folder / odd_name(rng, f"mutated-{number}", ending)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return count


def _land(platform: Platform, folder: Path, expected: dict[str, int], name: str, keep: Path, outcome: Outcome) -> None:
    try:
        landed = platform.land(DAY)
    except Exception as problem:  # noqa: BLE001 - finding these is what this is for
        outcome.crashes.append(f"{name}: {type(problem).__name__}: {problem}"[:1_000])
        shutil.copytree(folder, keep, dirs_exist_ok=True)
        (keep / "traceback.txt").write_text(traceback.format_exc(), errors="replace", encoding="utf-8")
        outcome.kept.append(keep)
        return
    outcome.landed += sum(day.landed for day in landed)
    outcome.accepted += sum(day.accepted for day in landed)
    outcome.duplicate += sum(day.duplicate for day in landed)
    outcome.rejected += sum(day.rejected for day in landed)
    problems = _audit(platform, folder, expected, outcome)
    if problems:
        outcome.wrong += [f"{name}: {problem}" for problem in problems]
        shutil.copytree(folder, keep, dirs_exist_ok=True)
        outcome.kept.append(keep)


def _audit(platform: Platform, folder: Path, expected: dict[str, int], outcome: Outcome) -> list[str]:
    """Count the day again: files on disk, rows that were written, events in the table, rejections in Postgres."""
    ledger = {row["path"]: row for row in platform.query("select * from usage_files where landing_day = :day", day=DAY)}
    rejected: Counter[str] = Counter()
    for row in platform.query("select path, reason from rejected_usage where landing_day = :day", day=DAY):
        rejected[row["path"]] += 1
        outcome.reasons[row["reason"]] += 1
    with open_duckdb() as duck:
        platform.table().open_view(duck, "events", days=[DAY])
        found = duck.execute("select path, is_duplicate, count(*) from events group by all").fetchall()
    in_table: dict[tuple[str, bool], int] = {(path, is_duplicate): count for path, is_duplicate, count in found}
    problems = []
    on_disk = sum(path.is_file() for path in folder.rglob("*"))
    if on_disk != len(ledger):
        problems.append(f"{on_disk} files on disk, {len(ledger)} in the ledger")
    for path, row in ledger.items():
        counted = (in_table.get((path, False), 0), in_table.get((path, True), 0), rejected[path])
        in_ledger = (row["accepted"], row["duplicate"], row["rejected"])
        rows = expected[path] if path in expected else int(row["landed"])
        lost = abs(rows - sum(counted))
        outcome.unaccounted += lost
        if lost or counted != in_ledger:
            problems.append(f"{path}: {rows} rows written; ledger {in_ledger}; table and rejections {counted}")
    control = ledger.get("control.jsonl")
    if control is None or control["accepted"] != CONTROL_ROWS:
        problems.append(f"the control file was not accepted whole: {control}")
    return problems
