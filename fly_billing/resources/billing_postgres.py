"""The billing database as a Dagster resource."""

from typing import Any

from dagster import ConfigurableResource

from fly_billing.postgres.database import BillingDatabase
from fly_billing.postgres.schema_check import check_migrated
from fly_billing.settings import Settings


class BillingPostgres(ConfigurableResource[Any]):
    """The billing records (DATABASE_URL)."""

    url: str | None = None

    def database(self) -> BillingDatabase:
        """Return the database. Raises DatabaseProblem if its tables are not those that this code knows."""
        database = BillingDatabase(self.url or Settings.from_environment().database_url)
        check_migrated(database)
        return database
