"""The version of this package's code: results that an older version calculated are calculated again."""

from __future__ import annotations

from functools import cache
from hashlib import blake2b
from pathlib import Path

import fly_billing
from fly_billing.fingerprints import BYTES


@cache
def code_version() -> str:
    """Return a hash of all Python and SQL files of this package."""
    package = Path(fly_billing.__file__).parent
    code = blake2b(digest_size=BYTES)
    for file in sorted(file for ending in ("py", "sql") for file in package.rglob(f"*.{ending}")):
        code.update(f"{file.relative_to(package)}\n".encode())
        code.update(file.read_bytes())
    return code.hexdigest()
