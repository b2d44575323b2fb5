"""Shows how an item's amount was calculated, down to its usage events: `fly-billing explain`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rich.padding import Padding
from rich.table import Table

from fly_billing.cli.local_platform import local_platform
from fly_billing.cli.terminal import RenderableType, Terminal, joined, panel, styled
from fly_billing.money import counted, exact_sum, format_cents, grouped, plain
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.statements.explanation_reader import (
    BilledUsage,
    ExplainedItem,
    ListedItem,
    find_item,
    find_item_at,
    list_items,
    read_explanation,
)
from fly_billing.statements.rules.explanation import Explanation
from fly_billing.statements.rules.sums import Line, Sum

if TYPE_CHECKING:
    from fly_billing.statements.billed_events import BilledEvents, UsageFile

# The number of lines of a sum, files or events to show without --all.
MOST_LINES = 20
MOST_EVENTS = 50
STATUS = {"open": "open (so far)"}


@dataclass(frozen=True)
class ExplainOptions:
    """The parts of an explanation to show.

    Attributes:
        events: Also list the usage events.
        all: Show all lines, files and events, not only the first ones.
    """

    events: bool = False
    all: bool = False
    as_json: bool = False


def explain_month(console: Terminal, organization_id: str, month: BillingMonth, *, as_json: bool) -> None:
    """Print the items of an organization's month with their ids and positions. Raises NoSuchItem."""
    with local_platform() as settings:
        items = list_items(BillingDatabase(settings.database_url), organization_id, month)
    if as_json:
        print(json.dumps([item.as_data() for item in items], indent=2))
    else:
        show_items(console, items)


def explain(
    console: Terminal, name: str, month: BillingMonth | None, position: int | None, options: ExplainOptions
) -> bool:
    """Print an item's explanation.

    Args:
        name: An item's id or its first digits; with `month` and `position`, an organization's id.

    Returns:
        True if the recalculated amount equals the billed one.

    Raises:
        NoSuchItem: No item has this id or position.
    """
    with local_platform() as settings:
        database = BillingDatabase(settings.database_url)
        item: UUID = find_item_at(database, name, month, position) if month and position else find_item(database, name)
        explained = read_explanation(database, item)
        if explained.usage is None:
            return _show(console, explained, None, "", options)
        # Here, because lists of items and fees need no DuckDB and no Delta table.
        from fly_billing.invoicing.event_check import UsageUnreadable
        from fly_billing.statements.billed_events import open_billed_events
        from fly_billing.usage.usage_table import UsageTable

        try:
            with open_billed_events(database, UsageTable.from_settings(settings), explained.usage) as billed:
                return _show(console, explained, billed, "", options)
        except UsageUnreadable as problem:
            return _show(console, explained, None, str(problem), options)


def _show(
    console: Terminal, explained: ExplainedItem, billed: BilledEvents | None, unreadable: str, options: ExplainOptions
) -> bool:
    problems = [*explained.explanation.problems, *(billed.problems() if billed else [])]
    is_complete = not problems and not (options.events and unreadable)
    if options.as_json:
        print(json.dumps(_as_data(explained, billed, unreadable, problems, options), indent=2))
        return is_complete
    most = None if options.all else MOST_LINES
    files = billed.files() if billed else []
    quantities = [*billed.quantities.values()] if billed else []
    show_explanation(console, explained, files, unreadable, problems, most, quantities)
    if options.events and explained.usage is None:
        console.print("This item has no usage, so it has no events.")
    if options.events and billed and explained.usage:
        _show_events(console, explained, explained.usage, billed, options.all)
    return is_complete


def _as_data(
    explained: ExplainedItem,
    billed: BilledEvents | None,
    unreadable: str,
    problems: Sequence[str],
    options: ExplainOptions,
) -> dict[str, Any]:
    data = {**explained.as_data(), "problems": list(problems)}
    if explained.usage:
        data["usage"] = {
            "usage_table_version": explained.usage.usage_table_version,
            "rolled_up_at": explained.usage.rolled_up_at.isoformat(),
            "events": explained.usage.events,
            "files": [file.as_data() for file in billed.files()] if billed else None,
            "quantities": [
                {"rollup_id": str(rollup), **quantity.as_data()} for rollup, quantity in billed.quantities.items()
            ]
            if billed
            else None,
            "unreadable": unreadable or None,
        }
        if options.events and billed:
            listed = [event.as_data() for event in islice(billed.events(), None if options.all else MOST_EVENTS)]
            data["events"] = listed
            data["events_left_out"] = explained.usage.events - len(listed)
    return data


def show_items(console: Terminal, items: Sequence[ListedItem]) -> None:
    """Print a month's items with their positions and short ids."""
    first = items[0]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), title_justify="left", title_style="bold")
    table.title = f"{first.payer_id}, {first.month}: {STATUS.get(first.status, first.status)}"
    table.add_column("", justify="right")
    table.add_column("Id", no_wrap=True)
    table.add_column("Kind")
    table.add_column("Item", ratio=1)
    table.add_column("Billed", justify="right", no_wrap=True)
    for item in items:
        member = f" ({item.organization_id})" if item.organization_id != item.payer_id else ""
        name = f"{item.product}: {item.description}{member}"
        billed = format_cents(item.amount_cents, item.currency)
        table.add_row(str(item.position), item.short_id, item.kind.replace("_", "-"), name, billed)
    console.print(table)
    console.print()
    console.print(f"fly-billing explain {first.short_id} shows how that amount was calculated.")


def show_explanation(
    console: Terminal,
    explained: ExplainedItem,
    files: Sequence[UsageFile],
    unreadable: str,
    problems: Sequence[str],
    most: int | None = MOST_LINES,
    quantities: Sequence[Sum] = (),
) -> None:
    """Print an item's sums, its rounding and its usage.

    Args:
        most: The number of lines of each part to print; None: all.
        quantities: Show how the billed quantity follows from the events, if it is not their sum or number.
    """
    explanation = explained.explanation
    parts: list[RenderableType] = [*_problems(problems), _facts(explained)]
    parts += explanation_parts(explanation, most)
    if explained.usage:
        parts += _usage(explained.usage, files, unreadable, explanation.item.unit, most)
        parts += _quantities(quantities, most)
    title = f"{explanation.item.product}: {explanation.item.description}"
    subtitle = f"{explained.payer_id} {explained.month}, item {explained.position}"
    console.print(panel(*parts, title=title, subtitle=subtitle, style="bold"))


def explanation_parts(explanation: Explanation, most: int | None = MOST_LINES) -> list[RenderableType]:
    """Return the printable parts of an explanation: its sums and its rounding."""
    parts: list[RenderableType] = []
    for sum_ in explanation.sums:
        parts += _sum(sum_, most)
    billed = format_cents(explanation.item.amount_cents, explanation.currency)
    rounding = joined(explanation.rounding.sentence, " Billed: ", styled(billed, "bold"), ".")
    return [*parts, *_part("Rounding", rounding)]


def _part(title: str, *content: RenderableType) -> list[RenderableType]:
    return ["", styled(title, "bold"), *(Padding(part, (0, 0, 0, 2)) for part in content)]


def _problems(problems: Sequence[str]) -> list[RenderableType]:
    if not problems:
        return []
    head = styled("RECALCULATED AMOUNT DIFFERS FROM THE BILLED AMOUNT", "bold red")
    return [head, *(styled(f"- {problem}", "red") for problem in problems), ""]


def _facts(explained: ExplainedItem) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    item = explained.explanation.item
    organization = item.organization_id
    if organization != explained.payer_id:
        organization += f", paid by {explained.payer_id}"
    number = explained.number or "not numbered yet"
    invoice = f"{number}, {explained.month}, {STATUS.get(explained.status, explained.status)}"
    if explained.revision:
        invoice += f", revision {explained.revision}"
    rows = [
        ("Item", f"{item.id} ({item.kind.replace('_', '-')})"),
        ("Organization", organization),
        ("Invoice", invoice),
    ]
    for name, text in [*rows, *explained.explanation.facts]:
        table.add_row(name, text)
    return table


def _sum(sum_: Sum, most: int | None) -> list[RenderableType]:
    lines = [*_short(sum_.lines, most)]
    numbers = _aligned([*(line.amount for line in lines), sum_.total])
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1, 0, 0), expand=True)
    table.add_column(overflow="fold", ratio=1)
    table.add_column(justify="right", overflow="fold")
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    for line, number in zip(lines, numbers, strict=False):
        table.add_row(line.label, f"{line.working} =" if line.working else "", number, "")
    table.add_row("", "", "─" * max(map(len, numbers)), "")
    table.add_row("", "", styled(numbers[-1], "bold"), _unit(sum_))
    notes = []
    if any(line.is_rounded for line in sum_.lines):
        notes.append(styled("A division without an exact decimal result is rounded at the 20th decimal place.", "dim"))
    return _part(sum_.title, table, *notes)


def _unit(sum_: Sum) -> str:
    """Return the unit in the singular or plural that the total needs."""
    return counted(plain(sum_.total), sum_.unit).partition(" ")[2]


def _short(lines: Sequence[Line], most: int | None) -> Iterator[Line]:
    """Yield the first lines, and the others as one line, so that the sum stays right."""
    if most is None or len(lines) <= most:
        yield from lines
        return
    yield from lines[:most]
    rest = lines[most:]
    yield Line(f"and {len(rest):,} more (--all shows them)", exact_sum([line.amount for line in rest]))


def _aligned(amounts: Sequence[Any]) -> list[str]:
    """Pad numbers so that their decimal points are aligned if the column is right-justified."""
    texts = [grouped(plain(amount)) for amount in amounts]
    decimals = [len(text.partition(".")[2]) + ("." in text) for text in texts]
    return [text + " " * (max(decimals) - own) for text, own in zip(texts, decimals, strict=True)]


def _usage(
    usage: BilledUsage, files: Sequence[UsageFile], unreadable: str, unit: str, most: int | None
) -> list[RenderableType]:
    title = "Usage"
    source = (
        f"{counted(usage.events, 'event')} in version {usage.usage_table_version} of the usage table, rolled up on"
        f" {usage.rolled_up_at:%Y-%m-%d %H:%M} UTC."
    )
    if rounding := usage.aggregation.round_each_event:
        source += f" Each event was first rounded {rounding.round} to a multiple of {plain(rounding.step)}."
    if unreadable:
        return _part(title, source, styled(f"The events can't be listed: {unreadable}.", "yellow"))
    if not files:
        return _part(title, source)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("Landed on", no_wrap=True)
    table.add_column("File", overflow="fold")
    table.add_column("Rows", justify="right", no_wrap=True)
    if usage.is_summed:
        table.add_column(f"{unit[:1].upper()}{unit[1:]}", justify="right", no_wrap=True)
    shown = files if most is None else files[:most]
    for file in shown:
        quantity = [grouped(plain(file.quantity))] if usage.is_summed else []
        table.add_row(str(file.landing_day), file.path, f"{file.events:,}", *quantity)
    left_out = len(files) - len(shown)
    more = [f"and {counted(left_out, 'more file')} (see --all)"] if left_out else []
    return _part(title, source, table, *more)


def _quantities(quantities: Sequence[Sum], most: int | None) -> Iterator[RenderableType]:
    shown = quantities if most is None else quantities[:most]
    for quantity in shown:
        yield from _sum(quantity, most)
    if len(shown) < len(quantities):
        yield ""
        yield f"and {counted(len(quantities) - len(shown), 'more quantity')} (see --all)"


def _show_events(
    console: Terminal, explained: ExplainedItem, usage: BilledUsage, billed: BilledEvents, shows_all: bool
) -> None:
    if not usage.events:
        console.print()
        console.print(f"This item has no event of {usage.month}: it bills a level from an earlier month.")
        return
    console.print()
    console.print(styled("Events by time (UTC)", "bold"))
    so_far = f"{'so far':>20}  " if usage.is_summed else ""
    value = f"  {usage.distinguished_by}" if usage.distinguished_by else ""
    console.print(f"{'time':26}  {'quantity':>18}  {so_far}source, id and place of landing{value}")
    listed = 0
    for event in islice(billed.events(), None if shows_all else MOST_EVENTS):
        time = event.time.isoformat(sep=" ").removesuffix("+00:00")
        place = f"{event.source} {event.id}  {event.landing_day}/{event.path}:{event.line}"
        numbers = f"{grouped(plain(event.quantity)):>18}"
        if usage.is_summed:
            numbers += f"  {grouped(plain(event.so_far)):>20}"
        if event.measured != event.quantity:
            place += f"  ({grouped(plain(event.measured))} measured)"
        if event.value is not None:
            place += f"  {event.value}"
        console.print(f"{time:26}  {numbers}  {place}", soft_wrap=True)
        listed += 1
    if listed < usage.events:
        console.print(f"and {usage.events - listed:,} more: --all")
    if not billed.problems():
        console.print(_conclusion(explained, usage))


def _conclusion(explained: ExplainedItem, usage: BilledUsage) -> str:
    item = explained.explanation.item
    events, quantity = counted(usage.events, "event"), counted(plain(item.quantity), item.unit)
    if usage.is_summed:
        return f"{events} add{'s' if usage.events == 1 else ''} up to {quantity}, the billed quantity."
    return f"The meter's aggregation, {usage.aggregation.name}, of {events} is {quantity}, the billed quantity."
