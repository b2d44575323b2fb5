"""Reads lines of JSON, a usage event each: DuckDB reads what is plainly right, `stage_json_line` all the rest.

Both obey `domain/usage_cells.py`. DuckDB is more lenient than JSON (trailing commas, NaN), takes the first of two equal
keys and reads numbers as doubles: so its way declines every line in which any of that could matter.
Keeps out: files (`landing_files`), and which events can be billed (`sql/judge_usage.sql`).
"""

from __future__ import annotations

from typing import Any

import duckdb
import pyarrow as pa
from duckdb.func import FunctionNullHandling

from fly_billing.domain.usage_cells import (
    NotADocument,
    exact_object,
    json_cell,
    json_name,
    object_problem,
    plain_quantity,
    read_document,
    read_time,
    write_document,
)
from fly_billing.resources.staging import ENVELOPE, NAMES, STAGED
from fly_billing.resources.statements import sql


def open_documents(duck: duckdb.DuckDBPyConnection) -> None:
    """Give the connection what `sql/judge_usage.sql` reads `data` with: a macro for plain objects and the exact way."""
    duck.execute(sql("plain_object"))
    duck.create_function(
        "exact_object", exact_object, ["varchar"], "varchar", null_handling=FunctionNullHandling.SPECIAL
    )
    duck.create_function(
        "object_problem", object_problem, ["varchar"], "varchar", null_handling=FunctionNullHandling.SPECIAL
    )


def stage_json(duck: duckdb.DuckDBPyConnection, numbers: list[int], lines: list[str]) -> pa.Table:
    """Stage these lines, which must be valid Unicode."""
    duck.register("lines", pa.table({"line": pa.array(numbers, pa.int64()), "raw": pa.array(lines, pa.string())}))
    found = duck.execute(sql("stage_json")).to_arrow_table()
    plain = found.filter(found["is_plain"]).select(STAGED.names).cast(STAGED)
    if plain.num_rows == len(lines):
        return plain
    done = set(plain["line"].to_pylist())
    others = [stage_json_line(number, raw) for number, raw in zip(numbers, lines, strict=True) if number not in done]
    return pa.concat_tables([plain, pa.Table.from_pylist(others, schema=STAGED)])


def stage_json_line(line: int, raw: str) -> dict[str, Any]:
    """Read one JSON line with its digits as written; the slow, exact twin of `sql/stage_json.sql`."""
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
    except (NotADocument, RecursionError) as problem:
        return staged | {"problem": "bad_json", "problem_message": f"not a JSON document: {problem}"}
    for name in NAMES:
        if event.get(name) is not None and json_name(event[name]) is None:
            message = f"{name} is {cells[name]}"[:200] + ": write a text (or a whole number)"
            return staged | {"problem": "bad_text", "problem_message": message}
    return staged | cells | read_cells(cells["time"], quantity) | {"data": data}


def read_cells(time: str | None, quantity: str | None) -> dict[str, Any]:
    """Read the texts of a time and a quantity; what is not right stays as it was written."""
    moment = read_time(time) if time else None
    number = plain_quantity(quantity) if quantity else None
    return {"time": None if moment else time, "moment": moment, "quantity": number or quantity}
