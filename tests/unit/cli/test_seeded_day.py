"""The sample's first day survives a kill at any moment, or the error gives the fix."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from fly_billing.cli.seeding import seeded_day
from fly_billing.errors import ActionableError

FIRST, LATER = date(2026, 11, 5), date(2026, 11, 6)

# The system kills the process at the first byte that it writes to a file.
KILLED = """
import resource, signal, sys
from datetime import date
from pathlib import Path
from fly_billing.cli.seeding import seeded_day

signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
seeded_day(Path(sys.argv[1]), date(2026, 11, 5))
"""


def test_the_first_day_does_not_change_on_a_later_day(tmp_path: Path) -> None:
    assert seeded_day(tmp_path, FIRST) == FIRST
    assert seeded_day(tmp_path, LATER) == FIRST


def test_the_next_start_continues_after_a_kill_during_the_note_of_the_day(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False, timeout=600)
    assert done.returncode == -signal.SIGXFSZ
    assert seeded_day(tmp_path, LATER) == LATER


@pytest.mark.parametrize("half", ["", '{"today": "2026', "[]", '{"today": 7}', '{"today": "soon"}', "{}"])
def test_a_half_written_note_of_an_older_version_gives_the_fix(tmp_path: Path, half: str) -> None:
    (tmp_path / "seed.json").write_text(half, encoding="utf-8")
    with pytest.raises(ActionableError, match=r"seed\.json does not give the day of .*fly-billing clean"):
        seeded_day(tmp_path, LATER)
