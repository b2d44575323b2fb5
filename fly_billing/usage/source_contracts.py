"""Checks landed rows against the contracts of declared sources, and counts what each source brought.

Nothing is done, and nothing costs time, if nothing is declared. Not here: the rules of one source
(`rules.declared_sources`), and all other checks of a row (`sql_duckdb/validate_usage.sql`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

import duckdb
import pyarrow as pa

from fly_billing.postgres.statements import sql
from fly_billing.usage.rules.declared_sources import NOTHING_DECLARED, DeclaredSources

CONTRACT_FIELDS = pa.schema([
    ("source", pa.string()), ("field", pa.string()), ("place", pa.int32()), ("type", pa.string()),
    ("is_required", pa.bool_()), ("allowed", pa.list_(pa.string())),
])  # fmt: skip


@dataclass(frozen=True)
class LandedSource:
    """The files and rows of a declared source on the landed days.

    Attributes:
        landed: Rows: accepted + duplicate + rejected.
        last_event_at: The time of its last event that is not rejected, in UTC; None: it has none.
    """

    name: str
    files: int
    landed: int
    accepted: int
    duplicate: int
    rejected: int
    last_event_at: datetime | None

    def plus(self, other: LandedSource) -> LandedSource:
        """Return both together."""
        last = [moment for moment in (self.last_event_at, other.last_event_at) if moment is not None]
        return LandedSource(
            self.name, self.files + other.files, self.landed + other.landed, self.accepted + other.accepted,
            self.duplicate + other.duplicate, self.rejected + other.rejected, max(last, default=None),
        )  # fmt: skip


@dataclass
class SourceContracts:
    """The contracts of a landing.

    Attributes:
        landed: What each declared source brought so far.
    """

    declared: DeclaredSources = NOTHING_DECLARED
    landed: dict[str, LandedSource] = field(default_factory=dict)

    def apply(self, duck: duckdb.DuckDBPyConnection) -> None:
        """Reject valid rows of `validated` that break the contract of their source."""
        if not self.declared.has_rules:
            return
        self._register(duck)
        duck.execute(sql("contract_problems"), {"rejects_others": self.declared.rejects_others})
        if duck.execute("select 1 from contract_problems limit 1").fetchone():
            duck.execute(sql("broken_contracts"))
            duck.execute(sql("reject_broken_contracts"))
            duck.execute(sql("explain_broken_contracts"))

    def count(self, duck: duckdb.DuckDBPyConnection) -> None:
        """Add the rows of a landing to `landed`, by source."""
        if not self.declared.sources:
            return
        self.add(LandedSource(*row) for row in duck.execute(sql("count_sources")).fetchall())

    def add(self, sources: Iterable[LandedSource]) -> None:
        """Add these rows to `landed`."""
        for found in sources:
            self.landed[found.name] = self.landed[found.name].plus(found) if found.name in self.landed else found

    def _register(self, duck: duckdb.DuckDBPyConnection) -> None:
        """Register the sources, the event types of their meters, and the fields of their contracts."""
        sources = self.declared.sources
        names = pa.table({"source": pa.array([source.name for source in sources], pa.string())})
        duck.register("declared_sources", names)
        meters = [(source.name, meter) for source in sources for meter in source.meters]
        duck.register("declared_meters", pa.table({
            "source": pa.array([name for name, _ in meters], pa.string()),
            "meter": pa.array([meter for _, meter in meters], pa.string()),
        }))  # fmt: skip
        duck.execute(sql("declared_types"))
        duck.register("contract_fields", pa.Table.from_pylist([
            {
                "source": source.name, "field": each.name, "place": place, "type": each.type,
                "is_required": each.is_required, "allowed": list(each.values) or None,
            }
            for source in sources
            for place, each in enumerate(source.fields)
        ], schema=CONTRACT_FIELDS))  # fmt: skip
