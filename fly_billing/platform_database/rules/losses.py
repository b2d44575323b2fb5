"""Recognizes a suspicious read of the platform's database: it would end far more than usual."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from fly_billing.money import counted
from fly_billing.periods import moment_text
from fly_billing.workspace.rules.planning import ENDED, FEW, FEW_TERMS, REMOVED, PlannedChange
from fly_billing.workspace.rules.records import HeldRecord


@dataclass(frozen=True)
class OwnedRecords:
    """The number of records that came from a database and can be lost, by query.

    They are organizations with an account, subscriptions that have not ended, and charges on no final invoice.
    """

    counts: Mapping[str, int]

    @classmethod
    def of(cls, held: Iterable[HeldRecord], billed: Collection[str], now: datetime) -> OwnedRecords:
        """Count them. `billed`: the ids of charges on final invoices."""
        present, counts = moment_text(now), dict.fromkeys(("organizations", "subscriptions", "charges"), 0)
        for one in held:
            if not one.is_owned:
                continue
            if one.kind == "organization" and not one.values.get("closed_at"):
                counts["organizations"] += 1
            elif one.kind == "subscription" and (one.values["ended_at"] or "9999") > present:
                counts["subscriptions"] += 1
            elif one.kind == "charge" and one.id not in billed:
                counts["charges"] += 1
        return cls(counts)


def suspicious_loss(
    changes: Sequence[PlannedChange],
    owned: OwnedRecords,
    read: Mapping[str, int],
    replaced: Collection[str],
    most_percent: int,
) -> str | None:
    """Say what the changes would lose: everything of a query without rows, or more than a share; None: neither.

    Args:
        read: The number of rows of each query. One that the database does not declare any more has none.
        replaced: Keys of records that their rows replace with others: they are not lost.
        most_percent: `most_closed_percent` of the workspace.
    """
    lost = [change for change in changes if change.action in (ENDED, REMOVED) and change.key not in replaced]
    closing = {change.key for change in lost if change.kind == "organization"}
    of_kind = {
        "organizations": len(closing),
        "subscriptions": sum(_is_lost(change, "subscription", closing) for change in lost),
        "charges": sum(_is_lost(change, "charge", closing) for change in lost),
    }
    for query, number in of_kind.items():
        total = owned.counts[query]
        if number and not read.get(query):
            return f"`{query}` returned no rows, but {counted(total, query.removesuffix('s'))} came from it"
        few = FEW if query == "organizations" else FEW_TERMS
        if number > few and number * 100 > total * most_percent:
            return f"it would end {number:,} of {total:,} {query}, more than {most_percent} %"
    return None


def _is_lost(change: PlannedChange, kind: str, closing: Collection[str]) -> bool:
    return change.kind == kind and change.organization not in closing
