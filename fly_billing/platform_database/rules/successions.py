"""Matches rows of the platform's database with the records that were read from them before.

A platform's table shows the present: a customer who changes the plan, or the number of seats, keeps its row. So
  - another price, quantity or organization of a subscription that has begun applies from now on: the record ends, and
    a successor begins. So does a subscription that ended and runs again.
  - another start of a subscription, or another text or time of a charge, makes it another record. The one before is
    removed, or refused if a final invoice has it.
  - a record that somebody else added, with the same fields, is taken over.
Not here: fields that change in place, and rows that are gone (`workspace.rules.planning`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from fly_billing.customers.rules.terms import SubscriptionTerms
from fly_billing.periods import moment_text
from fly_billing.workspace.rules.planning import ADDED, ENDED, REMOVED, PlannedChange
from fly_billing.workspace.rules.records import HeldRecord, comparable

# The relation of a row's record to the one that was read from it before.
SAME, MOVED, SUCCEEDED = "same", "moved", "succeeded"
# A change of one of these fields of a subscription applies from now on.
_FROM_NOW = ("organization", "price", "quantity", "proration", "anchor")
# The fields by which a record that is not the database's is found.
_NATURAL = {
    "subscription": ("organization", "price", "started_at"),
    "charge": ("organization", "description", "occurred_at"),
}


@dataclass(frozen=True)
class Matched:
    """The terms of all rows, and the records of the database under the keys with which they are compared.

    Attributes:
        terms: By the key of its row.
        held: All records; one that a row's new record replaces has another key.
        moved: Keys of records that a final invoice must not have, with the key of the row that replaces each.
        succeeded: Keys of records that end now because a successor begins.
    """

    terms: Mapping[tuple[str, str], Any]
    held: Sequence[HeldRecord]
    moved: Mapping[str, str]
    succeeded: frozenset[str]


def match_rows(terms: Mapping[tuple[str, str], Any], held: Sequence[HeldRecord], owner: str, now: datetime) -> Matched:
    """Compare each row with the record that was read from it before.

    Args:
        terms: The typed term of each row, by kind and key (`acme/17`), with its primary key as `reference`.
        owner: The owner of the records that were read from this database.
        now: A change applies from this time on.
    """
    own = {(one.kind, _primary(one.key)): one for one in held if one.is_owned and one.kind in _NATURAL}
    renamed: dict[int, str] = {}
    moved: dict[str, str] = {}
    succeeded: set[str] = set()
    found: dict[tuple[str, str], Any] = {}
    for (kind, key), term in terms.items():
        before = own.get((kind, _primary(key)))
        new = replace(term, reference=f"{owner}/{term.reference}")
        if before is None:
            found[kind, key] = new
            continue
        if kind == "charge":
            is_other = any(before.values[name] != comparable(_value(new, name)) for name in _NATURAL[kind])
            outcome = MOVED if is_other else SAME
        else:
            outcome, new = _subscription(new, before, now)
        found[kind, key] = new
        if outcome == SAME:
            renamed[id(before)] = key
            continue
        other = f"{before.key}@{before.values.get('started_at') or before.values.get('occurred_at')}"
        renamed[id(before)] = other
        if outcome == MOVED:
            moved[other] = key
        else:
            succeeded.add(other)
    named = _taken_over(found, own, held)
    kept = [replace(one, key=renamed.get(id(one)) or named.get(id(one)) or one.key) for one in held]
    return Matched(found, kept, moved, frozenset(succeeded))


def _primary(key: str) -> str:
    """Return the primary key in the key of a record: `17` of `acme/17`."""
    return key.partition("/")[2]


def _value(term: Any, name: str) -> Any:
    return getattr(term, {"organization": "organization_id", "price": "price_key"}.get(name, name))


def _time(text: Any) -> datetime:
    return datetime.fromisoformat(str(text)).replace(tzinfo=UTC)


def _subscription(new: SubscriptionTerms, before: HeldRecord, now: datetime) -> tuple[str, SubscriptionTerms]:
    """Return what becomes of a subscription (`same`, `moved` or `succeeded`), and the term that the row has now."""
    start, is_successor = _time(before.values["started_at"]), _is_successor(new, before)
    current = _begun_at(new, start) if is_successor else new
    ended = before.values["ended_at"] is not None and _time(before.values["ended_at"]) <= now
    runs = current.ended_at is None or current.ended_at > now
    differs = any(before.values[name] != comparable(_value(current, name)) for name in _FROM_NOW)
    if not runs and differs:  # a row that has ended says nothing about the time before
        kept = {name: before.values[name] for name in ("proration", "anchor")}
        current = replace(
            current, organization_id=before.values["organization"], price_key=before.values["price"],
            quantity=type(current.quantity)(before.values["quantity"]), **kept,
        )  # fmt: skip
        return SAME, current
    if start < now and runs and (differs or ended):
        return SUCCEEDED, _begun_at(new, max(now, new.started_at))
    if before.values["price"] != current.price_key or before.values["organization"] != current.organization_id:
        return MOVED, current
    if before.values["started_at"] != comparable(current.started_at):
        return MOVED, current
    return SAME, current


def _is_successor(new: SubscriptionTerms, before: HeldRecord) -> bool:
    values = before.values
    successor = SubscriptionTerms(
        values["organization"], values["price"], _time(values["started_at"]),
        reference=_reference(new.reference, values["started_at"]),
    )  # fmt: skip
    return str(successor.id) == before.id


def _begun_at(new: SubscriptionTerms, start: datetime) -> SubscriptionTerms:
    """Return the successor that begins then: the rest of the trial, and the same intervals."""
    trial = new.trial_ends_at if new.trial_ends_at and new.trial_ends_at > start else None
    anchored = new.anchored_at or new.trial_ends_at or new.started_at
    return replace(
        new, started_at=start, ended_at=max(new.ended_at, start) if new.ended_at else None, trial_ends_at=trial,
        anchored_at=anchored if new.anchor == "start" and trial is None else None,
        reference=_reference(new.reference, moment_text(start)),
    )  # fmt: skip


def _reference(primary: str, start: str) -> str:
    return f"{primary}@{start}"


def _taken_over(
    terms: Mapping[tuple[str, str], Any], own: Mapping[tuple[str, str], HeldRecord], held: Iterable[HeldRecord]
) -> dict[int, str]:
    """Return the row's key for each record of somebody else that has the same natural fields as a new row."""
    wanted: dict[tuple[Any, ...], list[str]] = {}
    for (kind, key), term in terms.items():
        if (kind, _primary(key)) not in own:
            natural = (kind, *(comparable(_value(term, name)) for name in _NATURAL[kind]))
            wanted.setdefault(natural, []).append(key)
    found = {}
    for one in held:
        if not one.is_owned and one.kind in _NATURAL:
            keys = wanted.get((one.kind, *(one.values[name] for name in _NATURAL[one.kind])))
            if keys:
                found[id(one)] = keys.pop(0)
    return found


def refuse_moved(changes: Sequence[PlannedChange], moved: Mapping[str, str]) -> list[PlannedChange]:
    """Return the changes; a record that its row replaces goes, or the new one is refused if an invoice has the old."""
    used = {moved[change.key]: change.used_by for change in changes if change.key in moved and change.used_by}
    return [
        replace(change, action=REMOVED, fields=())
        if change.key in moved and change.action == ENDED and change.used_by is None
        else replace(
            change,
            refused=f"its row has another start, text or organization than before, but {used[change.key]} has it: undo"
            " that there, or use another primary key",
        )
        if change.key in used and change.action == ADDED
        else change
        for change in changes
    ]


def renamed_organizations(changes: Sequence[PlannedChange], held: Iterable[HeldRecord]) -> dict[str, str]:
    """Return the problem of each organization that is gone, and of each new one, if they look like the same one.

    An id can't change: the account would close, and the terms of both be billed.
    """
    values = {one.key: one.values for one in held if one.kind == "organization"}
    gone = {_looks(values[change.key]): change.key for change in changes if _is_of(change, ENDED)}
    found = {}
    for change in changes:
        if _is_of(change, ADDED) and (old := gone.get(_looks({each.field: each.after for each in change.fields}))):
            found[change.key] = f"it looks like {old} with another id, and an id can't change: give it its id back"
            found[old] = f"it looks as if its id were {change.key} now, and an id can't change: give it its id back"
    return found


def _is_of(change: PlannedChange, action: str) -> bool:
    return change.kind == "organization" and change.action == action


def _looks(values: Mapping[str, Any]) -> tuple[Any, ...]:
    return values.get("name"), values.get("currency"), values.get("created_at")


def refuse_both(changes: Sequence[PlannedChange], held: Iterable[HeldRecord]) -> list[PlannedChange]:
    """Return the changes; a new subscription beside another one of the same fee, which is not this database's, is
    refused: both would be billed.
    """
    others: dict[tuple[Any, Any], list[HeldRecord]] = {}
    for one in held:
        if one.kind == "subscription" and not one.is_owned:
            others.setdefault((one.values["organization"], one.values["price"]), []).append(one)
    return [
        replace(change, refused=refused) if (refused := _second(change, others)) and not change.refused else change
        for change in changes
    ]


def _second(change: PlannedChange, others: Mapping[tuple[Any, Any], Sequence[HeldRecord]]) -> str | None:
    if change.kind != "subscription" or change.action != ADDED:
        return None
    new = {each.field: each.after for each in change.fields}
    for one in others.get((new["organization"], new["price"]), ()):
        if _meet(new, one.values):
            whose = one.other_owner or "a command"
            return (
                f"{one.organization} has a subscription to {new['price']} from {one.values['started_at']} on already,"
                f" which {whose} added: end one of them"
            )
    return None


def _meet(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    begins = max(_time(one["started_at"]), _time(other["started_at"]))
    return all(end is None or begins < _time(end) for end in (one.get("ended_at"), other["ended_at"]))
