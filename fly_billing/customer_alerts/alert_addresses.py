"""The e-mail address for an organization's alerts, if it is not that of its billing details.

Only commands and the platform's backend set it, because our server sends mail to whomever it names. Not here: sending,
and addresses that want no alerts (`customer_alerts.customer_mail`).
"""

from __future__ import annotations

from uuid import UUID

from fly_billing.alerting.mail import address_of
from fly_billing.customer_alerts.thresholds import set_author
from fly_billing.errors import ActionableError
from fly_billing.foreign_text import visible
from fly_billing.postgres.database import BillingDatabase, rows, values
from fly_billing.postgres.organizations import organization_name

# The longest that an address can be (RFC 3696).
MOST_ADDRESS = 320


class AddressRefused(ActionableError):
    """The text is not an e-mail address, or the organization has none of its own. The message says which."""


def set_alert_address(database: BillingDatabase, organization_id: str, email: str, who: str) -> None:
    """Send the organization's alerts to this address from now on. Raises NoSuchOrganization, AddressRefused."""
    _check(email)
    with database.transaction() as connection:
        organization_name(connection, organization_id)
        set_author(connection, who)
        rows(connection, "set_alert_address", organization_id=organization_id, email=email)


def remove_alert_address(database: BillingDatabase, organization_id: str) -> None:
    """Send the alerts to the billing address again. Raises AddressRefused if they go there already."""
    with database.transaction() as connection:
        (was_set,) = values(connection, "remove_alert_address", organization_id=organization_id)
    if not was_set:
        raise AddressRefused(f"{visible(organization_id)} has no address of its own for alerts")


def set_alert_address_with_token(
    database: BillingDatabase, token_id: UUID, organization_id: str, email: str | None
) -> None:
    """Set or remove (None) the address with the rights of the role that can only read. Raises AddressRefused."""
    if email is not None:
        _check(email)
    database.values("set_alert_address_with_token", token_id=token_id, organization_id=organization_id, email=email)


def _check(email: str) -> None:
    try:
        # Postgres has the same rule: a quoted @ before the real one is valid, and nobody has such an address.
        if len(email) > MOST_ADDRESS or not email.isprintable() or email.count("@") != 1:
            raise ValueError
        address_of(email)
    except ValueError:
        raise AddressRefused(
            f"{visible(repr(email[:MOST_ADDRESS]))} is not an e-mail address, such as alerts@example.com"
        ) from None
