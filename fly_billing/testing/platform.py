"""The actions of tests on a throw-away platform: add records and usage, land, roll up, bill and close months.

The methods call the same functions as the assets, without Dagster, and take the time as an argument. Not here: the
servers (`throwaway`), Stripe (`stripe_steps`), and expected values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from sqlalchemy import column, insert, table, text

from fly_billing.invoicing.bill_run import Billed, bill
from fly_billing.invoicing.month_closing import Terms
from fly_billing.periods import FIRST_MONTH, BillingMonth
from fly_billing.postgres.database import BillingDatabase, Row
from fly_billing.usage.landing import land_days
from fly_billing.usage.landing_rows import LandedFile
from fly_billing.usage.rollups import RollupReport, roll_up
from fly_billing.usage.rules.declared_sources import NOTHING_DECLARED, DeclaredSources
from fly_billing.usage.source_contracts import SourceContracts
from fly_billing.usage.usage_table import UsageTable

# The defaults of the settings: months close 72 hours after their end, invoices are due after 14 days.
TERMS = Terms(grace=timedelta(hours=72), due_days=14)


@dataclass(frozen=True)
class ThrowawayPlatform:
    """A billing database with its usage table and landing folder, and the steps of billing.

    Attributes:
        sources: The declared sources, whose contracts landing holds.
    """

    database: BillingDatabase
    usage_table: UsageTable
    landing_dir: Path
    sources: DeclaredSources = field(default=NOTHING_DECLARED, kw_only=True)

    @classmethod
    def in_folder(cls, database: BillingDatabase, folder: Path) -> Self:
        """Return a platform whose landing folder and usage table are in `folder`."""
        landing_dir = folder / "landing"
        landing_dir.mkdir(exist_ok=True)
        return cls(database, UsageTable(folder / "usage_table"), landing_dir)

    def execute(self, statement: str, **parameters: Any) -> None:
        """Run a SQL statement in a transaction."""
        with self.database.transaction() as connection:
            connection.execute(text(statement), parameters)

    def query(self, statement: str, **parameters: Any) -> list[Row]:
        """Return the rows of a SQL query."""
        with self.database.transaction() as connection:
            return [dict(row) for row in connection.execute(text(statement), parameters).mappings()]

    def insert(self, into: str, **values: Any) -> None:
        """Insert a row; other columns have their defaults."""
        statement = insert(table(into, *(column(name) for name in values))).values(**values)
        with self.database.transaction() as connection:
            connection.execute(statement)

    def add_organization(self, name: str, currency: str = "USD", created_at: str = "2026-01-10") -> None:
        """Add an organization with a billing group of its own, in the default price book. `created_at`: a day."""
        self.insert(
            "organizations", id=name, name=name.capitalize(), currency=currency, billing_group=name,
            created_at=f"{created_at}T00:00:00Z",
        )  # fmt: skip

    def currencies(self) -> Mapping[str, str]:
        """Return the currency of each organization, by id."""
        return {row["id"]: row["currency"] for row in self.database.rows("case_organizations")}

    def billing_groups(self) -> list[str]:
        return list(dict.fromkeys(row["billing_group"] for row in self.database.rows("billing_groups")))

    def land(self, *days: date, now: datetime) -> list[LandedFile]:
        """Land these days of the landing folder."""
        contracts = SourceContracts(self.sources)
        return land_days(
            self.database, self.usage_table, self.landing_dir, list(days), FIRST_MONTH, now, contracts=contracts
        )

    def roll_up(self, month: BillingMonth, now: datetime, *, from_scratch: bool = False) -> RollupReport:
        groups = self.billing_groups()
        return roll_up(self.database, self.usage_table, month, groups, now, from_scratch=from_scratch)

    def bill(self, month: BillingMonth, now: datetime, run_id: str = "manual") -> Billed:
        """Compute the invoices of the month, and finalize them if its grace period is over."""
        return bill(self.database, month, self.billing_groups(), TERMS, now, run_id)

    def bill_landed(self, month: BillingMonth, now: datetime) -> Billed:
        """Land every day up to now that may have usage of the month, roll it up and bill it."""
        last = min(month.last_landing_day(TERMS.grace), now.date())
        days = [month.first_day + timedelta(days=number) for number in range((last - month.first_day).days + 1)]
        self.land(*days, now=now)
        self.roll_up(month, now)
        return self.bill(month, now)

    def close(self, month: BillingMonth) -> Billed:
        """Land, roll up, bill and finalize the month, an hour after its grace period."""
        return self.bill_landed(month, month.closes_at(TERMS.grace) + timedelta(hours=1))
