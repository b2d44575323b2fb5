"""One campaign from the first invoice to the audit: months as phases, kills and restarts by progress, then the ending.

Keeps out: each of its parts (faults.py, hands.py, crew.py, ending.py, audit.py), and showing it (telling.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from random import Random

from tests.chaos.audit import Findings, audit
from tests.chaos.call_log import CallLog
from tests.chaos.crew import Crew, Lives, crew
from tests.chaos.ending import Decided, await_webhooks, decide, drain, poll
from tests.chaos.faults import Faults, LowLimits
from tests.chaos.hands import Hands
from tests.chaos.months import QUITTERS, fill
from tests.chaos.plan import SYNCED_AFTER, Plan
from tests.chaos.stage import Stage, stage
from tests.chaos.syncing import Order
from tests.stripe_builders import query, utc_now

# Of the invoices there are so far, this share is finalized before the next month joins them.
SHARE_OF_A_PHASE = 0.9
# Nothing was finalized for so long: the campaign itself is stuck.
STANDSTILL = 180.0
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

# Called by people and by the webhook service.
NOT_OF_THE_SYNC = frozenset({
    "customers.delete", "invoice_payments.list", "invoices.mark_uncollectible", "invoices.pay", "invoices.update_line",
    "invoices.update_lines",
})  # fmt: skip

KILL, RESTART, JUMP, END = "kill", "Postgres restarted", "a month later", "faults off"


@dataclass(frozen=True)
class Mark:
    """Something that happened to the campaign, for its picture."""

    at: datetime
    what: str


@dataclass(frozen=True)
class Progress:
    """How far it is."""

    finalized: int
    calls: int
    lives: Lives
    struck: int
    month: str


@dataclass(frozen=True)
class Outcome:
    """What a campaign came to. `findings`: in the end; `as_left`: before people and `repair` did anything.

    `sync_calls`: the calls until the sync had nothing more to do; `minimum_calls`: what the same invoices and customers
    take where nothing goes wrong.
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
        return sum(int(one["calls"]) for one in self.endpoints)

    @property
    def calls_per_invoice(self) -> float:
        return self.sync_calls / self.findings.billable

    @property
    def faults(self) -> int:
        """How often anything struck, people's hands left out."""
        return sum(self.struck.values())

    def shortcomings(self) -> list[str]:
        """Say why the campaign has failed: what is wrong in Stripe or here, or what it did not put to the test."""
        left = self.as_left
        said = [f"{name}={count}" for name, count in self.findings.wrong.items()]
        said += [f"charged_twice={left.charged_twice} before repair"] if left.charged_twice else []
        said += [f"zeros_sent={left.zeros_sent} before repair"] if left.zeros_sent else []
        least = self.plan.least_strikes
        said += [f"{name} struck only {count} times" for name, count in self.struck.items() if count < least]
        said += [f"{name}: never" for name, count in self.by_hand.items() if not count]
        if self.findings.billable < self.plan.invoices:
            said.append(f"only {self.findings.billable} billable invoices")
        if self.lives.killed < self.plan.kills:
            said.append(f"only {self.lives.killed} kills")
        if self.postgres_restarts < self.plan.postgres_restarts:
            said.append(f"only {self.postgres_restarts} Postgres restarts")
        return said


class Campaign:
    """One run of a plan on a stage."""

    def __init__(self, plan: Plan, stage: Stage, crew: Crew, show: Callable[[Progress], None]) -> None:
        self._plan = plan
        self._stage = stage
        self._crew = crew
        self._show = show
        self._dice = Random(f"{plan.seed} kills")
        self._log = CallLog(stage.sandbox.store_path)
        self._faults = Faults(stage.sandbox.control, plan)
        self._limits = LowLimits(stage.sandbox.control, self._log, plan.seconds_between_low_limits, 1.2)
        self._hands = Hands(stage.sandbox, plan.seed, plan.seconds_between_deeds)
        self._marks: list[Mark] = []
        self._began = utc_now()
        self._expired = 0
        self._polled = 0
        self._shown_at = 0.0
        under_fire = SHARE_OF_A_PHASE * plan.invoices
        # What is still to happen, by the number of finalized invoices after which it is due.
        self._due = sorted(
            [(share * under_fire, self._kill) for share in plan.moments("kill", plan.kills)]
            + [(share * under_fire, self._restart) for share in plan.moments("restart", plan.postgres_restarts)]
            + [((1.1 + n / 20) * plan.organizations, self._delete_customer) for n in range(len(QUITTERS))],
            key=lambda one: one[0],
        )
        self._quitters = list(QUITTERS)

    def run(self) -> Outcome:
        """Sync all months under fire, have what is left decided, and audit. Raises UnexpectedEnd and AssertionError."""
        begun = time.monotonic()
        self._stage.sandbox.control.advance_clock(self._ahead(0))
        self._faults.switch_on()
        with self._hands:
            for number in range(self._plan.months):
                self._phase(number)
        self._limits.lift()
        struck = {**self._faults.struck(), **self._limits.refusals, EXPIRED: self._expired}
        self._faults.switch_off()
        self._mark(END)
        order, database = self._order(self._plan.months - 1), self._stage.database
        left = drain(self._crew, order, database)
        sync_calls = self._log.calls_except(NOT_OF_THE_SYNC)
        as_left = audit(database, self._stage.sandbox.store_path)
        decided = decide(self._crew, order, left)
        await_webhooks(self._stage.sandbox.control)
        self._poll(order)
        return Outcome(
            plan=self._plan,
            seconds=time.monotonic() - begun,
            struck=struck,
            by_hand=self._hands.done,
            lives=self._crew.lives,
            postgres_restarts=self._stage.postgres.restarts,
            decided=decided,
            polled=self._polled,
            as_left=as_left,
            findings=audit(database, self._stage.sandbox.store_path),
            endpoints=self._log.by_endpoint(),
            sync_calls=sync_calls,
            minimum_calls=self._minimum(),
            moments=self._log.moments(),
            marks=self._marks,
        )

    def _order(self, number: int) -> Order:
        months = [str(month) for month in self._plan.billing_months[: number + 1]]
        return Order(self._stage.environment, months, self._ahead(number))

    def _ahead(self, number: int) -> int:
        """How many seconds the clocks are ahead of ours (below zero: behind) while a month is synced."""
        at = self._plan.billing_months[number].end + SYNCED_AFTER
        return int((at - self._began).total_seconds())

    def _poll(self, order: Order) -> None:
        first = self._plan.billing_months[0].end
        self._polled += poll(order, first)

    def _phase(self, number: int) -> None:
        """Sync the first months up to this one until most of their invoices are finalized, then kill both processes."""
        if number:
            self._jump(number)
        enough = SHARE_OF_A_PHASE * self._plan.organizations * (number + 1)
        order = self._order(number)
        self._crew.begin(order)
        finalized, changed = -1, time.monotonic()
        while (count := self._log.finalized) < enough:
            if count != finalized:
                finalized, changed = count, time.monotonic()
            assert time.monotonic() < changed + STANDSTILL, f"nothing was finalized for {STANDSTILL:.0f} s"
            self._crew.check()
            self._limits.look()
            self._do_what_is_due(count)
            self._tell(count, str(order.months[-1]))
            time.sleep(TICK)
        self._crew.end(killed=True)
        self._mark(KILL)

    def _do_what_is_due(self, finalized: int) -> None:
        while self._due and self._due[0][0] <= finalized:
            _, deed = self._due.pop(0)
            deed()

    def _kill(self) -> None:
        time.sleep(self._dice.random() / 5)  # so that it can meet any moment of a request
        self._crew.kill_one(self._dice)
        self._mark(KILL)

    def _restart(self) -> None:
        self._mark(RESTART)
        self._stage.postgres.restart(SECONDS_AWAY)

    def _delete_customer(self) -> None:
        self._hands.delete_customer(self._quitters.pop())

    def _jump(self, number: int) -> None:
        """Move Stripe's clock to the next month; ours moves with the next order. What was begun loses its keys."""
        self._poll(self._order(number - 1))
        (row,) = query(self._stage.database, UNFINISHED)
        self._expired += row["invoices"]
        self._stage.sandbox.control.advance_clock(self._ahead(number) - self._ahead(number - 1))
        self._mark(JUMP)

    def _mark(self, what: str) -> None:
        self._marks.append(Mark(utc_now(), what))

    def _tell(self, finalized: int, month: str) -> None:
        if time.monotonic() > self._shown_at + 0.5:
            self._shown_at = time.monotonic()
            struck = sum(self._faults.struck().values()) + sum(self._limits.refusals.values())
            self._show(Progress(finalized, self._log.calls, self._crew.lives, struck, month))

    def _minimum(self) -> int:
        (row,) = query(self._stage.database, MINIMUM)
        return int(row["calls"] + row["customers"])


def run(plan: Plan, show: Callable[[Progress], None] = lambda progress: None) -> Outcome:
    """Run a whole campaign on servers of its own."""
    with (
        stage(plan.workers, plan.requests_per_second) as servers,
        crew(servers.folder, 2, servers.postgres.was_away) as processes,
    ):
        fill(servers.database, plan, servers.folder)
        return Campaign(plan, servers, processes, show).run()
