"""Shows the ledger's accounts, and posts events that are missing in it: `fly-billing ledger`."""

from __future__ import annotations

from fly_billing.cli.finance import Output, show_table
from fly_billing.cli.local_platform import local_platform
from fly_billing.cli.terminal import Terminal
from fly_billing.finance.ledger_table import ledger
from fly_billing.ledger.balances import post_missing
from fly_billing.money import counted
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase


def show_ledger(console: Terminal, organization: str | None, month: BillingMonth | None, output: Output) -> None:
    """Show the accounts and balances. Raises NoSuchOrganization."""
    show_table(console, ledger(organization, month), output)


def post_missing_events(console: Terminal) -> None:
    """Post missing events, and print their number."""
    with local_platform() as settings:
        posted = post_missing(BillingDatabase(settings.database_url))
    console.print(f"{counted(posted, 'event')} posted.")
