"""Commands about alerts: customers' spend alerts and caps, and a test of the operators' channels."""

from __future__ import annotations

from typing import Annotated

import typer

from fly_billing.cli.parameters import (
    OptionalOrganization,
    Organization,
    console,
    exit_with,
    parse_time,
    wide_console,
)

PANEL = "Alerts"

app = typer.Typer()
spend_alert = typer.Typer(help="Alerts to customers when a month's spend reaches an amount.", no_args_is_help=True)
spend_cap = typer.Typer(help="Amounts at which the platform is called, to stop machines.", no_args_is_help=True)
app.add_typer(spend_alert, name="spend-alert", rich_help_panel=PANEL)
app.add_typer(spend_cap, name="spend-cap", rich_help_panel=PANEL)
Threshold = Annotated[str, typer.Argument(help="In the organization's currency: 250 or 99.50; or 150% of last month")]
Amount = Annotated[str, typer.Argument(help="In the organization's currency: 250 or 99.50")]
App = Annotated[str | None, typer.Option("--app", help="The part of this app")]
Product = Annotated[str | None, typer.Option("--product", help="The part of this product")]
Forecast = Annotated[bool, typer.Option("--forecast", help="The estimate for the month's end")]


@spend_alert.command("add")
def add_spend_alert(
    organization: Organization,
    amount: Threshold,
    part_app: App = None,
    product: Product = None,
    forecast: Forecast = False,
) -> None:
    """Alert the customer, once a month, when the upcoming invoice or a part of it reaches this amount."""
    from fly_billing.cli.spend_alerts import add, kind_of

    kind, subject = kind_of(part_app, product, forecast=forecast)
    add(console, organization, amount, kind, subject)


@spend_alert.command("remove")
def remove_spend_alert(
    organization: Organization,
    amount: Threshold,
    part_app: App = None,
    product: Product = None,
    forecast: Forecast = False,
) -> None:
    """Remove the alert at this amount."""
    from fly_billing.cli.spend_alerts import kind_of, remove

    kind, subject = kind_of(part_app, product, forecast=forecast)
    remove(console, organization, amount, kind, subject)


@spend_alert.command("list")
def list_spend_alerts(organization: OptionalOrganization = None) -> None:
    """List the alerts, with the last month in which each was sent."""
    from fly_billing.cli.spend_alerts import show

    show(console, organization)


@spend_alert.command("messages")
def list_messages(
    organization: OptionalOrganization = None,
    given_up: Annotated[bool, typer.Option("--given-up", help="Only those that could not be delivered")] = False,
) -> None:
    """List the newest messages to customers: sent, waiting or given up."""
    from fly_billing.cli.spend_alerts import show_messages

    show_messages(wide_console(), organization, only_given_up=given_up)


@spend_alert.command("replay")
def replay_messages(
    organization: OptionalOrganization = None,
    since: Annotated[str | None, typer.Option(help="Made since this time, in UTC. Default: the last 7 days")] = None,
    sent: Annotated[bool, typer.Option("--sent", help="Also webhooks that the platform has taken")] = False,
) -> None:
    """Send messages again that were given up, with the same id."""
    from fly_billing.cli.spend_alerts import replay

    replay(console, organization, parse_time(since) if since else None, also_sent=sent)


@spend_alert.command("subscribe")
def subscribe(organization: Organization) -> None:
    """Send e-mails again to addresses that have stopped them."""
    from fly_billing.cli.spend_alerts import subscribe as subscribe_again

    subscribe_again(console, organization)


@spend_alert.command("set-address")
def set_alert_address(
    organization: Organization,
    email: Annotated[str, typer.Argument(help="Such as alerts@example.com")],
) -> None:
    """Send e-mails about spend to this address, in place of the billing address."""
    from fly_billing.cli.spend_alerts import set_address

    set_address(console, organization, email)


@spend_alert.command("remove-address")
def remove_alert_address(organization: Organization) -> None:
    """Send e-mails about spend to the billing address again."""
    from fly_billing.cli.spend_alerts import remove_address

    remove_address(console, organization)


@spend_cap.command("set")
def set_spend_cap(organization: Organization, amount: Amount) -> None:
    """Call the platform when a month of the organization reaches this amount, so that it can stop machines."""
    from fly_billing.cli.spend_alerts import set_cap

    set_cap(console, organization, amount)


@spend_cap.command("remove")
def remove_spend_cap(organization: Organization) -> None:
    """Remove the cap. If it was reached, the platform gets a call that it is lifted."""
    from fly_billing.cli.spend_alerts import remove_cap

    remove_cap(console, organization)


@spend_cap.command("list")
def list_spend_caps(organization: OptionalOrganization = None) -> None:
    """List the caps, with what the platform was told and whether it has acknowledged that."""
    from fly_billing.cli.spend_alerts import show_caps

    show_caps(wide_console(), organization)


@spend_cap.command("acknowledge")
def acknowledge_spend_cap(organization: Organization) -> None:
    """Acknowledge the newest call in place of the platform, so that it is no longer repeated."""
    from fly_billing.cli.spend_alerts import acknowledge_cap

    acknowledge_cap(console, organization)


@app.command(rich_help_panel=PANEL)
def alert_test() -> None:
    """Send a test alert to every configured channel and show the results. Exits 1 if one failed."""
    from fly_billing.cli.alerts import send_test_alert

    exit_with(send_test_alert(console))
