"""Runs Dagster's UI and daemon on the local data until Ctrl-C: `fly-billing dev`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

from fly_billing.cli.local_platform import local_platform
from fly_billing.cli.ports import refuse_unusable_port
from fly_billing.cli.terminal import Terminal
from fly_billing.postgres.migrate import migrate, owner_database

STOP_SECONDS = 30
# Dagster warns about its own beta parameter and its own command, which nobody here can change.
QUIET = "ignore:Parameter `backfill_policy` of function,ignore:Function `dev_command` is superseded"


def dev(console: Terminal, port: int) -> int:
    """Run until interrupted. Returns Dagster's exit code, or 0 after Ctrl-C. Raises PortNotUsable."""
    refuse_unusable_port("127.0.0.1", port)
    with local_platform(stripe=True, owns_sandbox=True, migrates=True) as settings:
        migrate(owner_database(settings))
        console.print(f"Dagster starts at http://127.0.0.1:{port}. Ctrl-C stops it and everything that it started.")
        console.print(f"Stripe: {settings.stripe_api_base or 'the real one'}. Data: {settings.data_dir}")
        address = ["-m", "fly_billing.definitions", "-h", "127.0.0.1", "-p", str(port)]
        command = [sys.executable, "-m", "dagster", "dev", *address]
        # Alerts link to the pages that this command serves, unless another address is set.
        variables = {} if settings.dagster_url else {"FLY_BILLING_DAGSTER_URL": f"http://127.0.0.1:{port}"}
        return _run_until_interrupted(console, command, settings.data_dir, variables)


def _run_until_interrupted(console: Terminal, command: list[str], folder: Path, variables: Mapping[str, str]) -> int:
    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    # Before the child starts: a background job of a shell ignores SIGINT, and the child would inherit that.
    previous = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    # In its own session, so that only this process gets Ctrl-C: it stops Dagster before the servers that Dagster uses.
    environment = {**os.environ, **variables, "PYTHONWARNINGS": QUIET}
    child = subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True)
    try:
        return child.wait()
    except KeyboardInterrupt:
        console.print("Stopping...")
        _stop(child)
        return 0
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _stop(child: subprocess.Popen[bytes]) -> None:
    child.send_signal(signal.SIGINT)
    try:
        child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
