"""`make bench-intake`: events per second over HTTP, with each batch on disk before its answer, and CPU of the server.

The senders prepare all bodies before the clock starts, and share the machine's cores with the server. The server is a
process of its own; its CPU seconds are the kernel's. The landing folder is on the disk of --folder.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import signal
import tempfile
import threading
import time
from pathlib import Path

from tests.intake_chaos.campaign import IntakeProcess
from tests.support.usage_sender import BATCH, TOKENS, UsageSender, stored_ids

SOURCE = "machines"


def machine_seconds(name: str) -> dict[str, object]:
    """Return an event as docs/usage_files.md shows it."""
    data = {"quantity": "21600", "app": "web", "region": "ams", "preset": "shared-cpu-1x", "memory": "256MB"}
    envelope = {"specversion": "1.0", "id": name, "source": SOURCE, "type": "machine_seconds", "subject": "fly"}
    return envelope | {"time": "2026-09-15T12:00:00Z", "data": data}


def bodies(sender: int, batches: int, size: int, *, packed: bool) -> list[bytes]:
    """Return the bodies of one sender's requests."""
    texts = [
        json.dumps([machine_seconds(f"{sender}-{batch}-{place}") for place in range(size)]).encode()
        for batch in range(batches)
    ]
    return [gzip.compress(text, 6) for text in texts] if packed else texts


def measure(folder: Path, senders: int, batches: int, size: int, *, packed: bool) -> str:
    """Post all batches and return a line with the figures."""
    landing = folder / f"landing-{size}-{packed}"
    landing.mkdir()
    process = IntakeProcess(landing)
    process.start()
    prepared = [bodies(number, batches, size, packed=packed) for number in range(senders)]
    waits: list[float] = []

    def post(mine: list[bytes]) -> None:
        sender = UsageSender(process.port, TOKENS[SOURCE])
        for body in mine:
            began = time.perf_counter()
            headers = {"Content_Encoding": "gzip"} if packed else {}
            status, answer = sender.post(body, BATCH, **headers)
            waits.append(time.perf_counter() - began)
            assert (status, answer["accepted"]) == (202, size)
        sender.close()

    threads = [threading.Thread(target=post, args=(mine,)) for mine in prepared]
    cpu, began = process.cpu_seconds(), time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds, used = time.perf_counter() - began, process.cpu_seconds() - cpu
    memory = process.peak_megabytes()
    process.end(signal.SIGTERM)
    number = senders * batches * size
    stored = stored_ids(landing)
    assert len(stored) == len(set(stored)) == number
    waits.sort()
    return (
        f"{'gzip' if packed else 'plain'}, {size} a batch, {senders} senders: {number:,} events in {seconds:.1f} s ="
        f" {number / seconds:,.0f}/s; server {used:.1f} CPU s = {used / number * 1e6:.0f} us an event; answer after"
        f" {waits[len(waits) // 2] * 1000:.0f} ms (median), {waits[-len(waits) // 100] * 1000:.0f} ms (99 %);"
        f" {len(list(landing.glob('*/*')))} files; {memory:.0f} MB; load {os.getloadavg()[0]:.1f}"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--senders", type=int, default=4)
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as place:
        for size, is_packed in ((1000, False), (1000, True), (100, False), (1, False)):
            share = max(1, asked.events // (1 if size > 1 else 40) // asked.senders // size)
            print(measure(Path(place), asked.senders, share, size, packed=is_packed))  # noqa: T201
