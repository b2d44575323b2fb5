"""`python -m tests.fuzz`: land a million odd rows and 20,000 broken files.

Exit code 1 on a crash or an unaccounted row."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fly_billing.embedded_postgres import create_database, throwaway
from fly_billing.postgres.database import BillingDatabase
from fly_billing.postgres.migrate import migrate
from tests.fuzz.campaign import Outcome, Plan, run
from tests.support.builders import Platform

console = Console()


def main(
    rows: Annotated[int, typer.Option(help="Rows with odd cells")] = 1_000_000,
    files: Annotated[int, typer.Option(help="Mutated files")] = 20_000,
    seed: Annotated[int, typer.Option(help="The same seed makes the same rows and files")] = 1,
    keep: Annotated[Path, typer.Option(help="Where batches that fail are kept")] = Path("fuzz-failures"),
) -> None:
    """Land odd rows and broken files, and count the result of each row independently."""
    with throwaway() as server, tempfile.TemporaryDirectory() as folder:
        create_database(server, "fuzz")
        database = BillingDatabase(server.url("fuzz"))
        migrate(database)
        landing_dir = Path(folder) / "landing"
        landing_dir.mkdir()
        outcome = run(Plan(rows, files, seed), Platform.with_acme(database, landing_dir), keep, console.print)
        database.engine.dispose()
    show(outcome)
    raise typer.Exit(0 if outcome.is_clean else 1)


def show(outcome: Outcome) -> None:
    for problem in (*outcome.crashes, *outcome.wrong):
        console.print(escape(problem), style="red")
    for path in outcome.kept:
        console.print(f"kept: {escape(str(path))}")
    table = Table("what", "count")
    figures = {
        "rows generated": outcome.rows,
        "files mutated": outcome.files,
        "rows landed": outcome.landed,
        "accepted": outcome.accepted,
        "duplicate": outcome.duplicate,
        "rejected": outcome.rejected,
        **{f"mutation: {name}": count for name, count in sorted(outcome.mutations.items())},
        **{f"reason: {name}": count for name, count in outcome.reasons.most_common()},
        "crashes": len(outcome.crashes),
        "unaccounted rows": outcome.unaccounted,
        "other findings": len(outcome.wrong),
        "seconds": round(outcome.seconds),
    }
    for name, count in figures.items():
        table.add_row(name, f"{count:,}")
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
