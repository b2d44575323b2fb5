"""Reads the runs that finished since a sensor's last tick, and remembers which alerts it sent.

The memory is the sensor's cursor. It is written only after every alert is in the outbox. If an alert can't be added,
the next tick tries again. The first tick only stores the end of the run history.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from dagster import DagsterEvent, DagsterEventType, DagsterInstance, DagsterRun, RunStatusChangeRecordsFilter

MOST_AT_ONCE = 200
Ended = Literal[DagsterEventType.RUN_FAILURE, DagsterEventType.RUN_SUCCESS]


@dataclass
class Memory:
    """The sensor's cursor.

    Attributes:
        cursors: By kind of event, the position in Dagster's run history up to which runs were read.
        alerted: The keys of the alerts sent.
        failing: By check and month, the newest failure that was seen.
    """

    cursors: dict[str, str] = field(default_factory=dict)
    alerted: list[str] = field(default_factory=list)
    failing: dict[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, cursor: str | None) -> "Memory":
        return cls(**json.loads(cursor)) if cursor else cls()

    def written(self) -> str:
        return json.dumps({"cursors": self.cursors, "alerted": sorted(self.alerted), "failing": self.failing})

    def forget(self, prefix: str) -> None:
        self.alerted = [key for key in self.alerted if not key.startswith(prefix)]


def finished_runs(instance: DagsterInstance, memory: Memory, kind: Ended) -> Iterator[DagsterRun]:
    """Yield the runs that ended in `kind` (RUN_FAILURE, RUN_SUCCESS) since the last tick, oldest first."""
    cursor = memory.cursors.get(kind.value)
    is_first_tick = cursor is None
    while True:
        page = instance.fetch_run_status_changes(
            RunStatusChangeRecordsFilter(kind), limit=MOST_AT_ONCE, cursor=cursor, ascending=True
        )
        cursor = page.cursor
        if not is_first_tick:
            for record in page.records:
                run = instance.get_run_by_id(record.run_id)
                if run is not None:
                    yield run
        memory.cursors[kind.value] = cursor
        if not page.has_more:
            return


def events_of(instance: DagsterInstance, run: DagsterRun, kind: DagsterEventType) -> list[DagsterEvent]:
    """List the run's events of one kind."""
    return [entry.dagster_event for entry in instance.all_logs(run.run_id, kind) if entry.dagster_event]
