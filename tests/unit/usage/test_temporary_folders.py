"""Files in the machine's temporary folder are readable only by this user, under an unpredictable name."""

from __future__ import annotations

import gc
import stat
from pathlib import Path

from fly_billing.usage.usage_table import open_duckdb

MANY = "create temp table spilled as select range as n, md5(range::varchar) as text from range(2000000)"


def is_private(folder: Path) -> bool:
    return stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_usage_that_exceeds_memory_is_spilled_to_a_private_folder() -> None:
    duck = open_duckdb()
    duck.execute("set memory_limit = '50MB'")
    duck.execute(MANY)
    (spilled,) = duck.execute("select current_setting('temp_directory')").fetchall()
    folder = Path(spilled[0]).parent
    assert [path for path in folder.rglob("*") if path.is_file()]  # it spilled
    assert is_private(folder)
    duck.close()
    del duck
    gc.collect()
    assert not folder.exists()
