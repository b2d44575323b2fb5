"""Commands for negotiated prices of organizations, and for price groups."""

from __future__ import annotations

from typing import Annotated

import typer

from fly_billing.cli.change_options import (
    PANEL,
    At,
    ChangeOptions,
    FromTime,
    Group,
    PriceKey,
    UntilTime,
    changes,
)
from fly_billing.cli.completion import complete_group
from fly_billing.cli.parameters import ExactJson, Organization, console, wide_console
from fly_billing.foreign_text import visible

app = typer.Typer()
price = typer.Typer(help="Negotiate prices with an organization.", no_args_is_help=True)
groups = typer.Typer(help="Put organizations into price groups, and show who is in which.", no_args_is_help=True)
for name, group in (("price", price), ("group", groups)):
    app.add_typer(group, name=name, rich_help_panel=PANEL)


@price.command("override")
@changes
def override_price(
    organization: Organization,
    key: PriceKey,
    percent_off: Annotated[str | None, typer.Option(metavar="PERCENT", help="Off the list price: 10")] = None,
    unit_amount: Annotated[str | None, typer.Option(metavar="AMOUNT", help="Or a price of its own per unit")] = None,
    per: Annotated[str | None, typer.Option(metavar="NUMBER", help="The amount is for so many units")] = None,
    match: Annotated[
        str | None, typer.Option(metavar="NAME=VALUE", help="Only usage with these dimensions: region=ams,region=fra")
    ] = None,
    start: FromTime = None,
    until: UntilTime = None,
    *,
    options: ChangeOptions,
) -> None:
    """Negotiate a price of the organization's price book."""
    from fly_billing.cli.price_agreements import override_price as override

    override(
        console, options, organization, key, start, percent_off=percent_off,
        unit_amount=unit_amount, per=per, match=_dimensions(match), effective_until=until,
    )  # fmt: skip


@groups.command("list")
def list_group_members(
    holder: Annotated[
        str | None,
        typer.Argument(
            metavar="[GROUP]", help="Only this group, or the groups of this organization", autocompletion=complete_group
        ),
    ] = None,
    past: Annotated[bool, typer.Option("--past", help="Also those that ended")] = False,
    as_json: ExactJson = False,
) -> None:
    """List who is in which price group, from when, by which price book they are billed, and how many prices apply."""
    from fly_billing.cli.price_agreements import show_memberships

    show_memberships(wide_console(), holder, with_past=past, as_json=as_json)


@groups.command("join")
@changes
def join_price_group(
    organization: Organization, group: Group, start: FromTime = None, until: UntilTime = None, *, options: ChangeOptions
) -> None:
    """Give an organization the negotiated prices of a group."""
    from fly_billing.cli.price_agreements import join

    join(console, options, organization, group, start, until)


@groups.command("leave")
@changes
def leave_price_group(organization: Organization, group: Group, at: At = None, *, options: ChangeOptions) -> None:
    """End an organization's membership in a group. From then on it pays list prices, or those of its other groups."""
    from fly_billing.cli.price_agreements import leave

    leave(console, options, organization, group, at)


def _dimensions(text: str | None) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for part in filter(None, (text or "").split(",")):
        name, sign, value = part.partition("=")
        if not (name and sign and value):
            raise typer.BadParameter(visible(f"{part!r} is not a dimension: write it as region=ams"))
        found.setdefault(name.strip(), []).append(value.strip())
    return found
