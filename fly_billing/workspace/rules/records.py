"""The records of a workspace, as its files name them and as the database has them, in one comparable form.

Values are texts, whole numbers, truth values, lists and mappings: two spellings of one number or time are equal. Not
here: comparing (`planning`), and mistakes (`mistakes`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from fly_billing.money import plain
from fly_billing.periods import BillingMonth, moment_text


@dataclass(frozen=True)
class Kind:
    """A kind of records.

    Attributes:
        name: In the plan and in the table `workspace_records`.
        start: The field with which a record begins: a time or a month.
        end: The field that ends a record. None: it has no end.
        is_monthly: It begins and ends with months; otherwise at a moment.
        changing: The fields besides `end` that may change although a final invoice used the record.
        successor: What to do instead of a change of any other field.
        compares_named_only: A field that the file leaves out keeps its value.
    """

    name: str
    start: str | None = None
    end: str | None = None
    is_monthly: bool = False
    changing: frozenset[str] = frozenset()
    successor: str = ""
    compares_named_only: bool = False


_ANOTHER_MONTH = "set its last_month, and add another one from the next month on"
_ANOTHER_PRICE = "set its effective_until, and add another one with a later effective_from"
KINDS = {
    kind.name: kind
    for kind in (
        Kind("organization", compares_named_only=True),
        Kind("meter"),
        Kind(
            "price", "effective_from", "effective_until",
            changing=frozenset({"match"}), successor="add a version with a later effective_from",
        ),
        Kind(
            "book tax", "first_month", "last_month", is_monthly=True,
            successor="add a version with a later first_month",
        ),
        Kind("link", "first_month", "last_month", is_monthly=True, successor=_ANOTHER_MONTH),
        Kind("tax", "first_month", "last_month", is_monthly=True, successor=_ANOTHER_MONTH),
        Kind("tax customer", "first_month", is_monthly=True),
        Kind(
            "subscription", "started_at", "ended_at",
            changing=frozenset({"billed"}), successor="set its ended_at, and add another one from then on",
        ),
        Kind("charge", successor="add another one for the difference"),
        Kind("commitment", "first_month", "last_month", is_monthly=True, successor=_ANOTHER_MONTH),
        Kind("credit", "granted_at", "expires_at", successor="set its expires_at, and grant another one"),
        Kind(
            "coupon", end="redeem_by",
            changing=frozenset({"months", "most_redemptions"}), successor="add a coupon with another code",
        ),
        Kind("discount", "first_month", "last_month", is_monthly=True, successor=_ANOTHER_MONTH),
        Kind("negotiated price", "effective_from", "effective_until", successor=_ANOTHER_PRICE),
        Kind("group member", "effective_from", "effective_until", successor=_ANOTHER_PRICE),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Record:
    """A record that the files name.

    Attributes:
        key: Its name among all records of its kind: `acme/support/2026-01-10`.
        id: Of its row, if it is new.
        place: Its file and line, with which errors begin.
        unread: The fields with mistakes: their values say nothing.
        has_key: False: a field that names it has a mistake.
    """

    kind: str
    key: str
    values: Mapping[str, Any]
    id: str
    place: str = field(default="", compare=False)
    unread: frozenset[str] = field(default=frozenset(), compare=False)
    has_key: bool = field(default=True, compare=False)

    def has(self, *fields: str) -> bool:
        """Return True if all these fields can be read."""
        return self.unread.isdisjoint(fields)

    @property
    def organization(self) -> str | None:
        """The organization that it is about; None: it is about several, or a price group."""
        return self.key if self.kind == "organization" else self.values.get("organization")


@dataclass(frozen=True)
class HeldRecord:
    """A record in the database.

    Attributes:
        id: Of its row, as text.
        is_owned: The workspace wrote it, or took it over.
        other_owner: Another workspace that owns it.
    """

    kind: str
    key: str
    id: str
    values: Mapping[str, Any]
    is_owned: bool = False
    other_owner: str | None = None

    @property
    def organization(self) -> str | None:
        """The organization that it is about; None: it is about several, or a price group."""
        return self.key if self.kind == "organization" else self.values.get("organization")


def comparable(value: Any) -> Any:
    """Return a value in the form in which two spellings of it are equal."""
    if isinstance(value, bool | int | str) or value is None:
        return value
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, datetime):
        return moment_text(value.astimezone(UTC))
    if isinstance(value, BillingMonth | UUID):
        return str(value)
    if isinstance(value, date):  # the database's months are their first days
        return f"{value:%Y-%m}"
    if isinstance(value, Mapping):
        return {str(name): comparable(part) for name, part in sorted(value.items())}
    return [comparable(part) for part in value]


def key_of(*parts: Any) -> str:
    """Join the parts of a key. A part that is None is left out."""
    return "/".join(str(comparable(part)) for part in parts if part is not None)
