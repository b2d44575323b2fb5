"""Sends alerts by e-mail over SMTP, with the standard library.

Each address gets its own message, so that a refused address is retried without sending the alert to the others twice.
"""

from __future__ import annotations

import contextlib
import re
import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import make_msgid
from urllib.parse import unquote, urlsplit

from fly_billing.alerting.channel import AlertNotSent
from fly_billing.alerting.rules.alerts import Alert
from fly_billing.credentials import is_this_machine
from fly_billing.settings import SettingsError

# Seconds that one message may take: connecting, TLS, login and sending.
PATIENCE = 20
PORTS = {"smtp": 587, "smtps": 465}
MOST_SUBJECT = 200
# The most characters of a line of a message (RFC 5322), without its end.
MOST_LINE = 998
# 5.1.7 and 5.1.8 are about our own address, so they are said about every message.
SENDER_REFUSED = {"7", "8"}


class MailPolicy(EmailPolicy):
    """The standard policy for SMTP, but a `List-Unsubscribe` is one line: its readers know no encoded words."""

    def fold_binary(self, name: str, value: str) -> bytes:
        line = f"{name}: {value}"
        if name.lower() == "list-unsubscribe" and line.isascii() and line.isprintable() and len(line) <= MOST_LINE:
            return f"{line}{self.linesep}".encode()
        return super().fold_binary(name, value)


POLICY = MailPolicy(linesep="\r\n")


class Conversation:
    """Ends what we say to a server when it takes too long, even if the server sends a byte now and then."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self._copy: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True
        self._timer.start()

    @property
    def rest(self) -> float:
        """The seconds that are left. Raises TimeoutError if none are."""
        rest = self._end - time.monotonic()
        if rest <= 0:
            raise TimeoutError("timed out")
        return rest

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self._end

    def connect(self, host: str, port: int) -> socket.socket:
        """Try each address of the host, with an equal share of the time that is left. Raises OSError."""
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            try:
                connected = socket.create_connection((str(address[4][0]), port), self.rest / left)
            except OSError:
                if left == 1:
                    raise
            else:
                # TLS takes the socket over, so a copy of it is what ends the connection.
                self._copy = connected.dup()
                connected.settimeout(self.rest)
                return connected
        raise OSError("the mail server has no address")

    def close(self) -> None:
        self._timer.cancel()
        self._timer.join()
        if self._copy:
            self._copy.close()

    def _cut(self) -> None:
        if self._copy:
            with contextlib.suppress(OSError):  # the server has closed it already
                self._copy.shutdown(socket.SHUT_RDWR)


class _Session(smtplib.SMTP):
    """A session whose connection a conversation watches, encrypted from the start if there is `tls`."""

    def __init__(self, host: str, port: int, watched: Conversation, tls: ssl.SSLContext | None) -> None:
        self._watched, self._tls = watched, tls
        super().__init__(host, port)

    def connect(self, host: str = "localhost", port: int = 0, source_address: object = None) -> tuple[int, bytes]:
        self.sock = self._watched.connect(host, port)
        if self._tls:
            self.sock = self._tls.wrap_socket(self.sock, server_hostname=host)
        self.file = None
        return self.getreply()


@dataclass(frozen=True)
class MailServer:
    """The mail server that accepts our messages.

    Attributes:
        is_smtps: The connection starts with TLS. Otherwise it uses STARTTLS if the server offers it.
        patience: How many seconds one message may take, with everything that comes before it.
    """

    host: str
    port: int
    is_smtps: bool = False
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext = field(default_factory=ssl.create_default_context, repr=False, compare=False)
    patience: float = PATIENCE

    @classmethod
    def from_url(cls, url: str) -> MailServer:
        """Read `smtp://user:password@host:587` or `smtps://...`. Raises SettingsError, which never repeats the URL."""
        try:
            parts = urlsplit(url)
            scheme, host, port = parts.scheme, parts.hostname, parts.port
        except ValueError:
            scheme, host, port = "", None, None
        is_whole = bool(host) and url.isprintable() and (parts.username is None) == (parts.password is None)
        if scheme not in PORTS or not host or not is_whole:
            raise SettingsError(
                "SMTP_URL must be smtp://host:port or smtps://host:port, with user:password@ before the host if the"
                " server requires a login (percent-encoded)"
            )
        return cls(
            host=host,
            port=port or PORTS[scheme],
            is_smtps=scheme == "smtps",
            user=unquote(parts.username) if parts.username is not None else None,
            password=unquote(parts.password) if parts.password is not None else None,
        )

    @contextlib.contextmanager
    def session(self) -> Iterator[smtplib.SMTP]:
        """Yield a session: encrypted if the server supports it, and logged in if there is a password.

        Raises SMTPException and OSError. A password is never sent to another machine in the clear.
        """
        watched = Conversation(self.patience)
        try:
            session = _Session(self.host, self.port, watched, self.tls if self.is_smtps else None)
            with contextlib.closing(session):
                self._prepare(session)
                try:
                    yield session
                finally:
                    with contextlib.suppress(smtplib.SMTPException, OSError):
                        session.quit()  # a failed goodbye changes nothing: the mail was accepted or refused before
        except (smtplib.SMTPRecipientsRefused, smtplib.SMTPResponseException):
            raise
        except OSError:  # a connection that was cut fails with many errors
            if watched.is_over:
                raise TimeoutError(f"timed out after {self.patience:g} seconds") from None
            raise
        finally:
            watched.close()

    def _prepare(self, session: smtplib.SMTP) -> None:
        session.ehlo_or_helo_if_needed()
        is_safe = self.is_smtps or is_this_machine(self.host)
        if not self.is_smtps and session.has_extn("starttls"):
            session.starttls(context=self.tls)
            is_safe = True
        if self.user is not None and self.password is not None:
            if not is_safe:
                raise smtplib.SMTPException(
                    "the server offers no STARTTLS, and the password must not be sent in the clear"
                )
            session.login(self.user, self.password)


@dataclass(frozen=True)
class MailChannel:
    """One e-mail address that receives alerts."""

    server: MailServer
    sender: str
    recipient: str

    @property
    def name(self) -> str:
        return f"mail to {self.recipient}"

    def post(self, alert: Alert) -> None:
        try:
            message = message_of(alert, self.sender, self.recipient)
        except (MessageError, ValueError) as problem:
            raise AlertNotSent(self.name, alert, type(problem).__name__) from None
        send_mail(self.name, alert, self.server, message)


def send_mail(channel: str, alert: Alert, server: MailServer, message: EmailMessage) -> None:
    """Hand the message over to the mail server: from its From, to its only To. Raises AlertNotSent.

    A refusal of this address or this content (`_is_for_good`) is final. Everything else may be over later.
    """
    try:
        sender, recipient = (message[name].addresses[0].addr_spec for name in ("From", "To"))
        with server.session() as session:
            session.send_message(message, sender, [recipient])
    except smtplib.SMTPRecipientsRefused as refused:
        raise _refusal(channel, alert, *refused.recipients[recipient], is_about_recipient=True) from None
    except smtplib.SMTPDataError as refused:
        raise _refusal(channel, alert, refused.smtp_code, refused.smtp_error) from None
    except smtplib.SMTPResponseException as refused:
        raise AlertNotSent(channel, alert, _reason(refused.smtp_code, refused.smtp_error)) from None
    except (smtplib.SMTPException, OSError) as problem:
        raise AlertNotSent(channel, alert, str(problem) or type(problem).__name__) from None
    except (MessageError, ValueError) as problem:
        # The message about a password that can't be encoded repeats a part of it.
        raise AlertNotSent(channel, alert, type(problem).__name__) from None


def _refusal(
    channel: str, alert: Alert, code: int, words: bytes | str, *, is_about_recipient: bool = False
) -> AlertNotSent:
    return AlertNotSent(
        channel, alert, _reason(code, words),
        is_permanent=_is_for_good(code, words), is_about_recipient=is_about_recipient,
    )  # fmt: skip


def _is_for_good(code: int, words: bytes | str) -> bool:
    """Return True if a refusal is about the recipient's address or the content: by its enhanced status (RFC 3463).

    A relay that may not send for us, is over its quota or is on a blocklist refuses every message with 5xx until
    somebody fixes that. A reply without an enhanced status may mean either: 550 is "no such user" of one server and
    "relay denied" of another, as are 551 and 553.
    """
    status = re.match(r"([245])\.(\d{1,3})\.(\d{1,3})(?!\S)", _text(words))
    if not status:
        return False
    kind, subject, detail = status.groups()
    is_about_sender = subject == "1" and detail in SENDER_REFUSED
    return 500 <= code < 600 and kind == "5" and subject in ("1", "6") and not is_about_sender


def _reason(code: int, words: bytes | str) -> str:
    return f"{code} {_text(words)}"


def _text(words: bytes | str) -> str:
    return words.decode(errors="replace") if isinstance(words, bytes) else words


def address_of(text: str) -> Address:
    """Return the address that a header shows as exactly this text. Raises ValueError if there is none."""
    try:
        address = Address(addr_spec=text)
        message = EmailMessage(policy=POLICY)
        message["To"] = address
        read = [one.addr_spec for one in message["To"].addresses]
    except Exception as problem:  # noqa: BLE001 - the parser fails with any error: also AttributeError and IndexError
        raise ValueError(type(problem).__name__) from None
    if read != [text]:
        raise ValueError("it is read as another address")
    return address


def message_of(alert: Alert, sender: str, recipient: str) -> EmailMessage:
    """Return the alert as a mail. Nothing in its subject can start another header. Raises ValueError for no address."""
    # The standard library decodes encoded words (RFC 2047), so `=?utf-8?q?=0D=0ABcc:...?=` in a subject would become a
    # line break and a header. The space keeps it text. The body shows the name unchanged.
    subject = " ".join(alert.subject.split()).replace("=?", "= ?")
    message = EmailMessage(policy=POLICY)
    message["Subject"] = subject if len(subject) <= MOST_SUBJECT else f"{subject[: MOST_SUBJECT - 1]}…"
    message["From"] = address_of(sender)
    message["To"] = address_of(recipient)
    message["Date"] = datetime.now(UTC)
    message["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2])
    message["Auto-Submitted"] = "auto-generated"  # so that no out-of-office message answers (RFC 3834)
    message.set_content(alert.text)
    return message
