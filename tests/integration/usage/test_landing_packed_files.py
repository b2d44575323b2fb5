"""Packed files, CloudEvents batches and DuckDB's exports of JSON lines land like other files or are refused by name."""

from __future__ import annotations

import gzip
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet
import pytest

from tests.support.builders import DAY, Platform, event, json_line, write_text

# The event of docs/usage_files.md, for an existing organization and meter.
README = (
    '{"id": "m-1", "source": "machines", "type": "machine_seconds", "subject": "acme", "time": "2026-09-15T10:00:00Z",'
    ' "data": {"quantity": "21600", "app": "web", "region": "ams", "preset": "shared-cpu-1x", "memory": "256MB"}}'
)


def put(platform: Platform, name: str, content: bytes) -> None:
    folder = platform.landing_dir / DAY.isoformat()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)


def counts(platform: Platform) -> dict[str, tuple[int, int, int]]:
    rows = platform.query("select path, accepted, duplicate, rejected from usage_files")
    return {row["path"]: (row["accepted"], row["duplicate"], row["rejected"]) for row in rows}


def pack(content: bytes, ending: str) -> bytes:
    return gzip.compress(content) if ending == ".gz" else bytes(pa.Codec("zstd").compress(content))


def lines(*names: str) -> bytes:
    return "".join(f"{json_line(event(name))}\n" for name in names).encode()


def test_duckdbs_export_of_the_readmes_lines_lands_like_the_lines(platform: Platform, tmp_path: Path) -> None:
    """In Parquet and JSON: the second event has no region, and its time has another offset."""
    other = README.replace("m-1", "m-2").replace('"region": "ams", ', "").replace("10:00:00Z", "13:00:00+02:00")
    source = tmp_path / "usage.jsonl"
    source.write_text(f"{README}\n{other}\n{README.replace('m-1', 'm-3')}\n", encoding="utf-8")
    folder = platform.landing_dir / DAY.isoformat()
    folder.mkdir(parents=True)
    duckdb.sql(f"copy (from '{source}') to '{folder / 'usage.parquet'}'")
    write_text(platform.landing_dir, DAY, "usage.jsonl", source.read_text(encoding="utf-8"))
    platform.land()
    # The lines come first, so each row of the Parquet file is a duplicate: the same time, quantity and dimensions.
    assert counts(platform) == {"usage.jsonl": (2, 0, 1), "usage.parquet": (0, 2, 1)}
    assert {row["reason"] for row in platform.rejected()} == {"missing_dimension"}


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_a_packed_file_of_several_members_lands_as_a_whole(platform: Platform, ending: str) -> None:
    put(platform, f"usage.jsonl{ending}", pack(lines("a", "b"), ending) + pack(lines("c"), ending))
    platform.land()
    assert counts(platform) == {f"usage.jsonl{ending}": (3, 0, 0)}


@pytest.mark.parametrize("ending", [".gz", ".zst"])
@pytest.mark.parametrize("inner", ["csv", "jsonl", "json", "parquet"])
def test_a_torn_packed_file_is_refused_as_a_whole_and_the_rest_of_its_day_lands(
    platform: Platform, ending: str, inner: str
) -> None:
    put(platform, f"torn.{inner}{ending}", pack(lines(*(f"torn-{n}" for n in range(500))), ending)[:-9])
    put(platform, f"none.{inner}{ending}", lines("never packed"))
    put(platform, "good.jsonl", lines("good"))
    platform.land()
    assert counts(platform) == {
        f"torn.{inner}{ending}": (0, 0, 1), f"none.{inner}{ending}": (0, 0, 1), "good.jsonl": (1, 0, 0),
    }  # fmt: skip
    assert {(row["line"], row["reason"]) for row in platform.rejected()} == {(0, "unreadable_file")}


@pytest.mark.parametrize("ending", [".gz", ".zst"])
@pytest.mark.parametrize("inner", ["jsonl", "csv", "json", "parquet"])
def test_a_file_that_unpacks_to_far_more_than_its_size_is_refused(platform: Platform, ending: str, inner: str) -> None:
    """65 MiB of spaces are some kilobytes packed: a file of that size may decompress to 64 MiB."""
    put(platform, f"bomb.{inner}{ending}", pack(b" " * (65 * 2**20), ending))
    put(platform, "good.jsonl", lines("good"))
    platform.land()
    (row,) = platform.rejected()
    assert (row["line"], row["reason"]) == (0, "unpacks_to_too_much")
    assert "decompress to more than 67,108,864: split it into several files" in row["message"]
    assert counts(platform)["good.jsonl"] == (1, 0, 0)


def test_a_batch_lands_event_by_event_and_a_bad_one_is_rejected_alone(platform: Platform) -> None:
    a, b, c = (json_line(event(name)) for name in "abc")
    put(platform, "batch.json", f"[{a}, 5,\n{b.replace('}}', ',}}')}, {a}, {c}]".encode())
    put(platform, "one.json", json_line(event("one")).encode())
    platform.land()
    assert counts(platform) == {"batch.json": (2, 1, 2), "one.json": (1, 0, 0)}
    found = sorted((row["line"], row["reason"]) for row in platform.rejected())
    assert found == [(2, "bad_shape"), (3, "bad_json")]


def test_a_torn_batch_lands_its_complete_events_and_rejects_the_rest_once(platform: Platform) -> None:
    a, b = (json_line(event(name)) for name in "ab")
    put(platform, "batch.json", f"[{a}, {b}, {a[:40]}".encode())
    put(platform, "empty.json", b"")
    put(platform, "bytes.json", f"[{json_line(event('z'))}, ".encode() + b'{"id": "\xff"}]')
    platform.land()
    assert counts(platform) == {"batch.json": (2, 0, 1), "empty.json": (0, 0, 1), "bytes.json": (1, 0, 1)}
    found = sorted((row["path"], row["line"], row["reason"]) for row in platform.rejected())
    assert found == [("batch.json", 3, "bad_json"), ("bytes.json", 2, "bad_encoding"), ("empty.json", 1, "bad_json")]


def test_data_that_is_no_object_rejects_its_row_in_every_format(platform: Platform) -> None:
    cells = event("x")
    envelope = {name: cells[name] for name in ("source", "type", "subject", "time")}
    texts = ["", "5", "null", '{"quantity": 1}, "id": 2', '{"quantity": 1, "quantity": 2}', "{"]
    rows = [{"id": f"{n}"} | envelope | {"data": text} for n, text in enumerate(texts)]
    head = ",".join(rows[0])
    body = "\n".join(",".join('"' + value.replace('"', '""') + '"' for value in row.values()) for row in rows)
    put(platform, "usage.csv", f"{head}\n{body}\n".encode())
    table = pa.Table.from_pylist([row | {"data": row["data"] or None} for row in rows])
    path = platform.landing_dir / DAY.isoformat() / "usage.parquet"
    pa.parquet.write_table(table, path)
    nothing = pa.array([None], pa.struct([("quantity", pa.string())]))
    pa.parquet.write_table(
        pa.table({name: [value] for name, value in ({"id": "s"} | envelope).items()} | {"data": nothing}),
        path.with_name("struct.parquet"),
    )
    platform.land()
    expected = ["bad_shape", "bad_shape", "bad_shape", "bad_json", "bad_json", "bad_json"]
    found = sorted(platform.rejected(), key=lambda row: (row["path"], row["line"]))
    assert [row["reason"] for row in found] == ["bad_shape", *expected, *expected]


def test_a_time_without_zone_is_utc_only_in_files_that_duckdb_wrote(platform: Platform) -> None:
    """Another writer's local times would be some hours wrong."""
    folder = platform.landing_dir / DAY.isoformat()
    folder.mkdir(parents=True)
    row = "'a' as id, 's' as source, 'requests' as type, 'acme' as subject, timestamp '2026-09-15 10:00:00' as time"
    duckdb.sql(f"copy (select {row}, '1' as quantity) to '{folder / 'row.parquet'}'")
    table = duckdb.sql(f"select {row}, {{'quantity': '1'}} as data").to_arrow_table()
    pa.parquet.write_table(table, folder / "arrow.parquet")
    platform.land()
    assert [row["reason"] for row in platform.rejected()] == ["bad_time", "bad_time"]
