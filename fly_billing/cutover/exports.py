"""Reads exports of Stripe's invoices: JSON and JSON Lines as the API writes them, and the dashboard's CSV.

One unreadable invoice is reported, and the others are read. Not here: what a field means (`rules.past_invoices`).
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from fly_billing.cutover.rules.comparison import UnreadableEntry
from fly_billing.cutover.rules.past_invoices import (
    CSV_COLUMNS,
    CSV_DATES,
    PastInvoice,
    UnreadableInvoice,
    parse_invoice,
    parse_row,
)
from fly_billing.errors import ActionableError
from fly_billing.foreign_text import visible
from fly_billing.money import counted, format_cents

Entry = PastInvoice | UnreadableEntry


class ExportNotReadable(ActionableError):
    """A file is not an export of Stripe's invoices, nor a table of two columns. The message names file and fix."""


@dataclass(frozen=True)
class InputFile:
    """A file as it was read, once: it may be a pipe, or change meanwhile."""

    path: Path
    content: bytes

    @classmethod
    def read(cls, path: Path) -> InputFile:
        """Read the file. Raises OSError."""
        return cls(path, path.read_bytes())

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def text(self) -> str:
        """Its text. Raises ExportNotReadable if it is not UTF-8."""
        try:
            return self.content.decode("utf-8-sig")
        except UnicodeDecodeError as problem:
            raise ExportNotReadable(f"{self.path} is not UTF-8 text: export CSV or JSON from Stripe") from problem


def read_exports(files: Iterable[InputFile]) -> list[Entry]:
    """Read all invoices of the files. An invoice that several files have is read once.

    Raises ExportNotReadable if a file can't be read as a whole, or two exports say different things about an invoice.
    """
    found: dict[str, PastInvoice] = {}
    unreadable: list[UnreadableEntry] = []
    for file in files:
        for entry in _read_export(file):
            if isinstance(entry, UnreadableEntry):
                unreadable.append(entry)
                continue
            known = found.get(entry.stripe_id)
            found[entry.stripe_id] = _merged(file.path, known, entry) if known else entry
    return [*found.values(), *unreadable]


def _merged(file: Path, known: PastInvoice, entry: PastInvoice) -> PastInvoice:
    """Return an invoice that two exports have: in its later status, with the lines that one of them has.

    Raises ExportNotReadable if they differ in what never changes once an invoice is not a draft any more.
    """
    first, last = sorted((known, entry), key=_stage)
    if _stage(first) == 0:
        return last
    if _unchanging(known) != _unchanging(entry):
        here, before = (
            f"{format_cents(each.total_cents, each.currency)} of {visible(each.customer)}" for each in (entry, known)
        )
        raise ExportNotReadable(
            f"{file}: {visible(entry.stripe_id)} is {here}, but {before} in an earlier row or file: leave out the wrong"
            " one"
        )
    return replace(
        last,
        lines=known.lines if entry.lines is None else entry.lines,
        credit_note_cents=max(known.credit_note_cents, entry.credit_note_cents),
        organization_id=last.organization_id or first.organization_id,
    )


def _stage(invoice: PastInvoice) -> int:
    """Return how late in the life of an invoice its status is: a draft first, void last."""
    return {"draft": 0, "open": 1, "void": 3}.get(invoice.status, 2)


def _unchanging(invoice: PastInvoice) -> tuple[int, str, str]:
    return invoice.total_cents, invoice.currency, invoice.customer


def read_bodies(bodies: Iterable[Any], source: str) -> Iterator[Entry]:
    """Parse invoices as Stripe's API writes them. `source` names where they come from."""
    for position, body in enumerate(bodies, start=1):
        try:
            yield parse_invoice(body)
        except UnreadableInvoice as problem:
            name = body.get("id") or f"invoice {position}"
            yield UnreadableEntry(f"{source}, {name}", str(problem))
        except (AttributeError, KeyError, TypeError) as problem:
            yield UnreadableEntry(f"{source}, invoice {position}", f"not an invoice of Stripe: {problem!r}")


def _read_export(file: InputFile) -> Iterator[Entry]:
    text = file.text
    if text.lstrip()[:1] in ("{", "["):
        return read_bodies(_bodies(file.path, text), str(file.path))
    return _rows(file.path, text)


def _bodies(file: Path, text: str) -> list[Any]:
    """Return the invoices of a list of the API, of several lists or invoices (JSON Lines), or of an array."""
    try:
        documents = [_parse(text)]
    except ValueError:
        documents = [_parse_line(file, number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    bodies: list[Any] = []
    for document in documents:
        is_list = isinstance(document, Mapping) and document.get("object") == "list"
        found = document["data"] if is_list else document
        bodies += found if isinstance(found, list) else [found]
        if is_list and document.get("has_more"):
            raise ExportNotReadable(
                f"{file} is one page of a longer list (has_more): export all pages, for example a line each"
            )
    return bodies


def _parse(text: str) -> Any:
    return json.loads(text, parse_float=Decimal)


def _parse_line(file: Path, number: int, line: str) -> Any:
    try:
        return _parse(line)
    except ValueError as problem:
        raise ExportNotReadable(f"{file}, line {number} is not JSON: {problem}") from problem


def _rows(file: Path, text: str) -> Iterator[Entry]:
    header, *rows = _table(file, text)
    names = [name.strip().lower() for name in header]
    if twice := [name for name in dict.fromkeys(names) if name and names.count(name) > 1]:
        raise ExportNotReadable(f"{file} has the column {', '.join(map(visible, twice))} twice: keep Stripe's own one")
    missing = [name for name in CSV_COLUMNS if name not in names]
    missing += [] if any(name in names for name in CSV_DATES) else ["date (utc)"]
    if missing:
        raise ExportNotReadable(
            f"{file} has no column {', '.join(missing)}: export invoices in Stripe's dashboard with all columns"
        )
    for number, row in rows_of(rows):
        try:
            if len(row) != len(names):
                raise UnreadableInvoice(f"the row has {counted(len(row), 'field')}, the header {len(names)}")
            yield parse_row(dict(zip(names, row, strict=True)))
        except UnreadableInvoice as problem:
            yield UnreadableEntry(f"{file}, row {number}", str(problem))


def rows_of(rows: Iterable[list[str]]) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that are not empty, with their number. The header is row 1."""
    return ((number, row) for number, row in enumerate(rows, start=2) if any(field.strip() for field in row))


def read_pairs(file: InputFile, columns: tuple[str, str]) -> dict[str, str]:
    """Read a CSV file of two columns as a mapping from the first to the second.

    Raises:
        ExportNotReadable: The header is another one, a field is empty, or a name has two values.
    """
    path = file.path
    header, *rows = _table(path, file.text)
    if tuple(name.strip().lower() for name in header) != columns:
        raise ExportNotReadable(f"{path} needs the header {','.join(columns)}, but has {','.join(header)}")
    pairs: dict[str, str] = {}
    for number, row in rows_of(rows):
        fields = [field.strip() for field in row]
        if len(fields) != len(columns) or not all(fields):
            raise ExportNotReadable(f"{path}, row {number}: write a {columns[0]} and a {columns[1]}")
        name, value = fields
        if pairs.setdefault(name, value) != value:
            raise ExportNotReadable(f"{path}, row {number}: {name} is {pairs[name]} in an earlier row")
    return pairs


def _table(file: Path, text: str) -> list[list[str]]:
    header = text.lstrip().partition("\n")[0]
    for separator, name in ((";", "semicolons"), ("\t", "tabs")):
        if separator in header and "," not in header:
            raise ExportNotReadable(
                f"{file} has {name} between its columns, as spreadsheets save them: take Stripe's own file, or save it"
                " again with commas"
            )
    try:
        table = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as problem:
        raise ExportNotReadable(f"{file} is not CSV: {problem}") from problem
    if not table:
        raise ExportNotReadable(f"{file} is empty")
    return table
