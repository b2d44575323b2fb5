"""The usage sources of a workspace: who sends events of which meters, how often, and with which fields of `data`.

Not here: the databases of sources.yaml (`databases`), and checking what they send (`usage.source_contracts`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Annotated, Any, ClassVar

from fly_billing.pricing.rules.fields import did_you_mean, read_match, refuse_other_word, refuse_unknown
from fly_billing.usage.rules.declared_sources import (
    FIELD_TYPES,
    LATE_AFTER,
    DataField,
    DeclaredSource,
)
from fly_billing.workspace.entries import Entry
from fly_billing.workspace.entry_values import LongText, Text, Texts, checked
from fly_billing.workspace.field_schemas import TEXTS, Schema, schema, words
from fly_billing.workspace.reading import PlacedEntry, WorkspaceReading

SOURCES, SOURCES_FILE = "sources", "sources.yaml"
UNDECLARED = "undeclared"
UNDECLARED_WORDS = ("accept", "reject")
_DURATION = re.compile(r"([1-9][0-9]{0,3})([mhd])", re.ASCII)
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_OWNER = re.compile(r"team:[A-Za-z0-9_-]+|[^@\s]+@[^@\s]+\.[^@\s]+", re.ASCII)
# What a JSON path between quotes can name.
_FIELD = re.compile(r"[^\"\\\x00-\x1f*]{1,200}")
_FIELD_PARTS = frozenset({"type", "required", "values", "description"})


def _cadence(name: str, value: Any) -> str:
    refuse_other_word(name, value, tuple(LATE_AFTER))
    return str(value)


def _duration(name: str, value: Any) -> timedelta:
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"{name} {value!r} is not a period: write it such as 90m, 3h or 2d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def _owner(name: str, value: Any) -> str:
    if not isinstance(value, str) or not _OWNER.fullmatch(value):
        raise ValueError(f"{name} {value!r} is neither an e-mail address nor team:NAME")
    return value


def _contract(name: str, value: Any) -> tuple[DataField, ...]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} has no fields: write it such as {{region: text}}")
    return tuple(_data_field(str(field), about) for field, about in value.items())


def _data_field(name: str, about: Any) -> DataField:
    if not _FIELD.fullmatch(name):
        raise ValueError(f"data: {name!r} can't be the name of a field: leave out quotes, backslashes and *")
    if name == "quantity":
        raise ValueError("data: quantity is read by the meters: leave it out")
    parts = {"type": about} if isinstance(about, str) else about
    if parts is None:
        raise ValueError(f"data: {name} has no type: known are {', '.join(FIELD_TYPES)}")
    if not isinstance(parts, Mapping):
        raise ValueError(f"data: {name} {about!r} is not a type: known are {', '.join(FIELD_TYPES)}")
    refuse_unknown(parts, _FIELD_PARTS, f"data: {name}")
    kind, required, given = parts.get("type", "text"), parts.get("required", True), parts.get("values")
    refuse_other_word(f"data: {name}: type", kind, FIELD_TYPES)
    if required is None:
        raise ValueError(f"data: {name}: required is missing: write true or false")
    if not isinstance(required, bool):
        raise ValueError(f"data: {name}: required {required!r} is not true or false")
    values = () if given is None else read_match({"match": {name: given}})[name]
    description = parts.get("description") or ""
    if not isinstance(description, str):
        raise ValueError(f"data: {name}: description {description!r} is not text: write it in quotes")
    return DataField(name, kind, required, values, description)


_TYPE: Schema = {"enum": list(FIELD_TYPES)}
_DATA: Schema = {
    "type": "object",
    "propertyNames": {"pattern": f"^{_FIELD.pattern}$", "not": {"const": "quantity"}},
    "additionalProperties": {
        "anyOf": [
            _TYPE,
            {
                "type": "object",
                "properties": {
                    "type": _TYPE, "required": {"type": "boolean"}, "values": {"anyOf": [TEXTS, {"type": "null"}]},
                    "description": {"type": ["string", "number", "null"]},
                },
                "additionalProperties": False,
            },
        ]
    },
}  # fmt: skip


class SourceEntry(Entry):
    """A source of usage events.

    Attributes:
        name: The CloudEvents `source` of its events.
        late_after: The age of its last event from which on it is late. None: as its cadence has it.
        data: The contract of `data`.
    """

    KIND: ClassVar[str] = "source"
    KEY: ClassVar[tuple[str, ...]] = ("name",)

    name: Text
    meters: Texts
    cadence: Annotated[str, checked(_cadence), words(LATE_AFTER)] = "daily"
    late_after: (
        Annotated[timedelta, checked(_duration), schema({"type": "string", "pattern": f"^{_DURATION.pattern}$"})] | None
    ) = None
    owner: Annotated[str, checked(_owner), schema({"type": "string", "pattern": f"^({_OWNER.pattern})$"})] | None = None
    description: LongText | None = None
    data: Annotated[tuple[DataField, ...], checked(_contract), schema(_DATA)] = ()

    def source(self) -> DeclaredSource:
        """Return the declared source."""
        late_after = self.late_after or LATE_AFTER[self.cadence]
        return DeclaredSource(
            self.name, self.meters, self.cadence, late_after, self.owner, self.description or "", self.data
        )


def read_sources(
    reading: WorkspaceReading, document: Mapping[str, Any], meters: Collection[str] | None
) -> list[SourceEntry]:
    """Read the sources of sources.yaml. Reports the mistakes.

    Args:
        meters: The keys of all meters, to find misspelt ones. None: they are not known.
    """
    found: dict[str, SourceEntry] = {}
    of_assets: dict[str, str] = {}
    for place, data in reading.listed(document, SOURCES, SOURCES_FILE, SourceEntry.KIND):
        read = reading.entry(SourceEntry, data, place)
        entry = read.entry if read else None
        if read is None or not isinstance(entry, SourceEntry):
            continue
        _report_unknown_meters(reading, read, entry.meters, meters)
        if not read.has_key:
            continue
        if entry.name in found:
            reading.report(place, f"source {entry.name} is there twice")
        elif (other := of_assets.setdefault(asset_name(entry.name), entry.name)) != entry.name:
            reading.report(place, f"source {entry.name}: in Dagster it would have the same name as {other}")
        found[entry.name] = entry
    rejects_others(reading, document)
    return list(found.values())


def _report_unknown_meters(
    reading: WorkspaceReading, read: PlacedEntry, named: Collection[str], meters: Collection[str] | None
) -> None:
    if meters is None or "meters" in read.unread:
        return
    for meter in named:
        if meter not in meters:
            reading.report(read.place, f"source {read.key}: no meter {meter!r}{did_you_mean(meter, meters)}")


def rejects_others(reading: WorkspaceReading, document: Mapping[str, Any]) -> bool:
    """Return True if events of sources that are not declared are rejected. Reports the mistake."""
    word = document.get(UNDECLARED, "accept")
    try:
        refuse_other_word(UNDECLARED, word, UNDECLARED_WORDS)
    except ValueError as problem:
        reading.report(SOURCES_FILE, str(problem))
    return bool(word == "reject")


def asset_name(source: str) -> str:
    """Return the name of a source in Dagster, whose names have letters, digits and underscores only."""
    return re.sub(r"[^A-Za-z0-9_]+", "_", source).strip("_") or "_"
