"""The one shape into which usage of every format is read, losing nothing and judging little.

A staged row is text: `line, raw, id, source, type, subject, quantity, data`, with `problem, problem_message` where the
row could not even be read. A time that is right is in `moment`; one that is not stays in `time` as it was written.
"""

from __future__ import annotations

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
# Where a row is from, and rows with their place: what the table `staged` holds.
PLACE = pa.schema([("landing_day", pa.date32()), ("path", pa.string())])
PLACED = pa.schema([*PLACE, *STAGED])
# Lines of JSON with their place. Very many have the same path, so it is written once.
LINES = pa.schema(
    [
        ("landing_day", pa.date32()),
        ("path", pa.dictionary(pa.int32(), pa.string())),
        ("line", pa.int64()),
        ("raw", pa.string()),
    ]
)
# How many rows are read at once.
CHUNK_LINES = 200_000
# And how much of them, in bytes or letters.
CHUNK_BYTES = 2**24
# A longer line is refused, and never held as a whole.
LONGEST_LINE = 2**20
