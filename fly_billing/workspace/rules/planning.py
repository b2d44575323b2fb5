"""Compares the records of the files with those of the database: what a plan adds, changes and ends.

The rules:
  - A workspace ends only records that it owns: that it wrote, or that its files named at an earlier apply.
  - A record that is not in the files any more ends: at a moment now, a monthly one with the current month. One that has
    not begun never begins. Nothing that a final invoice used is deleted.
  - A price version that a later one in the files supersedes ends when that one begins.
  - A record that a final invoice used can end; its other fields can't change.
  - An organization without a line closes its account, which ends its subscriptions and commitments. Its other terms
    stay, as usage that still arrives is billed.
Not here: reading either side, and writing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from fly_billing.periods import BillingMonth, moment_text
from fly_billing.pricing.rules.book_difference import FieldChange
from fly_billing.workspace.rules.records import KINDS, HeldRecord, Kind, Record

ADDED, TAKEN_OVER, CHANGED, ENDED, REMOVED, RELEASED = (
    "added", "taken over", "changed", "ended", "removed", "released",
)  # fmt: skip
ACTIONS = (ADDED, TAKEN_OVER, CHANGED, ENDED, REMOVED, RELEASED)
# Kinds that stay in the database without a line: usage and final invoices name them, and they charge nothing alone.
KEPT = ("meter",)
# Terms that end when their organization closes its account. The others stay.
_ENDED_BY_CLOSING = ("subscription", "commitment")
# Terms that apply from a start until an end. Losing many of them is suspicious, as is losing many organizations.
_LASTING = tuple(
    kind.name for kind in KINDS.values() if kind.start and kind.end and kind.name not in ("price", "book tax")
)
# Losing up to this number of organizations or terms is never suspicious.
FEW, FEW_TERMS = 1, 5


@dataclass(frozen=True)
class PlannedChange:
    """A difference between the files and the database.

    Attributes:
        action: `added`; `taken over` (the database has it, and from now on it is the workspace's); `changed`; `ended`;
            `removed` (it had not begun, or no final invoice used it); `released` (it stays, but is not the workspace's
            any more).
        id: Of its row; None: it is new.
        used_by: The latest final invoice that used it, in words.
        refused: Why it can't be done. None: it can.
    """

    action: str
    kind: str
    key: str
    organization: str | None
    fields: Sequence[FieldChange] = ()
    id: str | None = None
    place: str = field(default="", compare=False)
    used_by: str | None = None
    refused: str | None = None

    def as_data(self) -> dict[str, Any]:
        """Return JSON-ready data; numbers are exact text."""
        return {
            "action": self.action,
            "kind": self.kind,
            "key": self.key,
            "organization": self.organization,
            "fields": [vars(change) for change in self.fields],
            "used_by": self.used_by,
            "refused": self.refused,
        }


@dataclass(frozen=True)
class WorkspacePlan:
    """All changes that make the database agree with the files, in the order of the kinds.

    Attributes:
        unchanged: The number of records that agree already.
        organizations: The number of organizations that the workspace owns before.
        terms: The number of their terms that the workspace owns before and that have not ended.
    """

    changes: Sequence[PlannedChange]
    unchanged: int
    organizations: int = 0
    terms: int = 0

    @property
    def counts(self) -> dict[str, int]:
        found = Counter(change.action for change in self.changes)
        return {**{action: found[action] for action in ACTIONS}, "unchanged": self.unchanged}

    @property
    def refusals(self) -> list[PlannedChange]:
        return [change for change in self.changes if change.refused]

    def loss(self, most_percent: int) -> str | None:
        """Say why the plan ends suspiciously many organizations or terms; None if it does not."""
        closing = {change.key for change in self.changes if change.kind == "organization" and change.action == ENDED}
        lost = sum(
            change.kind in _LASTING and change.action in (ENDED, REMOVED) and change.organization not in closing
            for change in self.changes
        )
        if len(closing) > FEW and len(closing) * 100 > self.organizations * most_percent:
            return f"it closes {len(closing)} of {self.organizations} organizations, more than {most_percent} %"
        if lost > FEW_TERMS and lost * 100 > self.terms * most_percent:
            return f"it ends {lost} of {self.terms} terms, more than {most_percent} %"
        return None


def make_plan(wanted: Sequence[Record], held: Sequence[HeldRecord], now: datetime) -> WorkspacePlan:
    """Compare both sides. No change knows yet which final invoices used its record: see `judged`."""
    find = _finder(held)
    closed = {
        record.key: record.values["closed_at"]
        for record in held
        if record.kind == "organization" and record.values.get("closed_at")
    }
    pairs = [(record, find(record)) for record in wanted]
    named = {(found.kind, found.id) for _, found in pairs if found is not None}
    present = moment_text(now)
    changes = [
        _possible(change, found, closed)
        for record, found in pairs
        if (change := _reopened(record, found, present) or _wanted(record, found)) is not None
    ]
    versions = _versions(wanted)
    lost = [record for record in held if record.is_owned and (record.kind, record.id) not in named]
    closing = {record.key for record in lost if record.kind == "organization"}
    needed = _books_without_files(wanted)
    changes += [_needed(_lost(record, versions, closing, now), record, needed) for record in lost]
    order = list(KINDS)
    return WorkspacePlan(
        sorted(changes, key=lambda change: order.index(change.kind)),
        len(wanted) - sum(change.action in (ADDED, TAKEN_OVER, CHANGED) for change in changes),
        sum(record.kind == "organization" and record.is_owned for record in held),
        sum(record.kind in _LASTING and record.is_owned and not _has_ended(record, now) for record in held),
    )


def judged(change: PlannedChange, used_by: str | None) -> PlannedChange:
    """Return the change with the final invoice that used its record: refused, if it would rewrite the invoice."""
    if used_by is None:
        return change
    kind = KINDS[change.kind]
    if change.action == REMOVED:
        return replace(change, action=RELEASED, used_by=used_by)
    fixed = [each.field for each in change.fields if each.field not in {kind.end, *kind.changing}]
    if change.action == CHANGED and fixed and kind.successor:
        return replace(
            change, used_by=used_by, refused=f"{', '.join(fixed)} can't change, as {used_by} used it: {kind.successor}"
        )
    return replace(change, used_by=used_by)


def _finder(held: Iterable[HeldRecord]) -> Callable[[Record], HeldRecord | None]:
    """Return a function that finds the row of a record: by its id, or by its key. The workspace's own come first."""
    ordered = sorted(held, key=lambda record: (record.is_owned, record.id))
    of_id = {(record.kind, record.id): record for record in ordered}
    of_key = {(record.kind, record.key): record for record in ordered}
    return lambda record: of_id.get((record.kind, record.id)) or of_key.get((record.kind, record.key))


def _wanted(record: Record, held: HeldRecord | None) -> PlannedChange | None:
    if held is None:
        fields = [FieldChange(name, None, value) for name, value in record.values.items() if value is not None]
        return PlannedChange(ADDED, record.kind, record.key, record.organization, fields, None, record.place)
    fields = _differences(KINDS[record.kind], held.values, record.values)
    if not fields and held.is_owned:
        return None
    action = CHANGED if fields else TAKEN_OVER
    return PlannedChange(action, record.kind, record.key, record.organization, fields, held.id, record.place)


def _reopened(record: Record, held: HeldRecord | None, now: str) -> PlannedChange | None:
    """Return the change that the row of a closed organization asks for: to open its account again."""
    closed_at = held.values.get("closed_at") if held is not None and record.kind == "organization" else None
    if held is None or closed_at is None or closed_at > now:
        return None
    fields = [FieldChange("closed_at", closed_at, None)]
    return PlannedChange(CHANGED, record.kind, record.key, record.organization, fields, held.id, record.place)


def _possible(change: PlannedChange, held: HeldRecord | None, closed: Mapping[str, str]) -> PlannedChange:
    """Refuse a change of a record of another workspace, and of an organization that closed its account."""
    if held is not None and held.other_owner:
        return replace(change, refused=f"it belongs to {held.other_owner}: name it in one of them")
    about = change.organization or ""
    if about in closed and change.action != TAKEN_OVER:
        return replace(
            change,
            refused=f"{about} closed its account on {closed[about]}: remove its lines, or `fly-billing org reopen"
            f" {about}` first",
        )
    return change


def _differences(kind: Kind, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[FieldChange]:
    names = after if kind.compares_named_only else dict.fromkeys([*after, *before])
    pairs = [FieldChange(name, before.get(name), after.get(name)) for name in names]
    return [pair for pair in pairs if pair.before != pair.after]


def _versions(wanted: Iterable[Record]) -> Mapping[tuple[Any, ...], Sequence[str]]:
    """Return the starts of all versions of each price, each tax of a book, and each organization's tax status."""
    found: dict[tuple[Any, ...], list[str]] = {}
    for record in wanted:
        if record.kind in ("price", "book tax", "tax customer"):
            found.setdefault(_stem(record), []).append(str(record.values[KINDS[record.kind].start or ""]))
    return found


def _stem(record: Record | HeldRecord) -> tuple[Any, ...]:
    return record.kind, record.values.get("book"), record.values.get("key"), record.organization


def _books_without_files(wanted: Sequence[Record]) -> Mapping[str, str]:
    """Return an organization of each price book that the files do not have."""
    books = {record.values["book"] for record in wanted if record.kind == "price"}
    named = {record.values.get("price_book"): record.key for record in wanted if record.kind == "organization"}
    return {book: organization for book, organization in named.items() if book is not None and book not in books}


def _needed(change: PlannedChange, held: HeldRecord, books: Mapping[str, str]) -> PlannedChange:
    """Refuse to end the prices of a book that is gone although an organization is billed by it."""
    if held.kind not in ("price", "book tax") or held.values["book"] not in books:
        return change
    book = held.values["book"]
    return replace(change, refused=f"{books[book]} is billed by price book {book}, which is gone from price_book/")


def _lost(
    held: HeldRecord, versions: Mapping[tuple[Any, ...], Sequence[str]], closing: Collection[str], now: datetime
) -> PlannedChange:
    """Return what becomes of a record without a line. `closing`: the organizations that close their account."""
    kind = KINDS[held.kind]
    change = PlannedChange(ENDED, held.kind, held.key, held.organization, (), held.id)
    if held.kind == "organization":
        closes = FieldChange("closed_at", None, moment_text(now))
        return replace(change, action=RELEASED) if held.values.get("closed_at") else replace(change, fields=[closes])
    if held.kind in KEPT or (held.organization in closing and held.kind not in _ENDED_BY_CLOSING):
        return replace(change, action=RELEASED)
    if held.kind == "tax customer":
        return _lost_status(replace(change, action=REMOVED), held, versions, now)
    if held.kind == "charge":
        return replace(change, action=REMOVED)
    if held.kind == "commitment" and held.organization in closing:
        return change  # with the period of months that runs now
    assert kind.end is not None
    start, end = held.values.get(kind.start or ""), held.values.get(kind.end)
    present = _end(kind, now)
    if start is not None and (start > present if kind.is_monthly else start >= present):
        return replace(change, action=REMOVED)
    later = [version for version in versions.get(_stem(held), ()) if version > str(start)]
    until = max(present, _before(kind, min(later))) if later else present
    if end is not None and end <= until:
        return replace(change, action=RELEASED)
    ended = replace(change, fields=[FieldChange(kind.end, end, until)])
    if held.kind == "credit" and held.values.get("pays") == "gross":
        return replace(ended, refused="what is left of it was paid for and would be lost: give it an expires_at")
    return ended


def _lost_status(
    change: PlannedChange, held: HeldRecord, versions: Mapping[tuple[Any, ...], Sequence[str]], now: datetime
) -> PlannedChange:
    """Return what becomes of a tax status without a line: it has no end, and applies until another one begins."""
    present, start = _end(KINDS[held.kind], now), str(held.values["first_month"])
    if start >= present:
        return change
    if any(start < other <= present for other in versions.get(_stem(held), ())):
        return replace(change, action=RELEASED)
    return replace(
        change,
        refused=f"invoices of {held.organization} that are not final would lose their taxes: keep its line until"
        " another one has begun, such as one without location and kind",
    )


def _has_ended(held: HeldRecord, now: datetime) -> bool:
    kind = KINDS[held.kind]
    end = held.values.get(kind.end or "")
    return end is not None and end <= _end(kind, now)


def _end(kind: Kind, now: datetime) -> str:
    return str(BillingMonth.containing(now)) if kind.is_monthly else moment_text(now)


def _before(kind: Kind, start: str) -> str:
    """Return the end of a version that another one follows: the moment of its start, or the month before it."""
    return str(BillingMonth.parse(start).plus(-1)) if kind.is_monthly else start
