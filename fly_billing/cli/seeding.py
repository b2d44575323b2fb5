"""Filling and emptying the local data: `fly-billing seed`, `load-prices`, `import-focus`, `clean`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from sqlalchemy.exc import IntegrityError

from fly_billing.cli.data_folder import SEED_NOTE, remove_data
from fly_billing.cli.local_platform import local_platform
from fly_billing.cli.terminal import Terminal, busy
from fly_billing.corrections.changed_terms import undecided_changes
from fly_billing.errors import ActionableError
from fly_billing.focus.imports import FocusImport, import_focus
from fly_billing.money import counted
from fly_billing.output_files import output_file
from fly_billing.postgres.database import BillingDatabase
from fly_billing.postgres.isolation import reason_of
from fly_billing.postgres.migrate import migrate, owner_database
from fly_billing.pricing.price_books import SHIPPED, PriceBookFiles, load_price_book, read_price_book_files
from fly_billing.sample_platform import Seeded, seed
from fly_billing.settings import Settings
from fly_billing.usage.usage_table import UsageTable


def seed_platform(console: Terminal, today: date | None, months: int, organizations: int, number: int) -> Seeded:
    """Seed the local platform. Without `today`, the day of the first seeding: seeding again then adds nothing."""
    with local_platform(migrates=True) as settings, busy(console, "Seeding") as say:
        database = BillingDatabase(settings.database_url)
        migrate(owner_database(settings))
        seeded = seed(
            database,
            settings.landing_dir,
            usage_table=UsageTable.from_settings(settings),
            today=today or seeded_day(settings.data_dir, datetime.now(UTC).date()),
            months=months,
            organizations=organizations,
            seed=number,
            max_org_partitions=settings.max_org_partitions,
            shared_groups=settings.shared_groups,
            progress=lambda text: say(f"Seeding: {text}"),
        )
    console.print(f"{seeded.organizations} organizations, {seeded.events:,} usage events in {len(seeded.files)} files")
    return seeded


def seeded_day(data_dir: Path, today: date) -> date:
    """Return the day the sample data was first made for: seeding again on another day must not add to it.

    Raises ActionableError where the note of that day can't be read.
    """
    note = data_dir / SEED_NOTE
    if note.exists():
        try:
            return date.fromisoformat(json.loads(note.read_text(encoding="utf-8"))["today"])
        except (KeyError, OSError, TypeError, ValueError) as problem:
            raise ActionableError(
                f'{note} does not say for which day the sample was made: write {{"today": "YYYY-MM-DD"}} into it, or'
                " remove all local data with `fly-billing clean`"
            ) from problem
    with output_file(note, overwrite=True) as file:
        file.write(json.dumps({"today": today.isoformat()}).encode())
    return today


def load_prices_of(console: Terminal, folder: Path | None) -> None:
    """Load a price book's folder (`fly_billing/price_book/fly`); what a finalized invoice used can't be changed, only
    superseded. Raises ActionableError naming every mistake; then nothing is loaded."""
    with local_platform(migrates=True) as settings:
        database = BillingDatabase(settings.database_url)
        migrate(owner_database(settings))
        known = len(undecided_changes(database))
        try:
            book = read_price_book_files(folder.resolve() if folder else SHIPPED / "fly")
            _refuse_empty(book, folder)
            with database.transaction() as connection:
                load_price_book(connection, book)
        except (ValueError, IntegrityError) as problem:
            said = problem if isinstance(problem, ValueError) else reason_of(problem)
            raise ActionableError(f"nothing was loaded:\n{said}") from problem
        changed = len(undecided_changes(database)) - known
    if changed:
        console.print(
            f"{changed:,} changes of prices are about closed months, which stay as they were billed:"
            " `fly-billing corrections` lists whose invoices they are about, `fly-billing rebill` books a difference",
            soft_wrap=True,
        )
    console.print(f"{len(book.meters)} meters and {len(book.prices)} prices are in the billing database")
    if book.negotiated or book.members:
        console.print(
            f"and {counted(str(len(book.negotiated)), 'negotiated price')},"
            f" {counted(str(len(book.members)), 'member')} of groups: `fly-billing prices` shows who has them"
        )


def _refuse_empty(book: PriceBookFiles, folder: Path | None) -> None:
    if not (book.meters or book.prices or book.negotiated or book.members or book.taxes):
        raise ValueError(f"{folder} has nothing to load: a price book is a folder of .yaml files, as price_book/fly is")


def import_focus_files(console: Terminal, files: Sequence[Path], cost: str) -> None:
    """Import the files of a FOCUS export; say what became of their rows."""
    with local_platform(migrates=True) as settings, busy(console, "Importing") as say:
        database = BillingDatabase(settings.database_url)
        migrate(owner_database(settings))
        imported = import_focus(
            database,
            settings.landing_dir,
            *files,
            max_org_partitions=settings.max_org_partitions,
            shared_groups=settings.shared_groups,
            now=datetime.now(UTC),
            cost=cost,
            progress=say,
        )
    names = ", ".join(file.name for file in files)
    console.print(
        f"{imported.rows:,} rows of {names}: {imported.usage:,} usage events, {imported.one_off:,} one-off items,"
        f" {len(imported.rejected):,} rejected; {len(imported.organizations)} organizations"
        f" ({imported.new_organizations} new), {imported.new_prices} new prices",
    )
    console.print(
        f"{imported.new:,} new, {imported.known:,} known from earlier imports, {imported.changed:,} changed and"
        f" replaced, {imported.vanished:,} vanished and {_fate(imported)}"
    )
    for row in imported.rejected[:10]:
        console.print(f"rejected {row.file} line {row.line}: {row.reason}")
    for month in imported.months:
        console.print(f"Next: fly-billing land {month}; fly-billing bill {month}; fly-billing sync {month}")


def _fate(imported: FocusImport) -> str:
    """Say what becomes of the charges that an earlier export had."""
    if not imported.kept:
        return "taken back"
    return "kept, as rows were rejected: mend those and import again, or what is not charged any more stays billed"


def remove_local_data(console: Terminal) -> None:
    """Remove what fly-billing created in the data folder, and its embedded database."""
    folder = Settings.from_environment().data_dir
    removal = remove_data(folder)
    console.print(f"Removed fly-billing's data in {folder}.", soft_wrap=True)
    if removal.others_data:
        owner = removal.others_data.owner or "another folder"
        console.print(
            f"Not removed: the database in {removal.others_data.home.path}. It belongs to {owner}, of which this folder"
            " is a copy.",
            soft_wrap=True,
        )
    if removal.left:
        console.print(f"Not removed, because fly-billing did not create it: {', '.join(removal.left)}", soft_wrap=True)
