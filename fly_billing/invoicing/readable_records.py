"""Makes records of rows. A row that can't be used in a calculation fails its organization only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from fly_billing.bounds import refuse_unreadable
from fly_billing.errors import BillingError
from fly_billing.postgres.database import Row
from fly_billing.postgres.isolation import VALUE_ERRORS, unreadable

T = TypeVar("T")
Grouped = Mapping[str, list[T]]


def group_readable(
    found: Iterable[Row], what: str, make: Callable[..., T | None], wrong: dict[str, BillingError]
) -> Grouped[T]:
    """Group rows by organization, and skip those that can't be used in a calculation.

    Args:
        found: Rows with `organization_id`.
        what: The name of the records, for errors.
        make: Gets a row's other columns as keyword arguments. None: the row does not apply.
        wrong: Gets the error of each organization that has an unreadable row.
    """
    grouped: dict[str, list[T]] = defaultdict(list)
    for row in found:
        fields = dict(row)
        name = fields.pop("organization_id")
        made = checked(fields, what, name, make, wrong)
        if made is not None:
            grouped[name].append(made)
    return grouped


def checked(
    fields: Mapping[str, Any], what: str, name: str, make: Callable[..., T | None], wrong: dict[str, BillingError]
) -> T | None:
    """Return `make(**fields)`; None if a field can't be used in a calculation: `wrong` then gets the error."""
    try:
        refuse_unreadable(fields)
        return make(**fields)
    except BillingError as error:
        wrong.setdefault(name, error)
    except VALUE_ERRORS as problem:
        wrong.setdefault(name, unreadable(f"{name}: {what} {fields.get('id', '')}".rstrip(), problem))
    return None
