"""Starts the servers that the environment does not name (Postgres, the Stripe sandbox) and sets Dagster's home.

While the block runs, environment variables name them all, so that Dagster and every child process finds them. Not here:
the sandbox itself (`local_sandbox`), and how commands use them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from fly_billing.cli.data_folder import DAGSTER_HOME, POSTGRES, make_data_folder
from fly_billing.credentials import check_stripe_access
from fly_billing.dagster_storage import INSTANCE_FILE
from fly_billing.embedded_postgres import PostgresServer, running
from fly_billing.embedded_postgres.roles import DAGSTER, OWNER, PIPELINE, READER
from fly_billing.output_files import make_folder, output_file, refuse_file_in_place_of_folder
from fly_billing.postgres.connections import PoolPolicy
from fly_billing.postgres.reading import ReadingDatabase
from fly_billing.postgres.schema_check import check_database, check_migrated, database_facts
from fly_billing.settings import DatabaseLimits, Settings, reveal, without_postgres_variables

if TYPE_CHECKING:
    from fly_billing.postgres.database import BillingDatabase


@contextmanager
def local_platform(*, stripe: bool = False, owns_sandbox: bool = False, migrates: bool = False) -> Iterator[Settings]:
    """Run the local servers during the block, and yield the settings that name them.

    Args:
        stripe: Also run the Stripe sandbox, unless STRIPE_API_KEY is set.
        owns_sandbox: Refuse a sandbox that another process runs, because that process could stop it.
        migrates: The caller creates the tables. Otherwise they must exist.

    Raises:
        FolderNotMade: A folder can't be made; a file is in its place, for example.
        DatabaseProblem: The database can't be used.
        SandboxBusy: `owns_sandbox`, and another process runs the sandbox.
    """
    settings = Settings.from_environment()
    if stripe and (settings.stripe_api_key or settings.production):
        # Before any server starts.
        check_stripe_access(reveal(settings.stripe_api_key), settings.stripe_api_base, production=settings.production)
    make_data_folder(settings.data_dir)
    for folder in (settings.landing_dir, settings.lake_dir, settings.reports_dir):
        if isinstance(folder, Path):
            refuse_file_in_place_of_folder(folder)
    with ExitStack() as stack:
        names, owner_url = stack.enter_context(_postgres(settings))
        names["DAGSTER_HOME"] = str(_dagster_home(settings.data_dir))
        names["DAGSTER_EVENT_BATCH_SIZE"] = str(settings.dagster_event_batch_size)
        names["FLY_BILLING_DATA_DIR"] = str(settings.data_dir)
        _check(names.get("DATABASE_URL") or reveal(settings.database_url), settings.processes, migrates=migrates)
        if stripe and settings.stripe_api_key is None:
            # Here, because a command that only reads would load a web server that it does not start.
            from fly_billing.cli.local_sandbox import SANDBOX_KEY, SANDBOX_RATES, sandbox

            url = stack.enter_context(sandbox(settings.data_dir, owned=owns_sandbox))
            names |= {"STRIPE_API_KEY": SANDBOX_KEY, "STRIPE_API_BASE": url}
            names |= {name: value for name, value in SANDBOX_RATES.items() if not settings.sets(name)}
        stack.enter_context(_environment(names))
        # The owner's URL is for migrations in this process, not for the environment of child processes.
        yield Settings.from_environment({"FLY_BILLING_MIGRATION_DATABASE_URL": owner_url or ""})


@contextmanager
def reading_database(settings: Settings, limits: DatabaseLimits, pool: PoolPolicy) -> Iterator[BillingDatabase]:
    """Yield the billing database for a service that only reads: the one of the settings, or the embedded server's.

    A database of the settings may be down now. Raises SettingsError in production without one.
    """
    from fly_billing.postgres.database import BillingDatabase  # here, because commands that only read do without

    if settings.api_database_url:
        yield BillingDatabase(settings.api_database_url, "FLY_BILLING_API_DATABASE_URL", limits, pool)
    elif settings.database_url or settings.production:
        yield BillingDatabase(settings.database_url, limits=limits, pool=pool)
    else:
        make_data_folder(settings.data_dir)
        with running(settings.data_dir / POSTGRES, databases=("billing",)) as server:
            _grant_rights(server)
            database = BillingDatabase(server.url("billing", role=READER), limits=limits, pool=pool)
            check_database(database)
            check_migrated(database)
            yield database


def _check(url: str | None, processes: int, *, migrates: bool) -> None:
    with closing(ReadingDatabase(url, DatabaseLimits.from_environment())) as database:
        check_database(database, processes)
        if not migrates:
            check_migrated(database)


@contextmanager
def _postgres(settings: Settings) -> Iterator[tuple[dict[str, str], str | None]]:
    """Yield the variables that name both databases, and the owner's URL of the billing database.

    The embedded server runs only if the settings leave one of them out. If it has both, variables of Postgres' client
    are for other servers, and are removed.
    """
    named = {"DATABASE_URL": settings.database_url, "DAGSTER_DATABASE_URL": settings.dagster_database_url}
    if all(named.values()):
        yield {}, reveal(settings.migration_database_url)
        return
    with (
        nullcontext() if any(named.values()) else without_postgres_variables(),
        running(settings.data_dir / POSTGRES, databases=("billing", "dagster")) as server,
    ):
        with psycopg.connect(server.url("dagster", "postgresql", role=DAGSTER), autocommit=True) as connection:
            # Losing the last events in a crash is harmless; waiting for the disk at each one costs a fifth of a run.
            connection.execute("alter database dagster set synchronous_commit = off")
        _grant_rights(server)
        urls = {
            "DATABASE_URL": server.url("billing", role=PIPELINE),
            "DAGSTER_DATABASE_URL": server.url("dagster", "postgresql+psycopg2", role=DAGSTER),
        }
        owner_url = (
            reveal(settings.migration_database_url) if settings.database_url else server.url("billing", role=OWNER)
        )
        yield {name: url for name, url in urls.items() if not named[name]}, owner_url


def _grant_rights(server: PostgresServer) -> None:
    """Grant the roles their rights in a data folder from before roles existed."""
    url = server.url("billing", role=OWNER)
    with closing(ReadingDatabase(url, DatabaseLimits.from_environment())) as reading:
        facts = database_facts(reading)
    if facts.is_migrated and not facts.has_rights:
        from fly_billing.postgres.database import BillingDatabase
        from fly_billing.postgres.rights import grant_rights

        database = BillingDatabase(url)
        with database.transaction() as connection:
            grant_rights(connection)
        database.engine.dispose()


def _dagster_home(data_dir: Path) -> Path:
    home = data_dir / DAGSTER_HOME
    make_folder(home)
    # In one step, because another command may be reading the file.
    with output_file(home / INSTANCE_FILE.name, overwrite=True) as file:
        file.write(INSTANCE_FILE.read_bytes())
    return home


@contextmanager
def _environment(names: Mapping[str, str]) -> Iterator[None]:
    """Set the variables for this process and its children during the block."""
    before = dict(os.environ)
    os.environ.update(names)
    try:
        yield
    finally:
        for name in names:
            os.environ.pop(name, None)
        os.environ.update({name: value for name, value in before.items() if name in names})
