"""Turns the rows of a platform's database into entries, as files have them. A row with a mistake is refused alone.

Not here: mistakes between rows (`checking`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from fly_billing.customers.rules.checks import check_currency, check_id
from fly_billing.money import from_cents
from fly_billing.platform_database.rules.cells import read_cell
from fly_billing.platform_database.rules.refusals import RefusedRow, place_of
from fly_billing.platform_database.snapshot import PlatformDatabaseProblem, Snapshot
from fly_billing.pricing.rules.fields import did_you_mean, read_time
from fly_billing.workspace.databases import AMOUNT_CENTS, QUERIES, REQUIRED, PlatformDatabase, fields_of, word
from fly_billing.workspace.entries import Entry, OrganizationEntry, problems_of_entry

# Fields of an organization whose empty cell stands for something, instead of clearing the field.
_EMPTY: Mapping[str, Any] = {"tax_ids": (), "collection": "charge_automatically"}
_STAYING = frozenset({"id", "name", "currency", "price_book", "created_at", "stripe_customer_id"})


@dataclass
class PlatformRows:
    """The rows of all queries of a database.

    Attributes:
        entries: Each with the row that it was read from.
        refused: Rows with mistakes.
        read: The number of rows of each query that the database declares.
    """

    entries: list[tuple[RefusedRow, Entry]] = field(default_factory=list)
    refused: list[RefusedRow] = field(default_factory=list)
    read: dict[str, int] = field(default_factory=dict)

    @property
    def organizations(self) -> dict[str, OrganizationEntry]:
        return {entry.id: entry for _, entry in self.entries if isinstance(entry, OrganizationEntry)}


def read_rows(snapshot: Snapshot, database: PlatformDatabase, only_book: str | None) -> PlatformRows:
    """Run the queries of a database, organizations first.

    Args:
        only_book: The price book of organizations whose rows name none.

    Raises:
        PlatformDatabaseProblem: A query can't be run, or its columns are not the fields of its records.
    """
    found = PlatformRows()
    for name, query in database.queries.items():
        with snapshot.columns_and_rows(name, query.text) as (columns, rows):
            reader = _RowReader(database, name, _fields(database, name, columns), only_book, found)
            number = 0
            for number, row in enumerate(rows, start=1):
                reader.read(number, row)
            found.read[name] = number
    return found


def _fields(database: PlatformDatabase, query: str, columns: Sequence[str]) -> list[str]:
    """Return the field of each column. Raises PlatformDatabaseProblem, with a line for each mistake."""
    mapped, known = database.queries[query].columns, fields_of(query)
    found = [mapped.get(column, column) for column in columns]
    problems = [
        f"no field {name!r}{did_you_mean(name, known)}: name the column's field in `columns`, or leave it out of the"
        f" query; known are {', '.join(known)}"
        for name in found
        if name not in known
    ]
    problems += [f"no column {name!r}, which `columns` names" for name in mapped if name not in columns]
    problems += [f"no column for {name}: each row needs one" for name in REQUIRED[query] if name not in found]
    problems += [f"two columns for {name}" for name in sorted({name for name in found if found.count(name) > 1})]
    if problems:
        raise PlatformDatabaseProblem("\n".join(f"{database.name}: {query}: {problem}" for problem in problems))
    return found


class _RowReader:
    """Reads the rows of one query."""

    def __init__(
        self, database: PlatformDatabase, query: str, fields: Sequence[str], only_book: str | None, into: PlatformRows
    ) -> None:
        self._database, self._query, self._fields, self._only_book, self._into = (
            database, query, fields, only_book, into,
        )  # fmt: skip
        self._values = database.queries[query].values
        self._naive_is_utc = database.naive_times == "UTC"
        self._model = QUERIES[query]
        self._first: datetime | None = database.billed_from
        self._organizations = into.organizations
        self._unread = {row.organization for row in into.refused}
        self._read: dict[str, Callable[[dict[str, Any]], dict[str, Any] | None]] = {
            "organizations": self._organization, "subscriptions": self._subscription, "charges": self._charge,
        }  # fmt: skip

    def read(self, number: int, row: Sequence[Any]) -> None:
        """Add a row to the entries, or to those that are refused."""
        data, problems = self._cells(row)
        place = place_of(self._query, number)
        where = self._where(number, data)
        entry: Entry | None = None
        if not problems:
            entry, problems = self._entry(data, place)
        if problems:
            self._into.refused += [
                RefusedRow(where.query, where.row, where.key, where.organization, problem) for problem in problems
            ]
        elif entry is not None:
            self._into.entries.append((where, entry))

    def _cells(self, row: Sequence[Any]) -> tuple[dict[str, Any], list[str]]:
        data: dict[str, Any] = {}
        problems = []
        for name, value in zip(self._fields, row, strict=True):
            try:
                data[name] = self._mapped(name, value)
            except ValueError as problem:
                problems.append(str(problem))
        return data, problems

    def _mapped(self, name: str, value: Any) -> Any:
        values = self._values.get(name)
        if values is None or value is None:
            return read_cell(name, value, naive_is_utc=self._naive_is_utc)
        there = word(value).strip()
        if there not in values:
            raise ValueError(f"{name} {there!r} is not among its `values`{did_you_mean(there, values)}: add it there")
        return values[there]

    def _where(self, number: int, data: Mapping[str, Any]) -> RefusedRow:
        key, organization = ("id", "id") if self._query == "organizations" else ("key", "organization")
        return RefusedRow(self._query, number, data.get(key), self._whose(data.get(organization)), "")

    def _whose(self, name: Any) -> str | None:
        """Return the organization of a row; None: no organization can have this id."""
        try:
            check_id(str(name))
        except ValueError:
            return None
        return str(name)

    def _entry(self, data: dict[str, Any], place: str) -> tuple[Entry | None, list[str]]:
        """Return the entry of a row; None: it is left out. Or its mistakes."""
        try:
            given = self._read[self._query](data)
            if given is None:
                return None, []
            entry = self._model.model_validate(given)
            self._check(entry, place)
            return entry, []
        except ValidationError as problem:
            return None, problems_of_entry(self._model, problem)
        except ValueError as problem:
            return None, [str(problem)]

    def _check(self, entry: Entry, place: str) -> None:
        if isinstance(entry, OrganizationEntry) and entry.created_at is not None:
            entry.organization(place, entry.created_at)
            entry.details(place)
        else:
            entry.record(place)

    def _organization(self, data: dict[str, Any]) -> dict[str, Any]:
        cells = {name: _EMPTY.get(name) if value is None else value for name, value in data.items()}
        given = {name: value for name, value in cells.items() if value is not None or name not in _STAYING}
        given.setdefault("price_book", self._only_book)
        if given["price_book"] is None:
            raise ValueError("price_book is missing: there is not just one in price_book/")
        return given | {"created_at": self._not_before(_needed(given, "created_at"))}

    def _subscription(self, data: dict[str, Any]) -> dict[str, Any] | None:
        given = _given(data)
        started = _needed(given, "started_at")
        begins = self._not_before(started)
        if begins == started:
            return given
        if "ended_at" in given and _time("ended_at", given["ended_at"]) <= begins:
            return None
        trial = given.pop("trial_ends_at", None)
        if trial is not None and _time("trial_ends_at", trial) > begins:
            given["trial_ends_at"] = trial
        elif given.get("anchor") == "start":
            given.setdefault("anchored_at", trial or started)
        return given | {"started_at": begins}

    def _charge(self, data: dict[str, Any]) -> dict[str, Any] | None:
        given = _given(data)
        occurred = _needed(given, "occurred_at")
        if self._not_before(occurred) != occurred:
            return None
        if (cents := given.pop(AMOUNT_CENTS, None)) is None:
            return given
        if "amount" in given:
            raise ValueError(f"give either amount or {AMOUNT_CENTS}")
        about = self._organizations.get(str(given.get("organization")))
        currency = given.get("currency") or (about.currency if about else None)
        if currency is None and given.get("organization") in self._unread:
            return None  # the row of its organization has the mistake
        if currency is None:
            raise ValueError(f"{AMOUNT_CENTS} needs a currency, as the organization has none that can be read")
        check_currency(currency)
        return given | {"amount": f"{from_cents(_whole(cents), currency):f}"}

    def _not_before(self, moment: datetime) -> datetime:
        return moment if self._first is None else max(moment, self._first)


def _given(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that are not empty: the others have their defaults."""
    return {name: value for name, value in data.items() if value is not None}


def _needed(data: Mapping[str, Any], name: str) -> datetime:
    if name not in data:
        raise ValueError(f"{name} is missing")
    return _time(name, data[name])


def _time(name: str, value: Any) -> datetime:
    return read_time({name: value}, name)


def _whole(value: Any) -> int:
    text = str(value)
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal()):
        raise ValueError(f"{AMOUNT_CENTS} {text!r} is not a whole number of the currency's smallest unit")
    return int(text)
