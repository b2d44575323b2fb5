"""Reads usage events from lines of JSON: plain lines in DuckDB, all others in `stage_json_line`.

Both follow `usage/rules/cells.py`. DuckDB accepts more than JSON allows (trailing commas, NaN), takes the first of two
equal keys, and reads numbers as doubles. So a line is plain only if none of this can make a difference.
Not here: files (`files`, `jsonl_batches`), and which events can be billed (`sql_duckdb/validate_usage.sql`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from duckdb.func import FunctionNullHandling

from fly_billing.postgres.statements import sql
from fly_billing.usage.readers.event_shapes import read_shaped
from fly_billing.usage.readers.line_block import LineBlock, Places
from fly_billing.usage.readers.staged_rows import ENVELOPE, LINES, NAMES, PLACED, SHAPED, STAGED, one_thread
from fly_billing.usage.rules.cells import (
    InvalidDocument,
    exact_object,
    exact_quantity,
    json_cell,
    json_name,
    object_problem,
    plain_quantity,
    read_document,
    read_time,
    write_document,
)


def register_json_functions(duck: duckdb.DuckDBPyConnection) -> None:
    """Register the macro and functions with which `validate_usage.sql` reads `data`."""
    duck.execute(sql("plain_object"))
    duck.create_function(
        "exact_object", exact_object, ["varchar"], "varchar", null_handling=FunctionNullHandling.SPECIAL
    )
    duck.create_function(
        "exact_quantity", exact_quantity, ["varchar"], "varchar", null_handling=FunctionNullHandling.SPECIAL
    )
    duck.create_function(
        "object_problem", object_problem, ["varchar"], "varchar", null_handling=FunctionNullHandling.SPECIAL
    )


def stage_json(duck: duckdb.DuckDBPyConnection, numbers: list[int], lines: list[str]) -> pa.Table:
    """Stage lines of one file as a table of schema STAGED. The lines must be valid Unicode."""
    tables, left = _stage_shaped(numbers, lines)
    nowhere = pa.nulls(len(left), LINES.field("landing_day").type), pa.nulls(len(left), LINES.field("path").type)
    raw = pa.array([lines[place] for place in left], pa.string())
    exact = _read(duck, pa.table([*nowhere, pa.array(numbers, pa.int64()).take(pa.array(left)), raw], schema=LINES))
    columns = ", ".join(STAGED.names)
    plain = duck.execute(f"select {columns} from read_json where is_plain").to_arrow_table()  # noqa: S608
    duck.execute("drop table read_json")
    return pa.concat_tables([*tables, plain.cast(STAGED), exact.select(STAGED.names)])


def _stage_shaped(numbers: list[int], lines: list[str]) -> tuple[list[pa.Table], Places]:
    """Stage the lines that have a shape. Returns tables of schema STAGED, and the places of the other lines."""
    block = LineBlock.of("".join(f"{line}\n" for line in lines).encode())
    if len(block.starts) > len(lines):  # an event in an array may have several lines
        return [], np.arange(len(lines))
    is_left = np.ones(len(lines), np.bool_)
    tables = []
    for found in read_shaped(block):
        is_left[found.lines] = False
        columns = {"line": pa.array(numbers, pa.int64()).take(pa.array(found.lines)), **found.columns}
        nulls = {field.name: pa.nulls(len(found.lines), field.type) for field in STAGED}
        tables.append(pa.table(nulls | columns).cast(STAGED))
    return tables, np.flatnonzero(is_left)


def insert_json(duck: duckdb.DuckDBPyConnection, lines: pa.Table, shaped: Sequence[pa.Table]) -> None:
    """Insert lines of many files into the table `staged`: all of them, or none if this raises.

    Args:
        lines: Lines that are not read yet, of schema LINES.
        shaped: Rows of `event_shapes`, of schema SHAPED.
    """
    duck.register("exact_rows", _read(duck, lines))
    duck.register("shaped_rows", pa.concat_tables([SHAPED.empty_table(), *shaped]))
    with one_thread(duck):
        duck.execute(sql("insert_json"))
    duck.unregister("exact_rows")
    duck.unregister("shaped_rows")
    duck.execute("drop table read_json")


def _read(duck: duckdb.DuckDBPyConnection, lines: pa.Table) -> pa.Table:
    """Read lines into the table `read_json`. Returns the lines that are not plain, read exactly (schema PLACED)."""
    duck.register("lines", lines)
    duck.execute(sql("stage_json"))
    duck.unregister("lines")
    left = duck.execute("select landing_day, path, line, raw from read_json where not is_plain").fetchall()
    exact = [{"landing_day": day, "path": path, **stage_json_line(line, raw)} for day, path, line, raw in left]
    return pa.Table.from_pylist(exact, schema=PLACED)


def stage_json_line(line: int, raw: str) -> dict[str, Any]:
    """Read one JSON line, keeping digits as written. The slow, exact counterpart of `sql_duckdb/stage_json.sql`."""
    staged: dict[str, Any] = {"line": line, "raw": raw}
    try:
        event = read_document(raw)
        if not isinstance(event, dict) or not isinstance(event.get("data"), dict):
            message = "an event is a JSON object whose `data` is an object with a `quantity`"
            return staged | {"problem": "bad_shape", "problem_message": message}
        rest = {name: value for name, value in event["data"].items() if name != "quantity"}
        data = write_document(rest)
        cells = {name: json_cell(event.get(name)) for name in ENVELOPE}
        quantity = json_cell(event["data"].get("quantity"))
    except (InvalidDocument, RecursionError) as problem:
        return staged | {"problem": "bad_json", "problem_message": f"not a JSON document: {problem}"}
    for name in NAMES:
        if event.get(name) is not None and json_name(event[name]) is None:
            message = f"{name} is {cells[name]}"[:200] + ": write a text (or a whole number)"
            return staged | {"problem": "bad_text", "problem_message": message}
    return staged | cells | read_cells(cells["time"], quantity) | {"data": data}


def stage_event(cells: dict[str, str | None], data: str | None) -> dict[str, Any]:
    """Read an event whose envelope is in `cells` and whose `data` is a JSON text that includes the quantity.

    Gives the same result as `stage_json_line` for the same event.
    """
    try:
        document = read_document(f'{{"data":{data}}}') if data else {}
        if set(document) - {"data"}:
            raise InvalidDocument("text follows its end")
        if not isinstance(document.get("data"), dict):
            message = "an event's `data` is a JSON object with a `quantity`"
            return cells | {"problem": "bad_shape", "problem_message": message}
        quantity = json_cell(document["data"].pop("quantity", None))
        rest = write_document(document["data"])
    except (InvalidDocument, RecursionError) as problem:
        return cells | {"problem": "bad_json", "problem_message": f"not a JSON document: {problem}"}
    return cells | read_cells(cells["time"], quantity) | {"data": rest}


def read_cells(time: str | None, quantity: str | None) -> dict[str, Any]:
    """Parse a time and a quantity. An invalid one keeps its text."""
    moment = read_time(time) if time else None
    number = plain_quantity(quantity) if quantity else None
    return {"time": None if moment else time, "moment": moment, "quantity": number or quantity}
