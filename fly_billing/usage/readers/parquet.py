"""Reads Parquet files with columns that `sql_duckdb/stage_parquet.sql` can't read exactly.

A typed value is read as its text would be in CSV (`usage/rules/cells.py`): integers and decimals with their digits,
bytes as UTF-8, timestamps with a time zone as moments. Rows with values that no text could express are rejected.
Not here: plain files, and opening files (`files`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from math import isfinite
from types import MappingProxyType
from typing import Any, BinaryIO
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fly_billing.usage.readers.json_lines import stage_event
from fly_billing.usage.readers.plain_cells import PLAIN_TIME
from fly_billing.usage.readers.staged_rows import CELLS, CHUNK_LINES, ENVELOPE, MOMENT, NAMES, STAGED
from fly_billing.usage.rules.cells import plain_quantity, read_time

PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
FIRST_SECOND = int(datetime(1, 1, 1, tzinfo=UTC).timestamp())
LAST_SECOND = int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp())

# pyarrow raises these for values that Python can't represent: dates after 9999, unknown time zones, invalid UTF-8.
UNREADABLE = (ValueError, OverflowError, KeyError, TypeError, NotImplementedError, pa.ArrowException)


class _Unreadable:
    """A placeholder for a value that can't be read."""

    def __str__(self) -> str:
        return "(can't be read)"


_UNREADABLE = _Unreadable()


def read_parquet(
    binary: BinaryIO, quantities_of: Mapping[str, Collection[str]] = MappingProxyType({})
) -> Iterator[pa.Table]:
    """Yield the file's rows as tables of schema STAGED. `quantities_of` is as in `landing_staging.stage_files`."""
    first = 1
    with pq.ParquetFile(binary) as file:
        is_of_duckdb = (file.metadata.created_by or "").startswith("DuckDB")
        for batch in file.iter_batches(CHUNK_LINES):
            table = pa.Table.from_batches([batch])
            yield _refuse_inexact(stage_table(table, first, is_of_duckdb=is_of_duckdb), table, quantities_of)
            first += batch.num_rows


def stage_table(table: pa.Table, first: int, *, is_of_duckdb: bool = False) -> pa.Table:
    """Stage a table whose first row is row `first` of its file. `is_of_duckdb`: DuckDB wrote the file."""
    columns = {"line": pa.array(range(first, first + table.num_rows), pa.int64())}
    if refused := _refusal(table):
        problem, message = refused
        columns |= {
            "raw": pa.array(_rows_as_json(table), pa.string()),
            "problem": pa.array([problem] * table.num_rows, pa.string()),
            "problem_message": pa.array([message] * table.num_rows, pa.string()),
        }
    elif _is_event(table):
        columns |= _stage_events(table, is_of_duckdb=is_of_duckdb)
    else:
        columns |= _stage_columns(table)
    return pa.table({f.name: columns.get(f.name, pa.nulls(table.num_rows, f.type)) for f in STAGED}).cast(STAGED)


def _refuse_inexact(staged: pa.Table, table: pa.Table, quantities_of: Mapping[str, Collection[str]]) -> pa.Table:
    """Reject rows for which a meter would read its quantity from a floating-point column."""
    if not quantities_of or _refusal(table):
        return staged
    inexact = {name: column for name, column in _columns_of(table) if name in quantities_of and _is_floating(column)}
    if not inexact:
        return staged
    problems, messages = staged["problem"].to_pylist(), staged["problem_message"].to_pylist()
    for row, kind in enumerate(staged["type"].to_pylist()):
        for name, column in inexact.items():
            if problems[row] is None and kind in quantities_of[name] and column[row].is_valid:
                problems[row] = "inexact_quantity"
                messages[row] = f"{name} is a floating-point column: write DECIMAL or text, quantities must stay exact"
    for name, texts in (("problem", problems), ("problem_message", messages)):
        staged = staged.set_column(staged.column_names.index(name), name, pa.array(texts, pa.string()))
    return staged


def _columns_of(table: pa.Table) -> Iterator[tuple[str, pa.ChunkedArray]]:
    """Yield the columns, by name, that a meter can read: the fields of a struct `data`, or else all columns."""
    if "data" in table.column_names:
        data = _decoded(table["data"])
        if pa.types.is_struct(data.type):
            for field in data.type:
                yield (
                    field.name,
                    pa.chunked_array([pc.struct_field(chunk, field.name) for chunk in data.chunks], field.type),
                )
        return
    for name in table.column_names:
        yield name, table[name]


def _is_floating(column: pa.ChunkedArray) -> bool:
    return bool(pa.types.is_floating(column.type))


def _refusal(table: pa.Table) -> tuple[str, str] | None:
    """Return (reason, message) if the columns make all rows of the table unusable."""
    twice = [name for name, count in Counter(table.column_names).items() if count > 1]
    if twice:
        return "repeated_column", f"the file has the column {', '.join(twice)} more than once"[:500]
    # Meters may read an event's quantities from columns of other names.
    needed = CELLS if set(table.column_names) <= set(CELLS) else ENVELOPE
    missing = [name for name in needed if name not in table.column_names]
    if missing:
        return "missing_column", f"the file has no column {', '.join(missing)}"
    return None


def _is_event(table: pa.Table) -> bool:
    """Return True for events with the quantity inside `data`, as in JSON. Other columns are not read then."""
    return "data" in table.column_names and "quantity" not in table.column_names


def _stage_events(table: pa.Table, *, is_of_duckdb: bool) -> dict[str, pa.Array]:
    """Stage events whose `data` is JSON text, or a struct: DuckDB converts JSON lines to Parquet this way."""
    data, time = _decoded(table["data"]), _decoded(table["time"])
    if is_of_duckdb and time.type == pa.timestamp("us"):
        # DuckDB converts a time with an offset to UTC, and writes it to Parquet without a time zone.
        time = time.cast(MOMENT)
    envelope = {name: time if name == "time" else table[name] for name in ENVELOPE}
    if pa.types.is_struct(data.type):
        has_quantity = data.type.get_field_index("quantity") >= 0
        quantity = (
            pa.chunked_array([pc.struct_field(chunk, "quantity") for chunk in data.chunks] or [pa.nulls(0)])
            if has_quantity
            else pa.chunked_array([pa.nulls(table.num_rows, pa.string())])
        )
        rest = pa.chunked_array([pa.array([_without_nulls(value, "quantity") for value in _values(data)], pa.string())])
        staged = _stage_columns(pa.table(envelope | {"quantity": quantity, "data": rest}))
        return staged if not data.null_count else staged | _without_data(staged, data)
    texts_of = _is_text(data.type) or _is_bytes(data.type)
    problems: dict[int, tuple[str, str]] = {}
    texts = _texts("data", data, problems).to_pylist() if texts_of else [None] * table.num_rows
    nothing = pa.nulls(table.num_rows, pa.string())
    staged = _stage_columns(pa.table(envelope | {"quantity": nothing, "data": nothing}))
    rows = [stage_event({"time": None}, text) for text in texts]
    for name in ("quantity", "data"):
        staged[name] = pa.array([row.get(name) for row in rows], pa.string())
    for name, place in (("problem", 0), ("problem_message", 1)):
        before = staged[name].to_pylist() if name in staged else [None] * table.num_rows
        ours = [row.get(name) or problems.get(n, (None, None))[place] for n, row in enumerate(rows)]
        staged[name] = pa.array([first or second for first, second in zip(before, ours, strict=True)], pa.string())
    return staged


def _without_data(staged: dict[str, pa.Array], data: pa.ChunkedArray) -> dict[str, pa.Array]:
    """Return the problems of these rows, and add one for each null `data`, as for JSON lines."""
    nothing = pa.nulls(len(data), pa.string())
    found = stage_event({"time": None}, None)
    return {
        name: pc.if_else(data.is_null(), found[name], staged.get(name, nothing))
        for name in ("problem", "problem_message")
    }


def _without_nulls(value: Any, but: str = "") -> str | None:
    """Write a struct as a JSON object without its nulls: a struct has the fields of all rows together."""
    return None if value is None else _dumped(_given({name: field for name, field in value.items() if name != but}))


def _given(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _given(field) for name, field in value.items() if field is not None}
    return [_given(element) for element in value] if isinstance(value, list) else value


def _stage_columns(table: pa.Table) -> dict[str, pa.Array]:
    problems: dict[int, tuple[str, str]] = {}
    staged: dict[str, Any] = {"raw": pa.array([""] * table.num_rows, pa.string())}
    decoded = {name: _decoded(table[name]) for name in table.column_names}
    decoded.setdefault("quantity", pa.chunked_array([pa.nulls(table.num_rows, pa.string())]))
    for name in NAMES:
        staged[name] = _names(name, decoded[name], problems)
    staged["moment"], staged["time"] = _times(decoded["time"], problems)
    staged["quantity"] = _quantities(decoded["quantity"], problems)
    extras = {name: column for name, column in decoded.items() if name not in CELLS}
    staged["data"] = _documents(extras, table.num_rows, problems)
    found = [problems.get(row, (None, None)) for row in range(table.num_rows)] if problems else []
    if pa.types.is_floating(decoded["quantity"].type):
        inexact = "quantity is a floating-point column: write DECIMAL or text, quantities must stay exact"
        found = [("inexact_quantity", inexact)] * table.num_rows
    if found:
        staged["problem"] = pa.array([reason for reason, _ in found], pa.string())
        staged["problem_message"] = pa.array([message for _, message in found], pa.string())
    return staged


def _decoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Decode dictionaries and extension types (a UUID becomes its text)."""
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        storage = pa.chunked_array([chunk.storage for chunk in column.chunks], kind.storage_type)
        if kind.extension_name != "arrow.uuid":
            return _decoded(storage)
        texts = [None if value is None else str(UUID(bytes=value)) for value in storage.to_pylist()]
        return pa.chunked_array([pa.array(texts, pa.string())])
    if pa.types.is_dictionary(kind):
        return _decoded(pa.chunked_array([chunk.dictionary_decode() for chunk in column.chunks], kind.value_type))
    return column


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_binary_view(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def _texts(name: str, column: pa.ChunkedArray, problems: dict[int, tuple[str, str]]) -> pa.ChunkedArray | pa.Array:
    """Convert a column of text or bytes to text. Rejects rows that are not UTF-8."""
    try:
        texts = column.cast(pa.string())
        texts.validate(full=True)
    except pa.ArrowInvalid:
        cells = column.cast(pa.binary()).to_pylist()
    else:
        return texts
    read: list[str | None] = []
    for row, cell in enumerate(cells):
        try:
            read.append(None if cell is None else cell.decode())
        except UnicodeDecodeError:
            read.append(cell.decode(errors="replace"))
            problems.setdefault(row, ("bad_encoding", f"{name} is not UTF-8: shown with \ufffd"))
    return pa.array(read, pa.string())


def _names(name: str, column: pa.ChunkedArray, problems: dict[int, tuple[str, str]]) -> pa.ChunkedArray | pa.Array:
    kind = column.type
    if _is_text(kind) or _is_bytes(kind):
        return _texts(name, column, problems)
    if pa.types.is_null(kind) or pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.scale == 0):
        return column.cast(pa.string())
    values = _values(column)
    for row, value in enumerate(values):
        if value is not None:
            problems.setdefault(row, ("bad_text", f"{name} is a column of {kind}: write text or whole numbers"[:500]))
    return pa.array([_shown(value) for value in values], pa.string())


def _times(column: pa.ChunkedArray, problems: dict[int, tuple[str, str]]) -> tuple[pa.Array, pa.Array]:
    """Return (moments, texts of invalid times)."""
    kind = column.type
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return _moments(column)
    if not (_is_text(kind) or _is_bytes(kind)):
        return pa.nulls(len(column), MOMENT), pa.array([_shown(value) for value in _values(column)], pa.string())
    texts = _texts("time", column, problems)
    if pc.all(pc.match_substring_regex(texts, PLAIN_TIME)).as_py() is not False:
        try:
            return texts.cast(MOMENT), pa.nulls(len(column), pa.string())
        except pa.ArrowInvalid:  # a date that does not exist
            pass
    written = texts.to_pylist()
    moments = [(text and read_time(text)) or None for text in written]
    others = [text if moment is None else None for text, moment in zip(written, moments, strict=True)]
    return pa.array(moments, MOMENT), pa.array(others, pa.string())


def _moments(column: pa.ChunkedArray) -> tuple[pa.Array, pa.Array]:
    """Truncate timestamps to microseconds. They count from 1970 in UTC, so an unknown time zone does not matter."""
    unit = column.type.unit
    ticks = column.cast(pa.int64())
    per_second = PER_SECOND[unit]
    is_fit = pc.and_(
        pc.greater_equal(ticks, pa.scalar(max(FIRST_SECOND * per_second, -(2**63)), pa.int64())),
        pc.less(ticks, pa.scalar(min((LAST_SECOND + 1) * per_second, 2**63 - 1), pa.int64())),
    )
    fit = pc.if_else(is_fit, ticks, pa.scalar(None, pa.int64()))
    if per_second > 1_000_000:
        per_microsecond = per_second // 1_000_000
        towards_1970 = pc.divide(fit, per_microsecond)
        is_above = pc.greater(pc.multiply(towards_1970, per_microsecond), fit)
        microseconds = pc.subtract(towards_1970, is_above.cast(pa.int64()))
    else:
        microseconds = pc.multiply(fit, 1_000_000 // per_second)
    moments = microseconds.cast(MOMENT)
    if pc.all(is_fit).as_py() is not False:
        return moments, pa.nulls(len(column), pa.string())
    texts = [
        None if tick is None or moment is not None else f"{tick} {unit} since 1970"
        for tick, moment in zip(ticks.to_pylist(), fit.to_pylist(), strict=True)
    ]
    return moments, pa.array(texts, pa.string())


def _quantities(column: pa.ChunkedArray, problems: dict[int, tuple[str, str]]) -> pa.ChunkedArray | pa.Array:
    kind = column.type
    if _is_text(kind) or _is_bytes(kind):
        return _without_exponents(_texts("quantity", column, problems))
    if pa.types.is_null(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind):
        return _without_exponents(column.cast(pa.string()))
    return pa.array([_shown(value) for value in _values(column)], pa.string())


def _without_exponents(texts: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    """Rewrite numbers with an exponent, as for JSON and CSV. Columns rarely have any."""
    if pc.any(pc.match_substring_regex(texts, "[eE]")).as_py() is not True:
        return texts
    return pa.array([text and (plain_quantity(text) or text) for text in texts.to_pylist()], pa.string())


def _documents(
    extras: dict[str, pa.ChunkedArray], count: int, problems: dict[int, tuple[str, str]]
) -> pa.ChunkedArray | pa.Array:
    """Return the other columns as JSON objects. A single column `data` of JSON or structs is that object."""
    documents: Sequence[Any]
    if list(extras) == ["data"] and (_is_text(extras["data"].type) or _is_bytes(extras["data"].type)):
        return _texts("data", extras["data"], problems)
    if list(extras) == ["data"] and pa.types.is_struct(extras["data"].type):
        documents = [{} if value is None else value for value in _values(extras["data"])]
        _refuse_unreadable("data", documents, problems)
    else:
        columns = [_extra(name, column, problems) for name, column in extras.items()]
        documents = [dict(zip(extras, row, strict=True)) for row in zip(*columns, strict=True)] or [{}] * count
    return pa.array([_dumped(document) for document in documents], pa.string())


def _extra(name: str, column: pa.ChunkedArray, problems: dict[int, tuple[str, str]]) -> list[Any]:
    if _is_text(column.type) or _is_bytes(column.type):
        return list(_texts(name, column, problems).to_pylist())
    values = _values(column)
    _refuse_unreadable(name, values, problems)
    return values


def _refuse_unreadable(name: str, values: Sequence[Any], problems: dict[int, tuple[str, str]]) -> None:
    for row, value in enumerate(values):
        if value is _UNREADABLE:
            problems.setdefault(row, ("bad_text", f"the value in column {name} can't be read: write it as text"[:500]))


def _values(column: pa.ChunkedArray) -> list[Any]:
    """Convert the column to Python values. A value that Python can't represent becomes `_UNREADABLE`."""
    try:
        return list(column.to_pylist())
    except UNREADABLE:
        return [_value(cell) for chunk in column.chunks for cell in chunk]


def _value(cell: pa.Scalar) -> Any:
    try:
        return cell.as_py()
    except UNREADABLE:
        return _UNREADABLE


def _shown(value: Any) -> str | None:
    return None if value is None else value if isinstance(value, str) else _dumped(value)


def _dumped(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=_as_text, allow_nan=False)
    except ValueError:  # NaN or infinity
        return json.dumps(_without_nan(value), ensure_ascii=False, default=_as_text)


def _without_nan(value: Any) -> Any:
    if isinstance(value, float) and not isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _without_nan(field) for key, field in value.items()}
    return [_without_nan(element) for element in value] if isinstance(value, list | tuple) else value


def _as_text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _rows_as_json(table: pa.Table) -> list[str]:
    """Show rows of a table with invalid columns. The second of two columns with one name becomes `name (2)`."""
    seen: Counter[str] = Counter()
    names = []
    for name in table.column_names:
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    columns = [_values(_decoded(column)) for column in table.columns]
    if not columns:
        return ["{}"] * table.num_rows
    return [_dumped(dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True)]
