"""`fly-billing dev`: Dagster's UI and daemon over the local data, until Ctrl-C."""

from __future__ import annotations

import signal
import subprocess
import sys
from types import FrameType

from rich.console import Console

from fly_billing.cli.local_platform import local_platform
from fly_billing.resources.migrate import migrate
from fly_billing.resources.postgres import BillingDatabase
from fly_billing.resources.settings import PROJECT

STOP_SECONDS = 30


def dev(console: Console, port: int) -> int:
    """Run until interrupted; return Dagster's exit code (0 after Ctrl-C)."""
    with local_platform(stripe=True, owns_sandbox=True) as settings:
        migrate(BillingDatabase(settings.database_url))
        console.print(f"Dagster is coming up at http://127.0.0.1:{port} - Ctrl-C stops it and all it started.")
        console.print(f"Stripe: {settings.stripe_api_base or 'the real one'}; data: {settings.data_dir}")
        command = [
            sys.executable,
            "-m",
            "dagster",
            "dev",
            "-w",
            str(PROJECT / "workspace.yaml"),
            "-h",
            "127.0.0.1",
            "-p",
            str(port),
        ]
        # A session of its own: Ctrl-C comes to us alone, and we stop Dagster before the servers it uses.
        child = subprocess.Popen(command, cwd=PROJECT, start_new_session=True)
        return _until_interrupted(console, child)


def _until_interrupted(console: Console, child: subprocess.Popen[bytes]) -> int:
    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        return child.wait()
    except KeyboardInterrupt:
        console.print("Stopping...")
        child.send_signal(signal.SIGINT)
        try:
            child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        return 0
    finally:
        signal.signal(signal.SIGTERM, before)
