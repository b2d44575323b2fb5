"""Right values for the fields of an entry that have mistakes, so that its other fields can be checked."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any, get_args

from fly_billing.periods import BillingMonth
from fly_billing.workspace.entries import Entry

# Texts that can't be just any text, of fields that others need.
_OF_FIELDS = {
    "currency": "USD", "country": "DE", "email": "unread@example.com", "legal_text": "unread",
    "url_variable": "PLATFORM_DATABASE_URL", "organizations": {"query": "select"},
}  # fmt: skip
# Times are early, so that no other time of the entry is before them.
_OF_TYPES: Mapping[type, Any] = {
    Decimal: "1", int: "1", datetime: "1970-01-01", BillingMonth: "1970-01", str: "unread", tuple: ["unread"],
}  # fmt: skip


@cache
def stand_ins(model: type[Entry]) -> Mapping[str, Any]:
    """Return a right value for each field of the model that an entry may need."""
    return {name: value for name in model.model_fields if (value := _stand_in(model, name)) is not None}


def _stand_in(model: type[Entry], name: str) -> Any:
    if name in _OF_FIELDS:
        return _OF_FIELDS[name]
    about = model.model_fields[name]
    kinds = {_bare(kind) for kind in (about.annotation, *get_args(about.annotation))}
    is_needed = about.is_required() or Decimal in kinds
    return next((value for kind, value in _OF_TYPES.items() if is_needed and kind in kinds), None)


def _bare(annotation: Any) -> Any:
    """Return a type without its marks and parts: `tuple` for `Annotated[tuple[str, ...], ...]`."""
    annotation = getattr(annotation, "__origin__", annotation)
    return getattr(annotation, "__origin__", annotation)
