"""Lands the days of its arguments with the settings of its environment; a script, not a test. Tests kill it."""

from __future__ import annotations

import sys
from datetime import date

from fly_billing.postgres.database import BillingDatabase
from fly_billing.settings import Settings
from fly_billing.usage.landing import land_days
from fly_billing.usage.usage_table import UsageTable
from tests.support.builders import FIRST_MONTH, NOW


def main() -> None:
    settings = Settings.from_environment()
    days = [date.fromisoformat(day) for day in sys.argv[1:]]
    database = BillingDatabase(settings.database_url)
    land_days(database, UsageTable.from_settings(settings), settings.landing_dir, days, FIRST_MONTH, NOW)


if __name__ == "__main__":
    main()
