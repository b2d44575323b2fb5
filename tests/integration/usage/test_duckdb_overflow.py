"""Data that does not fit into memory overflows into files, and no reader of usage damages another's files."""

from __future__ import annotations

from fly_billing.usage.usage_table import open_duckdb

# More than the smallest memory limit: 2.5 million quantities with a text of 200 characters each.
FILL = "create temp table usage as select i as quantity, repeat('x', 200) || hash(i) as id from range(2500000) as r(i)"
TOTAL = "select sum(quantity), sum(hash(id)) from usage"


def test_a_reader_that_ends_removes_no_files_of_one_that_still_reads() -> None:
    with open_duckdb(memory_mb=128) as ours:
        ours.execute(FILL)
        files = ours.execute("select path from duckdb_temporary_files()").fetchall()
        assert files, "everything fitted into memory"
        before = ours.execute(TOTAL).fetchone()
        with open_duckdb(memory_mb=128) as theirs:
            theirs.execute(FILL.replace("hash(i)", "hash(i + 7)"))
        assert ours.execute(TOTAL).fetchone() == before
        assert before and before[0] == 3_124_998_750_000  # 0 + 1 + ... + 2,499,999
