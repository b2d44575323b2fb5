"""Says which charge a FOCUS row is: FOCUS has no identity of a row, and exports of one month overlap.

A row is known by its content and its place among equal rows, whatever its file is called. Its id is
`<subject>-<content>-<place>`: two hashes and a number. Rows of one subject (who, what, when) and other content are one
charge that was corrected. Keeps out: where known charges are kept.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from hashlib import sha256

# Hexadecimal digits: two subjects that meet would be miscounted as a change, two contents would be billed once.
SUBJECT_DIGITS, CONTENT_DIGITS = 16, 32


@dataclass(frozen=True)
class ImportScope:
    """Whose charges of which billing month: what an export is a statement about."""

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
    """Numbers the rows of an export that are alike."""

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
    """A charge of a file, or one that was imported before. `day` is that of its charge, `scope` the key of a Scope."""

    id: str
    scope: str
    day: date

    @property
    def subject(self) -> str:
        return self.id.partition("-")[0]


@dataclass(frozen=True)
class ExportComparison:
    """What an export says beside what was known: ids of charges, none in two of them but `replaced` and `vanished`.

    `changed` are charges of the file in place of `replaced` ones; `vanished` are known ones that the export no longer
    has, `kept` those of them that stay because rows of the export can't be read.
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
    """Return, by scope, the days that an export is a statement about: from its first charge to its last.

    They are those of the billing month's whole export; a sub-account that it does not name may be in another one.
    """
    days: dict[tuple[str, str, date], list[date]] = {}
    scopes: dict[str, tuple[str, str, date]] = {}
    for scope, day in rows:
        found = days.setdefault(scope.export, [day, day])
        found[:] = min(found[0], day), max(found[1], day)
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
    """Compare an export with what is known of the days it covers. `is_whole`: each of its rows could be read."""
    before = {charge.id for charge in known}
    now = {charge.id for charge in file}
    gone: dict[str, list[str]] = defaultdict(list)
    for charge in sorted(known, key=lambda one: one.id):
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
