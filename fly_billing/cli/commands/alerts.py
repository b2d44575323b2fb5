"""Commands about alerts: spend alerts of organizations, and a test of the channels."""

from __future__ import annotations

from typing import Annotated

import typer

from fly_billing.cli.parameters import OptionalOrganization, Organization, console, exit_with

PANEL = "Alerts"

app = typer.Typer()
spend_alert = typer.Typer(
    help="Alerts when an organization's upcoming invoice reaches an amount.", no_args_is_help=True
)
app.add_typer(spend_alert, name="spend-alert", rich_help_panel=PANEL)
Threshold = Annotated[str, typer.Argument(help="In the organization's currency: 250 or 99.50")]


@spend_alert.command("add")
def add_spend_alert(organization: Organization, amount: Threshold) -> None:
    """Alert once a month when the organization's upcoming invoice reaches this amount."""
    from fly_billing.cli.spend_alerts import add

    add(console, organization, amount)


@spend_alert.command("remove")
def remove_spend_alert(organization: Organization, amount: Threshold) -> None:
    """Remove the alert at this amount."""
    from fly_billing.cli.spend_alerts import remove

    remove(console, organization, amount)


@spend_alert.command("list")
def list_spend_alerts(organization: OptionalOrganization = None) -> None:
    """List the alerts, with the last month in which each was sent."""
    from fly_billing.cli.spend_alerts import show

    show(console, organization)


@app.command(rich_help_panel=PANEL)
def alert_test() -> None:
    """Send a test alert to every configured channel and show the results. Exits 1 if one failed."""
    from fly_billing.cli.alerts import send_test_alert

    exit_with(send_test_alert(console))
