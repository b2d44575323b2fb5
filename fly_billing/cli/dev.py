"""`fly-billing dev`: Dagster's UI and daemon over the local data, until Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

from fly_billing.cli.local_platform import local_platform
from fly_billing.cli.terminal import Terminal
from fly_billing.postgres.migrate import migrate, owner_database

STOP_SECONDS = 30
# Dagster's words about its own beta parameter and its own command say nothing to whoever looks at bills.
QUIET = "ignore:Parameter `backfill_policy` of function,ignore:Function `dev_command` is superseded"


def dev(console: Terminal, port: int) -> int:
    """Run until interrupted; return Dagster's exit code (0 after Ctrl-C)."""
    with local_platform(stripe=True, owns_sandbox=True, migrates=True) as settings:
        migrate(owner_database(settings))
        console.print(f"Dagster is coming up at http://127.0.0.1:{port} - Ctrl-C stops it and all it started.")
        console.print(f"Stripe: {settings.stripe_api_base or 'the real one'}; data: {settings.data_dir}")
        where = ["-m", "fly_billing.definitions", "-h", "127.0.0.1", "-p", str(port)]
        command = [sys.executable, "-m", "dagster", "dev", *where]
        return _run_until_interrupted(console, command, settings.data_dir)


def _run_until_interrupted(console: Terminal, command: list[str], folder: Path) -> int:
    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    # Set before the child starts: a shell's background job ignores SIGINT, and a child would go on ignoring it.
    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    # A session of its own: Ctrl-C comes to us alone, and we stop Dagster before the servers it uses.
    child = subprocess.Popen(command, cwd=folder, env={**os.environ, "PYTHONWARNINGS": QUIET}, start_new_session=True)
    try:
        return child.wait()
    except KeyboardInterrupt:
        console.print("Stopping...")
        _stop(child)
        return 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(child: subprocess.Popen[bytes]) -> None:
    child.send_signal(signal.SIGINT)
    try:
        child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
