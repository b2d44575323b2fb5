"""Finds every mistake of an entry of a file, and reads the entry as far as it can be read.

A reader raises its first problem only. The fields that the problem is about are set aside: each gets a stand-in, or is
left out, and the entry is read again. A problem that may only come from a field that is set aside is not reported.
Not here: the fields of an entry, and mistakes between entries (`book_problems`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fly_billing.pricing.rules.decimal_commas import decimal_commas
from fly_billing.pricing.rules.fields import did_you_mean

Reader = Callable[[Mapping[str, Any]], Any]
_MISSING = " is missing"


@dataclass(frozen=True)
class EntryProblem:
    """A mistake of an entry.

    Attributes:
        title: The entry, as the reader names it: `price main/support: `. Empty: it does not name it.
        reason: Begins with the field, in most cases.
    """

    title: str
    reason: str

    @property
    def field(self) -> str:
        return self.reason.partition(" ")[0]

    def __str__(self) -> str:
        return self.title + self.reason


@dataclass(frozen=True)
class PartlyRead:
    """An entry with its mistakes.

    Attributes:
        entry: What the reader returned, with stand-ins for the fields that have mistakes. None: it can't be read.
        unread: The fields whose values say nothing: they have a mistake, or an unknown field may be meant for them.
        problems: Every mistake. Without any, the entry was read as it stands.
    """

    entry: Any
    unread: frozenset[str] = frozenset()
    problems: Sequence[EntryProblem] = ()


def read_partly(
    read: Reader, data: Mapping[str, Any], stand_ins: Mapping[str, Any], known: Collection[str]
) -> PartlyRead:
    """Read an entry as far as it can be read.

    Args:
        read: Returns the entry, or raises ValueError.
        stand_ins: A right value for each field that an entry may need, which says nothing.
        known: The names of all fields.
    """
    return _Reading(read, data, stand_ins, known).run()


class _Reading:
    def __init__(
        self, read: Reader, data: Mapping[str, Any], stand_ins: Mapping[str, Any], known: Collection[str]
    ) -> None:
        self._read = read
        self._data: Mapping[str, Any] = dict(data)
        self._given = set(data)
        self._stand_ins = stand_ins
        self._known = set(known)
        self._commas = {str(comma): comma for comma in decimal_commas(data)}
        behind_commas = {part for comma in self._commas.values() for part in comma.parts[1:]}
        self._misspelt = [name for name in data if name not in known and name not in behind_commas]
        self._aside: set[str] = set()

    def run(self) -> PartlyRead:
        found: list[EntryProblem] = []
        while isinstance(problem := self._try(self._data), EntryProblem):
            culprits = dict(self._culprits(problem.reason))
            if not found or not self._is_follow_up(problem.reason):
                found.append(problem)
            if not culprits:
                return PartlyRead(None, frozenset(self._known), _titled(found))
            self._data = next(iter(culprits.values()))
            self._aside |= culprits.keys()
        return PartlyRead(problem, frozenset(self._aside | self._meant()), _titled(found))

    def _meant(self) -> set[str]:
        """Return the fields that are not there, but that an unknown field may be meant for."""
        absent = self._known - self._given
        similar = [{name for name in absent if did_you_mean(unknown, [name])} for unknown in self._misspelt]
        return set().union(*(each or absent for each in similar))

    def _try(self, data: Mapping[str, Any]) -> Any:
        """Return the entry, or the first problem."""
        try:
            return self._read(data)
        except ValueError as problem:
            reason = str(problem.__cause__ if isinstance(problem.__cause__, ValueError) else problem)
            return EntryProblem(str(problem).removesuffix(reason), reason)

    def _culprits(self, reason: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield the fields that a problem is about, each with the data in which it has no problem any more."""
        if unknown := self._unknown_in(reason):
            rest = {name: value for name, value in self._data.items() if name not in unknown}
            yield from ((name, rest) for name in unknown)
            return
        comma = self._commas.get(reason)
        if comma and comma.field not in self._aside:
            changed = next(self._without(comma.field))
            rest = {name: value for name, value in changed.items() if name not in comma.parts[1:]}
            yield from ((name, rest) for name in (comma.field, *comma.parts[1:]))
            return
        names = [name for name in dict.fromkeys([*self._data, *self._stand_ins]) if name not in self._aside]
        named = [name for name in names if name in _words(reason)]
        # Most problems name their fields. Trying all of them takes much longer.
        yield from list(self._causes(named, reason)) or self._causes(names, reason)

    def _unknown_in(self, reason: str) -> list[str]:
        """Return the unknown fields that a problem is about."""
        is_about_them = reason.startswith("unknown field")
        return [name for name in self._misspelt if is_about_them and name in self._data and repr(name) in reason]

    def _causes(self, names: Iterable[str], reason: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        for name in names:
            for changed in self._without(name):
                other = self._try(changed)
                # A new problem with the field itself, such as that it is missing, does not mean that it was the cause.
                if not isinstance(other, EntryProblem) or (other.reason != reason and name not in _words(other.reason)):
                    yield name, changed
                    break

    def _without(self, name: str) -> Iterator[Mapping[str, Any]]:
        if name in self._stand_ins:
            yield {**self._data, name: self._stand_ins[name]}
        if name in self._data:
            yield {other: value for other, value in self._data.items() if other != name}

    def _is_follow_up(self, reason: str) -> bool:
        """Return True if the problem may only come from a field that was set aside."""
        if self._unknown_in(reason):
            return False  # it names all known fields, too
        if reason.endswith(_MISSING):
            return any(did_you_mean(name, [reason.removesuffix(_MISSING)]) for name in self._misspelt)
        texts = [text for name in self._aside if isinstance(text := self._stand_ins.get(name), str) and len(text) > 2]
        return bool(self._aside & _words(reason)) or any(text in reason for text in texts)


def _words(reason: str) -> set[str]:
    return set(re.findall(r"\w+", reason))


def _titled(found: Sequence[EntryProblem]) -> tuple[EntryProblem, ...]:
    """Return the problems with the name of the entry as it stands in the file, without stand-ins."""
    return tuple(replace(problem, title=found[0].title) for problem in found)
