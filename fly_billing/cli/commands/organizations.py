"""Commands that add, list, show, change and close organizations."""

from __future__ import annotations

from typing import Annotated

import typer

from fly_billing.cli.change_options import (
    PANEL,
    At,
    ChangeOptions,
    at_time,
    changes,
    in_month,
)
from fly_billing.cli.parameters import (
    ExactJson,
    MonthArgument,
    Organization,
    TimeArgument,
    console,
    wide_console,
)

app = typer.Typer()
org = typer.Typer(help="Add, list, show, change and close organizations.", no_args_is_help=True)
app.add_typer(org, name="org", rich_help_panel=PANEL)


@org.command("add")
@changes
def add_organization(
    organization: Annotated[str, typer.Argument(metavar="ORG", help="Its id in usage: a-z, 0-9 and hyphens")],
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Its name. Default: the id")] = None,
    currency: Annotated[str, typer.Option(help="The currency of its invoices, ISO 4217")] = "USD",
    book: Annotated[str, typer.Option(help="Its price book")] = "fly",
    since: Annotated[TimeArgument | None, at_time("--since", "When it became a customer. Default: now")] = None,
    stripe_customer: Annotated[str | None, typer.Option(help="Its customer in Stripe, if there is one")] = None,
    *,
    options: ChangeOptions,
) -> None:
    """Add an organization. It is billed from the month in which it became a customer."""
    from fly_billing.cli.organizations import add

    facts = {"currency": currency.upper(), "price_book": book, "created_at": since}
    add(console, options, organization, name, stripe_customer_id=stripe_customer, **facts)


@org.command("list")
def list_organizations(
    word: Annotated[str | None, typer.Argument(metavar="WORD", help="Only those with this in id or name")] = None,
    closed: Annotated[bool, typer.Option("--closed", help="Also those that closed their account")] = False,
    as_json: ExactJson = False,
) -> None:
    """List organizations, with their price books and payers."""
    from fly_billing.cli.organizations import show_all

    show_all(wide_console(), word, with_closed=closed, as_json=as_json)


@org.command("show")
def show_organization(organization: Organization, as_json: ExactJson = False) -> None:
    """Show an organization and all its terms."""
    from fly_billing.cli.organizations import show

    show(wide_console(), organization, as_json=as_json)


@org.command("rename")
@changes
def rename_organization(
    organization: Organization,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its new name, for later invoices")],
    *,
    options: ChangeOptions,
) -> None:
    """Rename an organization. Its id and its final invoices stay."""
    from fly_billing.cli.organizations import rename

    rename(console, options, organization, name)


@org.command("change")
@changes
def change_organization(
    organization: Organization,
    currency: Annotated[str | None, typer.Option(help="The currency of its invoices, ISO 4217")] = None,
    book: Annotated[str | None, typer.Option(help="Its price book")] = None,
    start: Annotated[
        MonthArgument | None, in_month("--from", "First month. Default: the first without a final invoice")
    ] = None,
    *,
    options: ChangeOptions,
) -> None:
    """Bill an organization in another currency or by another price book. Final invoices stay."""
    from fly_billing.cli.organizations import change_pricing

    change_pricing(console, options, organization, currency, book, start)


@org.command("close")
@changes
def close_organization(organization: Organization, at: At = None, *, options: ChangeOptions) -> None:
    """Close an account: ends its fees at the instant, and its commitments with the month. Later usage is billed."""
    from fly_billing.cli.organizations import close

    close(console, options, organization, at)


@org.command("reopen")
@changes
def reopen_organization(organization: Organization, *, options: ChangeOptions) -> None:
    """Open a closed account again. Its terms stay as they ended."""
    from fly_billing.cli.organizations import reopen

    reopen(console, options, organization)


@org.command("details")
@changes
def change_details(
    organization: Organization,
    legal_name: Annotated[str | None, typer.Option(help="The name on invoices")] = None,
    email: Annotated[str | None, typer.Option(help="Where Stripe sends invoices and receipts")] = None,
    line1: Annotated[str | None, typer.Option(help="Street and number")] = None,
    line2: Annotated[str | None, typer.Option(help="The rest of the street address")] = None,
    postal_code: Annotated[str | None, typer.Option(help="The postal code")] = None,
    city: Annotated[str | None, typer.Option(help="The city")] = None,
    state: Annotated[str | None, typer.Option(help="The state")] = None,
    country: Annotated[str | None, typer.Option(help="ISO 3166, as DE")] = None,
    tax_ids: Annotated[str | None, typer.Option(help="With commas: eu_vat:DE123456789")] = None,
    collection: Annotated[str | None, typer.Option(help="charge_automatically or send_invoice")] = None,
    net_days: Annotated[int | None, typer.Option(help="Days from finalization to the due date")] = None,
    purchase_order: Annotated[str | None, typer.Option(help="The customer's order number")] = None,
    memo: Annotated[str | None, typer.Option(help="A text on each invoice")] = None,
    footer: Annotated[str | None, typer.Option(help="The text below each invoice")] = None,
    *,
    options: ChangeOptions,
) -> None:
    """Change the customer on later invoices. Details that are not given stay; an empty text clears one."""
    from fly_billing.cli.organizations import change_details as change

    change(
        console, options, organization, legal_name=legal_name, email=email, line1=line1,
        line2=line2, postal_code=postal_code, city=city, state=state, country=country, tax_ids=tax_ids,
        collection=collection, net_days=net_days, purchase_order=purchase_order, memo=memo, footer=footer,
    )  # fmt: skip
