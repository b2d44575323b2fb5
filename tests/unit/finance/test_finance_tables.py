"""Tables of finance show money with its currency, and never add two currencies."""

from datetime import UTC, date, datetime
from decimal import Decimal

from fly_billing.finance.rules.tables import Column, FinanceTable

MONTH = Column("month", "Month", "month")
CURRENCY = Column("currency", "Currency")
DUE = Column("due_cents", "Due", "cents")
USED = Column("used", "Used", "amount")
WHEN = Column("at", "When", "moment")
COLUMNS = (MONTH, CURRENCY, DUE, USED, WHEN)


def row(currency: str, due: int | None) -> dict[str, object]:
    return {
        "month": date(2026, 9, 1), "currency": currency, "due_cents": due, "used": Decimal("3.50000"),
        "at": datetime(2026, 10, 4, 1, tzinfo=UTC),
    }  # fmt: skip


def test_an_amount_is_shown_in_its_own_currency() -> None:
    shown = [[column.text(row(currency, -1234)) for column in COLUMNS] for currency in ("USD", "JPY", "KWD")]
    assert shown == [
        ["2026-09", "USD", "-$12.34", "3.5", "2026-10-04 01:00:00"],
        ["2026-09", "JPY", "-JPY 1,234", "3.5", "2026-10-04 01:00:00"],
        ["2026-09", "KWD", "-KWD 1.234", "3.5", "2026-10-04 01:00:00"],
    ]


def test_a_missing_amount_is_shown_as_an_empty_cell() -> None:
    assert [DUE.text(row("USD", None)), DUE.text(row("USD", 0))] == ["", "$0.00"]


def test_totals_are_by_currency() -> None:
    table = FinanceTable("Due", COLUMNS, [row("USD", 100), row("JPY", 7), row("USD", -30)], adds_up="due_cents")
    assert table.totals() == {"JPY": 7, "USD": 70}


def test_data_has_whole_cents_and_exact_amounts_as_text() -> None:
    assert FinanceTable("Due", COLUMNS, [row("USD", 100)]).as_data() == [
        {"month": "2026-09", "currency": "USD", "due_cents": 100, "used": "3.5", "at": "2026-10-04T01:00:00Z"}
    ]
