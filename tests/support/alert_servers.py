"""Servers that receive alerts in tests, on 127.0.0.1: a webhook, a Slack and a mail server, all able to refuse."""

from __future__ import annotations

import base64
import itertools
import json
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import trustme

# Signs the mail server's certificate. A client must trust this authority, which is created for each run.
AUTHORITY = trustme.CA()

WEBHOOK_SECRET = "T0/B0/very-secret"
BOT_TOKEN = "xoxb-very-secret"


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[None]:
    """Run the server in a thread until the block ends."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def black_hole() -> Iterator[str]:
    """Accept every connection and byte, and never answer. Yields host:port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def dripping(banner: bytes, *, is_encrypted: bool = False) -> Iterator[str]:
    """Send a byte of the banner now and then, again and again, to whoever connects. Yields host:port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("127.0.0.1").configure_cert(context)

    class Drip(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):  # the client hangs up
                if is_encrypted:
                    self.request = context.wrap_socket(self.request, server_side=True)
                for byte in itertools.islice(itertools.cycle(banner), 200):
                    self.request.sendall(bytes([byte]))
                    time.sleep(0.05)

        def finish(self) -> None:
            self.request.close()

    server = socketserver.TCPServer(("127.0.0.1", 0), Drip)
    with serving(server):
        yield f"127.0.0.1:{server.server_address[1]}"


class _Http:
    """A server that receives JSON by POST."""

    def __init__(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, headers, answer = receiver.answer(self.path, self.headers.get("Authorization"), body)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(json.dumps(answer).encode())

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, path: str, authorization: str | None, body: Any) -> tuple[int, dict[str, str], Any]:
        raise NotImplementedError


class Webhook(_Http):
    """Accepts `{"text": ...}`, or refuses with `status`."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[str] = []
        self.status = 200
        self.url = f"{self.address}/services/{WEBHOOK_SECRET}"

    def answer(self, path: str, authorization: str | None, body: Any) -> tuple[int, dict[str, str], Any]:
        if self.status == 200:
            self.taken.append(body["text"])
        return self.status, {}, {}

    def subjects(self) -> list[str]:
        """Return the first line of each message accepted since the last call."""
        taken, self.taken = self.taken, []
        return [text.splitlines()[0] for text in taken]


class Slack(_Http):
    """Accepts chat.postMessage with Slack's limits; `error`, `status` and `headers` make it refuse."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[dict[str, Any]] = []
        self.error: str | None = None
        self.status = 200
        self.headers: dict[str, str] = {}
        self.api_base = f"{self.address}/api/"

    def answer(self, path: str, authorization: str | None, body: Any) -> tuple[int, dict[str, str], Any]:
        error = self.error or _slacks_objection(path, authorization, body)
        if error is None:
            self.taken.append(body)
        return self.status, self.headers, {"ok": error is None, "error": error}

    def texts(self) -> list[str]:
        """Return the visible text of each accepted message: its blocks in order."""
        return ["\n".join(block["text"]["text"] for block in message["blocks"]) for message in self.taken]


def _slacks_objection(path: str, authorization: str | None, body: Any) -> str | None:
    if path != "/api/chat.postMessage":
        return "unknown_method"
    if authorization != f"Bearer {BOT_TOKEN}":
        return "invalid_auth"
    if len(body["text"]) > 40_000:
        return "msg_too_long"
    blocks = body["blocks"]
    most = {"header": 150, "section": 3_000}
    if not 1 <= len(blocks) <= 50 or any(
        not 1 <= len(block["text"]["text"]) <= most[block["type"]] for block in blocks
    ):
        return "invalid_blocks"
    return None


@dataclass
class Mail:
    """A mail as it was received: `raw` are its bytes. `login`: (user, password) of the session."""

    recipient: str
    message: EmailMessage
    is_encrypted: bool
    login: tuple[str, str] | None
    raw: bytes


class MailServer:
    """A small SMTP server (RFC 5321). `encryption`: none, starttls, or smtps from the start.

    `refusals`: the response to an address instead of 250; `verdict`: the response to a mail; `farewell`: to QUIT.
    """

    def __init__(self, encryption: str = "none", login: tuple[str, str] | None = None) -> None:
        self.encryption = encryption
        self.login = login
        self.taken: list[Mail] = []
        self.refusals: dict[str, str] = {}
        self.verdict = "250 Taken"
        self.farewell = "221 Bye"
        self.commands: list[str] = []
        self.server = _SmtpServer(("127.0.0.1", 0), _Session)
        self.server.mail = self
        self.port = self.server.server_address[1]

    def subjects(self) -> list[tuple[str, str]]:
        """Return (recipient, subject) of each accepted mail."""
        return [(mail.recipient, str(mail.message["Subject"])) for mail in self.taken]


class _SmtpServer(socketserver.TCPServer):
    mail: MailServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: tests expect clients that hang up on the certificate."""


class _Session(socketserver.BaseRequestHandler):
    server: _SmtpServer

    def handle(self) -> None:
        mail = self.server.mail
        self.is_encrypted, self.recipient = False, ""
        self.login: tuple[str, str] | None = None
        if mail.encryption == "smtps":
            self._encrypt()
        self._open()
        self._say("220 127.0.0.1 ready")
        while line := self.lines.readline():
            verb, _, rest = line.decode().strip().partition(" ")
            mail.commands.append(verb.upper())
            if verb.upper() == "QUIT":
                self._say(mail.farewell)
                return
            self._obey(verb.upper(), rest)

    def finish(self) -> None:
        if hasattr(self, "lines"):
            self.lines.close()
        self.request.close()

    def _open(self) -> None:
        self.lines = self.request.makefile("rb")

    def _encrypt(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        AUTHORITY.issue_cert("127.0.0.1").configure_cert(context)
        self.request = context.wrap_socket(self.request, server_side=True)
        self.is_encrypted = True

    def _say(self, *lines: str) -> None:
        self.request.sendall("".join(f"{line}\r\n" for line in lines).encode())

    def _obey(self, verb: str, rest: str) -> None:
        mail = self.server.mail
        if verb == "EHLO":
            offers = ["250-127.0.0.1"]
            offers += ["250-STARTTLS"] if mail.encryption == "starttls" and not self.is_encrypted else []
            offers += ["250-AUTH PLAIN"] if mail.login else []
            self._say(*offers, "250 8BITMIME")
        elif verb == "STARTTLS":
            self._say("220 Go ahead")
            self.lines.close()
            self._encrypt()
            self._open()
        elif verb == "AUTH":
            _, user, password = base64.b64decode(rest.partition(" ")[2]).decode().split("\0")
            self.login = (user, password)
            self._say("235 Welcome" if self.login == mail.login else "535 5.7.8 Bad credentials")
        elif verb == "RCPT":
            self.recipient = rest.partition("<")[2].partition(">")[0]
            self._say(mail.refusals.get(self.recipient, "250 OK"))
        elif verb == "DATA":
            self._say("354 Go on")
            self._take()
            self._say(mail.verdict)
        else:
            self._say("250 OK")

    def _take(self) -> None:
        lines = []
        while (line := self.lines.readline()) != b".\r\n":
            lines.append(line.removeprefix(b"."))
        raw = b"".join(lines)
        message = message_from_bytes(raw, policy=policy.default)
        assert isinstance(message, EmailMessage)
        if self.server.mail.verdict.startswith("250"):
            self.server.mail.taken.append(Mail(self.recipient, message, self.is_encrypted, self.login, raw))


def trusting_the_test_server() -> ssl.SSLContext:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return context
