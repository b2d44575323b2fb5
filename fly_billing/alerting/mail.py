"""Sends alerts by e-mail (SMTP, the standard library's): to each address by itself, so that one that is refused is
tried again without telling the others twice.
"""

from __future__ import annotations

import contextlib
import smtplib
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import make_msgid
from urllib.parse import unquote, urlsplit

from fly_billing.alerting.channel import AlertNotSent
from fly_billing.alerting.rules.alerts import Alert
from fly_billing.credentials import is_this_machine
from fly_billing.settings import SettingsError

# Seconds without an answer.
PATIENCE = 20
PORTS = {"smtp": 587, "smtps": 465}
MOST_SUBJECT = 200


@dataclass(frozen=True)
class MailServer:
    """Where mail is handed in. `smtps`: TLS from the start; otherwise STARTTLS where the server offers it."""

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
                "SMTP_URL must be smtp://host:port or smtps://host:port, with user:password@ before the host where the"
                " server asks for them (percent-encoded)"
            )
        return cls(
            host=host,
            port=port or PORTS[scheme],
            is_smtps=scheme == "smtps",
            user=unquote(parts.username) if parts.username is not None else None,
            password=unquote(parts.password) if parts.password is not None else None,
        )

    def connect(self) -> smtplib.SMTP:
        """Return a session, encrypted where the server can, logged in where there is a password.

        Raises SMTPException and OSError; a password is not sent to another machine in the clear.
        """
        if self.is_smtps:
            session: smtplib.SMTP = smtplib.SMTP_SSL(self.host, self.port, timeout=self.patience, context=self.tls)
        else:
            session = smtplib.SMTP(self.host, self.port, timeout=self.patience)
        try:
            self._prepare(session)
        except BaseException:
            session.close()
            raise
        return session

    def _prepare(self, session: smtplib.SMTP) -> None:
        session.ehlo_or_helo_if_needed()
        is_safe = self.is_smtps or is_this_machine(self.host)
        if not self.is_smtps and session.has_extn("starttls"):
            session.starttls(context=self.tls)
            is_safe = True
        if self.user is not None and self.password is not None:
            if not is_safe:
                raise smtplib.SMTPException("it offers no STARTTLS, and the password is not sent in the clear")
            session.login(self.user, self.password)


@dataclass(frozen=True)
class MailChannel:
    """One address that gets alerts."""

    server: MailServer
    sender: str
    recipient: str

    @property
    def name(self) -> str:
        return f"mail to {self.recipient}"

    def post(self, alert: Alert) -> None:
        try:
            message = message_of(alert, self.sender, self.recipient)
            session = self.server.connect()
            try:
                session.send_message(message, self.sender, [self.recipient])
            finally:
                with contextlib.suppress(smtplib.SMTPException, OSError):
                    session.quit()  # whatever becomes of the farewell: the mail was taken, or it was not
        except smtplib.SMTPRecipientsRefused as refused:
            code, words = refused.recipients[self.recipient]
            raise AlertNotSent(self.name, alert, _said(code, words)) from None
        except smtplib.SMTPResponseException as refused:
            raise AlertNotSent(self.name, alert, _said(refused.smtp_code, refused.smtp_error)) from None
        except (smtplib.SMTPException, OSError) as problem:
            raise AlertNotSent(self.name, alert, str(problem) or type(problem).__name__) from None
        except (MessageError, ValueError) as problem:
            # The words of a password that can't be encoded show a part of it.
            raise AlertNotSent(self.name, alert, type(problem).__name__) from None


def _said(code: int, words: bytes | str) -> str:
    return f"{code} {words.decode(errors='replace') if isinstance(words, bytes) else words}"


def message_of(alert: Alert, sender: str, recipient: str) -> EmailMessage:
    """Return the alert as a mail; nothing in its subject can begin another header."""
    # `=?utf-8?q?=0D=0ABcc:...?=` is a line break and a header to the standard library, which decodes what it is given
    # (RFC 2047) and writes it as it stands: in a subject it stays text. The body has the name as it is written.
    subject = " ".join(alert.subject.split()).replace("=?", "= ?")
    message = EmailMessage(policy=SMTP)
    message["Subject"] = subject if len(subject) <= MOST_SUBJECT else f"{subject[: MOST_SUBJECT - 1]}…"
    message["From"] = Address(addr_spec=sender)
    message["To"] = Address(addr_spec=recipient)
    message["Date"] = datetime.now(UTC)
    message["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2])
    message["Auto-Submitted"] = "auto-generated"  # so that nobody's holiday notice answers (RFC 3834)
    message.set_content(alert.text)
    return message
