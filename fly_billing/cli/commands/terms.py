"""Commands for coupons, commitments, taxes and payers of an organization."""

from __future__ import annotations

from typing import Annotated

import typer

from fly_billing.cli.change_options import (
    PANEL,
    Amount,
    ChangeOptions,
    Code,
    Description,
    FromMonth,
    Payer,
    Percent,
    Reference,
    UntilMonth,
    at_time,
    changes,
    in_month,
)
from fly_billing.cli.parameters import (
    MonthArgument,
    NumberArgument,
    Organization,
    TimeArgument,
    console,
    parse_decimal,
)

app = typer.Typer()
coupon = typer.Typer(help="Add coupons, and give them to organizations.", no_args_is_help=True)
tax = typer.Typer(help="Tax an organization.", no_args_is_help=True)
for name, group in (("coupon", coupon), ("tax", tax)):
    app.add_typer(group, name=name, rich_help_panel=PANEL)


@coupon.command("add")
@changes
def add_coupon(
    code: Code,
    description: Description,
    percent: Annotated[
        NumberArgument | None, typer.Option(metavar="PERCENT", help="The percentage off", parser=parse_decimal)
    ] = None,
    amount: Annotated[str | None, typer.Option(metavar="AMOUNT", help="Or the amount off: 5.00")] = None,
    currency: Annotated[str | None, typer.Option(help="The currency of the amount. Default: USD")] = None,
    months: Annotated[int | None, typer.Option(help="For how many months. Default: no end")] = None,
    redeem_by: Annotated[TimeArgument | None, at_time("--redeem-by", "It can be given until then")] = None,
    most: Annotated[int | None, typer.Option(help="How often it can be given")] = None,
    *,
    options: ChangeOptions,
) -> None:
    """Add a coupon, or change one that reduced no final invoice."""
    from fly_billing.cli.terms import add_coupon as add

    add(
        console, options, code, amount, currency, description=description, percent=percent,
        months=months, redeem_by=redeem_by, most_redemptions=most,
    )  # fmt: skip


@coupon.command("give")
@changes
def give_coupon(
    organization: Organization,
    code: Code,
    start: FromMonth = None,
    until: UntilMonth = None,
    *,
    options: ChangeOptions,
) -> None:
    """Give a coupon to an organization, for as many months as the coupon says."""
    from fly_billing.cli.terms import give_coupon as give

    give(console, options, organization, code, start, until)


@app.command(rich_help_panel=PANEL)
@changes
def commit(
    organization: Organization,
    amount: Amount,
    start: FromMonth = None,
    until: UntilMonth = None,
    months: Annotated[int, typer.Option(help="The amount is for so many months together")] = 1,
    maximum: Annotated[bool, typer.Option("--maximum", help="At most this amount, not at least")] = False,
    description: Annotated[str | None, typer.Option(help="The text on the invoice. Default: the amount")] = None,
    reference: Reference = "",
    *,
    options: ChangeOptions,
) -> None:
    """Agree on the least, or the most, that an organization pays in a month or in several together."""
    from fly_billing.cli.terms import commit as agree

    agree(
        console, options, organization, amount, start, description, last_month=until,
        months=months, kind="maximum" if maximum else "minimum", reference=reference,
    )  # fmt: skip


@tax.command("add")
@changes
def add_tax(
    organization: Organization,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The tax: VAT")],
    percent: Percent,
    start: FromMonth = None,
    until: UntilMonth = None,
    inclusive: Annotated[bool, typer.Option("--inclusive", help="Prices contain it")] = False,
    category: Annotated[
        str, typer.Option(help="standard, reduced, zero, exempt, reverse_charge or outside")
    ] = "standard",
    legal_text: Annotated[str | None, typer.Option(help="The law, for the invoice")] = None,
    *,
    options: ChangeOptions,
) -> None:
    """Tax an organization at a rate of its own. Its present rate of that tax ends with the month before."""
    from fly_billing.cli.terms import add_tax as add

    add(
        console, options, organization, name, percent, start, last_month=until,
        is_inclusive=inclusive, category=category, legal_text=legal_text,
    )  # fmt: skip


@tax.command("status")
@changes
def set_tax_status(
    organization: Organization,
    location: Annotated[str | None, typer.Option(help="Where it is: DE, or CA-QC")] = None,
    kind: Annotated[str | None, typer.Option(help="Its kind, as the price book's taxes name it: business")] = None,
    start: FromMonth = None,
    *,
    options: ChangeOptions,
) -> None:
    """Say where an organization is or of which kind, which selects taxes of its price book. The other one stays."""
    from fly_billing.cli.terms import set_tax_status as write

    write(console, options, organization, start, location, kind)


@app.command(rich_help_panel=PANEL)
@changes
def link(
    organization: Organization,
    payer: Payer,
    start: Annotated[
        MonthArgument | None, in_month("--from", "First month. Default: that of its link, or the current one")
    ] = None,
    until: UntilMonth = None,
    *,
    options: ChangeOptions,
) -> None:
    """Put an organization on the invoice of its payer. With --until, end its link."""
    from fly_billing.cli.terms import link as write

    write(console, options, organization, payer, start, until)
