"""Makes and reads links to the customer page with the secrets of the settings. Nothing is stored.

Not here: the text of a link (`api.rules.links`), and the page (`api.page_routes`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from fly_billing.api.rules.links import PageLink, read_link, write_link
from fly_billing.postgres.database import BillingDatabase
from fly_billing.postgres.organizations import organization_name
from fly_billing.settings import Settings, SettingsError

# The page's path; the link's text follows.
PAGE_PATH = "/statement/"


@dataclass(frozen=True)
class MadeLink:
    """A link that was just made. `url` opens the page: never log it."""

    url: str
    shown: PageLink

    def as_data(self) -> dict[str, Any]:
        """Return JSON-ready data, with the link."""
        return {
            "url": self.url,
            "organization_id": self.shown.organization_id,
            "expires_at": self.shown.expires_at.isoformat(),
        }


@dataclass(frozen=True)
class PageLinks:
    """The secrets of links, and the address at which customers reach the page.

    Attributes:
        secrets: The first one signs; links of all of them work. Empty: there is no page.
        address: Such as `https://billing.example.com`.
    """

    secrets: tuple[str, ...] = field(default=(), repr=False)
    address: str = "http://127.0.0.1:8425"

    @classmethod
    def of(cls, settings: Settings) -> PageLinks:
        """Raises SettingsError if a secret is too short."""
        return cls(settings.link_secrets, settings.page_url or cls.address)

    def make(self, organization_id: str, days: int, now: datetime) -> MadeLink:
        """Make a link for an organization, which must exist. Raises SettingsError without a secret."""
        if not self.secrets:
            raise SettingsError(
                "FLY_BILLING_LINK_SECRET is not set, and it signs links: set it to a random text here and where"
                " `fly-billing api` runs (openssl rand -base64 32)"
            )
        shown = PageLink(organization_id, now.replace(microsecond=0) + timedelta(days=days))
        return MadeLink(self.address + PAGE_PATH + write_link(shown, self.secrets[0]), shown)

    def read(self, text: str, now: datetime) -> PageLink | None:
        """Return what the link shows; None if it does not work."""
        return read_link(text, self.secrets, now)


def make_link(database: BillingDatabase, links: PageLinks, organization_id: str, days: int, now: datetime) -> MadeLink:
    """Make a link for an organization. Raises NoSuchOrganization, SettingsError."""
    with database.transaction() as connection:
        organization_name(connection, organization_id)
    return links.make(organization_id, days, now)
