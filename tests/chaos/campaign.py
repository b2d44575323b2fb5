"""A campaign from the first invoice to the audit: months as phases, kills and restarts by progress, then the ending.

A fault never depends on the machine's speed: it strikes at a counted call that is held (stops.py), and a month ends
when all of its stops have been reached. Keeps out: each of its parts (faults.py, dashboard_user.py,
worker_pool.py, ending.py, audit.py), and the report (report.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import cycle
from typing import Any

from tests.chaos.audit import Findings, audit
from tests.chaos.call_log import NOT_OF_THE_SYNC, CallLog
from tests.chaos.dashboard_user import DELETED, EDITED, SWAPPED, DashboardUser
from tests.chaos.ending import Decided, await_webhooks, decide, drain, poll
from tests.chaos.faults import AT_ONCE, LOW_LIMITS, Faults, LowLimits
from tests.chaos.months import QUITTERS, fill, tinkered_with_lines
from tests.chaos.plan import SYNCED_AFTER, WRITES_OF_AN_INVOICE, Plan
from tests.chaos.servers import TestServers, started_servers
from tests.chaos.stops import LINES, Action, Stops
from tests.chaos.syncing import Order
from tests.chaos.worker_pool import Lives, WorkerPool, workers
from tests.support.stripe_builders import query, utc_now

# The sync has finalized this share of the invoices that it can finalize before the faults are switched off.
SHARE_UNDER_FAULTS = 0.9
# Seconds without a call, or without an awaited action, after which the campaign itself is stuck.
STANDSTILL = 600.0
SECONDS_AWAY = 1.0
TICK = 0.05

EXPIRED = "key expired"
MINIMUM = """
select sum(2 + ceil(least(items.count, 248) / 100.0)) filter (where i.total_cents <> 0) as calls,
    count(distinct i.organization_id) filter (where i.total_cents <> 0) as customers
from invoices as i
join lateral (select count(*) from invoice_items as t where t.invoice_id = i.id) as items on true
where i.status <> 'open'
"""
UNFINISHED = """
select count(*) as invoices from stripe_invoices as s
where s.state not in ('finalized', 'skipped_zero')
    and exists (select from stripe_attempts as a where a.invoice_id = s.invoice_id)
"""
# Those that only a person can decide, after changes of a person in Stripe.
UNDECIDED = """
select count(*) as invoices from stripe_invoices
where state = 'needs_attention' or failure_code = 'customer_missing'
"""

KILL, RESTART, JUMP, END = "kill", "Postgres restarted", "a month later", "faults off"


@dataclass(frozen=True)
class Mark:
    """An event of the campaign, for its picture."""

    at: datetime
    what: str


@dataclass(frozen=True)
class Progress:
    """The progress of a campaign."""

    finalized: int
    calls: int
    lives: Lives
    struck: int
    month: str


@dataclass(frozen=True)
class Outcome:
    """The outcome of a campaign. `findings`: at the end; `as_left`: before people and `repair` did anything.

    `sync_calls`: the calls until the sync had nothing more to do; `minimum_calls`: what the same invoices and customers
    need without a fault.
    """

    plan: Plan
    seconds: float
    struck: Mapping[str, int]
    by_hand: Mapping[str, int]
    lives: Lives
    postgres_restarts: int
    decided: Decided
    polled: int
    as_left: Findings
    findings: Findings
    endpoints: Sequence[Mapping[str, int | str]]
    sync_calls: int
    minimum_calls: int
    moments: Sequence[tuple[str, str]] = field(repr=False)
    marks: Sequence[Mark] = field(repr=False)

    @property
    def calls(self) -> int:
        return sum(int(endpoint["calls"]) for endpoint in self.endpoints)

    @property
    def calls_per_invoice(self) -> float:
        return self.sync_calls / self.findings.billable

    @property
    def faults(self) -> int:
        """The number of strikes of all faults, without manual changes."""
        return sum(self.struck.values())

    def shortcomings(self) -> list[str]:
        """List the reasons why the campaign failed: differences between Stripe and us, or untested faults."""
        left = self.as_left
        shortcomings = [f"{name}={count}" for name, count in self.findings.wrong.items()]
        shortcomings += [f"charged_twice={left.charged_twice} before repair"] if left.charged_twice else []
        shortcomings += [f"zeros_sent={left.zeros_sent} before repair"] if left.zeros_sent else []
        least = self.plan.least_strikes
        shortcomings += [f"{name} struck only {count} times" for name, count in self.struck.items() if count < least]
        shortcomings += [f"{name}: never" for name, count in self.by_hand.items() if not count]
        if self.findings.billable < self.plan.invoices:
            shortcomings.append(f"only {self.findings.billable} billable invoices")
        if self.lives.killed < self.plan.kills:
            shortcomings.append(f"only {self.lives.killed} kills")
        if self.postgres_restarts < self.plan.postgres_restarts:
            shortcomings.append(f"only {self.postgres_restarts} Postgres restarts")
        return shortcomings


class Campaign:
    """One run of a plan on its own servers."""

    def __init__(self, plan: Plan, servers: TestServers, workers: WorkerPool, show: Callable[[Progress], None]) -> None:
        self._plan = plan
        self._servers = servers
        self._workers = workers
        self._show = show
        self._control = servers.sandbox.control
        self._log = CallLog(servers.sandbox.store_path)
        self._faults = Faults(self._control, plan)
        self._limits = LowLimits(self._control, self._log, -(-plan.least_strikes // plan.low_limits))
        # Organizations whose draft is not finalized before a person has changed it.
        self._kept = dict(zip((EDITED, SWAPPED, DELETED), tinkered_with_lines(plan, 2), strict=False))
        self._dashboard_user = DashboardUser(
            servers.sandbox, plan.seed, plan.seconds_between_actions, self._kept.values()
        )
        self._stops = Stops(self._control)
        self._marks: list[Mark] = []
        self._began = utc_now()
        self._expired = 0
        self._polled = 0
        self._shown_at = 0.0

    def run(self) -> Outcome:
        """Sync all months under faults, decide the rest, and audit. Raises UnexpectedEnd and AssertionError."""
        begun = time.monotonic()
        self._control.advance_clock(self._ahead(0))
        self._plan_manual_changes()  # before the faults, as a call that one of them strikes is not held
        self._faults.switch_on()
        with self._dashboard_user:
            for number in range(self._plan.months):
                self._phase(number)
        struck = {**self._faults.struck(), **self._limits.refusals, EXPIRED: self._expired}
        self._faults.switch_off()
        self._mark(END)
        order, database = self._order(self._plan.months - 1), self._servers.database
        left = drain(self._workers, order, database)
        sync_calls = self._log.calls_except(NOT_OF_THE_SYNC)
        as_left = audit(database, self._servers.sandbox.store_path)
        decided = decide(self._workers, order, left)
        await_webhooks(self._control)
        self._poll(order)
        return Outcome(
            plan=self._plan,
            seconds=time.monotonic() - begun,
            struck=struck,
            by_hand=self._dashboard_user.done,
            lives=self._workers.lives,
            postgres_restarts=self._servers.postgres.restarts,
            decided=decided,
            polled=self._polled,
            as_left=as_left,
            findings=audit(database, self._servers.sandbox.store_path),
            endpoints=self._log.by_endpoint(),
            sync_calls=sync_calls,
            minimum_calls=self._minimum(),
            moments=self._log.moments(),
            marks=self._marks,
        )

    def _order(self, number: int) -> Order:
        months = [str(month) for month in self._plan.billing_months[: number + 1]]
        return Order(self._servers.environment, months, self._ahead(number))

    def _ahead(self, number: int) -> int:
        """Return the seconds by which the clocks are ahead of ours (negative: behind) while a month is synced."""
        at = self._plan.billing_months[number].end + SYNCED_AFTER
        return int((at - self._began).total_seconds())

    def _poll(self, order: Order) -> None:
        first = self._plan.billing_months[0].end
        self._polled += poll(order, first)

    def _plan_manual_changes(self) -> None:
        """Plan changes that need a draft, or a customer whose next invoice is about to be created."""
        for action, organization in self._kept.items():
            at: dict[str, Any] = {"endpoint": "invoices.finalize", "metadata": {"organization": organization}}
            self._stops.add(action, partial(self._tinker, action, organization), **at)
        for quitter in QUITTERS:
            at = {"endpoint": "invoices.create", "metadata": {"organization": quitter}, "from_nth": 2}
            self._stops.add(f"{quitter} deleted", partial(self._delete_customer, quitter), **at)

    def _phase(self, number: int) -> None:
        """Sync the months up to this one until all its planned actions have happened and it has ended."""
        if number:
            self._jump(number)
        for nth, action_name, action in sorted(self._planned(number), key=lambda planned: planned[0]):
            at: dict[str, Any] = {"from_nth": nth}
            if action_name in LOW_LIMITS:
                at = {"endpoint": LINES, "from_nth": 1 + nth // WRITES_OF_AN_INVOICE}
            self._stops.add(action_name, action, **at, after_apply=nth % 2 == 0, times=1)
        if number < self._plan.months - 1:
            nth = self._plan.writes_of_a_month + 1
            self._stops.add(JUMP, self._end_month, from_nth=nth, after_apply=number % 2 == 0)
        self._sync(number)
        self._workers.end(killed=True)
        self._stops.look()  # manual changes of a draft whose process was killed
        self._mark(KILL)

    def _planned(self, number: int) -> Iterator[tuple[int, str, Action]]:
        """Yield a month's actions: the number of an invoice-writing request, the action's name, and the action."""
        kills = self._plan.moments("kill", self._plan.kills)
        restarts = self._plan.moments("restart", self._plan.postgres_restarts)
        limits = self._plan.moments("limit", len(LOW_LIMITS) * self._plan.low_limits)
        yield from ((nth, KILL, self._kill) for month, nth in kills if month == number)
        yield from ((nth, RESTART, self._restart) for month, nth in restarts if month == number)
        for (month, nth), name in zip(limits, cycle(LOW_LIMITS), strict=False):
            if month == number:
                yield nth, name, partial(self._lower, name)

    def _sync(self, number: int) -> None:
        """Let the workers sync, and run the actions of the stops, until none is left to wait for."""
        order = self._order(number)
        self._workers.begin(order)
        calls, changed = -1, time.monotonic()
        while waiting_for := self._waiting_for(number):
            if self._log.calls != calls:
                calls, changed = self._log.calls, time.monotonic()
            assert time.monotonic() < changed + STANDSTILL, f"no call for {STANDSTILL:.0f} s, waiting for {waiting_for}"
            self._tick(str(order.months[-1]))

    def _waiting_for(self, number: int) -> list[str]:
        """Return the outstanding actions of a month; the last one ends after all of them with enough invoices."""
        if number < self._plan.months - 1:
            return [action for action in self._stops.pending if action == JUMP]
        if pending := self._stops.pending:
            return pending
        never = [name for name, count in {**self._faults.struck(), **self._dashboard_user.done}.items() if not count]
        return [
            *never,
            *(["a limit"] if self._limits.is_low else []),
            *(["finalized invoices"] if self._is_short() else []),
        ]

    def _is_short(self) -> bool:
        """Return True while too few invoices are finalized. On a slow machine people change more drafts, or fewer."""
        (row,) = query(self._servers.database, UNDECIDED)
        return self._log.finalized < SHARE_UNDER_FAULTS * (self._plan.invoices - int(row["invoices"]))

    def _tick(self, month: str = "") -> None:
        self._workers.check()
        self._limits.look()
        self._stops.look()
        self._show_progress(month)
        time.sleep(TICK)

    def _until(self, happened: Callable[[], bool], action_name: str) -> None:
        """Wait for a condition that is certain to come, even on a slow machine."""
        deadline = time.monotonic() + STANDSTILL
        while not happened():
            assert time.monotonic() < deadline, f"{action_name}: not in {STANDSTILL:.0f} s"
            self._workers.check()
            self._limits.look()
            time.sleep(TICK)

    def _kill(self, caller: str) -> None:
        self._workers.kill(caller)
        self._mark(KILL)

    def _restart(self, caller: str) -> None:
        self._mark(RESTART)
        self._servers.postgres.restart(SECONDS_AWAY)

    def _lower(self, name: str, caller: str) -> None:
        self._until_no_limit_is_low()
        self._limits.lower(name)
        if name == AT_ONCE:
            self._until_no_limit_is_low()

    def _until_no_limit_is_low(self) -> None:
        self._until(lambda: not self._limits.is_low, "refusals by the limit that is low")

    def _tinker(self, action: str, organization: str, caller: str) -> None:
        self._until_no_limit_is_low()
        self._dashboard_user.tinker(action, organization)

    def _delete_customer(self, organization: str, caller: str) -> None:
        self._until_no_limit_is_low()
        self._dashboard_user.delete_customer(organization)

    def _end_month(self, caller: str) -> None:
        """Kill both processes while requests of theirs are held: these requests lose their keys."""
        self._until_no_limit_is_low()
        enough = -(-self._plan.least_strikes // (self._plan.months - 1))
        self._until(lambda: len(self._control.held()) >= enough, f"{enough} calls kept open")
        self._workers.end(killed=True)

    def _jump(self, number: int) -> None:
        """Move Stripe's clock to the next month; ours moves with the next order. Keys of unfinished invoices expire."""
        self._poll(self._order(number - 1))
        (row,) = query(self._servers.database, UNFINISHED)
        self._expired += row["invoices"]
        self._control.advance_clock(self._ahead(number) - self._ahead(number - 1))
        self._mark(JUMP)

    def _mark(self, action_name: str) -> None:
        self._marks.append(Mark(utc_now(), action_name))

    def _show_progress(self, month: str) -> None:
        if time.monotonic() > self._shown_at + 0.5:
            self._shown_at = time.monotonic()
            struck = sum(self._faults.struck().values()) + sum(self._limits.refusals.values())
            self._show(Progress(self._log.finalized, self._log.calls, self._workers.lives, struck, month))

    def _minimum(self) -> int:
        (row,) = query(self._servers.database, MINIMUM)
        return int(row["calls"] + row["customers"])


def run(plan: Plan, show: Callable[[Progress], None] = lambda progress: None) -> Outcome:
    """Run a whole campaign on its own servers."""
    with (
        started_servers(plan.workers, plan.requests_per_second) as servers,
        workers(servers.folder, 2, servers.postgres.was_away) as processes,
    ):
        fill(servers.database, plan, servers.folder)
        return Campaign(plan, servers, processes, show).run()
