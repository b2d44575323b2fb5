"""Sends alerts to customers by e-mail, each with a link that stops them (RFC 8058), and records who wants none.

Delivery is at least once, as of all messages: an e-mail about money that is lost is worse than one that comes twice.
Its Message-ID is made of its content, so that many mailboxes show an e-mail that was sent twice only once.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from email.message import EmailMessage

from sqlalchemy import Connection

from fly_billing.alerting.channel import AlertNotSent, AlertWithdrawn
from fly_billing.alerting.mail import MailServer, address_of, message_of, send_mail
from fly_billing.alerting.rules.alerts import Alert
from fly_billing.customer_alerts.rules.unsubscribe_links import Unsubscription, digest_address, unsubscribe_token
from fly_billing.postgres.database import BillingDatabase, values

# The channel's name in the outbox.
NAME = "customer mail"
PATH = "/unsubscribe"
NO_ADDRESS = "the billing details have no valid e-mail address"


def recipient_of(connection: Connection, organization_id: str) -> str | None:
    """Return the address for an organization's alerts; None if there is none, or it wants no alerts.

    It is the one that was set for alerts, otherwise that of the billing details. If the first wants no alerts, the
    second gets none either.
    """
    for address in values(connection, "alert_recipient", organization_id=organization_id):
        if not values(
            connection, "is_unsubscribed", organization_id=organization_id, address_sha256=digest_address(address)
        ):
            return str(address)
    return None


def unsubscribe(database: BillingDatabase, wanted: Unsubscription) -> None:
    """Record that an address wants no alerts about an organization, with the rights of the API."""
    database.rows(
        "unsubscribe_from_alerts", organization_id=wanted.organization_id, address_sha256=wanted.address_sha256
    )


def subscribe_again(database: BillingDatabase, organization_id: str) -> int:
    """Send alerts again to every address of an organization that wanted none. Return the number of addresses."""
    return len(database.rows("subscribe_to_alerts", organization_id=organization_id))


@dataclass(frozen=True)
class CustomerMail:
    """E-mail to customers: to the address that they have for alerts when it is sent.

    Attributes:
        sender: The address in From.
        page_url: The public address of `fly-billing api`, to which links lead.
        secret: Signs the links.
    """

    database: BillingDatabase
    server: MailServer
    sender: str
    page_url: str
    secret: str = field(repr=False)
    name: str = NAME

    def post(self, alert: Alert) -> None:
        organization_id = alert.organization_id or ""
        with self.database.transaction() as connection:
            address = recipient_of(connection, organization_id)
        if address is None:
            raise AlertWithdrawn(self.name, alert, "no address wants it: removed, or unsubscribed")
        try:
            address_of(address)
        except ValueError:
            raise AlertNotSent(self.name, alert, NO_ADDRESS, is_permanent=True) from None
        send_mail(self.name, alert, self.server, self.message(alert, address))

    def message(self, alert: Alert, address: str) -> EmailMessage:
        """Return the e-mail to this address. Raises ValueError for an address that is none."""
        token = unsubscribe_token(self.secret, alert.organization_id or "", address)
        link = f"{self.page_url}{PATH}/{token}"
        footer = f"Stop e-mails about the spend of {alert.organization_id}:\n{link}"
        message = message_of(Alert(alert.code, alert.subject, f"{alert.body}\n\n{footer}\n"), self.sender, address)
        digest = hashlib.sha256(f"{address}\n{alert.text}".encode()).hexdigest()[:32]
        del message["Message-ID"]
        message["Message-ID"] = f"<{digest}@{self.sender.rpartition('@')[2]}>"
        message["List-Unsubscribe"] = f"<{link}>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        return message
