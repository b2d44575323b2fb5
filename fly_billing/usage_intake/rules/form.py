"""Refuses posted events that landing would reject under every price book.

Landing decides the same in `validate_usage.sql`, which also knows meters and organizations; `test_form_of_events`
compares both. An event of an unknown meter or organization is stored: landing accepts it once they exist.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from fly_billing.periods import FIRST_MONTH
from fly_billing.usage.rules.cells import plain_quantity

SPECVERSION = "1.0"
# An event may happen at most a day after the day on which it lands.
_AHEAD = timedelta(days=2)
_NAMES = ("id", "source", "type", "subject")


@dataclass(frozen=True)
class Refusal:
    """Why an event is refused.

    Attributes:
        reason: As in `rejected_usage`, where landing has the same rule.
        message: One line for the sender.
    """

    reason: str
    message: str


def find_refusal(event: Any, staged: Mapping[str, Any], source: str, today: date) -> Refusal | None:
    """Return why an event is refused, or None.

    Args:
        event: The event as JSON values.
        staged: The event as landing reads it (`stage_json_line`).
        source: The only source that the sender's token may name.
        today: In UTC.
    """
    if staged.get("problem"):
        return Refusal(staged["problem"], staged["problem_message"])
    if not all(staged[name] for name in ("id", "source", "type", "subject")) or not (
        staged["time"] or staged["moment"]
    ):
        return Refusal("missing_field", "id, source, type, subject and time must all be there")
    if event.get("specversion", SPECVERSION) != SPECVERSION:
        return Refusal("unknown_specversion", f"specversion must be {SPECVERSION}")
    if staged["source"] != source:
        return Refusal("not_your_source", "the token is of another source: an event's source must be the token's")
    return _refuse_time(staged, today) or _refuse_quantity(staged["quantity"]) or _refuse_nul(staged)


def _refuse_time(staged: Mapping[str, Any], today: date) -> Refusal | None:
    moment: datetime | None = staged["moment"]
    if moment is None:
        return Refusal(
            "bad_time",
            f"{staged['time']}"[:100] + " is not an RFC 3339 time with an offset, such as 2026-10-01T12:00:00Z",
        )
    if moment < FIRST_MONTH.start:
        return Refusal("time_too_early", f"{moment.isoformat()} lies before the first month that is billed")
    if moment >= datetime.combine(today, time(), UTC) + _AHEAD:
        return Refusal("time_in_future", f"{moment.isoformat()} lies more than a day after today, {today} in UTC")
    return None


def _refuse_quantity(quantity: str | None) -> Refusal | None:
    """Refuse a quantity that is not a number. Some meters need none."""
    if not quantity:
        return None
    number = plain_quantity(quantity)
    if number is None:
        return Refusal(
            "bad_quantity",
            f"{quantity[:100]} is not a JSON number with at most 20 digits before the point and 15 after it",
        )
    if Decimal(number) < 0:
        return Refusal("negative_quantity", f"{number} is below zero: send a credit as a one-off item")
    return None


def _refuse_nul(staged: Mapping[str, Any]) -> Refusal | None:
    if "\0" in staged["id"] or "\0" in staged["source"]:
        return Refusal("bad_text", "id or source has a NUL character in it")
    return None


def identify(source: str, event_id: str) -> int:
    """Return a number of 128 bits for the key (source, id)."""
    return _number(f"{len(source)} {source} {event_id}", 16)


def digest_content(staged: Mapping[str, Any]) -> int:
    """Return a number of 64 bits for all that landing may compare between two events with the same key.

    The order of properties, zeros at a quantity's end and a time's offset make no difference.
    """
    quantity = staged["quantity"] or ""
    if "." in quantity:
        quantity = quantity.rstrip("0").rstrip(".")
    data = json.dumps(json.loads(staged["data"]), sort_keys=True)
    return _number(repr((staged["type"], staged["subject"], staged["moment"].isoformat(), quantity, data)), 8)


def _number(text: str, size: int) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=size).digest())


CONFLICT = Refusal(
    "conflicting_duplicate",
    "an event with this source and id came before with other content: send a correction under a new id",
)
