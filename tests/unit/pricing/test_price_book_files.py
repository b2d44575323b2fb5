"""A duplicate in a price book is refused by name, and every number has the value that a person reads."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fly_billing.pricing.price_books import PriceBookFiles, read_price_book_files
from fly_billing.pricing.rules.fields import exact_number
from fly_billing.pricing.rules.models import PerUnit
from fly_billing.pricing.rules.rating import rate

REQUESTS = """
  - key: requests
    meter: requests
    product: Requests
    description: Requests
    unit: request
    effective_from: 2023-01-01
    unit_amount: 0.10
"""


def book(folder: Path, **files: str) -> PriceBookFiles:
    """Read a book of these files; `prices_csv` is written as prices.csv, any other name as .yaml."""
    for name, text in files.items():
        stem, _, kind = name.partition("_")
        (folder / f"{stem}.{kind or 'yaml'}").write_text(text, encoding="utf-8")
    return read_price_book_files(folder)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("prices:" + REQUESTS + '    unit_amount: "1.00"\n', "unit_amount"),
        ("prices:" + REQUESTS + "    match: {region: ams, region: fra}\n", "region"),
        ("prices: [{key: a, tiers: [{up_to: 10, unit_amount: 1, unit_amount: 2}]}]", "unit_amount"),
        ("prices: []\nmeters: []\nprices: []\n", "prices"),
        ("meters: [{key: a, name: a, unit: u, unit: v}]", "unit"),
        ('prices: [{key: a, "key": b}]', "key"),
        ("csv: {file: a.csv, file: b.csv, each: {}}", "file"),
        ("reservations: [{key: a, months: 12, months: 24}]", "months"),
        ("prices: [{1: a, '1': b}]", "1"),
    ],
)
def test_a_field_that_occurs_twice_is_refused_by_name_with_file_and_line(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(ValueError, match=rf'(?s)prices\.yaml: .*line \d+.*duplicate key "{named}"'):
        book(tmp_path, prices=text)


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ({"a": "prices:" + REQUESTS + REQUESTS}, "price requests from 2023-01-01 00:00"),
        ({"a": "prices:" + REQUESTS, "b": "prices:" + REQUESTS}, "price requests from 2023-01-01 00:00"),
        (
            {"a": "prices:" + REQUESTS + REQUESTS.replace("2023-01-01", "2023-01-01T01:00:00+01:00")},
            "price requests from 2023-01-01 00:00",
        ),
        ({"a": "meters: [{key: m, name: m, unit: u}, {key: m, name: n, unit: u}]"}, "meter m"),
        (
            {
                "a": "csv: {file: prices.csv, each: {key: r, meter: m, product: p, description: d, unit: u,"
                " unit_amount: '{price}', effective_from: 2023-01-01}}",
                "prices_csv": "region,price\nams,1\nfra,2\n",
            },
            "price r from 2023-01-01 00:00",
        ),
    ],
)
def test_an_entry_that_occurs_twice_in_a_book_is_refused_by_name(
    tmp_path: Path, files: dict[str, str], named: str
) -> None:
    with pytest.raises(ValueError, match=rf"line \d+: {named} is there twice, first in .*line \d+"):
        book(tmp_path, **files)


def test_two_currencies_of_one_version_name_both_lines(tmp_path: Path) -> None:
    euros = REQUESTS.replace("    unit: request", "    unit: request\n    currency: EUR")
    with pytest.raises(
        ValueError, match=r"line 2: price requests from 2023-01-01 00:00 is in another currency in"
    ) as refused:
        book(tmp_path, a="prices:" + REQUESTS, b="prices:" + euros)
    assert str(refused.value).endswith("a book has one currency for a key, so give EUR a key or a book of its own")


METER = "meters: [{key: requests, name: Requests, unit: request, dimensions: [region]}]\n"
MATCHED = REQUESTS.replace("    unit: request", "    unit: request\n    match: {%s: ams}")


@pytest.mark.parametrize(("name", "meant"), [("regoin", " (did you mean region?)"), ("app", "")])
def test_a_price_for_something_that_no_event_is_counted_by_is_refused(tmp_path: Path, name: str, meant: str) -> None:
    """It would never apply, and the price for all regions would be charged instead."""
    with pytest.raises(ValueError) as refused:
        book(tmp_path, a=METER + "prices:" + MATCHED % name)
    assert str(refused.value) == (
        f"{tmp_path / 'a.yaml'}: line 3: price requests: match names {name}, which is not a dimension of meter"
        f" requests, so it would never apply{meant}: correct it, or add it to the meter's `dimensions`"
    )


def test_a_price_for_a_region_needs_a_meter_with_regions(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="match names region, which is not a dimension of meter requests"):
        book(tmp_path, a=METER.replace(", dimensions: [region]", "") + "prices:" + MATCHED % "region")
    assert [price.match for price in book(tmp_path, a=METER + "prices:" + MATCHED % "region").prices] == [
        {"region": ("ams",)}
    ]


def test_a_reservation_for_something_that_no_event_is_counted_by_is_refused(tmp_path: Path) -> None:
    block = (
        "reservations: [{key: block, description: Block, currency: USD, upfront_amount: 36, monthly_credit: 5,"
        " months: 12, meter: requests, match: {preset: small}, bound_to: regoin, effective_from: 2026-01-01}]"
    )
    with pytest.raises(ValueError, match="reservation block: match names preset, regoin, which are no dimensions of"):
        book(tmp_path, a=METER + "prices:" + REQUESTS + "\n" + block)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("region,price,price\nams,1.00,5.00\n", "'price' more than once"),
        ("region,price\nams,1.00,5.00\n", r"row 'ams,1.00,5.00' has 3 fields, but the header has 2"),
        ("region,price\nams\n", "has 1 field, but the header has 2"),
        ("region,cost\nams,1.00\n", r"\{price\} is not a column of the table; it has region, cost"),
        ('region,price\nams,"1.00\n', "unexpected end of data"),
    ],
)
def test_an_ambiguous_price_table_is_refused(tmp_path: Path, table: str, message: str) -> None:
    each = (
        "{key: 'r/{region}', meter: m, product: p, description: d, unit: u, unit_amount: '{price}',"
        " effective_from: 2023-01-01}"
    )
    with pytest.raises(ValueError, match=message):
        book(tmp_path, a=f"csv: {{file: prices.csv, each: {each}}}", prices_csv=table)


def test_every_bad_row_of_a_table_is_named_by_file_line_and_column(tmp_path: Path) -> None:
    each = (
        "{key: 'r/{region}', meter: m, product: p, description: d, unit: u, unit_amount: '{usd}', per: '{size}',"
        " match: {region: '{region}'}, effective_from: '{since}'}"
    )
    table = (
        "region,usd,size,since\n"
        "ams,1.00,1,2023-01-01\n"
        "fra,one,1,2023-01-01\n"
        "# a comment\n"
        "iad,-1,1,2023-01-01\n"
        "lax,1.00,0,2023-01-01\n"
        "nrt,1.00,1\n"
        "ord,1.00,1,yesterday\n"
        ",1.00,1,2023-01-01\n"
        'waw,"1.00\n'
    )
    with pytest.raises(ValueError, match=r"prices\.csv: line") as refused:
        book(tmp_path, a=f"csv: {{file: prices.csv, each: {each}}}", prices_csv=table)
    name = tmp_path.name
    named = [line.replace(f"{tmp_path}/a.yaml: prices.csv: ", "") for line in str(refused.value).splitlines()]
    assert named == [
        f"line 3: price {name}/r/fra: unit_amount 'one' is not a number: write digits, such as 0.15 or 2592000"
        " (column usd)",
        f"line 5: price {name}/r/iad: unit_amount '-1' must be a finite number of at least 0 (column usd)",
        f"line 6: price {name}/r/lax: per must be above 0 (column size)",
        f"line 8: price {name}/r/ord: effective_from 'yesterday' is not a date (column since)",
        "line 7: row 'nrt,1.00,1' has 3 fields, but the header has 4",
        "line 10: unexpected end of data",
    ]


def test_a_negotiated_price_with_neither_an_organization_nor_a_group_is_refused_by_line(tmp_path: Path) -> None:
    entry = "negotiated:\n  - key: requests\n    percent_off: 10\n    effective_from: 2023-01-01\n"
    with pytest.raises(ValueError, match=r"a\.yaml: line 2: .*organization.*group"):
        book(tmp_path, a=entry)


@pytest.mark.parametrize(
    ("written", "means"),
    [
        ("0.10", "0.10"),
        ("0100", "100"),
        ("007", "7"),
        ("1e3", "1000"),
        ("2.5e-7", "0.00000025"),
        ("0.1234567890123456789", "0.1234567890123456789"),
        ('"0.15"', "0.15"),
        ("2592000", "2592000"),
    ],
)
def test_an_amount_needs_no_quotes_and_keeps_every_digit(tmp_path: Path, written: str, means: str) -> None:
    """YAML 1.1 would read 0100 as 64, and 0.1234567890123456789 as a float of 17 digits."""
    prices = f"prices:{REQUESTS.replace('0.10', '1')}    per: {written}\n"
    (price,) = book(tmp_path, prices=prices).prices
    assert price.model == PerUnit(Decimal(1), Decimal(means))


def test_a_hundred_with_a_leading_zero_is_a_hundred(tmp_path: Path) -> None:
    """$1.00 per 0100 requests: 6,400 requests are $64.00, not $100.00."""
    (price,) = book(tmp_path, prices=f"prices:{REQUESTS.replace('0.10', '1')}    per: 0100\n").prices
    assert rate(price, 6400).amount == 64


@pytest.mark.parametrize("written", ["1:30", "1_0", "0x10", "0o14", "0b11", ".inf", ".nan", "1,000", "٣", "1 0", "yes"])
def test_a_text_that_is_not_a_decimal_number_is_refused(tmp_path: Path, written: str) -> None:
    with pytest.raises(ValueError, match=r"per '.*' is not a number: write digits"):
        book(tmp_path, prices=f"prices:{REQUESTS}    per: {written}\n")


@pytest.mark.parametrize("written", ["true", "[1]", "{a: 1}", "!!binary aGk="])
def test_a_list_or_mapping_is_not_a_number(tmp_path: Path, written: str) -> None:
    with pytest.raises(ValueError, match=r"per .* is not a number"):
        book(tmp_path, prices=f"prices:{REQUESTS}    per: {written}\n")


@given(st.decimals(min_value=0, max_value=10**12, allow_nan=False, places=9))
def test_every_amount_is_read_exactly_as_written(amount: Decimal) -> None:
    assert exact_number("unit_amount", f"{amount:f}") == amount


def test_the_region_no_and_a_size_with_a_leading_zero_are_read_as_text(tmp_path: Path) -> None:
    """YAML 1.1 reads `no` as false, and 0256 as 174."""
    prices = f"prices:{REQUESTS}    match: {{country: [no, NO, on], memory: 0256, day: 2026-01-01}}\n"
    (price,) = book(tmp_path, prices=prices).prices
    assert price.match == {"country": ("no", "NO", "on"), "memory": ("0256",), "day": ("2026-01-01",)}


def test_a_date_without_quotes_is_read_as_its_midnight(tmp_path: Path) -> None:
    (price,) = book(tmp_path, prices=f"prices:{REQUESTS}").prices
    assert price.effective_from == datetime(2023, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 1", "it contains list, not fields"),
        ("prices: {key: a}", "prices must be a list of entries with fields"),
        ("prices: [a]", "prices must be a list of entries with fields"),
        ("meters: 3", "meters must be a list of entries with fields"),
        ("csv: [a]", "csv needs `file`"),
        ("csv: {file: missing.csv, each: {key: a}}", "missing.csv"),
        ("prices: []\n---\nprices: []\n", "expected a single document"),
        ("prices: !!python/object:os.system [ls]", "could not determine a constructor"),
        ("meters: [{key: a, name: a, unit: u, aggregation: time_weighted, series: v, time_unit: 1.5}]", "whole number"),
    ],
)
def test_a_file_of_another_shape_is_refused_with_its_name(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=rf"(?s)prices\.yaml: .*{message}"):
        book(tmp_path, prices=text)


def test_a_file_that_is_not_utf_8_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "prices.yaml").write_bytes(b"prices: [{key: caf\xe9}]")
    with pytest.raises(ValueError, match=r"prices\.yaml: .*utf-8"):
        read_price_book_files(tmp_path)
