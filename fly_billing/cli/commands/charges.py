"""Commands for fees, one-off charges and credit of an organization."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

import typer

from fly_billing.cli.change_options import (
    PANEL,
    Amount,
    At,
    ChangeOptions,
    Description,
    Fee,
    FromDay,
    FromTime,
    NewFee,
    OfReference,
    Quantity,
    Reference,
    Started,
    UntilTime,
    at_time,
    changes,
)
from fly_billing.cli.parameters import (
    NumberArgument,
    Organization,
    TimeArgument,
    console,
    parse_decimal,
)

app = typer.Typer()
credit = typer.Typer(help="Grant credit to an organization.", no_args_is_help=True)
app.add_typer(credit, name="credit", rich_help_panel=PANEL)


@app.command(rich_help_panel=PANEL)
@changes
def subscribe(
    organization: Organization,
    key: Fee,
    start: FromTime = None,
    until: UntilTime = None,
    quantity: Quantity = Decimal(1),
    billed: Annotated[str, typer.Option(help="in_arrears or in_advance")] = "in_arrears",
    proration: Annotated[
        str, typer.Option(help="How parts of an interval are charged: second, day or none")
    ] = "second",
    anchor: Annotated[str, typer.Option(help="What intervals are counted from: calendar or start")] = "calendar",
    trial_until: Annotated[TimeArgument | None, at_time("--trial-until", "The fee is free until then")] = None,
    reference: Reference = "",
    *,
    options: ChangeOptions,
) -> None:
    """Subscribe an organization to a fee of its price book."""
    from fly_billing.cli.charges import subscribe as begin

    begin(
        console, options, organization, key, start, ended_at=until, quantity=quantity,
        billed=billed, proration=proration, anchor=anchor, trial_ends_at=trial_until, reference=reference,
    )  # fmt: skip


@app.command(rich_help_panel=PANEL)
@changes
def change_plan(
    organization: Organization,
    key: Fee,
    new: NewFee,
    at: At = None,
    quantity: Annotated[
        NumberArgument | None,
        typer.Option(metavar="NUMBER", help="Default: as many as before", parser=parse_decimal),
    ] = None,
    started: Started = None,
    reference: OfReference = None,
    *,
    options: ChangeOptions,
) -> None:
    """End a subscription at an instant and begin another one: another plan, or more seats."""
    from fly_billing.cli.charges import replace_plan

    replace_plan(
        console, options, organization, key, new, at, quantity=quantity, started_at=started,
        reference=reference,
    )  # fmt: skip


@app.command(rich_help_panel=PANEL)
@changes
def cancel(
    organization: Organization,
    key: Fee,
    at: At = None,
    month_end: Annotated[bool, typer.Option("--month-end", help="At the end of that month")] = False,
    started: Started = None,
    reference: OfReference = None,
    *,
    options: ChangeOptions,
) -> None:
    """End a subscription. Fees paid for the time after its end go back."""
    from fly_billing.cli.charges import end_fee

    end_fee(
        console, options, organization, key, at, at_month_end=month_end, started_at=started,
        reference=reference,
    )  # fmt: skip


@app.command(rich_help_panel=PANEL)
@changes
def charge(
    organization: Organization,
    amount: Amount,
    description: Description,
    on: Annotated[TimeArgument | None, at_time("--on", "When it occurred. Default: the start of today")] = None,
    give_back: Annotated[bool, typer.Option("--give-back", help="Give the amount back instead")] = False,
    quantity: Quantity = Decimal(1),
    unit: Annotated[str, typer.Option(help="The unit of the quantity: the amount is of one")] = "item",
    product: Annotated[str, typer.Option(help="The product on the invoice")] = "One-off",
    reference: Reference = "",
    *,
    options: ChangeOptions,
) -> None:
    """Charge an amount once, on the invoice of the month. The same charge again on the same day changes nothing."""
    from fly_billing.cli.charges import charge as write

    write(
        console, options, organization, amount, on, gives_back=give_back, quantity=quantity,
        unit=unit, product=product, description=description, reference=reference,
    )  # fmt: skip


@credit.command("grant")
@changes
def grant_credit(
    organization: Organization,
    amount: Amount,
    description: Description,
    start: FromDay = None,
    expires: Annotated[TimeArgument | None, at_time("--expires", "When it expires. Default: never")] = None,
    prepaid: Annotated[bool, typer.Option("--prepaid", help="The customer's money: it also pays taxes")] = False,
    priority: Annotated[int, typer.Option(help="Lower ones are used first")] = 0,
    reference: Reference = "",
    *,
    options: ChangeOptions,
) -> None:
    """Grant credit that pays invoices until it expires or is used up."""
    from fly_billing.cli.charges import grant_credit as grant

    grant(
        console, options, organization, amount, start, description=description,
        expires_at=expires, pays="gross" if prepaid else "net", priority=priority, reference=reference,
    )  # fmt: skip
