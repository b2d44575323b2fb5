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
from fly_billing.pricing.rules.book_problems import Dimensions
from fly_billing.pricing.rules.fields import did_you_mean
from fly_billing.pricing.rules.meters import Meter
from fly_billing.pricing.yaml_documents import YamlMapping
from fly_billing.usage.rules.declared_sources import NOTHING_DECLARED, DeclaredSources
from fly_billing.workspace.books_folder import KINDS_OF_BOOKS, WorkspaceBooks
from fly_billing.workspace.databases import (
    DATABASES,
    DeclaredDatabases,
    PlatformDatabase,
    only_folder,
    owner_of,
    read_databases,
)
from fly_billing.workspace.entries import TERMS, CouponEntry, Entry, OrganizationEntry, WorkspaceSettings
from fly_billing.workspace.organizations_csv import ORGANIZATIONS, read_organizations, with_price_books
from fly_billing.workspace.price_records import member_record, meter_record, negotiated_record, records_of_book
from fly_billing.workspace.reading import WorkspaceHasMistakes, WorkspaceReading
from fly_billing.workspace.rules.mistakes import Books, Named, mistakes_between
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
# The kinds of records of the parts of sources.yaml.
_KINDS_OF_SOURCES = {SOURCES: SourceEntry.KIND, UNDECLARED: "", DATABASES: PlatformDatabase.KIND}


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
    terms = reading.document(TERMS_FILE, CouponEntry.KIND)
    _read_terms(reading, terms)
    books = WorkspaceBooks(reading, terms, TERMS_FILE)
    meters = books.meters()
    dimensions = {**loaded.meters, **books.dimensions()}
    books.report(loaded.books, dimensions)
    document = reading.document(SOURCES_FILE, PlatformDatabase.KIND)
    reading.refuse_unknown_parts(document, SOURCES_FILE, _KINDS_OF_SOURCES)
    sources = read_sources(reading, document, dimensions.keys() if books.has_all_meters else None)
    databases = read_databases(reading, settings, document, SOURCES_FILE)
    others = _of_databases(reading, settings, databases, loaded)
    reading.entries = [*with_price_books(reading, organizations, books.only), *reading.entries]
    records = [*map(meter_record, meters.values()), *_records(reading, books, others)]
    named = Named({**loaded.books, **books.prices}, others, reading.unsure)
    reading.problems += map(visible, mistakes_between(records, named))
    if reading.problems or settings is None:
        raise WorkspaceHasMistakes(list(dict.fromkeys(reading.problems)))
    of_id = {read.entry.id: read.entry for read in reading.entries if isinstance(read.entry, OrganizationEntry)}
    files = books.files()
    typed = _terms(reading, files, records)
    return Workspace(settings, records, of_id, typed, tuple(meters.values()), files, sources, databases)


def read_declared_databases(folder: Path) -> DeclaredDatabases:
    """Read the settings of a workspace and its databases, and no other files.

    Raises:
        WorkspaceHasMistakes: It is not a workspace, or these parts have mistakes. Has a line for each.
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
        WorkspaceHasMistakes: It is not a workspace, or these parts have mistakes. Has a line for each.
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
    reading: WorkspaceReading,
    settings: WorkspaceSettings | None,
    databases: Sequence[PlatformDatabase],
    loaded: KnownPrices,
) -> dict[str, Mapping[str, Any]]:
    """Return the organizations that were read from the workspace's databases: its terms may name them."""
    if not reading.unsure.isdisjoint((WorkspaceSettings.KIND, PlatformDatabase.KIND)):
        return {one.id: vars(one) for one in loaded.organizations}  # of all databases
    if settings is None or not databases:
        return {}
    owners = {None, *(owner_of(settings, database) for database in databases)}
    return {one.id: vars(one) for one in loaded.organizations if one.owner in owners}


def _read_settings(reading: WorkspaceReading) -> WorkspaceSettings | None:
    """Read fly_billing.yaml. Raises WorkspaceHasMistakes at once for a folder of another version, or no workspace."""
    if not (reading.folder / SETTINGS).is_file():
        folder = visible(str(reading.folder))
        raise WorkspaceHasMistakes(
            [f"{folder} is not a workspace: it has no {SETTINGS}. `fly-billing init {folder}` writes one"]
        )
    document = reading.document(SETTINGS)
    version = document.get("version")
    if not reading.problems and version != str(VERSION):
        line = document.lines.get("version") if isinstance(document, YamlMapping) else None
        place = f"{SETTINGS}: line {line}: " if line else f"{SETTINGS}: "
        raise WorkspaceHasMistakes([visible(f"{place}{_other_version(version)}")])
    read = reading.entry(WorkspaceSettings, document, f"{SETTINGS}: ") if document else None
    if read is None:
        reading.unsure.add(WorkspaceSettings.KIND)
    return read.entry if read and isinstance(read.entry, WorkspaceSettings) else None


def _other_version(version: Any) -> str:
    reads = f"but this fly-billing reads version {VERSION}"
    if version is None:
        return f"this workspace has no version, {reads}: add `version: {VERSION}`"
    is_newer = isinstance(version, str) and version.isdecimal() and int(version) > VERSION
    newer = "install a newer fly-billing, or, if it is a typing mistake, " if is_newer else ""
    return f"this workspace is of version {version}, {reads}: {newer}set `version: {VERSION}`"


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
    kinds = {part: model.KIND for part, model in TERMS.items()}
    reading.refuse_unknown_parts(document, TERMS_FILE, kinds | KINDS_OF_BOOKS)
    for part, model in TERMS.items():
        for place, data in reading.listed(document, part, TERMS_FILE, model.KIND):
            if entry := reading.entry(model, data, place):
                reading.entries.append(entry)


def _records(reading: WorkspaceReading, books: WorkspaceBooks, others: Mapping[str, Mapping[str, Any]]) -> list[Record]:
    """Return the comparable records, with the values that they take over from other records."""
    named: dict[tuple[str, str], Mapping[str, Any]] = {("organization", one): its for one, its in others.items()}
    named |= {(read.entry.KIND, read.key): read.entry.values() for read in reading.entries if read.has_key}
    found = []
    for read in reading.entries:
        entry, values = read.entry, read.entry.values()
        if "currency" in values and values["currency"] is None and entry.KIND != "coupon":
            values["currency"] = named.get(("organization", values["organization"]), {}).get("currency")
        if entry.KIND == "discount":
            months = named.get(("coupon", values["coupon"]), {}).get("months")
            values["last_month"] = _last_month(values["first_month"], values["last_month"], months)
        found.append(Record(entry.KIND, read.key, values, _id_of(entry), read.place, read.unread, read.has_key))
    return [*found, *(record for book in books.readings for record in records_of_book(book))]


def _id_of(entry: Entry) -> str:
    """Return the id of an entry's new row."""
    typed = None if isinstance(entry, OrganizationEntry) or entry.MAKES is None else entry.record("")
    return str(getattr(typed, "id", entry.record_key))


def _terms(
    reading: WorkspaceReading, books: Sequence[PriceBookFiles], records: Sequence[Record]
) -> dict[tuple[str, str], Any]:
    """Return the typed record of each term. A discount ends with its coupon."""
    found = {(read.entry.KIND, read.key): read.entry.record(read.place) for read in reading.entries if read.entry.MAKES}
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
