"""A small pooler in transaction mode: each transaction of a client goes to the next of two server connections.

It logs in to the server itself (through psycopg) and accepts every client, like pgbouncer with auth_type = any. With
`is_silent` it stops forwarding and keeps all connections open, like a proxy that lost its other side.
"""

from __future__ import annotations

import select
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg


@dataclass
class Proxy:
    """A proxy that listens on 127.0.0.1."""

    server: tuple[str, int]
    port: int = 0
    is_silent: threading.Event = field(default_factory=threading.Event)
    stopped: threading.Event = field(default_factory=threading.Event)


@contextmanager
def forwarding(host: str, port: int) -> Iterator[Proxy]:
    """Forward every connection to the server unchanged, until `is_silent` is set."""
    with _listening(Proxy((host, port)), _forward) as proxy:
        yield proxy


@contextmanager
def alternating(url: str) -> Iterator[Proxy]:
    """Send each transaction of any client to the next of two connections to this database."""
    with psycopg.connect(url, autocommit=True) as first, psycopg.connect(url, autocommit=True) as second:
        pool = _Pool([first, second])
        with pool, _listening(Proxy(("", 0)), pool.serve) as proxy:
            yield proxy


@contextmanager
def _listening(proxy: Proxy, serve: object) -> Iterator[Proxy]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy.port = listener.getsockname()[1]
        threads: list[threading.Thread] = []

        def accept() -> None:
            while not proxy.stopped.is_set():
                if select.select([listener], [], [], 0.05)[0]:
                    client, _ = listener.accept()
                    threads.append(threading.Thread(target=serve, args=(proxy, client)))  # type: ignore[arg-type]
                    threads[-1].start()

        acceptor = threading.Thread(target=accept)
        acceptor.start()
        try:
            yield proxy
        finally:
            proxy.stopped.set()
            acceptor.join()
            for thread in threads:
                thread.join()


def _forward(proxy: Proxy, client: socket.socket) -> None:
    with client, socket.create_connection(proxy.server) as server:
        other = {client: server, server: client}
        while not proxy.stopped.is_set():
            for side in select.select([client, server], [], [], 0.05)[0]:
                if proxy.is_silent.is_set():
                    proxy.stopped.wait(0.05)
                    continue
                data = side.recv(65536)
                if not data:
                    return
                other[side].sendall(data)


class _Pool:
    def __init__(self, servers: list[psycopg.Connection[tuple[object, ...]]]) -> None:
        self._sockets = [socket.socket(fileno=socket.dup(server.pgconn.socket)) for server in servers]
        for connection in self._sockets:
            connection.settimeout(300)  # psycopg's sockets are non-blocking
        self._idle = list(self._sockets)
        self._free = threading.Condition()

    def __enter__(self) -> _Pool:
        return self

    def __exit__(self, *error: object) -> None:
        for connection in self._sockets:
            connection.close()

    def serve(self, proxy: Proxy, client: socket.socket) -> None:
        with client:
            client.settimeout(300)
            try:
                _log_in(client)
                while not proxy.stopped.is_set():
                    if select.select([client], [], [], 0.05)[0] and not self._transaction(client):
                        return
            except OSError:
                return

    def _transaction(self, client: socket.socket) -> bool:
        with self._free:
            self._free.wait_for(lambda: self._idle)
            server = self._idle.pop(0)  # the connection that was returned first
        try:
            while True:
                first = client.recv(1)
                if first in (b"", b"X"):
                    return False
                server.sendall(first + _rest(client))
                if first not in (b"Q", b"S"):
                    continue
                while True:
                    kind = _exactly(server, 1)
                    rest = _rest(server)
                    client.sendall(kind + rest)
                    if kind == b"Z":
                        break
                if rest[-1:] == b"I":
                    return True
        finally:
            with self._free:
                self._idle.append(server)
                self._free.notify()


def _log_in(client: socket.socket) -> None:
    while True:
        (length,) = struct.unpack("!i", _exactly(client, 4))
        (version,) = struct.unpack("!i", _exactly(client, 4))
        _exactly(client, length - 8)
        if version == 196608:
            break
        client.sendall(b"N")
    client.sendall(b"R" + struct.pack("!ii", 8, 0))
    for name, value in (("server_version", "18.0"), ("client_encoding", "UTF8"), ("standard_conforming_strings", "on")):
        body = f"{name}\0{value}\0".encode()
        client.sendall(b"S" + struct.pack("!i", len(body) + 4) + body)
    client.sendall(b"K" + struct.pack("!iii", 12, 4242, 4242))
    client.sendall(b"Z" + struct.pack("!i", 5) + b"I")


def _rest(side: socket.socket) -> bytes:
    head = _exactly(side, 4)
    (length,) = struct.unpack("!i", head)
    return head + _exactly(side, length - 4)


def _exactly(side: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = side.recv(count - len(data))
        if not part:
            raise ConnectionResetError
        data += part
    return data
