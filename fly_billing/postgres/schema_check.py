"""Checks the billing database before anything starts: its encoding, its connection limit, and its migration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fly_billing.postgres.connections import DatabaseProblem, needed

if TYPE_CHECKING:
    from fly_billing.postgres.reading import ReadableDatabase

# The migrations. Each is a module `NNNN_what_it_does.py` that runs the SQL file or folder with its name.
VERSIONS = Path(__file__).parent / "migrations" / "versions"
_migrated: set[str] = set()


def newest_migration() -> str:
    """Return the number of this code's newest migration."""
    return max(_migrations())


def oldest_migration() -> str:
    """Return the number of the baseline. Databases from before the baseline can't be migrated."""
    return min(_migrations())


def _migrations() -> list[str]:
    return [path.name.partition("_")[0] for path in VERSIONS.glob("[0-9]*.py")]


@dataclass(frozen=True)
class DatabaseFacts:
    """Facts about the database and this user's connection.

    Attributes:
        connections: The number of connections that this user can have at the same time.
        is_migrated: True if at least one migration was applied.
        has_rights: True if the pipeline's role can read the tables.
        is_dagsters: True if the database has Dagster's tables, and not ours.
        encoding: The encoding of text: UTF8.
        has_schema: True if the search_path names an existing schema.
    """

    connections: int
    is_migrated: bool
    has_rights: bool
    is_dagsters: bool
    encoding: str
    has_schema: bool


def database_facts(database: ReadableDatabase) -> DatabaseFacts:
    """Read the facts about the database that this user connects to."""
    (facts,) = database.records(DatabaseFacts, "database_facts")
    return facts


def check_database(database: ReadableDatabase, processes: int = 1) -> None:
    """Raise DatabaseProblem if it can't be reached, can't store our tables or texts, or allows too few connections.

    Args:
        processes: The most processes that share a month (FLY_BILLING_PROCESSES).
    """
    facts = database_facts(database)
    if facts.is_dagsters:
        raise same_database(database.place)
    if facts.encoding != "UTF8":
        raise DatabaseProblem(
            f"{database.place} stores text as {facts.encoding}, which can't represent every name: create the database"
            " again with encoding 'UTF8' (template template0)"
        )
    if not facts.has_schema:
        raise DatabaseProblem(
            f"{database.place} has no schema for tables: its search_path names no existing schema; reset it with"
            " `alter database ... reset search_path`, or for the role"
        )
    if facts.connections < needed(processes):
        raise DatabaseProblem(
            f"{database.place} allows this user {facts.connections} connections at the same time, and"
            f" {needed(processes)} are needed: raise max_connections, or the limit of the role or database"
        )


def check_migrated(database: ReadableDatabase) -> None:
    """Raise DatabaseProblem if the database is not at this code's newest migration. Cached per process and database."""
    if database.place in _migrated:
        return
    facts = database_facts(database)
    if facts.is_dagsters:
        raise same_database(database.place)
    versions = database.values("schema_version") if facts.is_migrated else []
    if not versions:
        raise DatabaseProblem(f"{database.place} has no tables yet: run `fly-billing migrate`, or `make demo`")
    if versions[0] != newest_migration():
        raise other_than_code(database.place, versions[0], oldest_migration(), newest_migration())
    _migrated.add(database.place)


def other_than_code(place: str, found: str, oldest: str, newest: str) -> DatabaseProblem:
    """Return the error for a database that is not at the newest migration, with the next step.

    Args:
        place: The setting and the server.
        found: The database's migration.
        oldest: This code's baseline.
        newest: This code's newest migration.
    """
    if found < oldest:
        return DatabaseProblem(
            f"{place} is at migration {found}, which a development version made before the first release; it can't be"
            " migrated. Delete a local platform with `fly-billing clean`; elsewhere use an empty database"
            " and run `fly-billing migrate`"
        )
    if found < newest:
        return DatabaseProblem(
            f"{place} is at migration {found} and this code needs {newest}: run `fly-billing migrate`"
        )
    return DatabaseProblem(f"{place} is at migration {found}, but this code ends at {newest}: deploy the newer code")


def same_database(place: str) -> DatabaseProblem:
    return DatabaseProblem(
        f"{place} has Dagster's tables: DATABASE_URL and DAGSTER_DATABASE_URL must name two different databases"
    )
