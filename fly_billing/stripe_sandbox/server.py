"""Runs the sandbox in this process (`run`) or in a child process (`spawn`).

A spawned sandbox ends with `stop()`, with its `with` block, or with the process that spawned it. Not here: its
responses (`app`).
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import uvicorn

from fly_billing.stripe_sandbox.app import build_app
from fly_billing.stripe_sandbox.client import SandboxControl
from fly_billing.stripe_sandbox.drops import Connections
from fly_billing.stripe_sandbox.store import Store

PACKAGE_ROOT = Path(__file__).resolve().parents[2]


def run(
    host: str = "127.0.0.1",
    port: int = 12111,
    store_path: Path | str = "stripe_sandbox.sqlite",
    *,
    quiet: bool = False,
    ready_file: Path | str | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM, then close the store and return.

    Args:
        port: 0 picks a free port.
        quiet: Do not print the address.
        ready_file: The file to write the address to, once the server accepts connections.
    """
    listener = _listen(host, port)
    url = f"http://{host}:{listener.getsockname()[1]}"
    store, connections = Store(store_path), Connections()
    server = uvicorn.Server(_config(store, connections))
    _swallow_reraised_signals()
    if not quiet:
        print(f"Stripe sandbox on {url} (state in {store.path})", flush=True)
    if ready_file is not None:
        _announce(Path(ready_file), url)
    try:
        server.run(sockets=[listener])
    finally:
        store.close()


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(256)
    return listener


def _config(store: Store, connections: Connections) -> uvicorn.Config:
    return uvicorn.Config(
        build_app(store, connections),
        http=connections.protocol(),
        access_log=False,
        log_level="warning",
        lifespan="off",
        ws="none",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=2,
    )


def _swallow_reraised_signals() -> None:
    """Ignore the signal that uvicorn raises again after it has stopped."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)


def _announce(ready_file: Path, url: str) -> None:
    part = ready_file.with_suffix(".part")
    part.write_text(url, encoding="utf-8")
    part.replace(ready_file)


def stop_when_stdin_closes() -> None:
    """Send SIGTERM to this process once its stdin closes, which happens when the parent dies."""

    def watch() -> None:
        while os.read(0, 4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


class SandboxServer:
    """A sandbox in a child process. Use it as a context manager, or call `stop()`."""

    def __init__(self, process: "subprocess.Popen[bytes]", url: str, store_path: Path) -> None:
        self._process = process
        self.url, self.store_path = url, store_path
        self.pid = process.pid
        self.control = SandboxControl(url)

    def stop(self, *, timeout_seconds: float = 10.0) -> None:
        """Stop the server; kill it if it does not stop in time. Its state stays in the store."""
        self._end(signal.SIGTERM, timeout_seconds)

    def kill(self) -> None:
        """Kill the server, like a crash."""
        self._end(signal.SIGKILL, 10.0)

    def _end(self, number: int, timeout_seconds: float) -> None:
        if self._process.poll() is None:
            self._process.send_signal(number)
        try:
            self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def spawn(store_path: Path | str, port: int = 0, *, timeout_seconds: float = 30.0) -> SandboxServer:
    """Start a sandbox in a child process, and return it once it answers. Port 0 picks a free port."""
    with tempfile.TemporaryDirectory(prefix="stripe-sandbox-") as folder:
        ready_file = Path(folder) / "ready"
        process = _start(Path(store_path), port, ready_file)
        try:
            server = SandboxServer(process, _wait_for(ready_file, process, timeout_seconds), Path(store_path))
            SandboxControl(server.url, timeout_seconds=timeout_seconds).health()
        except BaseException:
            process.kill()
            process.wait()
            raise
    return server


def _start(store_path: Path, port: int, ready_file: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "fly_billing.stripe_sandbox", "--port", str(port), "--store", str(store_path)]
    command += ["--ready-file", str(ready_file), "--quiet", "--stop-with-parent"]
    path = os.pathsep.join(filter(None, [str(PACKAGE_ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(command, stdin=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path})


def _wait_for(ready_file: Path, process: "subprocess.Popen[bytes]", timeout_seconds: float) -> str:
    deadline = time.monotonic() + timeout_seconds
    while not ready_file.exists():
        if process.poll() is not None:
            raise RuntimeError(f"the Stripe sandbox ended with exit code {process.returncode} before it was ready")
        if time.monotonic() > deadline:
            raise TimeoutError(f"the Stripe sandbox was not ready after {timeout_seconds} s")
        time.sleep(0.02)
    return ready_file.read_text(encoding="utf-8")
