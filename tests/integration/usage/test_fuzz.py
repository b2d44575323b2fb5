"""A small run of `make fuzz`: no odd row and no broken file stops a landing or is lost."""

from __future__ import annotations

from pathlib import Path

from tests.fuzz.campaign import Plan, run
from tests.support.builders import Platform


def test_odd_rows_and_broken_files_are_all_accounted_for(platform: Platform, tmp_path: Path) -> None:
    outcome = run(Plan(rows=2_000, files=60, seed=7), platform, tmp_path / "kept")
    assert (outcome.crashes, outcome.wrong, outcome.unaccounted) == ([], [], 0)
    assert outcome.landed == outcome.accepted + outcome.duplicate + outcome.rejected
    assert min(outcome.accepted, outcome.duplicate, outcome.rejected, outcome.landed - 2_000) > 0
