"""Opens HTML templates in which every text is escaped, for the pages of statements and finance.

They share the formats of amounts, days and times. Not here: the templates, and the other formats of each page.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from fly_billing.foreign_text import visible
from fly_billing.money import format_cents
from fly_billing.statements.rules.statement import day_text


def open_templates(folder: Path) -> Environment:
    """Return the folder's templates, with the filters `money`, `day` and `moment`.

    A text can't be HTML, run backwards or hide a part of itself.
    """
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        # Runs before text is escaped, so that no text on the page runs backwards or hides a part of itself.
        finalize=lambda value: visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"money": shown_money, "day": day_text, "moment": _moment}
    return environment


def shown_money(cents: int, currency: str) -> str:
    """Format an amount for a page, with a real minus sign."""
    return format_cents(cents, currency).replace("-", "\N{MINUS SIGN}")


def _moment(moment: datetime) -> str:
    utc = moment.astimezone(UTC)
    return f"{day_text(utc.date())}, {utc:%H:%M} UTC"
