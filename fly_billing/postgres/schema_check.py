"""What must be true of the billing database before anything starts. Keeps out: connecting (`connecting`), migrating."""

from __future__ import annotations

from pathlib import Path

from fly_billing.postgres.connecting import NEEDED, DatabaseProblem
from fly_billing.postgres.database import BillingDatabase

# Where the migrations are: `NNNN_what_it_does.sql`, each run by the module of its name.
VERSIONS = Path(__file__).parent / "migrations" / "versions"
_migrated: set[str] = set()


def newest_migration() -> str:
    """Return the number of this code's newest migration."""
    return max(path.name.partition("_")[0] for path in VERSIONS.glob("[0-9]*.py"))


def check_database(database: BillingDatabase) -> None:
    """Raise DatabaseProblem if it can't be reached, lets in too few sessions, or belongs to Dagster."""
    (facts,) = database.rows("database_facts")
    if facts["is_dagsters"]:
        raise same_database(database.place)
    if facts["connections"] < NEEDED:
        raise DatabaseProblem(
            f"{database.place} lets this user have {facts['connections']} connections at once, and"
            f" {NEEDED} are needed: raise max_connections, or the limit of the role or database"
        )


def check_migrated(database: BillingDatabase) -> None:
    """Raise DatabaseProblem if the tables are not those that this code knows. Asks once per process and database."""
    if database.place in _migrated:
        return
    (facts,) = database.rows("database_facts")
    if facts["is_dagsters"]:
        raise same_database(database.place)
    ours = newest_migration()
    found = [row["version_num"] for row in database.rows("schema_version")] if facts["is_migrated"] else []
    if not found:
        raise DatabaseProblem(f"{database.place} has no tables yet: run `fly-billing migrate`, or `make demo`")
    if found[0] < ours:
        raise DatabaseProblem(
            f"{database.place} is at migration {found[0]} and this code needs {ours}: run `fly-billing migrate`"
        )
    if found[0] > ours:
        raise newer_than_code(database.place, found[0])
    _migrated.add(database.place)


def newer_than_code(place: str, found: str) -> DatabaseProblem:
    return DatabaseProblem(
        f"{place} is at migration {found}, and this code knows them up to {newest_migration()}: deploy the newer code"
    )


def same_database(place: str) -> DatabaseProblem:
    return DatabaseProblem(
        f"{place} holds Dagster's tables: DATABASE_URL and DAGSTER_DATABASE_URL must name two databases"
    )
