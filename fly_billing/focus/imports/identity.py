"""Identifies the charges of FOCUS rows: FOCUS rows have no id, and exports of one month overlap.

A row is identified by its content and its place among equal rows, regardless of its file's name. Its id is
`<subject>-<content>-<place>`: two hashes and a number. If a row has the subject (who, what, when) of an earlier charge
and other content, the charge was corrected.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from hashlib import sha256

# Hexadecimal digits of the hashes. If two subjects collided, a new charge would count as a changed one. If two contents
# collided, two charges would be billed as one.
SUBJECT_DIGITS, CONTENT_DIGITS = 16, 32


@dataclass(frozen=True)
class ImportScope:
    """The sub-account and billing month that a charge belongs to."""

    provider: str
    billing_account: str
    billing_month: date
    sub_account: str

    @property
    def key(self) -> str:
        return _digest([self.provider, self.billing_account, self.billing_month.isoformat(), self.sub_account], 16)

    @property
    def export(self) -> tuple[str, str, date]:
        return self.provider, self.billing_account, self.billing_month


class Identities:
    """Gives ids to the rows of an export, and numbers equal rows."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def next_id(self, scope: ImportScope, subject: Sequence[str], content: Sequence[str]) -> str:
        identity = f"{_digest([scope.key, *subject], SUBJECT_DIGITS)}-{_digest(content, CONTENT_DIGITS)}"
        self._seen[identity] += 1
        return f"{identity}-{self._seen[identity]}"


def _digest(texts: Sequence[str], digits: int) -> str:
    return sha256(json.dumps(list(texts)).encode()).hexdigest()[:digits]


@dataclass(frozen=True)
class ImportedCharge:
    """A charge in a file, or one that was imported before.

    Attributes:
        scope: The key of its ImportScope.
        day: The day of the charge.
    """

    id: str
    scope: str
    day: date

    @property
    def subject(self) -> str:
        return self.id.partition("-")[0]


@dataclass(frozen=True)
class ExportComparison:
    """The ids of charges in an export, compared with earlier imports.

    Attributes:
        new: Charges that were never imported.
        known: Charges that were imported before.
        changed: Charges of the export that take the place of the `replaced` ones.
        replaced: Charges of earlier imports that the export has with other content.
        vanished: Charges of earlier imports that the export no longer has.
        kept: Those of `vanished` that remain, because some rows of the export can't be read.
    """

    new: frozenset[str]
    known: frozenset[str]
    changed: frozenset[str]
    replaced: frozenset[str]
    vanished: frozenset[str]
    kept: frozenset[str]

    @property
    def taken_back(self) -> frozenset[str]:
        return self.replaced | (self.vanished - self.kept)


def covered_days(rows: Iterable[tuple[ImportScope, date]]) -> dict[str, tuple[date, date]]:
    """Return the first and last day that an export covers, by the key of a scope.

    All sub-accounts of a billing month get the same days: from the month's first charge in the export to its last. A
    sub-account that the export does not name is not covered, because another export may have it.
    """
    days: dict[tuple[str, str, date], list[date]] = {}
    scopes: dict[str, tuple[str, str, date]] = {}
    for scope, day in rows:
        span = days.setdefault(scope.export, [day, day])
        span[:] = min(span[0], day), max(span[1], day)
        scopes[scope.key] = scope.export
    return {key: (days[export][0], days[export][1]) for key, export in scopes.items()}


def covers(covered: Mapping[str, tuple[date, date]], charge: ImportedCharge) -> bool:
    first, last = covered.get(charge.scope, (date.max, date.min))
    return first <= charge.day <= last


def compare(
    file: Sequence[ImportedCharge],
    known: Collection[ImportedCharge],
    covered: Mapping[str, tuple[date, date]],
    *,
    is_whole: bool,
) -> ExportComparison:
    """Compare an export with earlier imports.

    Args:
        file: The charges of the export.
        known: The charges of earlier imports.
        covered: The days that the export covers, from `covered_days`.
        is_whole: True if every row of the export could be read.
    """
    before = {charge.id for charge in known}
    now = {charge.id for charge in file}
    gone: dict[str, list[str]] = defaultdict(list)
    for charge in sorted(known, key=lambda charge: charge.id):
        if charge.id not in now and covers(covered, charge):
            gone[charge.subject].append(charge.id)
    new, changed, replaced = set(), set(), set()
    for charge in file:
        if charge.id in before:
            continue
        if gone[charge.subject]:
            replaced.add(gone[charge.subject].pop(0))
            changed.add(charge.id)
        else:
            new.add(charge.id)
    vanished = frozenset(identity for ids in gone.values() for identity in ids)
    return ExportComparison(
        new=frozenset(new),
        known=frozenset(now & before),
        changed=frozenset(changed),
        replaced=frozenset(replaced),
        vanished=vanished,
        kept=frozenset() if is_whole else vanished,
    )
