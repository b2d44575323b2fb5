"""The billing database as a Dagster resource."""

from typing import Any

from dagster import ConfigurableResource

from fly_billing.postgres.database import BillingDatabase
from fly_billing.postgres.schema_check import check_migrated
from fly_billing.settings import DatabaseLimits, Settings


class BillingPostgres(ConfigurableResource[Any]):
    """The billing records.

    Attributes:
        url: DATABASE_URL.
        statement_seconds, lock_seconds, idle_transaction_seconds, connect_seconds, silence_seconds: Time limits of a
            session (FLY_BILLING_STATEMENT_SECONDS, FLY_BILLING_LOCK_SECONDS, ...).
    """

    url: str | None = None
    statement_seconds: int | None = None
    lock_seconds: int | None = None
    idle_transaction_seconds: int | None = None
    connect_seconds: int | None = None
    silence_seconds: int | None = None

    def database(self) -> BillingDatabase:
        """Return the database. Raises DatabaseProblem if its schema does not match this version of the code."""
        given = {name: getattr(self, name) for name in DatabaseLimits.model_fields}
        limits = DatabaseLimits.from_environment(
            {f"FLY_BILLING_{name.upper()}": str(value) for name, value in given.items() if value is not None}
        )
        database = BillingDatabase(self.url or Settings.from_environment().database_url, limits=limits)
        check_migrated(database)
        return database
