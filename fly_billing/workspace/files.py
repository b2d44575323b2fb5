"""Reads a workspace's folder. Reports every mistake of all files at once, a line each.

The files: fly_billing.yaml (settings), organizations.csv, terms.yaml, sources.yaml, and a price book in each folder of
price_book/. Not here: the fields of an entry (`entries`), and the database.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fly_billing.foreign_text import visible
from fly_billing.periods import BillingMonth
from fly_billing.pricing.price_books import PriceBookFiles
from fly_billing.pricing.rules.book_problems import Dimensions, unknown_meters, unmatchable_prices
from fly_billing.pricing.rules.fields import did_you_mean, refuse_unknown
from fly_billing.pricing.rules.meters import Meter
from fly_billing.usage.rules.declared_sources import NOTHING_DECLARED, DeclaredSources
from fly_billing.workspace.books_folder import BOOKS, MEMBERS, NEGOTIATED, only_book, read_books
from fly_billing.workspace.databases import (
    DATABASES,
    DeclaredDatabases,
    PlatformDatabase,
    only_folder,
    owner_of,
    read_databases,
)
from fly_billing.workspace.entries import TERMS, Entry, OrganizationEntry, WorkspaceSettings
from fly_billing.workspace.organizations_csv import ORGANIZATIONS, read_organizations, with_price_books
from fly_billing.workspace.price_records import member_record, meter_record, negotiated_record, records_of_book
from fly_billing.workspace.reading import WorkspaceHasMistakes, WorkspaceReading
from fly_billing.workspace.rules.mistakes import Books, mistakes_between
from fly_billing.workspace.rules.records import Record
from fly_billing.workspace.usage_sources import (
    SOURCES,
    SOURCES_FILE,
    UNDECLARED,
    SourceEntry,
    read_sources,
    rejects_others,
)

VERSION = 1
SETTINGS, TERMS_FILE = "fly_billing.yaml", "terms.yaml"
_NEEDED = (SETTINGS, ORGANIZATIONS, TERMS_FILE)
# The fields of terms that name an organization.
_NAMING = ("organization", "payer")


@dataclass(frozen=True)
class OwnedOrganization:
    """An organization in the database.

    Attributes:
        owner: The workspace or platform database that it came from. None: nobody any more, as it closed its account.
    """

    id: str
    owner: str | None
    currency: str
    price_book: str


@dataclass(frozen=True)
class KnownPrices:
    """The records of the billing database that the files may name without having them.

    Attributes:
        books: The prices of each loaded book.
        meters: The dimensions of all loaded meters, by key.
        organizations: Those that a workspace or the database of a platform owns, and those that closed their account.
    """

    books: Books = field(default_factory=dict)
    meters: Dimensions = field(default_factory=dict)
    organizations: Sequence[OwnedOrganization] = ()


NOTHING_LOADED = KnownPrices()


@dataclass(frozen=True)
class Workspace:
    """The contents of a workspace without mistakes.

    Attributes:
        records: All records, in comparable form.
        organizations: The entry of each organization, by id.
        terms: The typed record of each term, negotiated price and member of a group, by kind and key.
        meters: The meters of all price books.
        books: The price books, with the negotiated prices of terms.yaml.
        databases: Where organizations and terms are read from besides the files.
    """

    settings: WorkspaceSettings
    records: Sequence[Record]
    organizations: Mapping[str, OrganizationEntry]
    terms: Mapping[tuple[str, str], Any]
    meters: Sequence[Meter]
    books: Sequence[PriceBookFiles]
    sources: Sequence[SourceEntry] = ()
    databases: Sequence[PlatformDatabase] = ()


def read_workspace(folder: Path, loaded: KnownPrices = NOTHING_LOADED) -> Workspace:
    """Read all files of the folder.

    Args:
        loaded: The prices and meters in the database, which the files may name.

    Raises:
        WorkspaceHasMistakes: Has a line for each mistake: the file, the line, the entry and the field.
    """
    reading = WorkspaceReading(folder)
    settings = _read_settings(reading)
    _report_other_files(reading)
    organizations = read_organizations(reading)
    terms = reading.document(TERMS_FILE)
    _read_terms(reading, terms)
    books = read_books(reading, terms, TERMS_FILE)
    meters = _meters(reading, books)
    dimensions = {**loaded.meters, **{meter.key: meter.dimensions for meter in meters.values()}}
    _report_wrong_meters(reading, books, dimensions)
    document = reading.document(SOURCES_FILE)
    _report_unknown_parts(reading, document)
    # A book with mistakes may have the meter that a source names.
    sources = read_sources(reading, document, None if reading.unread_books else dimensions.keys())
    databases = read_databases(reading, settings, document, SOURCES_FILE)
    others = _of_databases(settings, databases, loaded)
    reading.entries = [*with_price_books(reading, organizations, only_book(reading, books)), *reading.entries]
    if not organizations and reading.problems:  # the file can't be read: naming its organizations is no mistake
        reading.unread_organizations |= {getattr(entry, name, "") for _, entry in reading.entries for name in _NAMING}
    records = [*map(meter_record, meters.values()), *_records(reading, books, others)]
    known = {**loaded.books, **{book.name: book.prices for book in books}}
    reading.problems += map(
        visible, mistakes_between(records, known, reading.unread_organizations, reading.unread_books, others)
    )
    if reading.problems or settings is None:
        raise WorkspaceHasMistakes(list(dict.fromkeys(reading.problems)))
    of_id = {entry.id: entry for _, entry in reading.entries if isinstance(entry, OrganizationEntry)}
    typed = _terms(reading, books, records)
    return Workspace(settings, records, of_id, typed, tuple(meters.values()), books, sources, databases)


def read_declared_databases(folder: Path) -> DeclaredDatabases:
    """Read the settings of a workspace and its databases, and no other files.

    Raises:
        WorkspaceHasMistakes: It is no workspace, or these parts have mistakes. Has a line for each.
    """
    reading = WorkspaceReading(folder)
    settings = _read_settings(reading)
    databases = read_databases(reading, settings, reading.document(SOURCES_FILE), SOURCES_FILE)
    if reading.problems or settings is None:
        raise WorkspaceHasMistakes(reading.problems)
    return DeclaredDatabases(settings, databases, only_folder(folder))


def read_declared_sources(folder: Path | None) -> DeclaredSources:
    """Read the settings of a workspace and its usage sources, and no other files. None: there is no workspace.

    Raises:
        WorkspaceHasMistakes: It is no workspace, or these parts have mistakes. Has a line for each.
    """
    if folder is None:
        return NOTHING_DECLARED
    reading = WorkspaceReading(folder)
    _read_settings(reading)
    document = reading.document(SOURCES_FILE)
    sources = read_sources(reading, document, None)
    is_strict = rejects_others(reading, document)
    if reading.problems:
        raise WorkspaceHasMistakes([f"{folder}: {problem}" for problem in dict.fromkeys(reading.problems)])
    return DeclaredSources(tuple(entry.source() for entry in sources), is_strict)


def _of_databases(
    settings: WorkspaceSettings | None, databases: Sequence[PlatformDatabase], loaded: KnownPrices
) -> dict[str, Mapping[str, Any]]:
    """Return the organizations that were read from the workspace's databases: its terms may name them."""
    if settings is None or not databases:
        return {}
    owners = {None, *(owner_of(settings, database) for database in databases)}
    return {one.id: vars(one) for one in loaded.organizations if one.owner in owners}


def _read_settings(reading: WorkspaceReading) -> WorkspaceSettings | None:
    """Read fly_billing.yaml. Raises WorkspaceHasMistakes at once for a folder of another version, or no workspace."""
    if not (reading.folder / SETTINGS).is_file():
        folder = visible(str(reading.folder))
        raise WorkspaceHasMistakes(
            [f"{folder} is no workspace: it has no {SETTINGS}. `fly-billing init {folder}` writes one"]
        )
    document = reading.document(SETTINGS)
    version = document.get("version")
    if not reading.problems and version != str(VERSION):
        given = "has no version" if version is None else f"is of version {version}"
        raise WorkspaceHasMistakes(
            [visible(f"{SETTINGS}: this workspace {given}, but this fly-billing reads version {VERSION}")]
        )
    entry = reading.entry(WorkspaceSettings, document, f"{SETTINGS}: ") if document else None
    return entry if isinstance(entry, WorkspaceSettings) else None


def _report_other_files(reading: WorkspaceReading) -> None:
    """Report files that nothing reads: a misspelt one would end everything that it should have named."""
    known = (*_NEEDED, SOURCES_FILE)
    for name in _NEEDED:
        if not (reading.folder / name).is_file():
            reading.report(name, "there is no such file: without it, everything that it named would end")
    for path in sorted(reading.folder.iterdir()):
        if path.suffix in (".yaml", ".yml", ".csv") and path.name not in known:
            reading.report(path.name, f"nothing reads this file{did_you_mean(path.name, known)}")


def _read_terms(reading: WorkspaceReading, document: Mapping[str, Any]) -> None:
    try:
        refuse_unknown(document, frozenset({*TERMS, NEGOTIATED, MEMBERS}), TERMS_FILE)
    except ValueError as problem:
        reading.report(TERMS_FILE, str(problem))
    for part, model in TERMS.items():
        for place, data in reading.listed(document, part, TERMS_FILE):
            if entry := reading.entry(model, data, place):
                reading.entries.append((place, entry))


def _meters(reading: WorkspaceReading, books: Sequence[PriceBookFiles]) -> dict[str, Meter]:
    """Return the meters of all books by key. Several books may have a meter, if it is the same."""
    found: dict[str, Meter] = {}
    for book in books:
        for meter in book.meters:
            if found.setdefault(meter.key, meter) != meter:
                reading.report(f"{BOOKS}/{book.name}", f"meter {meter.key} differs from that of another book")
    return found


def _report_wrong_meters(reading: WorkspaceReading, books: Sequence[PriceBookFiles], meters: Dimensions) -> None:
    for book in books:
        wrong = {**unmatchable_prices(book.prices, meters), **unknown_meters(book.prices, meters)}
        for _, problem in sorted(wrong.items()):
            reading.report(f"{BOOKS}/{book.name}", problem)


def _report_unknown_parts(reading: WorkspaceReading, document: Mapping[str, Any]) -> None:
    try:
        refuse_unknown(document, frozenset({SOURCES, UNDECLARED, DATABASES}), SOURCES_FILE)
    except ValueError as problem:
        reading.report(SOURCES_FILE, str(problem))


def _records(
    reading: WorkspaceReading, books: Sequence[PriceBookFiles], others: Mapping[str, Mapping[str, Any]]
) -> list[Record]:
    """Return the comparable records, with the values that they take over from other records."""
    named: dict[tuple[str, str], Mapping[str, Any]] = {("organization", one): its for one, its in others.items()}
    named |= {(entry.KIND, entry.record_key): entry.values() for _, entry in reading.entries}
    found = []
    for place, entry in reading.entries:
        values = entry.values()
        if "currency" in values and values["currency"] is None and entry.KIND != "coupon":
            values["currency"] = named.get(("organization", values["organization"]), {}).get("currency")
        if entry.KIND == "discount":
            months = named.get(("coupon", values["coupon"]), {}).get("months")
            values["last_month"] = _last_month(values["first_month"], values["last_month"], months)
        found.append(Record(entry.KIND, entry.record_key, values, _id_of(entry), place))
    return [*found, *(record for book in books for record in records_of_book(book))]


def _id_of(entry: Entry) -> str:
    """Return the id of an entry's new row."""
    typed = None if isinstance(entry, OrganizationEntry) or entry.MAKES is None else entry.record("")
    return str(getattr(typed, "id", entry.record_key))


def _terms(
    reading: WorkspaceReading, books: Sequence[PriceBookFiles], records: Sequence[Record]
) -> dict[tuple[str, str], Any]:
    """Return the typed record of each term. A discount ends with its coupon."""
    found = {(entry.KIND, entry.record_key): entry.record(place) for place, entry in reading.entries if entry.MAKES}
    for record in records:
        if record.kind == "discount" and (last := record.values["last_month"]):
            discount = found[record.kind, record.key]
            found[record.kind, record.key] = replace(discount, last_month=BillingMonth.parse(last))
    for book in books:
        found |= {("negotiated price", negotiated_record(price).key): price for price in book.negotiated}
        found |= {("group member", member_record(member).key): member for member in book.members}
    return found


def _last_month(first: str, last: str | None, months: int | None) -> str | None:
    """Return the last month of a discount. The database ends it after the months of its coupon."""
    if months is None:
        return last
    until = str(BillingMonth.parse(first).plus(months - 1))
    return until if last is None else min(last, until)
