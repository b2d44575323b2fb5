"""Two machines sync the same month at the same time."""

import json
import os
import subprocess
import sys
from pathlib import Path

from fly_billing.postgres.database import BillingDatabase
from fly_billing.stripe_sandbox import SandboxServer
from tests.support.stripe_builders import bill_june, in_stripe, kinds, mutations, sync_tools

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("sync_in_a_child.py")


def test_two_processes_at_once_send_nothing_twice(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path
) -> None:
    bill_june(billing_database, tmp_path, **{f"org-{n:02d}": [f"{n}.00"] for n in range(1, 31)})
    sandbox.control.settings(latency_seconds=0.02)
    url = billing_database.engine.url.render_as_string(hide_password=False)
    order = json.dumps({"database": url, "stripe": sandbox.url, "workers": 4}) + "\n"
    both = [
        subprocess.Popen(
            [sys.executable, str(SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            encoding="utf-8",
        )
        for _ in range(2)
    ]
    for process in both:
        assert process.stdin
        process.stdin.write(order)
        process.stdin.flush()
    printed = [process.communicate(timeout=300)[0].splitlines() for process in both]
    assert [lines[-1] for lines in printed] == ["ended 0", "ended 0"]
    assert mutations(sandbox) == {"invoices.create": 30, "invoices.add_lines": 30, "invoices.finalize": 30}
    assert in_stripe(sandbox) == [(f"org-{n:02d}", "open", n * 100, 1) for n in range(1, 31)]
    assert kinds(sync_tools(billing_database, sandbox.url)) == []
