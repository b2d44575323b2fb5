"""A file of any name, kind or content is accounted for, and the rest of its day lands. A name is never data."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fly_billing.postgres.database import BillingDatabase
from fly_billing.usage.data_files import UsageTableError
from fly_billing.usage.landing import DaysNotLanded
from fly_billing.usage.landing_folder import LandingFile, list_files
from fly_billing.usage.landing_rows import LandedFile
from fly_billing.usage.landing_staging import stage_files, with_place
from fly_billing.usage.readers.files import read_landing_file
from fly_billing.usage.readers.json_lines import register_json_functions
from fly_billing.usage.readers.jsonl_batches import stage_plain_jsonl
from fly_billing.usage.usage_table import UsageTable, open_duckdb
from tests.support.builders import (
    DAY,
    Platform,
    event,
    json_line,
    write_csv,
    write_jsonl,
    write_table,
    write_text,
)

NEXT_DAY = date(2026, 9, 16)


def counts(files: list[LandedFile]) -> dict[str, tuple[int, int, int, int]]:
    return {file.path: (file.landed, file.accepted, file.duplicate, file.rejected) for file in files}


def quantities(platform: Platform) -> dict[str, Decimal]:
    """Return the accepted quantity by event id, as the usage table has it."""
    with open_duckdb() as duck:
        platform.table().open_view(duck, "events")
        return dict(duck.execute("select id, quantity from events where not is_duplicate order by id").fetchall())


def plain_table(*usage: dict[str, Any]) -> pa.Table:
    """Return a table that DuckDB reads directly: text, times in UTC to the microsecond, dimensions as JSON."""
    columns: dict[str, Any] = {name: [row[name] for row in usage] for name in usage[0]}
    moment = 1789473600000000  # 2026-09-15T12:00:00Z in microseconds
    return pa.table(
        columns | {"time": pa.array([moment] * len(usage), pa.timestamp("us", "UTC")), "data": ["{}"] * len(usage)}
    )


@contextmanager
def as_an_ordinary_user() -> Iterator[None]:
    """Drop root's right to read everything while the block runs; other users have no such right."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


def open_to_anybody(platform: Platform) -> None:
    folder = platform.landing_dir.parent
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)


@pytest.fixture
def platform_of_anybody(billing_database: BillingDatabase) -> Iterator[Platform]:
    """A platform whose folders an ordinary user may write to, even if the tests run as root. One day was landed."""
    folder = Path(tempfile.mkdtemp(prefix="fly_billing-test-"))
    landing_dir = folder / "landing"
    landing_dir.mkdir()
    platform = Platform.with_acme(billing_database, landing_dir)
    write_jsonl(landing_dir, [event("before", "8")], date(2026, 9, 14))
    platform.land(date(2026, 9, 14))
    open_to_anybody(platform)
    yield platform
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o777)
    shutil.rmtree(folder)


# --- Names ---------------------------------------------------------------------------------------------------------

ODD_NAMES = [
    "usage[1]",
    "[!a]",
    "*",
    "**",
    "usage?",
    "{usage,other}",
    "back\\slash",
    "back\\slash[1]",
    "a b%20c",
    "~",
    "quo'te\"s",
    "two\nlines",
    "#hash",
    "quantity=25920000",
    os.fsdecode(b"caf\xe9"),
    "x" * 240,
]


@pytest.fixture
def odd_names() -> list[str]:
    return ODD_NAMES


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
@pytest.mark.parametrize("is_folder", [False, True])
def test_a_file_name_is_never_a_pattern_and_each_file_lands_once(
    platform: Platform, odd_names: list[str], form: str, is_folder: bool
) -> None:
    """As a pattern, `*.parquet` would land the events of all other files under its own name."""
    for number, name in enumerate(odd_names):
        path = write_text(platform.landing_dir, DAY, f"{name}/usage.{form}" if is_folder else f"{name}.{form}", b"")
        if form == "parquet":
            with path.open("wb") as file:
                pq.write_table(plain_table(event(f"e{number}", str(2**number))), file)
        else:
            path.write_text(json_line(event(f"e{number}", str(2**number))), encoding="utf-8")
    files = platform.land()
    assert len({file.path for file in files}) == len(odd_names)
    assert {(file.landed, file.accepted) for file in files} == {(1, 1)}
    assert quantities(platform) == {f"e{number}": Decimal(2**number) for number in range(len(odd_names))}


def test_a_name_that_is_not_utf8_is_recorded_readably_and_uniquely(platform: Platform) -> None:
    names = [b"caf\xe9", b"caf\xe8", b"caf\\xe9", "café".encode()]
    for number, name in enumerate(names):
        write_text(platform.landing_dir, DAY, os.fsdecode(name) + ".jsonl", json_line(event(f"e{number}")))
    assert sorted(counts(platform.land())) == [r"caf\\xe9.jsonl", r"caf\xe8.jsonl", r"caf\xe9.jsonl", "café.jsonl"]


def test_a_name_too_long_for_a_postgres_index_is_cut_and_stays_unique(platform: Platform) -> None:
    """Random letters, because Postgres would compress equal ones; 12 folders of 240 letters are 2,900 bytes."""
    folder = "/".join(os.urandom(120).hex() for _ in range(12))
    for name in ("a", "b"):
        write_text(platform.landing_dir, DAY, f"{folder}/{name}.jsonl", json_line(event(name)))
    files = platform.land()
    assert len({file.path for file in files}) == 2
    assert all(len(file.path) <= 1000 and file.path.startswith(folder[:240]) for file in files)
    assert sum(file.accepted for file in files) == 2


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize(
    "folder",
    ["quantity=25920000", "subject=other", "id=x", "time=2026-09-01", "landing_day=2020-01-01", "path=x", "data=1"],
)
def test_a_folder_that_looks_like_a_column_changes_nothing(platform: Platform, form: str, folder: str) -> None:
    platform.add_organization("other")
    if form == "parquet":
        write_table(platform.landing_dir, plain_table(event("e1", "2")), name=f"{folder}/usage")
    else:
        write = write_jsonl if form == "jsonl" else write_csv
        write(platform.landing_dir, [event("e1", "2")], name=f"{folder}/usage")
    assert counts(platform.land()) == {f"{folder}/usage.{form}": (1, 1, 0, 0)}
    with open_duckdb() as duck:
        platform.table().open_view(duck, "events")
        found = duck.execute("select landing_day, id, organization_id, quantity from events").fetchall()
    assert found == [(DAY, "e1", "acme", Decimal(2))]


@pytest.mark.parametrize(
    "folder",
    [
        "quantity=1/usage",
        "landing_day=2020-01-01/usage_month=1999-01/x",
        "usage*",
        "us?ge",
        "{a,b}",
        "é b",
        "100%",
        "#",
    ],
)
def test_the_usage_table_may_be_in_any_folder(billing_database: BillingDatabase, tmp_path: Path, folder: str) -> None:
    landing_dir = tmp_path / folder / "landing"
    landing_dir.mkdir(parents=True)
    platform = Platform.with_acme(billing_database, landing_dir)
    write_jsonl(landing_dir, [event("e1", "2")])
    write_table(landing_dir, plain_table(event("e2", "4")), NEXT_DAY)
    platform.land(DAY, NEXT_DAY)
    platform.land(DAY, NEXT_DAY)
    assert (tmp_path / folder / "usage_table" / "_delta_log").is_dir()
    with open_duckdb() as duck:
        platform.table().open_view(duck, "events")
        found = duck.execute("select usage_month, landing_day, id, quantity from events order by id").fetchall()
    assert found == [("2026-09", DAY, "e1", Decimal(2)), ("2026-09", NEXT_DAY, "e2", Decimal(4))]


@pytest.mark.parametrize("folder", ["[x]", "a|b", "a^b", "back\\slash", "a%20b"])
def test_a_folder_in_which_delta_lake_stops_the_process_is_refused_with_a_clear_error(
    tmp_path: Path, folder: str
) -> None:
    with pytest.raises(UsageTableError, match="Set FLY_BILLING_LAKE_DIR to another folder"):
        UsageTable(tmp_path / folder).create()


# --- Not a file, or unreadable -------------------------------------------------------------------------------------


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def make_dangling_link(path: Path) -> None:
    path.symlink_to("nowhere.jsonl")


def make_link_to_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def make_link_to_folder(path: Path) -> None:
    elsewhere = path.parent.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "usage.jsonl").write_text(json_line(event("elsewhere")), encoding="utf-8")
    path.symlink_to(elsewhere)


NO_FILES: list[Callable[[Path], None]] = [
    make_pipe,
    make_link_to_itself,
    make_dangling_link,
    make_link_to_device,
    make_link_to_folder,
]


@pytest.mark.parametrize("make", NO_FILES)
@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_an_entry_that_is_no_file_is_one_rejected_row_and_the_other_files_land(
    platform: Platform, make: Callable[[Path], None], form: str
) -> None:
    write_jsonl(platform.landing_dir, [event("e1")], name="good")
    make(platform.landing_dir / DAY.isoformat() / f"odd.{form}")
    assert counts(platform.land()) == {"good.jsonl": (1, 1, 0, 0), f"odd.{form}": (1, 0, 0, 1)}
    (row,) = platform.rejected()
    assert (row["line"], row["reason"], row["raw"]) == (0, "unreadable_file", f"odd.{form}")
    assert "pipe" in row["message"] or "link" in row["message"]


def test_a_link_to_a_file_lands_as_that_file(platform: Platform) -> None:
    write_jsonl(platform.landing_dir, [event("e1")])
    (platform.landing_dir / DAY.isoformat() / "usage.jsonl").rename(platform.landing_dir / "kept.jsonl")
    (platform.landing_dir / DAY.isoformat() / "usage.jsonl").symlink_to("../kept.jsonl")
    assert counts(platform.land()) == {"usage.jsonl": (1, 1, 0, 0)}


def test_a_file_without_read_permission_is_rejected_and_lands_once_it_may_be_read(
    platform_of_anybody: Platform,
) -> None:
    platform = platform_of_anybody
    write_jsonl(platform.landing_dir, [event("e1", "2")], name="good")
    secret = write_jsonl(platform.landing_dir, [event("e2", "4")], name="secret")
    secret.chmod(0)
    with as_an_ordinary_user():
        assert counts(platform.land()) == {"good.jsonl": (1, 1, 0, 0), "secret.jsonl": (1, 0, 0, 1)}
    (row,) = platform.rejected()
    assert (row["line"], row["reason"], row["message"]) == (0, "unreadable_file", "Permission denied")
    secret.chmod(0o644)
    assert counts(platform.land())["secret.jsonl"] == (1, 1, 0, 0)
    assert platform.rejected() == []


def test_a_landed_file_that_becomes_unreadable_keeps_its_events(platform_of_anybody: Platform) -> None:
    """Rejecting it would remove its events, and the customer's bill would change because of a permission."""
    platform = platform_of_anybody
    path = write_jsonl(platform.landing_dir, [event("e1", "2")])
    write_jsonl(platform.landing_dir, [event("e2", "4")], NEXT_DAY)
    platform.land(DAY)
    path.chmod(0)
    with as_an_ordinary_user(), pytest.raises(DaysNotLanded, match=r"usage\.jsonl can't be read now") as failed:
        platform.land(DAY, NEXT_DAY)
    assert list(failed.value.failures) == [DAY]
    assert counts(failed.value.files) == {"usage.jsonl": (1, 1, 0, 0)}
    assert quantities(platform) == {"before": Decimal(8), "e1": Decimal(2), "e2": Decimal(4)}


def staged(
    *files: LandingFile, meanwhile: Callable[[], None] = lambda: None, after: str = "plain Parquet files"
) -> list[tuple[Any, ...]]:
    """Return the rows of `staged` after reading these files; `meanwhile` runs after that part of the reading."""

    def progress(message: str) -> None:
        if message.endswith(after):
            meanwhile()

    with open_duckdb() as duck:
        register_json_functions(duck)
        stage_files(duck, files, progress)
        return duck.execute("select path, line, id, problem from staged order by all").fetchall()


def test_a_file_that_vanishes_after_it_was_listed_is_one_rejected_row(platform: Platform) -> None:
    write_jsonl(platform.landing_dir, [event("e1")], name="good")
    path = write_jsonl(platform.landing_dir, [event("e2")], name="vanishing")
    files = list_files(platform.landing_dir, DAY)
    path.unlink()
    assert staged(*files) == [("good.jsonl", 1, "e1", None), ("vanishing.jsonl", 0, None, "unreadable_file")]


@pytest.mark.parametrize("content", [json_line(event("other")), "", None])
@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_a_file_that_changes_while_it_is_read_lands_nothing_of_either_state(
    platform: Platform, form: str, content: str | None
) -> None:
    write_jsonl(platform.landing_dir, [event("e1")], name="good")
    if form == "parquet":
        path = write_table(platform.landing_dir, plain_table(event("e2")), name="rewritten")
    else:
        path = write_jsonl(platform.landing_dir, [event("e2")], name="rewritten")
    files = list_files(platform.landing_dir, DAY)

    def rewrite() -> None:
        path.unlink() if content is None else path.write_text(content, encoding="utf-8")

    # JSON is read after the file is gone, so the error says that; Parquet was read before.
    reason = "unreadable_file" if content is None and form == "jsonl" else "changed_file"
    assert staged(*files, meanwhile=rewrite) == [
        ("good.jsonl", 1, "e1", None),
        (f"rewritten.{form}", 0, None, reason),
    ]


@pytest.mark.parametrize("content", [json_line(event("other")), "", None])
def test_a_jsonl_file_that_changes_after_it_was_read_lands_nothing_of_either_state(
    platform: Platform, content: str | None
) -> None:
    write_jsonl(platform.landing_dir, [event("e1")], name="good")
    path = write_jsonl(platform.landing_dir, [event("e2")], name="rewritten")

    def rewrite() -> None:
        path.unlink() if content is None else path.write_text(content, encoding="utf-8")

    files = list_files(platform.landing_dir, DAY)
    assert staged(*files, meanwhile=rewrite, after="plain JSONL files") == [
        ("good.jsonl", 1, "e1", None),
        ("rewritten.jsonl", 0, None, "changed_file"),
    ]


# --- Many JSONL files at once --------------------------------------------------------------------------------------

LINE = json_line(event("e1", "1.5"))
JSONL_FILES: dict[str, bytes] = {
    "plain": f"{LINE}\n{LINE}\n".encode(),
    "without a last line end": LINE.encode(),
    "with a byte order mark": b"\xef\xbb\xbf" + LINE.encode(),
    "with a byte order mark in the middle": f"{LINE}\n\ufeff{LINE}".encode(),
    "of Windows": f"{LINE}\r\n\r\n{LINE}\r\n".encode(),
    "of an old Mac": f"{LINE}\r{LINE}\r".encode(),
    "with other line ends": f"{LINE}\u2028{LINE}\n{LINE}\x0c\n{LINE}\x85".encode(),
    "with empty lines": f"\n \n\t\n{LINE}\n\n".encode(),
    "empty": b"",
    "of spaces": b"  \n \r\n",
    "torn": LINE[:40].encode(),
    "with a NUL": f"{LINE}\n\0\n".encode(),
    "with an escape": LINE.replace("acme", "\\u0061cme").encode(),
    "with half a pair": LINE.replace("acme", "\\ud800").encode(),
    "with a key twice": LINE.replace("{", '{"subject": "other", ', 1).encode(),
    "with a quantity twice": LINE.replace('"quantity"', '"quantity": "7", "quantity"').encode(),
    "with a number": LINE.replace('"1.5"', "1.50").encode(),
    "with a small number": LINE.replace('"1.5"', "0.00000015").encode(),
    "with a large number": LINE.replace('"1.5"', "12345678901234567890.5").encode(),
    "with an exponent": LINE.replace('"1.5"', "15e-1").encode(),
    "with a quantity beside data": LINE.replace("{", '{"quantity": 7, ', 1).encode(),
    "with a member more": LINE.replace("{", '{"specversion": "1.0", ', 1).encode(),
    "with a member more, twice": LINE.replace("{", '{"x": "1", "x": "2", ', 1).encode(),
    "with no subject, but something else": LINE.replace('"subject"', '"x"').encode(),
    "with an id of digits": LINE.replace('"e1"', "17").encode(),
    "with a longest line": (LINE + " " * (2**20 - len(LINE)) + f"\n{LINE}").encode(),
    "not in UTF-8": LINE.replace("acme", "caf\xe9").encode("latin-1"),
    "with a line too long": (LINE + " " * 2**20 + f"\n{LINE}").encode(),
}
DECLINED = {"not in UTF-8.jsonl", "with a line too long.jsonl"}


def write_jsonl_files(platform: Platform, day: date = DAY) -> list[LandingFile]:
    for name, content in JSONL_FILES.items():
        write_text(platform.landing_dir, day, f"{name}.jsonl", "").write_bytes(content)
    return list_files(platform.landing_dir, day)


def test_files_read_together_have_the_same_rows_as_read_separately(platform: Platform) -> None:
    """The reader of single files is the reference: 26 files at once, on two days, give the same in every column."""
    files = [*write_jsonl_files(platform), *write_jsonl_files(platform, NEXT_DAY)]
    with open_duckdb() as duck:
        register_json_functions(duck)
        one_by_one = [with_place(file, rows) for file in files for rows in read_landing_file(file.path, duck)]
        duck.register("expected", pa.concat_tables(one_by_one))
        stage_files(duck, files, lambda _: None)
        found = duck.execute("from staged order by all").fetchall()
        expected = duck.execute("from expected order by all").fetchall()
    assert len(found) > 60
    assert found == expected


def test_a_file_with_a_possible_problem_is_declined_and_the_others_are_read(platform: Platform) -> None:
    files = write_jsonl_files(platform)
    missing = LandingFile(DAY, "missing.jsonl", platform.landing_dir / "missing.jsonl")
    other = LandingFile(DAY, "usage.csv", files[0].path)
    with open_duckdb() as duck:
        register_json_functions(duck)
        stage_files(duck, [], lambda _: None)
        declined = stage_plain_jsonl(duck, [*files, missing, other])
        counted = duck.execute("select path, count(*) from staged group by path order by path").fetchall()
    assert {file.name for file in declined} == {*DECLINED, "missing.jsonl", "usage.csv"}
    assert not DECLINED & {path for path, _ in counted}
    assert len(counted) == len(JSONL_FILES) - len(DECLINED) - 2  # two are empty


def test_files_read_together_that_can_not_be_written_are_all_declined_without_a_trace(platform: Platform) -> None:
    files = write_jsonl_files(platform)
    with open_duckdb() as duck:
        register_json_functions(duck)
        stage_files(duck, [], lambda _: None)
        # Now a line number above 255 can't be written, and the long file has some.
        duck.execute("alter table staged alter line type utinyint")
        declined = stage_plain_jsonl(duck, [*files, long_file(platform)])
        assert duck.execute("from staged").fetchall() == []
    assert {file.name for file in declined} == {f"{name}.jsonl" for name in [*JSONL_FILES, "of 300 lines"]}


def long_file(platform: Platform) -> LandingFile:
    path = write_text(platform.landing_dir, NEXT_DAY, "of 300 lines.jsonl", f"{LINE}\n" * 300)
    return LandingFile(NEXT_DAY, path.name, path)


# --- The content of a file------------------------------------------------------------------------------------------


def test_a_long_file_that_is_torn_near_its_end_lands_none_of_its_rows(platform: Platform) -> None:
    """200,000 rows are written at once: here they are written, and removed again when the rest can't be read."""
    usage = pa.table({name: [value] * 250_000 for name, value in event().items()})
    path = write_text(platform.landing_dir, DAY, "torn.parquet", b"")
    pq.write_table(usage, path, row_group_size=50_000)
    torn_at = pq.read_metadata(path).row_group(4).column(0).dictionary_page_offset
    content = path.read_bytes()
    path.write_bytes(content[:torn_at] + b"\xff" * 40 + content[torn_at + 40 :])
    write_jsonl(platform.landing_dir, [event("e1")], name="good")
    assert counts(platform.land()) == {"good.jsonl": (1, 1, 0, 0), "torn.parquet": (1, 0, 0, 1)}


def odd_parquet(**changes: Any) -> pa.Table:
    return pa.table({name: [value] for name, value in event("odd").items()} | changes)


ODD_TABLES: dict[str, pa.Table] = {
    "a column that occurs twice": pa.table(
        [*odd_parquet().columns, pa.array(["5"])], names=[*odd_parquet().column_names, "quantity"]
    ),
    "dates that no calendar has": odd_parquet(time=pa.array([2**31 - 1], pa.date32())),
    "the last moment that can be written": odd_parquet(time=pa.array([2**63 - 1], pa.timestamp("us", "UTC"))),
    "a moment in the year 292277": odd_parquet(time=pa.array([2**63 - 2**20], pa.timestamp("ms", "UTC"))),
    "an unknown time zone": odd_parquet(time=pa.array([0], pa.timestamp("us", "Mars/Olympus"))),
    "lists as quantities": odd_parquet(quantity=pa.array([["1"]])),
    "nothing but nulls": odd_parquet(quantity=pa.nulls(1)),
    "no columns": pa.table({}),
    "bytes": odd_parquet(subject=pa.array([b"\xff"], pa.binary())),
    "an infinite plain time": plain_table(event("odd")).set_column(
        plain_table(event("odd")).column_names.index("time"),
        "time",
        pa.array([2**63 - 1], pa.timestamp("us", "UTC")),
    ),
}


@pytest.mark.parametrize("case", ODD_TABLES)
def test_a_parquet_file_with_odd_columns_is_accounted_for_and_the_other_files_land(
    platform: Platform, case: str
) -> None:
    write_table(platform.landing_dir, ODD_TABLES[case], name="odd")
    write_table(platform.landing_dir, plain_table(event("e1", "2")), name="good")
    write_jsonl(platform.landing_dir, [event("e2", "4")], name="good")
    found = counts(platform.land())
    assert found["good.parquet"] == found["good.jsonl"] == (1, 1, 0, 0)
    landed, accepted, duplicate, rejected = found["odd.parquet"]
    assert (accepted, duplicate) == (0, 0)
    assert landed == rejected == ODD_TABLES[case].num_rows
    assert quantities(platform) == {"e1": Decimal(2), "e2": Decimal(4)}
    assert all(row["message"] for row in platform.rejected())


def test_a_column_name_that_is_not_utf8_is_one_rejected_row(platform: Platform) -> None:
    path = write_table(platform.landing_dir, odd_parquet(abcd=["x"]), name="odd")
    path.write_bytes(path.read_bytes().replace(b"abcd", b"\xff\xfe\xfd\xfc"))
    write_jsonl(platform.landing_dir, [event("e1")], name="good")
    assert counts(platform.land()) == {"good.jsonl": (1, 1, 0, 0), "odd.parquet": (1, 0, 0, 1)}


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_file_with_a_repeated_column_is_rejected(platform: Platform, form: str) -> None:
    if form == "csv":
        content = "id,source,type,subject,time,quantity,quantity\ne1,proxy,requests,acme,2026-09-15T12:00:00Z,1,1000\n"
        write_text(platform.landing_dir, DAY, "usage.csv", content)
    else:
        write_table(platform.landing_dir, ODD_TABLES["a column that occurs twice"])
    assert counts(platform.land()) == {f"usage.{form}": (1, 0, 0, 1)}
    (row,) = platform.rejected()
    assert row["reason"] == "repeated_column"
    assert "the column quantity more than once" in row["message"]


def test_a_csv_file_without_a_header_loses_no_row(platform: Platform) -> None:
    rows = ["e1,proxy,requests,acme,2026-09-15T12:00:00Z,1", "e2,proxy,requests,acme,2026-09-15T12:00:00Z,2"]
    write_text(platform.landing_dir, DAY, "usage.csv", "\n".join(rows))
    assert counts(platform.land()) == {"usage.csv": (2, 0, 0, 2)}
    found = platform.rejected()
    assert [(row["line"], row["raw"]) for row in found] == [(1, rows[0]), (2, rows[1])]
    assert {row["message"] for row in found} == {
        "no header? The first line must name the columns id, source, type, subject, time, quantity, in any order"
    }


def test_a_day_with_a_hundred_good_files_among_a_hundred_bad_ones_lands_the_good_ones(platform: Platform) -> None:
    for number in range(100):
        write_jsonl(platform.landing_dir, [event(f"e{number}")], name=f"good{number}")
        name, content = [("bad.parquet", b"PAR1"), ("bad.txt", b"?"), ("bad.csv", b"a,b\n1,2"), ("bad.jsonl", b"\xff")][
            number % 4
        ]
        write_text(platform.landing_dir, DAY, f"{number}-{name}", content)
    files = platform.land()
    assert sum(file.accepted for file in files) == 100
    # 25 each of Parquet, text and JSON are one row; 25 of CSV have two lines, of which the first is no header.
    assert sum(file.rejected for file in files) == 125
    assert len(files) == 200


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_a_line_longer_than_a_mebibyte_is_rejected_alone_and_its_beginning_is_kept(
    platform: Platform, form: str
) -> None:
    usage = [event("e1"), event("long", note="x" * 2**21), event("e3")]
    write = write_jsonl if form == "jsonl" else write_csv
    write(platform.landing_dir, usage)
    assert counts(platform.land()) == {f"usage.{form}": (3, 2, 0, 1)}
    (row,) = platform.rejected()
    assert row["line"] == (2 if form == "jsonl" else 3)
    assert "more than 1,048,576 characters" in row["message"]
    assert len(row["raw"]) == 201
