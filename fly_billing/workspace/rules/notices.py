"""Effects of a plan that its changes do not show. Not here: the changes (`planning`), and refusals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fly_billing.money import counted
from fly_billing.periods import BillingMonth
from fly_billing.workspace.rules.planning import ADDED, CHANGED, PlannedChange

# The fields of a meter by which an event is measured when it lands.
_MEASURED_BY = ("event_type", "quantity_of", "dimensions")


def notices_of(changes: Sequence[PlannedChange], present: BillingMonth) -> list[str]:
    """Return a sentence for each effect. `present`: the month that runs now."""
    return [*_months_that_are_over(changes, present), *_landed_usage(changes)]


def _months_that_are_over(changes: Sequence[PlannedChange], present: BillingMonth) -> Iterator[str]:
    firsts = {
        change.key: BillingMonth.parse(each.after[:7])
        for change in changes
        if change.kind == "organization" and change.action == ADDED
        for each in change.fields
        if each.field == "created_at" and each.after[:7] < str(present)
    }
    if not firsts:
        return
    first, last = min(firsts.values()), present.plus(-1)
    who = f"{next(iter(firsts))} begins" if len(firsts) == 1 else f"{counted(len(firsts), 'organization')} begin"
    months = f"{first}, which is over" if first == last else f"{first} to {last}, which are over"
    yield (
        f"{who} before this month, so the nightly run also bills {months}: if another system did, set created_at to the"
        " first month to bill here"
    )


def _landed_usage(changes: Sequence[PlannedChange]) -> Iterator[str]:
    for change in changes:
        fields = [each.field for each in change.fields if each.field in _MEASURED_BY]
        if change.kind == "meter" and change.action == CHANGED and fields:
            yield (
                f"usage of meter {change.key} that has landed is counted as before: a day is counted by the new"
                f" {' and '.join(fields)} once it lands again"
            )
