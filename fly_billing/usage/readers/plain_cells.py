"""Reads columns of plainly written times and quantities, as `usage/rules/cells.py` does. It reads all others."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from fly_billing.usage.readers.staged_rows import MOMENT
from fly_billing.usage.rules.cells import read_time

# Matches the times that Arrow and `read_time` parse alike.
PLAIN_TIME = (
    r"^(19[7-9]\d|2\d{3})-\d\d-\d\d[T ]([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$"
)
_PLAIN_QUANTITY = r"^(0|[1-9]\d{0,19})(\.\d{1,15})?$"


def are_plain(quantities: pa.Array) -> pa.Array:
    """Return true for each text that `plain_quantity` returns as it is and that is not negative."""
    return pc.match_substring_regex(quantities, _PLAIN_QUANTITY)


def read_moments(texts: pa.Array) -> pa.Array:
    """Parse the times that are written plainly. All others are null, also those that do not exist."""
    plain = pc.if_else(pc.match_substring_regex(texts, PLAIN_TIME), texts, None)
    try:
        return plain.cast(MOMENT)
    except pa.ArrowInvalid:  # a date that does not exist
        return pa.array([text and read_time(text) for text in plain.to_pylist()], MOMENT)
