"""The CPU of a Postgres server is that of the postmaster, its living processes, and those that ended."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.bench.process_cpu import own_seconds, server_seconds

WORK = """
import os, sys
def work(seconds):
    while sum(os.times()[:2]) < seconds: pass
"""
# A process with a child that has ended and a child that lives on, as a postmaster has.
PARENT = f"""{WORK}
import subprocess
ended = subprocess.run([sys.executable, "-c", {WORK!r} + "work(0.3)"], check=True)
living = subprocess.Popen(
    [sys.executable, "-c", {WORK!r} + "work(0.2); print('done', flush=True); sys.stdin.read()"],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE,
)
living.stdout.readline()
work(0.1)
print("ready", flush=True)
sys.stdin.read()
living.stdin.close()
living.wait()
"""


@pytest.fixture
def postmaster() -> Iterator[int]:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        assert process.stdin and process.stdout
        assert process.stdout.readline() == "ready\n"
        yield process.pid


def test_a_server_has_used_the_cpu_of_its_living_and_its_ended_processes(postmaster: int) -> None:
    # 0.3 s of the ended child, 0.2 of the living one and 0.1 of its own, less a tick each.
    assert server_seconds(postmaster) >= 0.57


def test_a_server_that_waits_uses_no_cpu(postmaster: int) -> None:
    before = server_seconds(postmaster)

    assert server_seconds(postmaster) - before <= 0.05


def test_our_own_cpu_includes_that_of_ended_children() -> None:
    before = own_seconds()

    subprocess.run([sys.executable, "-c", WORK + "work(0.3)"], check=True)

    assert own_seconds() - before >= 0.28
