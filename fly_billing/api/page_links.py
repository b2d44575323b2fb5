"""Makes, reads and revokes links to the customer page. Links are signed with the secrets of the settings.

Of a link, only its revocation is stored.
Not here: the text of a link (`api.rules.links`), and the page (`api.page_routes`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from fly_billing.api.rules.links import PageLink, read_link, read_link_id, write_link
from fly_billing.errors import ActionableError
from fly_billing.foreign_text import visible
from fly_billing.postgres.database import BillingDatabase, rows, values
from fly_billing.postgres.organizations import organization_name
from fly_billing.settings import Settings, SettingsError

# The page's path; the link's text follows.
PAGE_PATH = "/statement/"


class NotALink(ActionableError):
    """The text is neither a link that can be revoked nor the id of one. The message says why."""


@dataclass(frozen=True)
class MadeLink:
    """A link that was just made. `url` opens the page: never log it."""

    url: str
    shown: PageLink

    def as_data(self) -> dict[str, Any]:
        """Return JSON-ready data, with the link."""
        return {
            "id": str(self.shown.id),
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
        shown = PageLink(organization_id, now.replace(microsecond=0) + timedelta(days=days), uuid4())
        return MadeLink(self.address + PAGE_PATH + write_link(shown, self.secrets[0]), shown)

    def read(self, text: str, now: datetime) -> PageLink | None:
        """Return what the link shows; None if it does not work. It may be revoked: see `is_revoked`."""
        return read_link(text, self.secrets, now)


def make_link(database: BillingDatabase, links: PageLinks, organization_id: str, days: int, now: datetime) -> MadeLink:
    """Make a link for an organization. Raises NoSuchOrganization, SettingsError."""
    with database.transaction() as connection:
        organization_name(connection, organization_id)
    return links.make(organization_id, days, now)


def is_revoked(database: BillingDatabase, link: PageLink) -> bool:
    """Return True if somebody revoked this link. One without an id can't be revoked."""
    return link.id is not None and bool(database.values("revoked_page_link", id=link.id))


def revoke_link(database: BillingDatabase, link_id: UUID, who: str) -> bool:
    """Revoke a link, for good: the next request with it is refused. Return False if it was revoked before.

    Links are not stored, so an id that no link has is recorded as well.
    """
    with database.transaction() as connection:
        rows(connection, "set_audit_context", who=who, why="")
        (is_new,) = values(connection, "revoke_page_link", id=link_id)
        return bool(is_new)


def revoke_link_with_token(database: BillingDatabase, link_id: UUID, token_id: UUID) -> None:
    """Revoke a link with the rights of the role that can only read, and with an issuer's token."""
    database.values("revoke_page_link_with_token", token_id=token_id, id=link_id)


def link_id_of(text: str) -> UUID:
    """Return the id of a link, of which the text is the id or the address. Raises NotALink."""
    address = text.strip().partition("#")[0].partition("?")[0]
    last = address.rstrip("/").rpartition("/")[2]
    try:
        return UUID(last)
    except ValueError:
        found = read_link_id(last)
    if found is None:
        raise NotALink(
            f"{visible(repr(text))} is neither a link to a page nor the id of one. A link that an earlier version made"
            " has no id: it works until it expires, or until FLY_BILLING_LINK_SECRET changes"
        )
    return found
