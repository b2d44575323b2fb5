"""Fills the local platform with sample data: `fly-billing seed`."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path

from fly_billing.cli.data_folder import SEED_NOTE
from fly_billing.cli.local_platform import local_platform
from fly_billing.cli.terminal import Terminal, busy
from fly_billing.errors import ActionableError
from fly_billing.money import counted
from fly_billing.output_files import output_file
from fly_billing.postgres.database import BillingDatabase
from fly_billing.postgres.migrate import migrate, owner_database
from fly_billing.sample_platform import seed
from fly_billing.usage.usage_table import UsageTable


def seed_platform(console: Terminal, today: date | None, months: int, organizations: int, number: int) -> None:
    """Create the sample platform's organizations, prices and usage files.

    Args:
        today: The last day with usage. None: the day of the first seeding, so that seeding again adds nothing.
        months: Closed months of usage.
        organizations: Organizations besides Fly.
        number: The random seed.

    Raises:
        ActionableError: `today` has not come yet, or the sample would begin before it has prices.
    """
    now = datetime.now(UTC).date()
    if today and today > now:
        raise ActionableError(f"--today {today} has not come yet: the last day with usage is {now} or earlier")
    with local_platform(migrates=True) as settings, busy(console, "Seeding") as show:
        database = BillingDatabase(settings.database_url)
        migrate(owner_database(settings))
        seeded = seed(
            database,
            settings.local_landing_dir("into which sample usage is not written"),
            usage_table=UsageTable.from_settings(settings),
            today=today or seeded_day(settings.data_dir, now),
            months=months,
            organizations=organizations,
            seed=number,
            max_org_partitions=settings.max_org_partitions,
            shared_groups=settings.shared_groups,
            progress=lambda text: show(f"Seeding: {text}"),
        )
    console.print(
        f"{counted(seeded.organizations, 'organization')}, {counted(seeded.events, 'usage event')} in"
        f" {counted(len(seeded.files), 'file')}"
    )


def seeded_day(data_dir: Path, today: date) -> date:
    """Return the day of the first seeding, which is `today` if there was none. Seeding on a later day adds nothing.

    Raises ActionableError if the note of that day can't be read.
    """
    note = data_dir / SEED_NOTE
    if note.exists():
        try:
            return date.fromisoformat(json.loads(note.read_text(encoding="utf-8"))["today"])
        except (KeyError, OSError, TypeError, ValueError) as problem:
            raise ActionableError(
                f'{note} does not give the day of the first seeding: write {{"today": "YYYY-MM-DD"}} into it, or delete'
                " all local data with `fly-billing clean`"
            ) from problem
    with output_file(note, overwrite=True) as file:
        file.write(json.dumps({"today": today.isoformat()}).encode())
    return today
