"""Commands that add, change and end organizations and their terms."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

import typer

from fly_billing.cli.completion import complete_fee, complete_organization, complete_price
from fly_billing.cli.parameters import (
    ExactJson,
    MonthArgument,
    NumberArgument,
    Organization,
    TimeArgument,
    console,
    parse_decimal,
    parse_month,
    parse_time,
    wide_console,
)
from fly_billing.foreign_text import visible

PANEL = "Customers"

app = typer.Typer()
org = typer.Typer(help="Add, list, show, change and close organizations.", no_args_is_help=True)
credit = typer.Typer(help="Grant credit to an organization.", no_args_is_help=True)
coupon = typer.Typer(help="Add coupons, and give them to organizations.", no_args_is_help=True)
tax = typer.Typer(help="Tax an organization.", no_args_is_help=True)
price = typer.Typer(help="Negotiate prices with an organization.", no_args_is_help=True)
for name, group in (("org", org), ("credit", credit), ("coupon", coupon), ("tax", tax), ("price", price)):
    app.add_typer(group, name=name, rich_help_panel=PANEL)

DryRun = Annotated[bool, typer.Option("--dry-run", help="Make the change, show it, and take it back")]
Why = Annotated[str | None, typer.Option(help="The reason, for the history")]
Fee = Annotated[str, typer.Argument(metavar="KEY", help="The key of a fee", autocompletion=complete_fee)]
NewFee = Annotated[str, typer.Argument(metavar="NEW", help="The key of the new fee", autocompletion=complete_fee)]
PriceKey = Annotated[str, typer.Argument(metavar="KEY", help="The key of a price", autocompletion=complete_price)]
Amount = Annotated[
    str, typer.Argument(metavar="AMOUNT", help="In the organization's currency, with its decimals: 150.00")
]
Description = Annotated[str, typer.Argument(metavar="DESCRIPTION", help="The text on the invoice")]
Code = Annotated[str, typer.Argument(metavar="CODE", help="The coupon's code")]
Payer = Annotated[
    str, typer.Argument(metavar="PAYER", help="The organization that pays", autocompletion=complete_organization)
]
Reference = Annotated[str, typer.Option(help="Tells it from another one that is otherwise the same")]


def _time(name: str, text: str) -> Any:
    return typer.Option(name, metavar="TIME", help=f"{text}, in UTC: 2026-10-01T12:00", parser=parse_time)


def _month(name: str, text: str) -> Any:
    return typer.Option(name, metavar="YYYY-MM", help=text, parser=parse_month)


At = Annotated[TimeArgument | None, _time("--at", "When. Default: now")]
FromTime = Annotated[TimeArgument | None, _time("--from", "When it begins. Default: now")]
FromDay = Annotated[TimeArgument | None, _time("--from", "When it begins. Default: the start of today")]
UntilTime = Annotated[TimeArgument | None, _time("--until", "When it ends. Default: no end")]
FromMonth = Annotated[MonthArgument | None, _month("--from", "First month. Default: the current one")]
UntilMonth = Annotated[MonthArgument | None, _month("--until", "Last month. Default: no end")]
Started = Annotated[TimeArgument | None, _time("--started", "Of several, the one that began then")]
OfReference = Annotated[str | None, typer.Option("--reference", help="Of several, the one with this reference")]
Percent = Annotated[NumberArgument, typer.Argument(metavar="PERCENT", help="Such as 19 or 7.5", parser=parse_decimal)]
Quantity = Annotated[NumberArgument, typer.Option(metavar="NUMBER", help="The number of units", parser=parse_decimal)]


def _options(dry_run: bool, as_json: bool, why: str | None) -> Any:
    from fly_billing.cli.customers import ChangeOptions

    return ChangeOptions(dry_run, as_json, why)


# --- Organizations ----------------------------------------------------------------------------------------------------


@org.command("add")
def add_organization(
    organization: Annotated[str, typer.Argument(metavar="ORG", help="Its id in usage: a-z, 0-9 and hyphens")],
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Its name. Default: the id")] = None,
    currency: Annotated[str, typer.Option(help="The currency of its invoices, ISO 4217")] = "USD",
    book: Annotated[str, typer.Option(help="Its price book")] = "fly",
    since: Annotated[TimeArgument | None, _time("--since", "When it became a customer. Default: now")] = None,
    stripe_customer: Annotated[str | None, typer.Option(help="Its customer in Stripe, if there is one")] = None,
    dry_run: DryRun = False,
    as_json: ExactJson = False,
    why: Why = None,
) -> None:
    """Add an organization. It is billed from the month in which it became a customer."""
    from fly_billing.cli.customers import add

    facts = {"currency": currency.upper(), "price_book": book, "created_at": since}
    add(console, _options(dry_run, as_json, why), organization, name, stripe_customer_id=stripe_customer, **facts)


@org.command("list")
def list_organizations(
    word: Annotated[str | None, typer.Argument(metavar="WORD", help="Only those with this in id or name")] = None,
    closed: Annotated[bool, typer.Option("--closed", help="Also those that closed their account")] = False,
    as_json: ExactJson = False,
) -> None:
    """List organizations, with their price books and payers."""
    from fly_billing.cli.customers import show_all

    show_all(wide_console(), word, with_closed=closed, as_json=as_json)


@org.command("show")
def show_organization(organization: Organization, as_json: ExactJson = False) -> None:
    """Show an organization and all its terms."""
    from fly_billing.cli.customers import show

    show(wide_console(), organization, as_json=as_json)


@org.command("rename")
def rename_organization(
    organization: Organization,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its new name, for later invoices")],
    dry_run: DryRun = False,
    as_json: ExactJson = False,
    why: Why = None,
) -> None:
    """Rename an organization. Its id and its final invoices stay."""
    from fly_billing.cli.customers import rename

    rename(console, _options(dry_run, as_json, why), organization, name)


@org.command("change")
def change_organization(
    organization: Organization,
    currency: Annotated[str | None, typer.Option(help="The currency of its invoices, ISO 4217")] = None,
    book: Annotated[str | None, typer.Option(help="Its price book")] = None,
    start: Annotated[
        MonthArgument | None, _month("--from", "First month. Default: the first without a final invoice")
    ] = None,
    dry_run: DryRun = False,
    as_json: ExactJson = False,
    why: Why = None,
) -> None:
    """Bill an organization in another currency or by another price book. Final invoices stay."""
    from fly_billing.cli.customers import change_pricing

    change_pricing(console, _options(dry_run, as_json, why), organization, currency, book, start)


@org.command("close")
def close_organization(
    organization: Organization, at: At = None, dry_run: DryRun = False, as_json: ExactJson = False, why: Why = None
) -> None:
    """Close an account: ends its fees at the instant, and its commitments with the month. Later usage is billed."""
    from fly_billing.cli.customers import close

    close(console, _options(dry_run, as_json, why), organization, at)


@org.command("reopen")
def reopen_organization(
    organization: Organization, dry_run: DryRun = False, as_json: ExactJson = False, why: Why = None
) -> None:
    """Open a closed account again. Its terms stay as they ended."""
    from fly_billing.cli.customers import reopen

    reopen(console, _options(dry_run, as_json, why), organization)


@org.command("details")
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
    dry_run: DryRun = False,
    as_json: ExactJson = False,
    why: Why = None,
) -> None:
    """Change the customer on later invoices. Details that are not given stay; an empty text clears one."""
    from fly_billing.cli.customers import change_details as change

    change(
        console, _options(dry_run, as_json, why), organization, legal_name=legal_name, email=email, line1=line1,
        line2=line2, postal_code=postal_code, city=city, state=state, country=country, tax_ids=tax_ids,
        collection=collection, net_days=net_days, purchase_order=purchase_order, memo=memo, footer=footer,
    )  # fmt: skip


# --- Fees and charges -------------------------------------------------------------------------------------------------


@app.command(rich_help_panel=PANEL)
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
    trial_until: Annotated[TimeArgument | None, _time("--trial-until", "The fee is free until then")] = None,
    reference: Reference = "",
    dry_run: DryRun = False,
    as_json: ExactJson = False,
    why: Why = None,
) -> None:
    """Subscribe an organization to a fee of its price book."""
    from fly_billing.cli.customers import subscribe as begin

    begin(
        console, _options(dry_run, as_json, why), organization, key, start, ended_at=until, quantity=quantity,
        billed=billed, proration=proration, anchor=anchor, trial_ends_at=trial_until, reference=reference,
    )  # fmt: skip


@app.command(rich_help_panel=PANEL)
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
    dry_run: DryRun = False,
    as_json: ExactJson = False,
    why: Why = None,
) -> None:
    """End a subscription at an instant and begin another one: another plan, or more seats."""
    from fly_billing.cli.customers import replace_plan

    replace_plan(
        console, _options(dry_run, as_json, why), organization, key, new, at, quantity=quantity, started_at=started,
        reference=reference,
    )  # fmt: skip


@app.command(rich_help_panel=PANEL)
def cancel(
    organization: Organization,
    key: Fee,
    at: At = None,
    month_end: Annotated[bool, typer.Option("--month-end", help="At the end of that month")] = False,
    started: Started = None,
    reference: OfReference = None,
    dry_run: DryRun = False,
    as_json: ExactJson = False,
    why: Why = None,
) -> None:
    """End a subscription. Fees paid for the time after its end go back."""
    from fly_billing.cli.customers import end_fee

    end_fee(
        console, _options(dry_run, as_json, why), organization, key, at, at_month_end=month_end, started_at=started,
        reference=reference,
    )  # fmt: skip


@app.command(rich_help_panel=PANEL)
def charge(
    organization: Organization,
    amount: Amount,
    description: Description,
    on: Annotated[TimeArgument | None, _time("--on", "When it occurred. Default: the start of today")] = None,
    give_back: Annotated[bool, typer.Option("--give-back", help="Give the amount back instead")] = False,
    quantity: Quantity = Decimal(1),
    unit: Annotated[str, typer.Option(help="The unit of the quantity: the amount is of one")] = "item",
    product: Annotated[str, typer.Option(help="The product on the invoice")] = "One-off",
    reference: Reference = "",
    dry_run: DryRun = False,
    as_json: ExactJson = False,
    why: Why = None,
) -> None:
    """Charge an amount once, on the invoice of the month. The same charge again on the same day changes nothing."""
    from fly_billing.cli.customers import charge as write

    write(
        console, _options(dry_run, as_json, why), organization, amount, on, gives_back=give_back, quantity=quantity,
        unit=unit, product=product, description=description, reference=reference,
    )  # fmt: skip


@credit.command("grant")
def grant_credit(
    organization: Organization,
    amount: Amount,
    description: Description,
    start: FromDay = None,
    expires: Annotated[TimeArgument | None, _time("--expires", "When it expires. Default: never")] = None,
    prepaid: Annotated[bool, typer.Option("--prepaid", help="The customer's money: it also pays taxes")] = False,
    priority: Annotated[int, typer.Option(help="Lower ones are used first")] = 0,
    reference: Reference = "",
    dry_run: DryRun = False,
    as_json: ExactJson = False,
    why: Why = None,
) -> None:
    """Grant credit that pays invoices until it expires or is used up."""
    from fly_billing.cli.customers import grant_credit as grant

    grant(
        console, _options(dry_run, as_json, why), organization, amount, start, description=description,
        expires_at=expires, pays="gross" if prepaid else "net", priority=priority, reference=reference,
    )  # fmt: skip


# --- Coupons, commitments, taxes, payers and prices -------------------------------------------------------------------


@coupon.command("add")
def add_coupon(
    code: Code,
    description: Description,
    percent: Annotated[
        NumberArgument | None, typer.Option(metavar="PERCENT", help="The percentage off", parser=parse_decimal)
    ] = None,
    amount: Annotated[str | None, typer.Option(metavar="AMOUNT", help="Or the amount off: 5.00")] = None,
    currency: Annotated[str | None, typer.Option(help="The currency of the amount. Default: USD")] = None,
    months: Annotated[int | None, typer.Option(help="For how many months. Default: no end")] = None,
    redeem_by: Annotated[TimeArgument | None, _time("--redeem-by", "It can be given until then")] = None,
    most: Annotated[int | None, typer.Option(help="How often it can be given")] = None,
    dry_run: DryRun = False,
    as_json: ExactJson = False,
    why: Why = None,
) -> None:
    """Add a coupon, or change one that reduced no final invoice."""
    from fly_billing.cli.customers import add_coupon as add

    add(
        console, _options(dry_run, as_json, why), code, amount, currency, description=description, percent=percent,
        months=months, redeem_by=redeem_by, most_redemptions=most,
    )  # fmt: skip


@coupon.command("give")
def give_coupon(
    organization: Organization,
    code: Code,
    start: FromMonth = None,
    until: UntilMonth = None,
    dry_run: DryRun = False,
    as_json: ExactJson = False,
    why: Why = None,
) -> None:
    """Give a coupon to an organization, for as many months as the coupon says."""
    from fly_billing.cli.customers import give_coupon as give

    give(console, _options(dry_run, as_json, why), organization, code, start, until)


@app.command(rich_help_panel=PANEL)
def commit(
    organization: Organization,
    amount: Amount,
    start: FromMonth = None,
    until: UntilMonth = None,
    months: Annotated[int, typer.Option(help="The amount is for so many months together")] = 1,
    maximum: Annotated[bool, typer.Option("--maximum", help="At most this amount, not at least")] = False,
    description: Annotated[str | None, typer.Option(help="The text on the invoice. Default: the amount")] = None,
    reference: Reference = "",
    dry_run: DryRun = False,
    as_json: ExactJson = False,
    why: Why = None,
) -> None:
    """Agree on the least, or the most, that an organization pays in a month or in several together."""
    from fly_billing.cli.customers import commit as agree

    agree(
        console, _options(dry_run, as_json, why), organization, amount, start, description, last_month=until,
        months=months, kind="maximum" if maximum else "minimum", reference=reference,
    )  # fmt: skip


@tax.command("add")
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
    dry_run: DryRun = False,
    as_json: ExactJson = False,
    why: Why = None,
) -> None:
    """Tax an organization at a rate of its own. Its present rate of that tax ends with the month before."""
    from fly_billing.cli.customers import add_tax as add

    add(
        console, _options(dry_run, as_json, why), organization, name, percent, start, last_month=until,
        is_inclusive=inclusive, category=category, legal_text=legal_text,
    )  # fmt: skip


@tax.command("status")
def set_tax_status(
    organization: Organization,
    location: Annotated[str | None, typer.Option(help="Where it is: DE, or CA-QC")] = None,
    kind: Annotated[str | None, typer.Option(help="Its kind, as the price book's taxes name it: business")] = None,
    start: FromMonth = None,
    dry_run: DryRun = False,
    as_json: ExactJson = False,
    why: Why = None,
) -> None:
    """Say where an organization is or of which kind, which selects taxes of its price book. The other one stays."""
    from fly_billing.cli.customers import set_tax_status as write

    write(console, _options(dry_run, as_json, why), organization, start, location, kind)


@app.command(rich_help_panel=PANEL)
def link(
    organization: Organization,
    payer: Payer,
    start: Annotated[
        MonthArgument | None, _month("--from", "First month. Default: that of its link, or the current one")
    ] = None,
    until: UntilMonth = None,
    dry_run: DryRun = False,
    as_json: ExactJson = False,
    why: Why = None,
) -> None:
    """Put an organization on the invoice of its payer. With --until, end its link."""
    from fly_billing.cli.customers import link as write

    write(console, _options(dry_run, as_json, why), organization, payer, start, until)


@price.command("override")
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
    dry_run: DryRun = False,
    as_json: ExactJson = False,
    why: Why = None,
) -> None:
    """Negotiate a price of the organization's price book."""
    from fly_billing.cli.customers import override_price as override

    override(
        console, _options(dry_run, as_json, why), organization, key, start, percent_off=percent_off,
        unit_amount=unit_amount, per=per, match=_dimensions(match), effective_until=until,
    )  # fmt: skip


def _dimensions(text: str | None) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for part in filter(None, (text or "").split(",")):
        name, sign, value = part.partition("=")
        if not (name and sign and value):
            raise typer.BadParameter(visible(f"{part!r} is no dimension: write it as region=ams"))
        found.setdefault(name.strip(), []).append(value.strip())
    return found
