"""Money is exact until the total is rounded, once; the items' cents then add up to the total."""

import csv
import re
from decimal import Decimal, Inexact
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fly_billing.money import (
    EXACT,
    counted,
    divide,
    exact_product,
    exact_sum,
    format_cents,
    from_cents,
    grouped,
    parse_typed_amount,
    plain,
    share_out_cents,
    to_cents,
    typed_amount,
)

AMOUNTS = st.lists(
    st.decimals(Decimal("-1e12"), Decimal("1e12"), places=20, allow_nan=False, allow_infinity=False), max_size=50
)


def decimals(*texts: str) -> list[Decimal]:
    return [Decimal(text) for text in texts]


@pytest.mark.parametrize(
    ("amount", "cents"),
    [
        ("0.005", 1),
        ("0.00499999999999999999", 0),
        ("0.015", 2),
        ("0.025", 3),
        ("-0.005", -1),
        ("-0.015", -2),
        ("-0.014999", -1),
        ("1234567890123456.785", 123456789012345679),
        ("0", 0),
    ],
)
def test_a_total_is_rounded_half_up_away_from_zero(amount: str, cents: int) -> None:
    assert to_cents(Decimal(amount), "USD") == cents


def test_1269_tiny_lines_are_rounded_once_in_total() -> None:
    """1,269 x 0.00126 = 1.59894: $1.60. Each line alone rounds to nothing."""
    lines = decimals("0.00126") * 1269
    shares = share_out_cents(lines, "USD")
    assert to_cents(exact_sum(lines), "USD") == 160
    assert to_cents(lines[0], "USD") == 0
    assert sorted(shares) == [0] * 1109 + [1] * 160


def test_a_thousand_real_charges_total_20_39_and_20_45_if_each_is_rounded_first() -> None:
    """docs/decisions.md gives both totals.

    A charge is unit price x quantity, or the cost for the one credit without a price.
    """
    with (Path(__file__).parents[1] / "data" / "focus_1.0_sample.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    amounts = [
        Decimal(row["ListCost"])
        if row["ListUnitPrice"] == "NULL"
        else exact_product(Decimal(row["ListUnitPrice"]), Decimal(row["PricingQuantity"]))
        for row in rows
    ]
    assert len(amounts) == 1000
    assert to_cents(exact_sum(amounts), "USD") == 2039
    assert sum(to_cents(amount, "USD") for amount in amounts) == 2045


@pytest.mark.parametrize(
    ("amounts", "cents"),
    [
        (["0.333", "0.334", "0.333"], [33, 34, 33]),
        (["0.005", "0.005"], [1, 0]),
        (["0.005", "0.005", "0.005"], [1, 1, 0]),
        (["0.005", "0.015"], [1, 1]),
        (["10.005", "-3.335"], [1001, -334]),
        (["-0.005"], [-1]),
        (["-0.004", "-0.004"], [0, -1]),
        (["5.00", "-5.00"], [500, -500]),
        (["0.004", "0"], [0, 0]),
        (["0", "0"], [0, 0]),
        ([], []),
    ],
)
def test_cents_go_to_the_largest_remainders_and_among_equal_ones_to_the_earlier_item(
    amounts: list[str], cents: list[int]
) -> None:
    assert share_out_cents(decimals(*amounts), "USD") == cents


@given(AMOUNTS, st.sampled_from(["USD", "JPY", "KWD"]))
def test_items_add_up_to_the_total_and_none_is_a_whole_unit_off(amounts: list[Decimal], currency: str) -> None:
    shares = share_out_cents(amounts, currency)
    assert sum(shares) == to_cents(exact_sum(amounts), currency)
    for share, amount in zip(shares, amounts, strict=True):
        assert abs(EXACT.subtract(from_cents(share, currency), amount)) < from_cents(1, currency)


def test_a_large_total_is_rounded_only_once() -> None:
    """Slightly below half a cent past $123,456,789.00: 29 digits, one more than Python's decimals keep by default."""
    assert to_cents(Decimal("123456789.00499999999999999999"), "USD") == 12345678900
    assert str(from_cents(12345678901234567890123456789012, "USD")) == "123456789012345678901234567890.12"


def test_the_odd_cent_goes_to_the_larger_fraction_for_any_amounts() -> None:
    """0.499999999999999998 and 0.499999999999999999 of a cent make one cent: the second item gets it."""
    large, small = decimals("123456789.00499999999999999998", "0.00499999999999999999")
    assert share_out_cents([large, small], "USD") == [12345678900, 1]


def test_a_yen_has_no_minor_unit_and_a_dinar_has_a_thousand() -> None:
    assert to_cents(Decimal("1200.5"), "JPY") == 1201
    assert to_cents(Decimal("1.2345"), "KWD") == 1235
    assert from_cents(1201, "JPY") == Decimal("1201")
    assert from_cents(1235, "KWD") == Decimal("1.235")
    assert share_out_cents(decimals("0.6", "0.6", "0.6"), "JPY") == [1, 1, 0]
    assert share_out_cents(decimals("0.0006", "0.0006"), "KWD") == [1, 0]


def test_amounts_are_written_in_their_currency() -> None:
    assert format_cents(123450, "USD") == "$1,234.50"
    assert format_cents(-5, "USD") == "-$0.05"
    assert format_cents(0, "USD") == "$0.00"
    assert format_cents(1200, "JPY") == "JPY 1,200"
    assert format_cents(1235, "KWD") == "KWD 1.235"
    assert format_cents(-1, "EUR") == "-EUR 0.01"


def test_a_price_per_2592000_seconds_is_exact_to_20_places() -> None:
    month = Decimal(2_592_000)
    assert exact_product(Decimal(1), Decimal("1.94"), month) == Decimal("0.00000074845679012346")
    assert exact_product(month, Decimal("1.94"), month) == Decimal("1.94")
    assert exact_product(Decimal(1_296_000), Decimal("1.94"), month) == Decimal("0.97")


def test_an_endless_division_has_20_decimals_for_any_number_of_digits_before_the_point() -> None:
    thirds = divide(Decimal(10**30 + 1), Decimal(3))
    assert str(thirds) == "333333333333333333333333333333.66666666666666666667"


@pytest.mark.parametrize(
    ("amount", "by", "quotient"),
    [
        ("2", "3", "0.66666666666666666667"),
        ("-2", "3", "-0.66666666666666666667"),
        ("2", "-3", "-0.66666666666666666667"),
        ("-2", "-3", "0.66666666666666666667"),
        ("1", "0.3", "3.33333333333333333333"),
        ("1", "3", "0.33333333333333333333"),
        ("3", "700000000000000000000", "0.00000000000000000000"),  # 0.43 of the last place
        ("1", "200000000000000000000.00000000001", "0.00000000000000000000"),  # a hair below half of it: 32 digits
        ("1", "199999999999999999999.99999999999", "0.00000000000000000001"),  # a hair above
    ],
)
def test_the_20th_decimal_of_a_division_is_rounded_half_up_away_from_zero(amount: str, by: str, quotient: str) -> None:
    assert f"{divide(Decimal(amount), Decimal(by)):f}" == quotient


def test_a_finite_division_keeps_all_its_digits() -> None:
    """1 / 2**30 has 30 decimals; none is lost at 20."""
    assert divide(Decimal(1), Decimal(1_073_741_824)) == Decimal("0.000000000931322574615478515625")


def test_a_sum_keeps_more_digits_than_pythons_usual_28() -> None:
    parts = decimals("12345678901234567890123", "0.123456789012345", "0.00000000000000000001")
    assert str(exact_sum(parts)) == "12345678901234567890123.12345678901234500001"
    assert str(exact_product(parts[0], Decimal("0.123456789"))) == "1524157875171467887517.090395047"


def test_arithmetic_that_would_lose_a_digit_raises() -> None:
    with pytest.raises(Inexact):
        exact_sum([Decimal(10) ** 100, Decimal("1e-30")])
    with pytest.raises(Inexact):
        exact_product(Decimal("1" + "0" * 99 + "1"), Decimal("1.000000000000000000000000001"))


def test_numbers_are_shown_without_exponent() -> None:
    assert [plain(Decimal(text)) for text in ("0.150", "2592000", "1E-7", "1E+3", "0.00")] == [
        "0.15",
        "2592000",
        "0.0000001",
        "1000",
        "0",
    ]
    assert [grouped(text) for text in ("2592000.5", "-0.5", "-1234", "0")] == ["2,592,000.5", "-0.5", "-1,234", "0"]
    assert counted("1", "month") == "1 month"
    assert counted("2592000", "second") == "2,592,000 seconds"
    assert counted("1.5", "GB") == "1.5 GB"
    assert counted("7200", "GB-hour") == "7,200 GB-hours"
    assert counted("7200", "vCPU-seconds") == "7,200 vCPU-seconds"
    assert [counted(number, "open invoice") for number in (0, 1, 2, 1000)] == [
        "0 open invoices",
        "1 open invoice",
        "2 open invoices",
        "1,000 open invoices",
    ]
    assert [counted(number, "discrepancy") for number in (1, 2)] == ["1 discrepancy", "2 discrepancies"]
    assert counted(2, "day") == "2 days"
    assert counted("2,592,000", "second") == "2,592,000 seconds"


@pytest.mark.parametrize(
    ("text", "currency", "cents"),
    [
        ("5850.00", "USD", 585000),
        (" 0.07 ", "EUR", 7),
        ("585000", "JPY", 585000),
        ("5.850", "KWD", 5850),
        ("0.00", "USD", 0),
    ],
)
def test_a_typed_amount_has_the_decimals_of_its_currency(text: str, currency: str, cents: int) -> None:
    assert parse_typed_amount(text, currency) == cents
    assert typed_amount(cents, currency) == text.strip()


@pytest.mark.parametrize(
    ("text", "currency", "problem"),
    [
        ("585000", "USD", "585000 has no cents: write 585000.00 if you mean $585,000.00"),
        ("5850.5", "USD", "5850.5 has 1 decimal, but USD has 2: write 5850.50 if you mean $5,850.50"),
        ("58.505", "USD", "58.505 has 3 decimals, but USD has 2: write it such as 1234.50"),
        ("58.500", "USD", "58.500 has 3 decimals, but USD has 2: write 58.50 if you mean $58.50"),
        ("5850.00", "JPY", "5850.00 has 2 decimals, but JPY has none: write 5850 if you mean JPY 5,850"),
        ("5850.50", "JPY", "5850.50 has 2 decimals, but JPY has none: write it such as 123450"),
        ("5850", "KWD", "5850 has no decimals, but KWD has 3: write 5850.000 if you mean KWD 5,850.000"),
        ("-5850.00", "USD", "-5850.00 is below zero: write an amount of at least 0.00"),
        ("1000000000000.00", "KWD", "1000000000000.00 has 2 decimals, but KWD has 3: write 1000000000000.000"),
        ("1000000000000.000", "KWD", "1000000000000.000 is too large for an amount of money"),
        *[
            (text, "USD", f"{text!r} is not an amount: write it such as 1234.50")
            for text in ("", "$30.00", "1,000.00", "1_000.00", "1e3", "NaN", "٣.٠٠", "3.3.3", ".50", "5.", "+5.00")
        ],
    ],
)
def test_a_typed_amount_that_could_mean_something_else_is_refused(text: str, currency: str, problem: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(problem)}"):
        parse_typed_amount(text, currency)
