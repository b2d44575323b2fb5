"""A table of amounts, as data: its columns, rows and totals by currency.

Not here: reading the rows (`finance.tables_reader`), files (`finance.table_files`), and the layout.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Literal

from fly_billing.money import format_cents, plain
from fly_billing.periods import moment_text

# cents: in the minor unit of the row's currency. amount: exact, in the major unit. money: in the major unit, with all
# decimals of the currency, as general ledgers import it.
Kind = Literal["text", "count", "cents", "amount", "money", "month", "day", "moment"]


@dataclass(frozen=True)
class Column:
    """A column: its name in data and files, its heading for people, and the kind of its values."""

    name: str
    heading: str
    kind: Kind = "text"

    @property
    def is_number(self) -> bool:
        return self.kind in ("count", "cents", "amount", "money")

    def text(self, row: Mapping[str, Any]) -> str:
        """Return the value in the row for people; empty if there is none."""
        value = row[self.name]
        if value is None:
            return ""
        match self.kind:
            case "cents":
                return format_cents(value, row["currency"])
            case "amount":
                return plain(value)
            case "count":
                return f"{value:,}"
            case "money":
                return f"{value:,f}"
            case "month":
                return f"{value:%Y-%m}"
            case "moment":
                return moment_text(value)
            case _:
                return str(value)

    def data(self, value: Any) -> Any:
        """Return the value for JSON: cents are whole numbers, exact amounts are text."""
        if isinstance(value, datetime):
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        if isinstance(value, date):
            return f"{value:%Y-%m}" if self.kind == "month" else value.isoformat()
        if isinstance(value, Decimal):
            return f"{value:f}" if self.kind == "money" else plain(value)
        return value


@dataclass(frozen=True)
class FinanceTable:
    """Rows with the same columns. A table with cents has a column `currency`.

    Attributes:
        adds_up: The column whose totals by currency mean something.
    """

    title: str
    columns: tuple[Column, ...]
    rows: Sequence[Mapping[str, Any]]
    adds_up: str | None = None

    def as_data(self) -> list[dict[str, Any]]:
        """Return JSON-ready rows."""
        return [{column.name: column.data(row[column.name]) for column in self.columns} for row in self.rows]

    def in_currency(self, currency: str) -> FinanceTable:
        """Return the rows in this currency, without the column."""
        columns = tuple(column for column in self.columns if column.name != "currency")
        rows = [row for row in self.rows if row["currency"] == currency]
        return FinanceTable(self.title, columns, rows, self.adds_up)

    def column_total(self, name: str) -> int:
        """Return the sum of a column of cents. All rows must have the same currency."""
        return sum(row[name] for row in self.rows)

    def totals(self) -> dict[str, int]:
        """Return the sum of the column that adds up, in cents, by currency. Two currencies are never added."""
        totals: dict[str, int] = {}
        if self.adds_up:
            for row in self.rows:
                totals[row["currency"]] = totals.get(row["currency"], 0) + row[self.adds_up]
        return dict(sorted(totals.items()))
