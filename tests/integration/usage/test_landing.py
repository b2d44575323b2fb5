"""Landing usage: every row is accepted, a duplicate, or rejected with reason, file, line and text. None is dropped."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from fly_billing.periods import BillingMonth
from fly_billing.usage.checks import count_landed_rows, unaccounted_days
from fly_billing.usage.landing_folder import LandingError
from fly_billing.usage.landing_rows import LandedFile
from fly_billing.usage.usage_table import EVENTS, UsageTableVersion, open_duckdb
from tests.support.builders import (
    DAY,
    FIRST_LINE,
    OCTOBER,
    SEPTEMBER,
    WRITERS,
    Platform,
    at,
    event,
    json_line,
    write_csv,
    write_jsonl,
    write_parquet,
    write_table,
    write_text,
)
from tests.support.unguarded import damage

NEXT_DAY = date(2026, 9, 16)
LAST_DAY = date(2026, 9, 30)


def counts(files: list[LandedFile]) -> dict[str, tuple[int, int, int, int]]:
    return {file.path: (file.landed, file.accepted, file.duplicate, file.rejected) for file in files}


def ledger(platform: Platform, day: date = DAY) -> dict[str, tuple[int, int, int, int]]:
    """Return the rows of `usage_files`, checked against the usage table and `rejected_usage`."""
    accounts = count_landed_rows(platform.database, [day])
    assert unaccounted_days(accounts, platform.table(), [day]) == []
    found = platform.query(
        "select path, landed, accepted, duplicate, rejected from usage_files where landing_day = :day", day=day
    )
    return {row["path"]: (row["landed"], row["accepted"], row["duplicate"], row["rejected"]) for row in found}


def requests_of(platform: Platform, month: BillingMonth = SEPTEMBER) -> Decimal | None:
    """Return acme's accepted requests of that month."""
    with open_duckdb() as duck:
        platform.table().open_view(duck, "events", month)
        total: Decimal | None
        ((total,),) = duck.execute(
            "select sum(quantity) from events"
            " where not is_duplicate and organization_id = 'acme' and meter = 'requests'"
        ).fetchall()
    return total


def events_in_usage_table(platform: Platform) -> list[tuple[Any, ...]]:
    with open_duckdb() as duck:
        platform.table().open_view(duck, "events")
        return duck.execute(
            "select landing_day, path, line, id, quantity, dimensions, is_duplicate from events order by all"
        ).fetchall()


def only_reason(platform: Platform) -> str:
    (row,) = platform.rejected()
    return str(row["reason"])


# --- Rows that can't be billed -------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "nan": ({"quantity": "NaN"}, "bad_quantity"),
    "infinite": ({"quantity": "Infinity"}, "bad_quantity"),
    "negative": ({"quantity": "-1"}, "negative_quantity"),
    "sixteen decimals": ({"quantity": "0.0000000000000001"}, "bad_quantity"),
    "exponent with sixteen decimals": ({"quantity": "1e-16"}, "bad_quantity"),
    "twenty-one digits": ({"quantity": "100000000000000000000"}, "bad_quantity"),
    "unknown meter": ({"type": "teapots"}, "unknown_meter"),
    "unknown organization": ({"subject": "nobody"}, "unknown_organization"),
    "of 1970": ({"time": "1970-01-01T00:00:00Z"}, "time_too_early"),
    "of 2099": ({"time": "2099-01-01T00:00:00Z"}, "time_in_future"),
    "two days after its landing day": ({"time": "2026-09-17T00:00:00Z"}, "time_in_future"),
    "before the organization's month": ({"time": "2025-12-31T23:59:59Z"}, "before_organization"),
    "naive time": ({"time": "2026-09-15T12:00:00"}, "bad_time"),
    "no such day": ({"time": "2026-09-31T12:00:00Z"}, "bad_time"),
    "missing dimension": ({"type": "egress_gb"}, "missing_dimension"),
    "without id": ({"id": None}, "missing_field"),
    "without source": ({"source": None}, "missing_field"),
    "without time": ({"time": None}, "missing_field"),
    "without quantity": ({"quantity": None}, "missing_field"),
}


@pytest.mark.parametrize("form", WRITERS)
def test_rows_that_can_not_be_billed_are_rejected_with_reason_and_line_and_the_others_are_accepted(
    platform: Platform, form: str
) -> None:
    bad = [event(name) | changes for name, (changes, _) in REFUSED.items()]
    bad = [{name: value for name, value in usage.items() if value is not None} for usage in bad]
    path = WRITERS[form](platform.landing_dir, [event("e1", "2"), *bad, event("e3", "3")])
    assert counts(platform.land()) == {f"usage.{form}": (21, 2, 0, 19)}
    assert ledger(platform) == {f"usage.{form}": (21, 2, 0, 19)}
    rejected = platform.rejected()
    assert [(row["path"], row["line"], row["reason"]) for row in rejected] == [
        (f"usage.{form}", FIRST_LINE[form] + number, reason) for number, (_, reason) in enumerate(REFUSED.values(), 1)
    ]
    assert [(row["source"], row["event_id"]) for row in rejected] == [(row.get("source"), row.get("id")) for row in bad]
    if form == "parquet":
        raw = [json.loads(row["raw"]) for row in rejected]
        assert [(row["type"], row["subject"]) for row in raw] == [(row["type"], row["subject"]) for row in bad]
    else:
        assert [row["raw"] for row in rejected] == path.read_text(encoding="utf-8").splitlines()[FIRST_LINE[form] : -1]
    assert requests_of(platform) == 5


def test_a_rejection_names_the_fix(platform: Platform) -> None:
    write_jsonl(
        platform.landing_dir,
        [event("a", type="teapots"), event("b", subject="nobody"), event("c", type="egress_gb"), event("d", "1e-16")],
    )
    platform.land()
    assert [row["message"] for row in platform.rejected()] == [
        "no meter teapots: add it to the price book, then land this day again",
        "no organization nobody: create it, then land this day again",
        "meter egress_gb needs region in data",
        "1e-16 is not a JSON number with at most 20 digits before the point and 15 after it",
    ]


def test_a_row_is_accepted_once_the_missing_organization_exists_and_its_day_lands_again(platform: Platform) -> None:
    write_jsonl(platform.landing_dir, [event("e1", subject="newcomer")])
    assert counts(platform.land()) == {"usage.jsonl": (1, 0, 0, 1)}
    platform.add_organization("newcomer")
    assert counts(platform.land()) == {"usage.jsonl": (1, 1, 0, 0)}
    assert platform.rejected() == []


# --- Files and lines that can't be read ----------------------------------------------------------------------------


def test_a_torn_json_line_is_rejected_unchanged(platform: Platform) -> None:
    torn = json_line(event("e2"))[:60]
    write_text(platform.landing_dir, DAY, "usage.jsonl", f"{json_line(event('e1'))}\n{torn}")
    assert counts(platform.land()) == {"usage.jsonl": (2, 1, 0, 1)}
    (row,) = platform.rejected()
    assert (row["line"], row["reason"], row["raw"]) == (2, "bad_json", torn)


def test_a_json_line_that_is_no_event_is_rejected(platform: Platform) -> None:
    lines = ["[1, 2]", "5", '{"id": "e1"}', '{"id": "e1", "data": "text"}']
    write_text(platform.landing_dir, DAY, "usage.jsonl", "\n".join(lines))
    assert counts(platform.land()) == {"usage.jsonl": (4, 0, 0, 4)}
    assert [(row["line"], row["reason"], row["raw"]) for row in platform.rejected()] == [
        (number, "bad_shape", line) for number, line in enumerate(lines, start=1)
    ]


def test_a_csv_file_without_a_needed_column_has_all_its_rows_rejected(platform: Platform) -> None:
    content = "id,source,type,subject,quantity\ne1,proxy,requests,acme,1\ne2,proxy,requests,acme,1\n"
    write_text(platform.landing_dir, DAY, "usage.csv", content)
    assert counts(platform.land()) == {"usage.csv": (2, 0, 0, 2)}
    assert [(row["line"], row["reason"], row["message"], row["raw"]) for row in platform.rejected()] == [
        (2, "missing_column", "the header has no column time", "e1,proxy,requests,acme,1"),
        (3, "missing_column", "the header has no column time", "e2,proxy,requests,acme,1"),
    ]


@pytest.mark.parametrize(("separator", "name"), [(";", "semicolons"), ("\t", "tabs")])
@pytest.mark.parametrize("quote", ["", '"'])
def test_a_csv_file_with_other_separators_is_one_rejected_row_that_names_them(
    platform: Platform, separator: str, name: str, quote: str
) -> None:
    rows = ["id,source,type,subject,time,quantity", *(f"e{number},proxy,requests,acme,,1" for number in range(3))]
    lines = [separator.join(f"{quote}{cell}{quote}" for cell in row.split(",")) for row in rows]
    write_text(platform.landing_dir, DAY, "usage.csv", "\n".join(lines))
    assert counts(platform.land()) == {"usage.csv": (1, 0, 0, 1)}
    (row,) = platform.rejected()
    assert (row["line"], row["reason"], row["raw"]) == (0, "other_separator", "usage.csv")
    assert row["message"] == f"its columns are separated by {name}: separate them by commas"


@pytest.mark.parametrize(("separator", "name"), [(";", "semicolons"), ("\t", "tabs")])
def test_a_csv_file_in_which_excel_names_another_separator_is_one_rejected_row(
    platform: Platform, separator: str, name: str
) -> None:
    write_text(platform.landing_dir, DAY, "usage.csv", f"sep={separator}\nid{separator}source\ne1{separator}proxy\n")
    assert counts(platform.land()) == {"usage.csv": (1, 0, 0, 1)}
    (row,) = platform.rejected()
    assert (row["reason"], row["message"]) == (
        "other_separator",
        f"its columns are separated by {name}: separate them by commas",
    )


@pytest.mark.parametrize("first", ["sep=,", '"sep=,"'])
def test_a_csv_file_in_which_excel_names_the_comma_lands_without_that_line(platform: Platform, first: str) -> None:
    rows = [first, "id,source,type,subject,time,quantity"]
    rows += [
        f"e{number},proxy,requests,{subject},2026-09-15T12:00:00Z,1" for number, subject in ((1, "acme"), (2, "nobody"))
    ]
    write_text(platform.landing_dir, DAY, "usage.csv", "\r\n".join(rows))
    assert counts(platform.land()) == {"usage.csv": (2, 1, 0, 1)}
    (row,) = platform.rejected()
    assert (row["line"], row["reason"]) == (4, "unknown_organization")


def test_a_parquet_file_without_a_needed_column_has_all_its_rows_rejected(platform: Platform) -> None:
    write_table(platform.landing_dir, pa.table({"id": ["e1", "e2"], "source": ["proxy", "proxy"]}))
    assert counts(platform.land()) == {"usage.parquet": (2, 0, 0, 2)}
    first, second = platform.rejected()
    assert (first["line"], first["reason"], second["line"]) == (1, "missing_column", 2)
    assert first["message"] == "the file has no column type, subject, time, quantity"
    assert json.loads(first["raw"]) == {"id": "e1", "source": "proxy"}


def test_a_floating_point_quantity_column_is_refused_rather_than_rounded(platform: Platform) -> None:
    columns = {name: [value] for name, value in event("e1").items()} | {"quantity": pa.array([0.1], pa.float64())}
    write_table(platform.landing_dir, pa.table(columns))
    assert counts(platform.land()) == {"usage.parquet": (1, 0, 0, 1)}
    assert only_reason(platform) == "inexact_quantity"


@pytest.mark.parametrize("name", ["usage.txt", "usage"])
def test_a_file_with_an_unknown_ending_is_one_rejected_row(platform: Platform, name: str) -> None:
    write_text(platform.landing_dir, DAY, name, "anything\nat all\n")
    assert counts(platform.land()) == {name: (1, 0, 0, 1)}
    (row,) = platform.rejected()
    assert (row["line"], row["reason"], row["raw"]) == (0, "unknown_format", name)


@pytest.mark.parametrize("content", [b"no parquet at all", b"", b"PAR1 torn PAR1"])
def test_a_corrupt_parquet_file_is_one_rejected_row_and_the_other_files_land(
    platform: Platform, content: bytes
) -> None:
    write_text(platform.landing_dir, DAY, "broken.parquet", content)
    write_jsonl(platform.landing_dir, [event("e1")])
    assert counts(platform.land()) == {"broken.parquet": (1, 0, 0, 1), "usage.jsonl": (1, 1, 0, 0)}
    (row,) = platform.rejected()
    assert (row["line"], row["reason"], row["raw"]) == (0, "unreadable_file", "broken.parquet")


@pytest.mark.parametrize("name", ["usage.jsonl", "usage.ndjson", "usage.csv"])
def test_an_empty_file_is_recorded_with_zero_rows(platform: Platform, name: str) -> None:
    write_text(platform.landing_dir, DAY, name, "")
    assert counts(platform.land()) == {name: (0, 0, 0, 0)}
    assert ledger(platform) == {name: (0, 0, 0, 0)}


def test_blank_lines_and_a_header_are_no_rows(platform: Platform) -> None:
    write_text(platform.landing_dir, DAY, "blank.jsonl", f"\n{json_line(event('e1'))}\n  \n\n")
    write_csv(platform.landing_dir, [])
    write_parquet(platform.landing_dir, [])
    assert counts(platform.land()) == {
        "blank.jsonl": (1, 1, 0, 0),
        "usage.csv": (0, 0, 0, 0),
        "usage.parquet": (0, 0, 0, 0),
    }


def test_a_json_line_that_is_not_utf8_is_rejected_alone(platform: Platform) -> None:
    """Read with replacement characters, caf\\xe9 and caf\\xe8 would be one id, and one of them lost as a duplicate."""
    lines = [
        json_line(event("e1")).encode(),
        *(json_line(event("caf?")).encode().replace(b"?", c) for c in (b"\xe9", b"\xe8")),
    ]
    write_text(platform.landing_dir, DAY, "usage.jsonl", b"\n".join(lines))
    assert counts(platform.land()) == {"usage.jsonl": (3, 1, 0, 2)}
    first, second = platform.rejected()
    assert (first["line"], first["reason"], second["line"]) == (2, "bad_encoding", 3)
    assert first["raw"].startswith('{"id": "caf�"')


def test_a_csv_row_that_is_not_utf8_is_rejected_alone(platform: Platform) -> None:
    path = write_csv(platform.landing_dir, [event("e1"), event("caf?"), event("e3")])
    path.write_bytes(path.read_bytes().replace(b"caf?", b"caf\xe9"))
    assert counts(platform.land()) == {"usage.csv": (3, 2, 0, 1)}
    (row,) = platform.rejected()
    assert (row["line"], row["reason"]) == (3, "bad_encoding")
    assert row["raw"] == "caf�,proxy,requests,acme,2026-09-15T12:00:00Z,1"


def test_a_byte_order_mark_loses_no_row(platform: Platform) -> None:
    for path in (write_csv(platform.landing_dir, [event("e1")]), write_jsonl(platform.landing_dir, [event("e2")])):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert counts(platform.land()) == {"usage.csv": (1, 1, 0, 0), "usage.jsonl": (1, 1, 0, 0)}


def test_a_csv_row_with_too_few_fields_is_rejected_unchanged(platform: Platform) -> None:
    path = write_csv(platform.landing_dir, [event("e1"), event("e2")])
    path.write_text(path.read_text(encoding="utf-8")[:-10], encoding="utf-8")
    assert counts(platform.land()) == {"usage.csv": (2, 1, 0, 1)}
    (row,) = platform.rejected()
    assert (row["line"], row["reason"], row["raw"]) == (3, "torn_row", "e2,proxy,requests,acme,2026-09-15T12")


def test_an_unclosed_quote_rejects_only_its_own_line(platform: Platform) -> None:
    path = write_csv(platform.landing_dir, [event("e1"), event("torn"), event("e3"), event("e4")])
    path.write_text(path.read_text(encoding="utf-8").replace("torn,", '"torn,'), encoding="utf-8")
    assert counts(platform.land()) == {"usage.csv": (4, 3, 0, 1)}
    (row,) = platform.rejected()
    assert (row["line"], row["reason"]) == (3, "torn_row")
    assert row["raw"] == '"torn,proxy,requests,acme,2026-09-15T12:00:00Z,1'


def test_two_unclosed_quotes_do_not_merge_the_lines_between_them(platform: Platform) -> None:
    usage = [event("torn1", app="shop"), event("e2", app="shop"), event("torn3", app="shop"), event("e4", app="shop")]
    path = write_csv(platform.landing_dir, usage)
    path.write_text(path.read_text(encoding="utf-8").replace("torn", '"torn'), encoding="utf-8")
    assert counts(platform.land()) == {"usage.csv": (4, 2, 0, 2)}
    assert [row["line"] for row in platform.rejected()] == [2, 4]


def test_a_quoted_field_may_contain_commas_and_line_ends(platform: Platform) -> None:
    usage = [event("e1", type="egress_gb", region="iad", note='a, "b"\nc'), event("e2", type="egress_gb", region="ams")]
    write_csv(platform.landing_dir, usage)
    assert counts(platform.land()) == {"usage.csv": (2, 2, 0, 0)}
    assert [row[5] for row in events_in_usage_table(platform)] == ['{"region":"iad"}', '{"region":"ams"}']


def test_half_a_surrogate_pair_is_rejected(platform: Platform) -> None:
    line = json_line(event("?")).replace("?", "\\ud800")
    write_text(platform.landing_dir, DAY, "usage.jsonl", f"{line}\n{json_line(event('e1'))}\n")
    assert counts(platform.land()) == {"usage.jsonl": (2, 1, 0, 1)}
    assert only_reason(platform) == "bad_json"


def test_endless_nesting_is_one_rejected_row(platform: Platform) -> None:
    write_text(platform.landing_dir, DAY, "usage.jsonl", f"{'[' * 100_000}\n{json_line(event('e1'))}\n")
    assert counts(platform.land()) == {"usage.jsonl": (2, 1, 0, 1)}
    assert only_reason(platform) == "bad_json"


def test_a_file_torn_into_zero_bytes_is_rejected_and_shown(platform: Platform) -> None:
    """A machine that loses power while it writes leaves such a file; Postgres can't store text with a NUL."""
    write_text(platform.landing_dir, DAY, "usage.jsonl", json_line(event("e1")).encode() + b"\n{\x00\x00")
    assert counts(platform.land()) == {"usage.jsonl": (2, 1, 0, 1)}
    (row,) = platform.rejected()
    assert (row["line"], row["reason"], row["raw"]) == (2, "bad_json", "{␀␀")


@pytest.mark.parametrize("changes", [{"id": "a\0b"}, {"source": "a\0b"}, {"type": "egress_gb", "region": "i\0ad"}])
def test_a_nul_character_in_a_billed_field_is_refused(platform: Platform, changes: dict[str, str]) -> None:
    write_jsonl(platform.landing_dir, [event("e1") | changes])
    assert counts(platform.land()) == {"usage.jsonl": (1, 0, 0, 1)}
    assert only_reason(platform) == "bad_text"


# --- Times at the edges --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", WRITERS)
def test_an_event_at_midnight_of_the_months_end_belongs_to_the_next_month(platform: Platform, form: str) -> None:
    usage = [
        event("last", "1", time="2026-09-30T23:59:59.999999Z"),
        event("first", "2", time="2026-10-01T00:00:00Z"),
        event("zone", "4", time="2026-10-01T01:30:00+02:00"),
    ]
    path = WRITERS[form](platform.landing_dir, usage)
    path.parent.rename(platform.landing_dir / LAST_DAY.isoformat())
    platform.land(LAST_DAY)
    assert platform.rejected() == []
    assert requests_of(platform) == 5
    assert requests_of(platform, OCTOBER) == 2


@pytest.mark.parametrize("form", WRITERS)
def test_a_leap_second_and_nanoseconds_stay_in_the_month_they_end(platform: Platform, form: str) -> None:
    usage = [
        event("leap", "1", time="2026-09-30T23:59:60Z"),
        event("nano", "2", time="2026-09-30T23:59:59.999999999Z"),
    ]
    path = WRITERS[form](platform.landing_dir, usage)
    path.parent.rename(platform.landing_dir / LAST_DAY.isoformat())
    platform.land(LAST_DAY)
    assert platform.rejected() == []
    assert requests_of(platform) == 3


def test_parquet_timestamps_keep_their_moment_in_any_zone_and_unit(platform: Platform) -> None:
    moment = datetime(2026, 9, 15, 12, 0, 0, 1, tzinfo=UTC)
    for number, kind in enumerate(
        (pa.timestamp("us", "UTC"), pa.timestamp("ns", "America/New_York"), pa.timestamp("us", "+02:00"))
    ):
        columns = {name: [value] for name, value in event(f"e{number}").items()} | {"time": pa.array([moment], kind)}
        write_table(platform.landing_dir, pa.table(columns), name=f"part{number}")
    platform.land()
    assert platform.rejected() == []
    with open_duckdb() as duck:
        platform.table().open_view(duck, "events")
        assert duck.execute("select distinct epoch_us(time) from events").fetchall() == [(1789473600000001,)]


def test_a_parquet_timestamp_without_zone_is_refused(platform: Platform) -> None:
    naive = pa.array([at("2026-09-15").replace(tzinfo=None)], pa.timestamp("us"))
    write_table(platform.landing_dir, pa.table({name: [value] for name, value in event().items()} | {"time": naive}))
    platform.land()
    assert only_reason(platform) == "bad_time"


# --- Quantities, digit by digit ------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", WRITERS)
def test_a_quantity_keeps_every_digit(platform: Platform, form: str) -> None:
    billed = {
        "1e-7": "0.0000001",
        "1.5E3": "1500",
        "0.100000000000001": "0.100000000000001",
        "0.10000000000000000000": "0.1",
        "12345678901234567890": "12345678901234567890",
        "12345678901234567890.123456789012345": "12345678901234567890.123456789012345",
        "9007199254740993": "9007199254740993",
        "0": "0",
    }
    WRITERS[form](platform.landing_dir, [event(written, written) for written in billed])
    platform.land()
    assert platform.rejected() == []
    assert {row[3]: row[4] for row in events_in_usage_table(platform)} == {
        written: Decimal(quantity) for written, quantity in billed.items()
    }


def test_a_decimal_column_keeps_every_digit(platform: Platform) -> None:
    """Arrow writes a small decimal as 1.0E-7; that is a number, too."""
    quantities = pa.array([Decimal("0.0000001"), Decimal("12345678901234567890.5")], pa.decimal128(38, 10))
    columns = {name: [value, value] for name, value in event().items()} | {"id": ["e1", "e2"], "quantity": quantities}
    write_table(platform.landing_dir, pa.table(columns))
    platform.land()
    assert platform.rejected() == []
    assert requests_of(platform) == Decimal("12345678901234567890.5000001")


def test_a_quantity_is_read_from_the_events_data_only(platform: Platform) -> None:
    envelope = '"source": "proxy", "type": "requests", "subject": "acme", "time": "2026-09-15T12:00:00Z"'
    lines = [
        f'{{"quantity": 100, "id": "outside", {envelope}, "data": {{"quantity": 1}}}}',
        f'{{"id": "inside", {envelope}, "data": {{"batch": {{"quantity": 100}}, "quantity": 2}}}}',
        f'{{"id": "note", {envelope}, "data": {{"note": "\\"quantity\\": 100", "quantity": 4}}}}',
        f'{{"id": "text", {envelope}, "data": {{"quantity": "8"}}}}',
    ]
    write_text(platform.landing_dir, DAY, "usage.jsonl", "\n".join(lines))
    platform.land()
    assert platform.rejected() == []
    assert requests_of(platform) == 15


def test_an_empty_dimension_is_a_dimension(platform: Platform) -> None:
    """A FOCUS bill gives an empty text for usage without a region."""
    for number, write in enumerate((write_jsonl, write_csv, write_parquet)):
        write(platform.landing_dir, [event(f"e{number}", type="egress_gb", region="")])
    platform.land()
    assert platform.rejected() == []
    assert {row[5] for row in events_in_usage_table(platform)} == {'{"region":""}'}


def test_dimensions_are_those_of_the_meter_in_all_three_formats(platform: Platform) -> None:
    for number, write in enumerate((write_jsonl, write_csv, write_parquet)):
        write(platform.landing_dir, [event(f"e{number}", type="egress_gb", region="iad", app="shop")])
    platform.land()
    assert {row[5] for row in events_in_usage_table(platform)} == {'{"region":"iad"}'}


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_a_parquet_file_may_have_its_dimensions_as_json_text(platform: Platform, kind: pa.DataType) -> None:
    data = pa.array(['{"region": "iad"}', "{torn"], kind)
    columns = {name: [value, value] for name, value in event(type="egress_gb").items()} | {"id": ["e1", "e2"]}
    write_table(platform.landing_dir, pa.table(columns | {"data": data}))
    assert counts(platform.land()) == {"usage.parquet": (2, 1, 0, 1)}
    (row,) = platform.rejected()
    assert (row["line"], row["reason"], json.loads(row["raw"])["data"]) == (2, "bad_json", "{torn")


# --- Plain Parquet, which DuckDB reads directly -----------------------------------------------------------------------


def plain_table(*usage: dict[str, Any]) -> pa.Table:
    """Return a table as collectors write it: text, times in UTC to the microsecond, dimensions as JSON text."""
    columns: dict[str, Any] = {name: [row[name] for row in usage] for name in usage[0]}
    times = [datetime.fromisoformat(row["time"]) for row in usage]
    data = ['{"region": "iad"}'] * len(usage)
    return pa.table(columns | {"time": pa.array(times, pa.timestamp("us", "UTC")), "data": data})


def egress(name: str, quantity: str = "1", **changes: Any) -> dict[str, Any]:
    return event(name, quantity, type="egress_gb", **changes)


def quantities(platform: Platform) -> dict[str, Decimal]:
    with open_duckdb() as duck:
        platform.table().open_view(duck, "events")
        return dict(duck.execute("select id, quantity from events where not is_duplicate order by id").fetchall())


def test_plain_parquet_is_accounted_for_row_by_row_over_files_and_days(platform: Platform) -> None:
    write_table(platform.landing_dir, plain_table(egress("e1", "0.123456789012345"), egress("e2", subject="nobody")))
    write_table(platform.landing_dir, plain_table(egress("e3", "2"), egress("e1", "0.123456789012345")), name="usage2")
    later = DAY + timedelta(days=1)
    write_table(platform.landing_dir, plain_table(egress("e3", "2"), egress("e4", "4")), later, "usage")
    found = [(file.day, file.path, file.landed, file.accepted, file.duplicate) for file in platform.land(DAY, later)]
    assert found == [
        (DAY, "usage.parquet", 2, 1, 0),
        (DAY, "usage2.parquet", 2, 1, 1),
        (later, "usage.parquet", 2, 1, 1),
    ]
    (row,) = platform.rejected()
    assert (row["path"], row["line"], row["reason"]) == ("usage.parquet", 2, "unknown_organization")
    assert quantities(platform) == {"e1": Decimal("0.123456789012345"), "e3": Decimal(2), "e4": Decimal(4)}


def test_an_exponent_in_one_parquet_file_is_read_exactly_and_the_other_files_land_once(platform: Platform) -> None:
    write_table(platform.landing_dir, plain_table(egress("e1", "7")), name="a")
    write_table(platform.landing_dir, plain_table(egress("e2", "8"), egress("e3", "1.5E+3")), name="b")
    write_table(platform.landing_dir, plain_table(egress("e4", "9")), name="c")
    assert set(counts(platform.land()).values()) == {(1, 1, 0, 0), (2, 2, 0, 0)}
    assert quantities(platform) == {"e1": Decimal(7), "e2": Decimal(8), "e3": Decimal(1500), "e4": Decimal(9)}


def test_text_that_is_not_utf8_in_a_parquet_file_refuses_only_its_row(platform: Platform) -> None:
    torn = plain_table(egress("e1", "7"), egress("e2"))
    torn = torn.set_column(0, "id", pa.array([b"e1", b"\xff\xfe"], pa.binary()).view(pa.string()))
    write_table(platform.landing_dir, torn, name="torn")
    write_table(platform.landing_dir, plain_table(egress("e3", "8")), name="whole")
    assert counts(platform.land()) == {"torn.parquet": (2, 1, 0, 1), "whole.parquet": (1, 1, 0, 0)}
    (row,) = platform.rejected()
    assert (row["line"], row["reason"], row["message"]) == (2, "bad_encoding", "id is not UTF-8: shown with \ufffd")
    assert quantities(platform) == {"e1": Decimal(7), "e3": Decimal(8)}


# --- Duplicates ----------------------------------------------------------------------------------------------------


def test_landing_the_same_day_twice_changes_nothing(platform: Platform) -> None:
    write_jsonl(platform.landing_dir, [event("e1"), event("e1"), event("bad", "-1")])
    platform.land()
    before = (ledger(platform), platform.rejected(), events_in_usage_table(platform))
    assert counts(platform.land()) == {"usage.jsonl": (3, 1, 1, 1)}
    assert (ledger(platform), platform.rejected(), events_in_usage_table(platform)) == before
    assert requests_of(platform) == 1


@pytest.mark.parametrize("form", WRITERS)
def test_the_same_file_under_another_name_contains_only_duplicates(platform: Platform, form: str) -> None:
    path = WRITERS[form](platform.landing_dir, [event("e1"), event("e2")])
    path.with_name(f"usage-again.{form}").write_bytes(path.read_bytes())
    assert counts(platform.land()) == {f"usage-again.{form}": (2, 2, 0, 0), f"usage.{form}": (2, 0, 2, 0)}
    assert requests_of(platform) == 2


def test_the_same_events_in_another_format_are_duplicates(platform: Platform) -> None:
    for write in (write_jsonl, write_csv, write_parquet):
        write(platform.landing_dir, [event("e1", "0.50", type="egress_gb", region="iad")])
    assert counts(platform.land()) == {
        "usage.csv": (1, 1, 0, 0),
        "usage.jsonl": (1, 0, 1, 0),
        "usage.parquet": (1, 0, 1, 0),
    }


def test_the_same_id_from_another_source_is_another_event(platform: Platform) -> None:
    write_jsonl(platform.landing_dir, [event("e1"), event("e1", source="edge")])
    assert counts(platform.land()) == {"usage.jsonl": (2, 2, 0, 0)}


def test_an_event_sent_again_on_another_day_is_a_duplicate(platform: Platform) -> None:
    write_jsonl(platform.landing_dir, [event("e1")])
    write_jsonl(platform.landing_dir, [event("e1"), event("e2")], NEXT_DAY)
    platform.land(DAY)
    platform.land(NEXT_DAY)
    assert ledger(platform, NEXT_DAY) == {"usage.jsonl": (2, 1, 1, 0)}
    platform.land(DAY, NEXT_DAY)
    assert ledger(platform, DAY) == {"usage.jsonl": (1, 1, 0, 0)}
    assert ledger(platform, NEXT_DAY) == {"usage.jsonl": (2, 1, 1, 0)}
    assert requests_of(platform) == 2


def test_an_earlier_day_that_lands_later_has_the_duplicate(platform: Platform) -> None:
    write_jsonl(platform.landing_dir, [event("e1")], NEXT_DAY)
    platform.land(NEXT_DAY)
    write_jsonl(platform.landing_dir, [event("e1")])
    assert counts(platform.land(DAY)) == {"usage.jsonl": (1, 0, 1, 0)}
    assert counts(platform.land(NEXT_DAY)) == {"usage.jsonl": (1, 1, 0, 0)}
    assert requests_of(platform) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"quantity": "2"},
        {"time": "2026-09-15T12:00:01Z"},
        {"subject": "globex"},
        {"type": "egress_gb", "region": "iad"},
    ],
)
def test_an_accepted_id_with_other_content_is_refused_and_no_duplicate(
    platform: Platform, other: dict[str, str]
) -> None:
    platform.add_organization("globex")
    write_jsonl(platform.landing_dir, [event("e1"), event("e1") | other])
    assert counts(platform.land()) == {"usage.jsonl": (2, 1, 0, 1)}
    (row,) = platform.rejected()
    assert (row["line"], row["reason"], row["raw"]) == (2, "conflicting_duplicate", json_line(event("e1") | other))
    assert requests_of(platform) == 1


def test_an_id_of_another_day_with_other_content_is_refused(platform: Platform) -> None:
    write_jsonl(platform.landing_dir, [event("e1")])
    platform.land(DAY)
    write_jsonl(platform.landing_dir, [event("e1", "2")], NEXT_DAY)
    assert counts(platform.land(NEXT_DAY)) == {"usage.jsonl": (1, 0, 0, 1)}
    assert only_reason(platform) == "conflicting_duplicate"


def test_a_field_that_no_meter_uses_does_not_make_a_duplicate_a_conflict(platform: Platform) -> None:
    write_jsonl(platform.landing_dir, [event("e1", app="shop"), event("e1", app="blog")])
    assert counts(platform.land()) == {"usage.jsonl": (2, 1, 1, 0)}


def test_a_copy_counts_once_the_first_events_day_lands_without_it(platform: Platform) -> None:
    first = write_jsonl(platform.landing_dir, [event("e1"), event("e2")])
    write_jsonl(platform.landing_dir, [event("e1"), event("e3")], NEXT_DAY)
    platform.land(DAY, NEXT_DAY)
    assert ledger(platform, NEXT_DAY) == {"usage.jsonl": (2, 1, 1, 0)}
    first.write_text(f"{json_line(event('e2'))}\n", encoding="utf-8")
    assert counts(platform.land(DAY)) == {"usage.jsonl": (1, 1, 0, 0)}
    assert ledger(platform, NEXT_DAY) == {"usage.jsonl": (2, 2, 0, 0)}
    assert requests_of(platform) == 3


def test_one_of_two_copies_counts_once_the_first_event_is_gone(platform: Platform) -> None:
    first = write_jsonl(platform.landing_dir, [event("e1")])
    for day in (NEXT_DAY, date(2026, 9, 17)):
        write_jsonl(platform.landing_dir, [event("e1")], day)
    platform.land(DAY, NEXT_DAY, date(2026, 9, 17))
    first.write_text("", encoding="utf-8")
    platform.land(DAY)
    assert ledger(platform, NEXT_DAY) == {"usage.jsonl": (1, 1, 0, 0)}
    assert ledger(platform, date(2026, 9, 17)) == {"usage.jsonl": (1, 0, 1, 0)}
    assert requests_of(platform) == 1


def test_an_event_accepted_on_a_day_that_is_settled_again_stays_accepted(platform: Platform) -> None:
    """The first day loses e1, so the next day's copy counts, and gains e9, which the next day has with other data."""
    first = write_jsonl(platform.landing_dir, [event("e1")])
    write_jsonl(platform.landing_dir, [event("e1"), event("e9", "5")], NEXT_DAY)
    platform.land(DAY, NEXT_DAY)
    first.write_text(f"{json_line(event('e9', '7'))}\n", encoding="utf-8")
    assert counts(platform.land(DAY)) == {"usage.jsonl": (1, 0, 0, 1)}
    assert ledger(platform, DAY) == {"usage.jsonl": (1, 0, 0, 1)}
    assert ledger(platform, NEXT_DAY) == {"usage.jsonl": (2, 2, 0, 0)}
    assert requests_of(platform) == 6


# --- Folders -------------------------------------------------------------------------------------------------------


def test_half_a_folder_lands_now_and_the_rest_with_the_next_landing(platform: Platform) -> None:
    write_jsonl(platform.landing_dir, [event("e1")], name="hour-00")
    assert counts(platform.land()) == {"hour-00.jsonl": (1, 1, 0, 0)}
    write_jsonl(platform.landing_dir, [event("e2")], name="more/hour-01")
    assert counts(platform.land()) == {"hour-00.jsonl": (1, 1, 0, 0), "more/hour-01.jsonl": (1, 1, 0, 0)}
    assert requests_of(platform) == 2


def test_removing_a_file_removes_its_events_and_rejections(platform: Platform) -> None:
    gone = write_jsonl(platform.landing_dir, [event("e1"), event("bad", "-1")], name="a")
    write_jsonl(platform.landing_dir, [event("e2", "5")], name="b")
    platform.land()
    gone.unlink()
    assert counts(platform.land()) == {"b.jsonl": (1, 1, 0, 0)}
    assert ledger(platform) == {"b.jsonl": (1, 1, 0, 0)}
    assert platform.rejected() == []
    assert requests_of(platform) == 5


def test_landing_a_day_whose_folder_is_gone_is_refused_and_deletes_nothing(platform: Platform) -> None:
    path = write_jsonl(platform.landing_dir, [event("e1")])
    platform.land()
    path.parent.rename(platform.landing_dir / "elsewhere")
    with pytest.raises(LandingError, match="2026-09-15 and the folders of all other landed days are missing"):
        platform.land()
    assert ledger(platform) == {"usage.jsonl": (1, 1, 0, 0)}
    assert requests_of(platform) == 1


def test_an_empty_folder_confirms_a_day_without_usage(platform: Platform) -> None:
    path = write_jsonl(platform.landing_dir, [event("e1")])
    platform.land()
    path.unlink()
    assert platform.land() == []
    assert ledger(platform) == {}
    assert requests_of(platform) is None


def test_files_that_are_still_being_written_are_skipped(platform: Platform) -> None:
    write_text(platform.landing_dir, DAY, ".usage.jsonl.part", json_line(event("e1")))
    assert platform.land() == []


def test_a_day_without_folder_is_marked_as_landed(platform: Platform) -> None:
    assert platform.land(DAY) == []
    assert platform.query("select landing_day, landed_at from landing_days") == [
        {"landing_day": DAY, "landed_at": datetime(2026, 9, 20, 12, tzinfo=UTC)}
    ]


def test_a_day_that_is_deduplicated_again_keeps_the_events_of_an_organization_that_is_gone(platform: Platform) -> None:
    """e1 lands on both days. The first day lands again without it, so the second day's copy counts: 1 + 4 requests."""
    platform.add_organization("gone")
    write_jsonl(platform.landing_dir, [event("e1")])
    write_jsonl(platform.landing_dir, [event("e1"), event("e2", "4", subject="gone")], NEXT_DAY)
    platform.land(DAY, NEXT_DAY)
    platform.execute("delete from organizations where id = 'gone'")

    write_jsonl(platform.landing_dir, [event("e3")])
    platform.land(DAY)

    with open_duckdb() as duck:
        platform.table().open_view(duck, "events", days=[NEXT_DAY])
        found = duck.execute("select id, is_duplicate from events order by id").fetchall()
    assert found == [("e1", False), ("e2", False)]
    assert ledger(platform, NEXT_DAY) == {"usage.jsonl": (2, 2, 0, 0)}


def test_the_check_on_usage_finds_rejected_rows_and_events_that_vanished(platform: Platform) -> None:
    write_jsonl(platform.landing_dir, [event("e1", "3"), event("e2", "-1")])
    platform.land(DAY)
    assert ledger(platform) == {"usage.jsonl": (2, 1, 0, 1)}

    damage(platform.database, "delete from rejected_usage")
    accounts = count_landed_rows(platform.database, [DAY])
    assert [row["landing_day"] for row in unaccounted_days(accounts, platform.table(), [DAY])] == [DAY]

    platform.land(DAY)
    emptied = UsageTableVersion(
        platform.usage_table, platform.usage_table.replace_days([DAY], EVENTS.empty_table().to_reader())
    )
    accounts = count_landed_rows(platform.database, [DAY])
    assert [row["accepted_in_table"] for row in unaccounted_days(accounts, emptied, [DAY])] == [0]
