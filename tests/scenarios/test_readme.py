"""The README's ten lines bill an organization of one's own, typed as they stand in an empty folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"
SECTION = "## Your own platform\n"


def first_block(text: str, heading: str) -> list[str]:
    """Return the lines of the first indented block below a heading."""
    lines = text[text.index(heading) :].splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("    "))
    block = []
    for line in lines[first:]:
        if not line.startswith("    "):
            break
        block.append(line.removeprefix("    "))
    return block


def test_the_ten_lines_of_the_readme_bill_and_send_an_invoice(tmp_path: Path) -> None:
    """1,500,000 requests of a JSONL file and 250,000 of a CSV file.

    1,000,000 x 0.000002 = 2.00; 750,000 x 0.000001 = 0.75; the support plan is 29.00: 31.75.
    """
    readme = README.read_text(encoding="utf-8")
    commands = first_block(readme, SECTION)
    assert len(commands) == 10
    environment = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "COLUMNS": "120",
        "LC_ALL": "C.UTF-8",
    }
    done = subprocess.run(
        ["sh", "-eu", "-c", "\n".join(commands)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rows: 2 accepted, 0 duplicate, 0 rejected" in done.stdout
    assert "finalized: 1 invoice with 2 items, $31.75" in done.stdout
    assert "2 events add up to 1,750,000 requests, the billed quantity." in done.stdout
    assert "`sync` says `sent: 1 invoice with 2 items, $31.75`" in readme
    assert done.stdout.splitlines()[-2:] == ["sent: 1 invoice with 2 items, $31.75", "sync_month 2026-10 done"]
