"""The databases of a workspace: where the platform itself keeps its organizations, subscriptions and charges.

sources.yaml names the variable that has a database's URL, and a query for each kind of records. Not here: connecting
and reading rows (`platform_database`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

from fly_billing.customers.rules.checks import LONGEST_ID
from fly_billing.pricing.rules.fields import did_you_mean, refuse_other_word, refuse_unknown
from fly_billing.workspace.books_folder import BOOKS
from fly_billing.workspace.entries import ChargeEntry, Entry, OrganizationEntry, SubscriptionEntry, WorkspaceSettings
from fly_billing.workspace.entry_values import Moment, Name, Text, Whole, checked
from fly_billing.workspace.field_schemas import Schema, schema
from fly_billing.workspace.reading import WorkspaceReading

DATABASES = "databases"
# Of a charge: a whole number of the currency's minor unit, instead of `amount`.
AMOUNT_CENTS = "amount_cents"
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*", re.ASCII)


class PlatformSubscription(SubscriptionEntry):
    """A subscription of the platform's database. `key` is its primary key there."""

    KEY = ("organization", "key")

    key: Text


class PlatformCharge(ChargeEntry):
    """A one-off item of the platform's database. `key` is its primary key there."""

    KEY = ("organization", "key")

    key: Text


# The queries of a database, and the entries that their rows become.
QUERIES: Mapping[str, type[Entry]] = {
    "organizations": OrganizationEntry,
    "subscriptions": PlatformSubscription,
    "charges": PlatformCharge,
}
# The fields that a query must have a column for.
REQUIRED: Mapping[str, Sequence[str]] = {
    "organizations": ("id", "name", "currency", "created_at"),
    "subscriptions": ("organization", "price", "started_at", "key"),
    "charges": ("organization", "description", "occurred_at", "key"),
}


def fields_of(query: str) -> Sequence[str]:
    """Return the fields that the columns of a query can be."""
    more = (AMOUNT_CENTS,) if query == "charges" else ()
    return (*QUERIES[query].model_fields, *more)


@dataclass(frozen=True)
class PlatformQuery:
    """A query on the platform's database.

    Attributes:
        columns: Column of the result -> field. A column that is not in it is the field of its own name.
        values: Field -> value there -> value here. A field that is not in it keeps its value.
    """

    text: str
    columns: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def _variable(name: str, value: Any) -> str:
    if not isinstance(value, str) or not _VARIABLE.fullmatch(value):  # perhaps a URL with its password: never quoted
        raise ValueError(
            f"{name} must be the name of an environment variable, such as PLATFORM_DATABASE_URL: the URL itself has a"
            " password, which no file may have"
        )
    return value


def _utc(name: str, value: Any) -> str:
    refuse_other_word(name, value, ("UTC",))
    return str(value)


def _query(name: str, value: Any) -> PlatformQuery:
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} has no fields: write its query, columns and values")
    refuse_unknown(value, frozenset({"query", "columns", "values"}), name)
    text, columns, values = value.get("query"), value.get("columns") or {}, value.get("values") or {}
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"{name}: query is missing")
    known = fields_of(name)
    if not isinstance(columns, Mapping) or not isinstance(values, Mapping):
        raise ValueError(f"{name}: columns and values must have fields")
    for used in (*columns.values(), *values):
        if used not in known:
            raise ValueError(f"{name}: no field {used!r}{did_you_mean(used, known)}; known are {', '.join(known)}")
    if len({*columns.values()}) < len(columns):
        raise ValueError(f"{name}: two columns are the same field")
    for used, mapped in values.items():
        if not isinstance(mapped, Mapping):
            raise ValueError(f"{name}: values of {used} must be pairs, such as {{starter: plan_starter}}")
    mapped = {used: {word(there): here for there, here in each.items()} for used, each in values.items()}
    return PlatformQuery(text.strip().rstrip(";"), dict(columns), mapped)


def word(value: Any) -> str:
    """Return a value of a column or of YAML as the text by which both are compared: `true`, `17`, `starter`."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _query_schema(query: str) -> Schema:
    """Return the JSON Schema of a query, whose columns and values are of these fields."""
    known = {"enum": list(fields_of(query))}
    values = {"type": "object", "propertyNames": known, "additionalProperties": {"type": "object"}}
    fields = {"query": {"type": "string", "pattern": r"\S"}, "values": values}
    fields["columns"] = {"type": "object", "additionalProperties": known}
    return {"type": "object", "properties": fields, "required": ["query"], "additionalProperties": False}


class PlatformDatabase(Entry):
    """A database of the platform, from which organizations and their terms are read.

    Attributes:
        url_variable: The environment variable that has its SQLAlchemy URL.
        naive_times: The zone of times without one: `UTC`. None: such times are refused.
        billed_from: Organizations and subscriptions that began before begin then; charges before are left out.
        statement_seconds: The longest that a query may take.
    """

    KIND: ClassVar[str] = "database"
    KEY: ClassVar[tuple[str, ...]] = ("name",)

    name: Name
    url_variable: Annotated[str, checked(_variable), schema({"type": "string", "pattern": f"^{_VARIABLE.pattern}$"})]
    naive_times: Annotated[str | None, checked(_utc), schema({"enum": ["UTC", None]})] = None
    billed_from: Moment | None = None
    statement_seconds: Whole = 300
    organizations: Annotated[PlatformQuery, checked(_query), schema(_query_schema("organizations"))]
    subscriptions: Annotated[PlatformQuery, checked(_query), schema(_query_schema("subscriptions"))] | None = None
    charges: Annotated[PlatformQuery, checked(_query), schema(_query_schema("charges"))] | None = None

    @property
    def queries(self) -> Mapping[str, PlatformQuery]:
        found = {name: getattr(self, name) for name in QUERIES}
        return {name: query for name, query in found.items() if query is not None}


@dataclass(frozen=True)
class DeclaredDatabases:
    """The databases of a workspace, and what else of its files their records need.

    Attributes:
        only_book: The price book of organizations without one: the only one of the workspace; None: there are several.
    """

    settings: WorkspaceSettings
    databases: Sequence[PlatformDatabase]
    only_book: str | None

    def owner(self, database: PlatformDatabase) -> str:
        """Return the name that owns the database's records, among all workspaces."""
        return owner_of(self.settings, database)


def owner_of(settings: WorkspaceSettings, database: PlatformDatabase) -> str:
    return f"{settings.name}-{database.name}"


def read_databases(
    reading: WorkspaceReading, settings: WorkspaceSettings | None, document: Mapping[str, Any], name: str
) -> list[PlatformDatabase]:
    """Read the databases of sources.yaml. Reports the mistakes. `document`: of the file `name`."""
    found: dict[str, PlatformDatabase] = {}
    for place, data in reading.listed(document, DATABASES, name, PlatformDatabase.KIND):
        read = reading.entry(PlatformDatabase, data, place)
        entry = read.entry if read else None
        if read is None or not read.has_key or not isinstance(entry, PlatformDatabase):
            continue
        if entry.name in found:
            reading.report(place, f"database {entry.name} is there twice")
        if settings and len(owner_of(settings, entry)) > LONGEST_ID:
            reading.report(place, f"database {entry.name}: its name and the workspace's are too long together")
        found[entry.name] = entry
    return list(found.values())


def only_folder(folder: Path) -> str | None:
    """Return the name of the only folder of price_book/; None: there is none, or there are several."""
    books = folder / BOOKS
    names = [path.name for path in books.iterdir() if path.is_dir()] if books.is_dir() else []
    return names[0] if len(names) == 1 else None
