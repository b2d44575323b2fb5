"""The schema of staged rows, into which usage of every format is read without losing a row.

A staged row is text: `line, raw, id, source, type, subject, quantity, data`, with `problem, problem_message` if the row
can't be read. A valid time is in `moment`; an invalid one stays in `time` as written.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import pyarrow as pa

NAMES = ("id", "source", "type", "subject")
ENVELOPE = (*NAMES, "time")
CELLS = (*ENVELOPE, "quantity")
MOMENT = pa.timestamp("us", "UTC")
STAGED = pa.schema(
    [("line", pa.int64())]
    + [(name, pa.string()) for name in ("raw", *CELLS, "data", "problem", "problem_message")]
    + [("moment", MOMENT)]
)
# The place of a row, and the table `staged`: rows with their places.
PLACE = pa.schema([("landing_day", pa.date32()), ("path", pa.string())])
PLACED = pa.schema([*PLACE, *STAGED])
# Lines of JSON with their places. Many share a path, so the paths are in a dictionary.
LINES = pa.schema(
    [
        ("landing_day", pa.date32()),
        ("path", pa.dictionary(pa.int32(), pa.string())),
        ("line", pa.int64()),
        ("raw", pa.string()),
    ]
)
# Rows of lines of JSON with their places. Their texts are views on the bytes of the files.
SHAPED = pa.schema(
    [field for field in LINES if field.name != "raw"]
    + [(name, pa.string_view()) for name in ("raw", *NAMES)]
    + [("quantity", pa.string()), ("data", pa.string()), ("moment", MOMENT)]
)
# Limits the rows that are read at once.
CHUNK_LINES = 200_000
# Limits their size, in bytes or characters.
CHUNK_BYTES = 2**24
# Longer lines are rejected without reading them into memory.
LONGEST_LINE = 2**20


@contextmanager
def one_thread(duck: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Let DuckDB use one thread in the block.

    Several threads need nearly twice the CPU to insert less than a row group (122,880 rows), which they copy once more.
    """
    ((threads,),) = duck.execute("select current_setting('threads')").fetchall()
    duck.execute("set threads = 1")
    try:
        yield
    finally:
        duck.execute(f"set threads = {threads}")
