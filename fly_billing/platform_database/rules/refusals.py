"""A row of the platform's database that could not be taken, and whose organization therefore stays as it is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fly_billing.foreign_text import visible

_PLACE = re.compile(r"((?:organizations|subscriptions|charges) row \d+): ", re.ASCII)


@dataclass(frozen=True)
class RefusedRow:
    """A row that could not be taken.

    Attributes:
        query: `organizations`, `subscriptions` or `charges`.
        row: Its number in the query's result, from 1. None: the record is in the billing database only.
        key: Its key in the platform's database, as far as it can be read.
        organization: None: it can't be read, so nobody knows whose row it is.
    """

    query: str
    row: int | None
    key: str | None
    organization: str | None
    problem: str

    @property
    def sentence(self) -> str:
        where = f"{self.query} row {self.row}" if self.row else self.query
        whose = ", ".join(f"{name} {value}" for name, value in self._named() if value)
        return visible(f"{where}{f' ({whose})' if whose else ''}: {self.problem}")

    def _named(self) -> Iterable[tuple[str, str | None]]:
        yield "key" if self.query != "organizations" else "id", self.key
        if self.query != "organizations":
            yield "organization", self.organization

    def as_data(self) -> dict[str, Any]:
        return {**vars(self), "problem": visible(self.problem)}


def place_of(query: str, row: int) -> str:
    """Return the text with which errors about a row begin."""
    return f"{query} row {row}: "


def attributed(
    problems: Iterable[str], places: Mapping[str, RefusedRow]
) -> tuple[list[RefusedRow], list[str]]:  # fmt: skip
    """Split problems into refused rows, by the places with which they begin, and problems of no known row.

    Args:
        places: Each place, with the row that stands there. Its own problem is not used.
    """
    found, others = [], []
    for problem in problems:
        match = _PLACE.match(problem)
        row = places.get(match.group()) if match else None
        if row is None or match is None:
            others.append(problem)
        else:
            found.append(RefusedRow(row.query, row.row, row.key, row.organization, problem[match.end() :]))
    return found, others
