"""Refuses a new record that looks like an edit of a line whose record still applies: both would be billed.

A line is found by its key, such as organization, name and first month. After an edit of one of them, it is another
record: the one before ends now, and was billed. Not here: edits of other fields (`planning`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from fly_billing.workspace.rules.planning import ADDED, ENDED, RELEASED, PlannedChange
from fly_billing.workspace.rules.records import KINDS, HeldRecord, Record

# An edited line differs from the one before in this number of fields at most, besides its start and end: the price of a
# subscription and its quantity, the name of a tax and its percent. Single charges have often nearly the same fields.
_MOST_EDITED = 2
_MOST_EDITED_OF_CHARGES = 1
# These have several versions, and the latest applies.
_WITH_VERSIONS = ("price", "book tax")


def refuse_edited_keys(
    changes: Sequence[PlannedChange], wanted: Iterable[Record], held: Iterable[HeldRecord]
) -> list[PlannedChange]:
    """Return the changes; a new record that would be billed beside the one that its line was before is refused.

    Args:
        changes: Of a plan, with the final invoices that used their records.
        wanted, held: The records of the files and of the database.
    """
    new = {(record.kind, record.key): record.values for record in wanted}
    old = {(record.kind, record.id): record.values for record in held}
    lost: dict[tuple[Any, ...], list[tuple[PlannedChange, Mapping[str, Any]]]] = defaultdict(list)
    for change in changes:
        if change.action in (ENDED, RELEASED) and change.kind not in ("coupon", "meter"):
            values = old[change.kind, change.id or ""]
            lost[_whose(change.kind, values)].append((change, values))
    return [
        _judged(change, new[change.kind, change.key], lost) if change.action == ADDED and not change.refused else change
        for change in changes
    ]


def _whose(kind: str, values: Mapping[str, Any]) -> tuple[Any, ...]:
    return kind, values.get("organization"), values.get("book"), values["name"] if kind == "organization" else None


def _judged(
    change: PlannedChange,
    values: Mapping[str, Any],
    lost: Mapping[tuple[Any, ...], Sequence[tuple[PlannedChange, Mapping[str, Any]]]],
) -> PlannedChange:
    for other, before in lost.get(_whose(change.kind, values), ()):
        if _is_edit(change.kind, before, values) and (refused := _both(other, before, values)):
            return replace(change, refused=refused)
    return change


def _is_edit(kind: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    if kind in _WITH_VERSIONS and before["key"] == after["key"]:
        return False
    names = after if KINDS[kind].compares_named_only else {**before, **after}
    times = {KINDS[kind].start, KINDS[kind].end}
    differing = [name for name in names if name not in times and before.get(name) != after.get(name)]
    return len(differing) <= (_MOST_EDITED_OF_CHARGES if kind == "charge" else _MOST_EDITED)


def _both(other: PlannedChange, before: Mapping[str, Any], after: Mapping[str, Any]) -> str | None:
    """Say why both would be billed; None: only one is, at any time."""
    kind = KINDS[other.kind]
    if other.kind == "organization":
        if other.action != ENDED:
            return None
        return (
            f"it looks like {other.key} with another id, and the terms of both would be billed: an id can't change. If"
            " another organization is meant, remove the line of that one first"
        )
    if kind.end is None:
        if other.used_by is None:
            return None
        return (
            f"it looks like an edit of {other.key}, which {other.used_by} has: undo it, or keep both lines if both are"
            " meant"
        )
    until = other.fields[0].after if other.action == ENDED and other.fields else before.get(kind.end)
    start = after[kind.start or ""]
    if until is None or not (start <= until if kind.is_monthly else start < until):
        return None
    return (
        f"it looks like an edit of {other.key}, and both would apply until {until}: begin it after that, or keep that"
        f" line with another {kind.end}"
    )
