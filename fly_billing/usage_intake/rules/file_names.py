"""Names of the files that the intake writes.

`machines.http-20261130T120000-123456789.jsonl`: the source, when the file was begun, and random digits. Landing knows a
source of files by its path with `#` for each number, so all files of a source are one source there.
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime

# Landing skips names that begin with a dot. The name says that the file must not be removed.
HIDDEN = ".acknowledged-usage-"
RANDOM_DIGITS = 9
_OURS = re.compile(r".+\.http-\d{8}T\d{6}-\d{9}\.jsonl", re.ASCII)
_OTHER = re.compile(r"[^A-Za-z0-9_~-]+")
_LONGEST_SOURCE = 80


def file_name(source: str, begun_at: datetime, digits: int) -> str:
    """Return the name of a source's file. `digits`: a random number of up to RANDOM_DIGITS digits."""
    return f"{_readable(source)}.http-{begun_at:%Y%m%dT%H%M%S}-{digits:0{RANDOM_DIGITS}}.jsonl"


def is_ours(name: str) -> bool:
    """Return True for the name of a file that the intake published."""
    return not name.startswith(".") and _OURS.fullmatch(name) is not None


def _readable(source: str) -> str:
    """Return the source as a part of a file name. One that must change gets six letters of its hash."""
    plain = _OTHER.sub("-", source)[:_LONGEST_SOURCE].strip("-") or "source"
    if plain == source:
        return plain
    number = int.from_bytes(hashlib.sha256(source.encode(errors="surrogateescape")).digest()[:8])
    letters = "".join(chr(ord("a") + number // 26**place % 26) for place in range(6))
    return f"{plain}-{letters}"
