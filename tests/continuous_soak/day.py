"""The simulated day: arrivals, changed terms, hourly landing, nightly billing, and the light run of each cycle.

The clock is simulated, the work is real: the same functions as in Dagster's runs. The age of a file is the time from
its arrival to the tick, the start of a run's process as it was measured, and the seconds of the run until the invoice
is committed. After each run the events of every organization are counted in what its invoice bills.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy import text

from fly_billing.invoicing.bill_run import bill
from fly_billing.invoicing.month_closing import Terms
from fly_billing.open_months.changes import find_changes
from fly_billing.open_months.update import Update, bring_up_to_date
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.usage.landing_run import land_and_check
from fly_billing.usage.maintenance import maintain
from fly_billing.usage.rollups import roll_up
from fly_billing.usage.usage_table import UsageTable

CYCLE = timedelta(minutes=5)
TERMS = Terms(grace=timedelta(hours=72), due_days=14)
NIGHTLY, PRICE_CHANGE = timedelta(hours=2), timedelta(hours=4)
HOURLY_MINUTE, TERMS_MINUTE = 30, 15
# Of a hundred files, so many bring usage of the day before, into its folder.
LATE_PERCENT = 10
EVENTS_PER_ORGANIZATION = 3
ONE_OFF = (
    "insert into one_off_items (id, organization_id, description, amount, currency, occurred_at)"
    " values (md5(:key)::uuid, :organization, 'Migration', 5, 'USD', :now)"
)
PRICE = (
    "update prices set unit_amount = unit_amount * 2 where meter = 'machine_seconds' and effective_until is null"
    " and match -> 'region' ? 'ams'"
)
BILLED = """
select s.organization_id, s.events
from usage_snapshots as s
join invoices as i on i.usage_snapshot_id = s.id and i.status = 'open'
where s.month = :month and s.is_current
"""


@dataclass(frozen=True)
class CycleCost:
    """A cycle and what it took.

    Attributes:
        ages: Seconds from the arrival of each file to the invoice that bills it.
        run_seconds: Of the look and the light run, without the start of its process.
        did: What ran: nothing, update, hourly, nightly.
    """

    number: int
    ages: Sequence[float]
    run_seconds: float
    python: float
    postgres: float
    wal_bytes: float
    invoices: int
    did: Sequence[str]


@dataclass
class Day:
    """The platform on its simulated day.

    Attributes:
        cost: Returns (CPU s of this process, CPU s of Postgres, bytes of WAL) so far.
        start_seconds: From a tick to the first statement of a run, measured with Dagster's launcher.
        expected: The events of each organization in the month.
        statements: Everything that changed terms, to repeat it elsewhere.
    """

    database: BillingDatabase
    usage: UsageTable
    landing: Path
    organizations: Sequence[str]
    start: datetime
    cost: Callable[[], tuple[float, float, float]]
    rng: Random
    start_seconds: float = 0
    files_per_cycle: int = 3
    expected: Counter[str] = field(default_factory=Counter)
    statements: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    _terms: str | None = None

    @property
    def month(self) -> BillingMonth:
        return BillingMonth.containing(self.start)

    def prepare(self) -> None:
        """Bill the month so far, and remember the events that invoices bill already."""
        self._update(self.start)
        self.expected = self._billed()

    def run(
        self, cycles: int, progress: Callable[[str], None] = lambda _: None, minutes: float | None = None
    ) -> list[CycleCost]:
        """Run so many cycles, or those of so many real minutes.

        Raises AssertionError if an invoice lacks usage that arrived before its cycle.
        """
        began = time.monotonic()
        costs = []
        for number in range(cycles):
            costs.append(self._cycle(number))
            if minutes and time.monotonic() - began > minutes * 60:
                break
            progress(f"cycle {number + 1} of {cycles}, worst age {max(max(c.ages, default=0) for c in costs):.0f} s")
        return costs

    def _cycle(self, number: int) -> CycleCost:
        tick = self.start + (number + 1) * CYCLE
        arrivals = [self._send(number, file, tick) for file in range(self.files_per_cycle)]
        self._change_terms(tick)
        before, began = self.cost(), time.perf_counter()
        did = self._scheduled(tick)
        invoices = self._update(tick)
        seconds = time.perf_counter() - began
        python, postgres, wal = (now - then for now, then in zip(self.cost(), before, strict=True))
        billed = self._billed()
        assert all(billed[name] == events for name, events in self.expected.items()), f"usage is missing at {tick}"
        ages = [(tick - arrived).total_seconds() + self.start_seconds + seconds for arrived in arrivals]
        return CycleCost(number, ages, seconds, python, postgres, wal, invoices, [*did, "update"])

    def _send(self, number: int, file: int, tick: datetime) -> datetime:
        """Write a file with usage of its part of 1 % of the organizations. Returns when it arrived."""
        arrived = tick - CYCLE * self.rng.random()
        day = (tick - CYCLE).date()
        if self.rng.randrange(100) < LATE_PERCENT:
            day -= timedelta(days=1)
        share = max(1, len(self.organizations) // 100 // self.files_per_cycle)
        senders = self.rng.sample(self.organizations, share)
        lines = [
            _event(f"{number}-{file}-{place}-{each}", name, datetime.combine(day, arrived.timetz()))
            for place, name in enumerate(senders)
            for each in range(EVENTS_PER_ORGANIZATION)
        ]
        self.expected.update(dict.fromkeys(senders, EVENTS_PER_ORGANIZATION))
        folder = self.landing / day.isoformat()
        folder.mkdir(exist_ok=True)
        (folder / f"soak-{number:03}-{file}.jsonl").write_text("".join(lines), encoding="utf-8")
        return arrived

    def _change_terms(self, tick: datetime) -> None:
        if tick.minute == TERMS_MINUTE:
            whom = self.rng.choice(self.organizations)
            self._execute(ONE_OFF, {"key": tick.isoformat(), "organization": whom, "now": tick})
        if tick - self.start == PRICE_CHANGE:
            self._execute(PRICE, {})

    def _execute(self, statement: str, parameters: dict[str, Any]) -> None:
        self.statements.append((statement, parameters))
        with self.database.transaction() as connection:
            connection.execute(text(statement), parameters)

    def _scheduled(self, tick: datetime) -> list[str]:
        """Run what the schedules run at this time, before the light run: it waits while an open month is billed."""
        did = []
        if tick.minute == HOURLY_MINUTE:
            days = [tick.date() - timedelta(days=1), tick.date()]
            land_and_check(self.database, self.usage, self.landing, days, tick)
            did.append("hourly")
        if tick - self.start == NIGHTLY:
            groups = sorted(self._groups())
            roll_up(self.database, self.usage, self.month, groups, tick, from_scratch=True)
            bill(self.database, self.month, groups, TERMS, tick, finalize=False, from_scratch=True)
            maintain(self.database, self.usage, tick.date())
            did.append("nightly")
        return did

    def _update(self, tick: datetime) -> int:
        """Look, and do the light run that the sensor would request. Returns the number of calculated invoices."""
        changes = find_changes(self.database, self.landing, tick, TERMS.grace)
        all_months, self._terms = changes.terms != self._terms, changes.terms
        update = Update(self.database, self.usage, self.landing, TERMS, "soak", lambda: tick)
        report = bring_up_to_date(update, changes, all_months=all_months)
        assert not report.failed_days and not any(month.wrong or month.billed.failures for month in report.months)
        return sum(month.changed for month in report.months)

    def _groups(self) -> set[str]:
        return {row["billing_group"] for row in self._rows("select distinct billing_group from organizations", {})}

    def _billed(self) -> Counter[str]:
        """Return the number of events that the open invoice of each organization bills."""
        found = self._rows(BILLED, {"month": self.month.first_day})
        return Counter({row["organization_id"]: row["events"] for row in found})

    def _rows(self, statement: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        with self.database.transaction() as connection:
            return [dict(row) for row in connection.execute(text(statement), parameters).mappings()]


def _event(key: str, organization: str, moment: datetime) -> str:
    data = {"quantity": "60", "app": "web", "region": "ams", "preset": "shared-cpu-1x", "memory": "256MB"}
    event = {
        "id": f"soak-{key}", "source": "soak", "type": "machine_seconds", "subject": organization,
        "time": moment.isoformat(), "data": data,
    }  # fmt: skip
    return f"{json.dumps(event)}\n"
