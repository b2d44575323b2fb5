"""Rows that COPY reads as text arrive as they are: every letter of a text, every digit of a number."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from fly_billing.postgres.copied_lines import copied, copied_line, copy_lines
from fly_billing.postgres.database import BillingDatabase

MOMENT = datetime(2026, 9, 1, 12, 30, 15, 123456, tzinfo=UTC)
ROWS: list[tuple[Any, ...]] = [
    ("plain", UUID(int=7), 3, Decimal("1.500"), True, MOMENT, date(2026, 9, 1)),
    (None,) * 7,
    ("", UUID(int=0), 0, Decimal(0), False, datetime(1, 1, 1, tzinfo=UTC), date(1, 1, 1)),
    ("a\tb\nc\rd\\e\\N\\.", UUID(int=2**128 - 1), -(2**62), Decimal("-7.4E-7"), None, None, None),
    (r"\N", None, None, Decimal("1E+3"), None, None, None),
    (r"\.", None, None, Decimal("12345678901234567890.123456789012345678901234567890"), None, None, None),
    ("Zürich — 東京 🚀 \u2028\u00a0\x0b\x0c\x1f\x7f", None, None, None, None, None, None),
]


def test_values_arrive_unchanged(billing_database: BillingDatabase) -> None:
    columns = ("t", "u", "i", "n", "b", "z", "d")
    with billing_database.transaction() as connection:
        connection.execute(
            text("create temp table copied (t text, u uuid, i bigint, n numeric, b bool, z timestamptz, d date)")
        )
        copy_lines(connection, "copied", columns, map(copied_line, ROWS))
        found = [tuple(row) for row in connection.execute(text("select * from copied")).all()]
    assert found == ROWS
    texts = [str(row[3]) for row in found if row[3] is not None]
    assert texts == ["1.500", "0", "-7.4E-7", "1000", "12345678901234567890.123456789012345678901234567890"]


def test_more_rows_than_are_sent_at_once_arrive(billing_database: BillingDatabase) -> None:
    with billing_database.transaction() as connection:
        connection.execute(text("create temp table copied (i bigint)"))
        copy_lines(connection, "copied", ("i",), map(str, range(4_001)))
        assert connection.execute(text("select count(*), sum(i) from copied")).one() == (4001, 8_002_000)


def test_a_value_of_another_type_is_refused() -> None:
    with pytest.raises(TypeError, match="list can't be copied as text"):
        copied([1])
