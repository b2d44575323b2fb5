"""Arguments and options that commands about customers share, and the options of every change. Not here: commands."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Annotated, Any, get_type_hints

import typer

from fly_billing.cli.completion import complete_fee, complete_group, complete_organization, complete_price
from fly_billing.cli.parameters import (
    ExactJson,
    MonthArgument,
    NumberArgument,
    TimeArgument,
    parse_decimal,
    parse_month,
    parse_time,
)

PANEL = "Customers"


def at_time(name: str, text: str) -> Any:
    """Return an option for a time."""
    return typer.Option(name, metavar="TIME", help=f"{text}, in UTC: 2026-10-01T12:00", parser=parse_time)


def in_month(name: str, text: str) -> Any:
    """Return an option for a month."""
    return typer.Option(name, metavar="YYYY-MM", help=text, parser=parse_month)


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
Group = Annotated[
    str, typer.Argument(metavar="GROUP", help="A group of negotiated prices", autocompletion=complete_group)
]
Reference = Annotated[str, typer.Option(help="Tells it from another one that is otherwise the same")]
At = Annotated[TimeArgument | None, at_time("--at", "When. Default: now")]
FromTime = Annotated[TimeArgument | None, at_time("--from", "When it begins. Default: now")]
FromDay = Annotated[TimeArgument | None, at_time("--from", "When it begins. Default: the start of today")]
UntilTime = Annotated[TimeArgument | None, at_time("--until", "When it ends. Default: no end")]
FromMonth = Annotated[MonthArgument | None, in_month("--from", "First month. Default: the current one")]
UntilMonth = Annotated[MonthArgument | None, in_month("--until", "Last month. Default: no end")]
Started = Annotated[TimeArgument | None, at_time("--started", "Of several, the one that began then")]
OfReference = Annotated[str | None, typer.Option("--reference", help="Of several, the one with this reference")]
Percent = Annotated[NumberArgument, typer.Argument(metavar="PERCENT", help="Such as 19 or 7.5", parser=parse_decimal)]
Quantity = Annotated[NumberArgument, typer.Option(metavar="NUMBER", help="The number of units", parser=parse_decimal)]

_OF_EVERY_CHANGE: dict[str, tuple[Any, Any]] = {
    "dry_run": (DryRun, False), "as_json": (ExactJson, False), "why": (Why, None),
}  # fmt: skip


@dataclass(frozen=True)
class ChangeOptions:
    """The options that all changes have.

    Attributes:
        why: The reason, kept with the change.
    """

    is_dry_run: bool
    as_json: bool
    why: str | None


def changes(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options --dry-run, --json and --why, which it gets together as its argument `options`."""
    from_signature = inspect.signature(command)
    types = get_type_hints(command, include_extras=True)
    own = [
        parameter.replace(annotation=types[parameter.name], kind=inspect.Parameter.POSITIONAL_OR_KEYWORD)
        for parameter in from_signature.parameters.values()
        if parameter.name != "options"
    ]
    shared = [
        inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=annotation)
        for name, (annotation, default) in _OF_EVERY_CHANGE.items()
    ]

    @wraps(command)
    def run(dry_run: bool, as_json: bool, why: str | None, **given: Any) -> None:
        command(**given, options=ChangeOptions(dry_run, as_json, why))

    # Typer reads both, and would otherwise follow `__wrapped__` to the command without these options.
    vars(run).pop("__wrapped__")
    vars(run)["__signature__"] = from_signature.replace(parameters=[*own, *shared])
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in [*own, *shared]}
    return run
