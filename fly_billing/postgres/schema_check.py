"""What must be true of the billing database before anything starts. Keeps out: connecting (`connecting`), migrating."""

from __future__ import annotations

from pathlib import Path

from fly_billing.postgres.connecting import NEEDED, DatabaseProblem
from fly_billing.postgres.database import BillingDatabase

# Where the migrations are: a module `NNNN_what_it_does.py` each, which runs the SQL file or folder of its name.
VERSIONS = Path(__file__).parent / "migrations" / "versions"
_migrated: set[str] = set()


def newest_migration() -> str:
    """Return the number of this code's newest migration."""
    return max(_migrations())


def oldest_migration() -> str:
    """Return the number of the baseline, before which no database can be brought up to date."""
    return min(_migrations())


def _migrations() -> list[str]:
    return [path.name.partition("_")[0] for path in VERSIONS.glob("[0-9]*.py")]


def check_database(database: BillingDatabase) -> None:
    """Raise DatabaseProblem if it can't be reached, can't hold our tables or texts, or lets in too few sessions."""
    (facts,) = database.rows("database_facts")
    if facts["is_dagsters"]:
        raise same_database(database.place)
    if facts["encoding"] != "UTF8":
        raise DatabaseProblem(
            f"{database.place} encodes texts in {facts['encoding']}, which can't hold every name: create the database"
            " again with encoding 'UTF8' (template template0)"
        )
    if not facts["has_schema"]:
        raise DatabaseProblem(
            f"{database.place} has no schema for tables: its search_path names none that exists; reset it with"
            " `alter database ... reset search_path`, or for the role"
        )
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
    found = [row["version_num"] for row in database.rows("schema_version")] if facts["is_migrated"] else []
    if not found:
        raise DatabaseProblem(f"{database.place} has no tables yet: run `fly-billing migrate`, or `make demo`")
    if found[0] != newest_migration():
        raise other_than_code(database.place, found[0], oldest_migration(), newest_migration())
    _migrated.add(database.place)


def other_than_code(place: str, found: str, oldest: str, newest: str) -> DatabaseProblem:
    """Say what to do about a database that is not at the newest migration.

    Args:
        place: the setting and server to name.
        found: the migration the database is at.
        oldest: the baseline of this code.
        newest: its newest migration.
    """
    if found < oldest:
        return DatabaseProblem(
            f"{place} is at migration {found}: a development version made it before the first release, and it can't be"
            " brought up to date. Delete a local platform with `fly-billing clean`; elsewhere name an empty database"
            " and run `fly-billing migrate`"
        )
    if found < newest:
        return DatabaseProblem(
            f"{place} is at migration {found} and this code needs {newest}: run `fly-billing migrate`"
        )
    return DatabaseProblem(
        f"{place} is at migration {found}, and this code knows them up to {newest}: deploy the newer code"
    )


def same_database(place: str) -> DatabaseProblem:
    return DatabaseProblem(
        f"{place} holds Dagster's tables: DATABASE_URL and DAGSTER_DATABASE_URL must name two databases"
    )
