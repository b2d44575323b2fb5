"""Makes and revokes links to customer pages: `fly-billing page-link` and `revoke-page-link`."""

from __future__ import annotations

import getpass
import json
from datetime import UTC, datetime

from fly_billing.api.page_links import PageLinks, link_id_of, make_link, revoke_link
from fly_billing.cli.local_platform import local_platform
from fly_billing.cli.terminal import Terminal
from fly_billing.periods import moment_text
from fly_billing.postgres.database import BillingDatabase
from fly_billing.settings import Settings


def print_link(console: Terminal, organization: str, days: int, *, as_json: bool) -> None:
    """Make a link and print it.

    Raises:
        NoSuchOrganization: No organization has this id.
        SettingsError: There is no secret to sign it, or it is too short.
    """
    links = PageLinks.of(Settings.from_environment())
    with local_platform() as settings:
        made = make_link(BillingDatabase(settings.database_url), links, organization, days, datetime.now(UTC))
    if as_json:
        print(json.dumps(made.as_data(), indent=2))
        return
    console.print(made.url, soft_wrap=True)
    until = moment_text(made.shown.expires_at)
    console.print(f"Whoever has this link can read the page of {organization}, until {until} UTC", soft_wrap=True)
    console.print(f"Its id is {made.shown.id}: `fly-billing revoke-page-link ID` ends it", soft_wrap=True)


def revoke(console: Terminal, link: str) -> None:
    """Revoke a link, named by its address or its id. Raises NotALink."""
    link_id = link_id_of(link)
    with local_platform() as settings:
        is_new = revoke_link(BillingDatabase(settings.database_url), link_id, getpass.getuser())
    outcome = "Revoked the link" if is_new else "This link was revoked before:"
    console.print(f"{outcome} {link_id}: it opens no page any more", soft_wrap=True)
