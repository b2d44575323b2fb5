"""The JSON Schemas of a workspace's YAML files, for editors. `fly-billing prices schema` prints them.

Each is made from the models that read the file, so that both can't differ. A schema finds what concerns one entry:
unknown and missing fields, words, types, fields that exclude each other. Not here: what concerns several entries
(`fly-billing plan`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fly_billing.pricing.book_schema import book_schema
from fly_billing.workspace.books_folder import MEMBERS, NEGOTIATED
from fly_billing.workspace.databases import DATABASES, PlatformDatabase
from fly_billing.workspace.entries import TERMS, Entry, WorkspaceSettings
from fly_billing.workspace.field_schemas import TEXT, Schema, exactly_one
from fly_billing.workspace.usage_sources import SOURCES, UNDECLARED, UNDECLARED_WORDS, SourceEntry

_DRAFT = "https://json-schema.org/draft/2020-12/schema"


def terms_schema() -> Schema:
    """Return the JSON Schema (draft 2020-12) of terms.yaml."""
    of_books = book_schema()["properties"]
    negotiated = {**of_books[NEGOTIATED]["items"]}
    negotiated["properties"] = {**negotiated["properties"], "book": TEXT}
    negotiated["allOf"] = [exactly_one("organization", "group")]
    parts = {name: _list(_entry(model)) for name, model in TERMS.items()}
    return _file("terms.yaml: what organizations have besides usage", {
        **parts, NEGOTIATED: _list(negotiated), MEMBERS: _list(of_books[MEMBERS]["items"]),
    })  # fmt: skip


def sources_schema() -> Schema:
    """Return the JSON Schema of sources.yaml."""
    return _file("sources.yaml: where usage and organizations come from", {
        SOURCES: _list(_entry(SourceEntry)), UNDECLARED: {"enum": list(UNDECLARED_WORDS)},
        DATABASES: _list(_entry(PlatformDatabase)),
    })  # fmt: skip


def settings_schema() -> Schema:
    """Return the JSON Schema of fly_billing.yaml."""
    entry = _entry(WorkspaceSettings)
    entry["properties"]["version"] = {"enum": [1, "1"]}
    return {"$schema": _DRAFT, "title": "fly_billing.yaml: the settings of a workspace", **entry}


# The kinds of files, and the schema of each.
SCHEMAS: Mapping[str, Callable[[], Schema]] = {
    "book": book_schema,
    "terms": terms_schema,
    "sources": sources_schema,
    "settings": settings_schema,
}


def _file(title: str, parts: Mapping[str, Schema]) -> Schema:
    rest = {"type": ["object", "null"], "properties": dict(parts), "additionalProperties": False}
    return {"$schema": _DRAFT, "title": title, **rest}


def _list(entry: Schema) -> Schema:
    return {"type": ["array", "null"], "items": entry}


def _entry(model: type[Entry]) -> Schema:
    """Return the schema of an entry, without the titles that pydantic makes from the names of fields."""
    found: Schema = _untitled(model.model_json_schema())
    return found


def _untitled(value: Any) -> Any:
    if isinstance(value, list):
        return [_untitled(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {name: _untitled(each) for name, each in value.items() if name != "title" or not isinstance(each, str)}
