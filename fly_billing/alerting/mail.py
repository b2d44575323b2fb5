"""Sends alerts by e-mail over SMTP, with the standard library.

Each address gets its own message, so that a refused address is retried without sending the alert to the others twice.
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

# Seconds to wait for an answer.
PATIENCE = 20
PORTS = {"smtp": 587, "smtps": 465}
MOST_SUBJECT = 200


@dataclass(frozen=True)
class MailServer:
    """The mail server that accepts our messages.

    Attributes:
        is_smtps: The connection starts with TLS. Otherwise it uses STARTTLS if the server offers it.
        patience: How many seconds to wait for an answer.
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

    def connect(self) -> smtplib.SMTP:
        """Return a session: encrypted if the server supports it, and logged in if there is a password.

        Raises SMTPException and OSError. A password is never sent to another machine in the clear.
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

    A recipient or a content that is refused with 5xx is refused for good; everything else may be over later.
    """
    sender, recipient = (message[name].addresses[0].addr_spec for name in ("From", "To"))
    try:
        session = server.connect()
        try:
            session.send_message(message, sender, [recipient])
        finally:
            with contextlib.suppress(smtplib.SMTPException, OSError):
                session.quit()  # a failed goodbye changes nothing: the mail was accepted or refused before
    except smtplib.SMTPRecipientsRefused as refused:
        code, words = refused.recipients[recipient]
        raise AlertNotSent(channel, alert, _reason(code, words), is_permanent=500 <= code < 600) from None
    except smtplib.SMTPDataError as refused:
        is_permanent = 500 <= refused.smtp_code < 600
        raise AlertNotSent(
            channel, alert, _reason(refused.smtp_code, refused.smtp_error), is_permanent=is_permanent
        ) from None
    except smtplib.SMTPResponseException as refused:
        raise AlertNotSent(channel, alert, _reason(refused.smtp_code, refused.smtp_error)) from None
    except (smtplib.SMTPException, OSError) as problem:
        raise AlertNotSent(channel, alert, str(problem) or type(problem).__name__) from None
    except (MessageError, ValueError) as problem:
        # The message about a password that can't be encoded repeats a part of it.
        raise AlertNotSent(channel, alert, type(problem).__name__) from None


def _reason(code: int, words: bytes | str) -> str:
    return f"{code} {words.decode(errors='replace') if isinstance(words, bytes) else words}"


def message_of(alert: Alert, sender: str, recipient: str) -> EmailMessage:
    """Return the alert as a mail. Nothing in its subject can start another header."""
    # The standard library decodes encoded words (RFC 2047), so `=?utf-8?q?=0D=0ABcc:...?=` in a subject would become a
    # line break and a header. The space keeps it text. The body shows the name unchanged.
    subject = " ".join(alert.subject.split()).replace("=?", "= ?")
    message = EmailMessage(policy=SMTP)
    message["Subject"] = subject if len(subject) <= MOST_SUBJECT else f"{subject[: MOST_SUBJECT - 1]}…"
    message["From"] = Address(addr_spec=sender)
    message["To"] = Address(addr_spec=recipient)
    message["Date"] = datetime.now(UTC)
    message["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2])
    message["Auto-Submitted"] = "auto-generated"  # so that no out-of-office message answers (RFC 3834)
    message.set_content(alert.text)
    return message
