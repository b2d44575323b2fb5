"""Keeps what a statement says about records that can't be read. Not here: reading them (`statement_reader`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

from fly_billing.postgres.isolation import VALUE_ERRORS, reason_of

T = TypeVar("T")


@dataclass
class RecordReading:
    """Reads records one by one, and keeps a sentence for each that can't be read.

    Attributes:
        problems: The sentences: which row it is, what is wrong with it, and what to do.
        invoices: The invoices with a record that can't be read; None for a record that belongs to no invoice.
    """

    problems: list[str] = field(default_factory=list)
    invoices: set[UUID | None] = field(default_factory=set)

    def attempt(self, what: object, make: Callable[[], T], invoice: UUID | None = None) -> T | None:
        """Return `make()`, or None if it meets a value that can't be read.

        Args:
            what: The row, or its name. A function returns the name, which takes time that only a bad row is worth.
        """
        try:
            return make()
        except VALUE_ERRORS as problem:
            named = what() if callable(what) else what
            sentence = f"{named} can't be read: {reason_of(problem)}. It is left out: correct the row to include it."
            if sentence not in self.problems:
                self.problems.append(sentence)
            self.invoices.add(invoice)
            return None
