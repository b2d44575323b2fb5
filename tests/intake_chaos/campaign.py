"""Senders post batches to an intake in a process of its own, which is killed with SIGKILL again and again.

Every fourth time, on average, it is stopped with SIGTERM instead: it must finish and publish everything.

A sender repeats a batch until it is acknowledged, as senders must. Afterwards each acknowledged event must be in the
landing folder exactly once. Not here: landing it.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.usage_sender import KNOWN, TOKENS, UsageSender, cloud_event, stored_ids

COMMAND = Path(sys.executable).with_name("fly-billing")
# A process that does not answer after this many seconds is a failure.
PATIENCE = 120


@dataclass
class CampaignReport:
    """What happened. `lost`: acknowledged and not in the landing folder. `doubled`: there more than once."""

    kills: int = 0
    stops: int = 0
    acknowledged: set[str] = field(default_factory=set)
    duplicates: int = 0
    retries: int = 0
    lost: set[str] = field(default_factory=set)
    doubled: set[str] = field(default_factory=set)
    files: int = 0


class IntakeProcess:
    """`fly-billing serve-usage` on a port that stays the same."""

    def __init__(self, landing_dir: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        self._landing_dir = landing_dir
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        variables: Mapping[str, str] = {
            **os.environ,
            "FLY_BILLING_LANDING_DIR": str(self._landing_dir),
            "FLY_BILLING_USAGE_TOKENS": ";".join(token.line() for token in KNOWN),
        }
        self._process = subprocess.Popen(
            [COMMAND, "serve-usage", "--port", str(self.port), "--publish-seconds", "1"],
            cwd=self._landing_dir.parent, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + PATIENCE
        while not self._is_healthy():
            assert self._process.poll() is None, "the intake ended by itself"
            assert time.monotonic() < deadline, "the intake does not answer"
            time.sleep(0.02)

    def _is_healthy(self) -> bool:
        sender = UsageSender(self.port, timeout=5)
        try:
            return sender.get("/health")[0] == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            sender.close()

    def cpu_seconds(self) -> float:
        """Return the CPU time of the process so far, of user and system."""
        assert self._process is not None
        fields = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_megabytes(self) -> float:
        """Return the most memory that the process had."""
        assert self._process is not None
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="utf-8")
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    def end(self, number: signal.Signals) -> int:
        """Send a signal; return the exit code."""
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(PATIENCE)


def run_campaign(landing_dir: Path, kills: int, seed: int, senders: int = 4) -> CampaignReport:
    """Run the senders until the process was killed or stopped this often, then count the events in the folder."""
    chance = random.Random(seed)
    report = CampaignReport()
    process = IntakeProcess(landing_dir)
    process.start()
    is_over = threading.Event()
    lock = threading.Lock()

    def send(number: int) -> None:
        source = list(TOKENS)[number % len(TOKENS)]
        mine, sent = random.Random(seed * 1000 + number), 0
        while not is_over.is_set():
            names = [f"{number}-{sent + place}" for place in range(mine.randint(1, 60))]
            sent += len(names)
            outcomes, retries = _post_until_acknowledged(process.port, source, names)
            with lock:
                report.acknowledged |= {f"{source} {name}" for name in names}
                report.duplicates += outcomes.count("duplicate")
                report.retries += retries
                assert set(outcomes) <= {"accepted", "duplicate"}

    threads = [threading.Thread(target=send, args=(number,)) for number in range(senders)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(kills):
            time.sleep(chance.uniform(0.02, 1.5))
            if chance.random() < 0.25:
                _stop(process, landing_dir)
                report.stops += 1
            else:
                process.end(signal.SIGKILL)
                report.kills += 1
            process.start()
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
        _stop(process, landing_dir)
    stored = Counter(_keys(landing_dir))
    report.lost = report.acknowledged - stored.keys()
    report.doubled = {key for key, number in stored.items() if number > 1}
    report.files = len(list(landing_dir.glob("*/*")))
    return report


def _stop(process: IntakeProcess, landing_dir: Path) -> None:
    code = process.end(signal.SIGTERM)
    assert code == 0, f"the intake ended with {code}"
    assert not list(landing_dir.glob(".*")), "a stopped intake leaves no hidden file"


def _post_until_acknowledged(port: int, source: str, names: list[str]) -> tuple[list[str], int]:
    body = json.dumps([cloud_event(name, source=source) for name in names])
    deadline = time.monotonic() + PATIENCE
    for retries in range(1_000_000):
        sender = UsageSender(port, TOKENS[source], timeout=PATIENCE)
        try:
            status, answer = sender.post(body)
            if status == 202:
                return [event["outcome"] for event in answer["events"]], retries
        except (OSError, http.client.HTTPException, ValueError):  # killed before it answered, or while it did
            pass
        finally:
            sender.close()
        assert time.monotonic() < deadline, "nothing is acknowledged any more"
        time.sleep(0.02)
    raise AssertionError


def _keys(landing_dir: Path) -> list[str]:
    """Return source and id of each stored event; the source has the sender's number."""
    sources = list(TOKENS)
    return [f"{sources[int(name.split('-')[0]) % len(sources)]} {name}" for name in stored_ids(landing_dir)]
