"""A campaign: months are billed and sent, people click in the dashboard, and events are read under faults and kills.

Webhooks reach the production service, late, twice, out of order or never; processes poll beside it and are killed.
Keeps out: each of its parts (dashboard.py, poller.py, audit.py, broken.py).
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from fly_billing.errors import ActionableError
from fly_billing.periods import BillingMonth
from fly_billing.stripe_sandbox import SandboxControl
from fly_billing.stripe_sync.event_inbox import poll_events, settle_waiting_events
from tests.chaos.ending import await_webhooks
from tests.chaos.faults import CALL_FAULTS, DELIVERY_FAULTS
from tests.chaos.servers import TestServers, started_servers
from tests.chaos.worker_pool import ROOT
from tests.money_chaos.audit import MoneyFindings, audit_money
from tests.money_chaos.broken import BROKEN
from tests.money_chaos.dashboard import Dashboard
from tests.money_chaos.plan import MoneyPlan
from tests.money_chaos.poller import SINCE
from tests.support.stripe_builders import (
    add_organization,
    charge,
    close_month,
    execute,
    query,
    sync,
    sync_tools,
    utc_now,
)

REQUESTS_PER_SECOND = 1000
SHARE_OF_DELIVERIES = 0.05
# Deliveries that may still be on their way when the next month is billed.
MOST_PENDING = 300
# Passes of the sync over a month, and of the last poll, before the campaign itself is at fault.
MOST_PASSES = 40
# Every second organization pays 20 % VAT.
TAXED = """
insert into tax_rates (id, organization_id, name, percent, first_month)
select gen_random_uuid(), id, 'VAT', 20, '2023-06-01'
from organizations where cast(right(id, 3) as integer) % 2 = 1
"""
# Every third organization is charged until a year from now, so revenue is still deferred when the campaign voids or
# credits invoices.
A_YEAR_AHEAD = """
update one_off_items set period_start = :end, period_end = date_trunc('day', now()) + interval '1 year'
where organization_id = any (:names) and occurred_at >= :first and occurred_at < :end
"""
UNSENT = """
select count(*) as n
from invoices as i left join stripe_invoices as s on s.invoice_id = i.id
where i.status = 'finalized' and i.total_cents <> 0 and coalesce(s.state, '') not in ('finalized', 'skipped_zero')
"""


@dataclass(frozen=True)
class MoneyOutcome:
    """The outcome of a campaign. `struck`: strikes by fault; `done`: accepted actions by name."""

    plan: MoneyPlan
    seconds: float
    done: Mapping[str, int]
    refused: int
    struck: Mapping[str, int]
    kills: int
    events: int
    states: int
    findings: MoneyFindings


class Pollers:
    """Polling processes; a killed one is replaced."""

    def __init__(self, count: int, log: Path, environment: Mapping[str, str], rng: Random) -> None:
        self._log = log
        self._environment = {**os.environ, **environment, "PYTHONPATH": str(ROOT)}
        self._rng = rng
        self.kills = 0
        self._all = [self._start() for _ in range(count)]

    def _start(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as out:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.money_chaos.poller"],
                stdout=out, stderr=out, cwd=ROOT, env=self._environment,
            )  # fmt: skip

    def kill_one(self) -> None:
        """Kill a process in the middle of what it does, and start another one."""
        number = self._rng.randrange(len(self._all))
        self._end(self._all[number])
        self._all[number] = self._start()
        self.kills += 1

    def check(self) -> None:
        """Raise AssertionError if a process ended by itself."""
        ended = [poller.returncode for poller in self._all if poller.poll() is not None]
        assert not ended, f"polling ended with {ended}:\n{self._log.read_text(encoding='utf-8')[-3000:]}"

    def close(self) -> None:
        for poller in self._all:
            self._end(poller)

    @staticmethod
    def _end(poller: subprocess.Popen[bytes]) -> None:
        poller.kill()
        poller.wait(timeout=60)


def run_money(plan: MoneyPlan, show: Callable[[int, str], None] = lambda actions, month: None) -> MoneyOutcome:
    """Run a plan on servers of its own. `show` gets the number of actions so far, and the month."""
    with started_servers(4, REQUESTS_PER_SECOND) as servers:
        return _Campaign(plan, servers, show).run()


class _Campaign:
    def __init__(self, plan: MoneyPlan, servers: TestServers, show: Callable[[int, str], None]) -> None:
        self._plan = plan
        self._servers = servers
        self._show = show
        self._database = servers.database
        self._control: SandboxControl = servers.sandbox.control
        self._rng = Random(f"{plan.seed} amounts")
        self._dashboard = Dashboard(servers.sandbox, plan.seed, servers.sandbox.store_path)
        self._tools = sync_tools(self._database, servers.sandbox.url, workers=4)
        self._kills = 0
        self._begun = time.monotonic()

    def run(self) -> MoneyOutcome:
        for statement in BROKEN.get(self._plan.broken or "", ()):
            execute(self._database, statement.replace(":", r"\:"))
        for name in self._plan.names:
            add_organization(self._database, name)
        execute(self._database, TAXED)
        self._switch_on()
        with self._polled():
            for number, month in enumerate(self._plan.billing_months):
                self._bill(month, self._amount)
                self._click(number, month)
                await_webhooks(self._control, MOST_PENDING)
            self._leave_parts()
        struck = {rule["effect"]: 0 for rule in self._control.faults()}
        for rule in self._control.faults():
            struck[rule["effect"]] += rule["fired"]
        self._control.clear_faults()
        self._settle()
        counts = query(
            self._database,
            "select (select count(*) from stripe_events) as events, (select count(*) from stripe_money) as states",
        )[0]
        return MoneyOutcome(
            plan=self._plan,
            seconds=time.monotonic() - self._begun,
            done=self._dashboard.done,
            refused=self._dashboard.refused.total(),
            struck=struck,
            kills=self._kills,
            events=counts["events"],
            states=counts["states"],
            findings=audit_money(self._database, self._control),
        )

    def _switch_on(self) -> None:
        self._control.settings(webhook_retry_seconds=0.2)
        if not self._plan.fault_probability:
            return
        for number, rule in enumerate(CALL_FAULTS.values()):
            share = self._plan.fault_probability / 2
            self._control.add_fault(**{**rule, "probability": share, "seed": self._plan.seed * 100 + number})
        for number, rule in enumerate(DELIVERY_FAULTS.values()):
            given = {
                "endpoint": "webhooks.*",
                "probability": SHARE_OF_DELIVERIES,
                "seed": self._plan.seed * 100 + number,
            }
            self._control.add_fault(**{**rule, **given})

    @contextmanager
    def _polled(self) -> Iterator[None]:
        log = self._servers.folder / "pollers.log"
        self._pollers = Pollers(self._plan.pollers, log, self._servers.environment, self._rng)
        try:
            yield
        finally:
            self._pollers.close()
            self._kills = self._pollers.kills

    def _leave_parts(self) -> None:
        """Bill one more month of 100.00, and pay 1.00 of each invoice that is open: both sides end with parts."""
        self._bill(self._plan.billing_months[-1].next(), lambda: 10_000)
        for invoice in self._control.invoices():
            if invoice["status"] == "open" and invoice["amount_remaining"] > 100:
                self._control.act("pay-part", invoice["id"], amount=100)

    def _bill(self, month: BillingMonth, amount: Callable[[], int]) -> None:
        """Finalize the month with small, negative and ordinary totals, and send it until Stripe has every invoice."""
        for name in self._plan.names:
            charge(self._database, name, f"{amount() / 100:.2f}", month=month)
        execute(self._database, A_YEAR_AHEAD, names=self._plan.names[::3], first=month.start, end=month.end)
        close_month(self._database, self._servers.folder / "usage", month)
        for _ in range(MOST_PASSES):
            sync(self._tools, month)
            if not query(self._database, UNSENT)[0]["n"]:
                return
        raise AssertionError(f"invoices of {month} are not in Stripe after {MOST_PASSES} passes")

    def _amount(self) -> int:
        kind = self._rng.random()
        if kind < 0.3:
            return self._rng.randint(1, 49)  # below the minimum charge
        return -self._rng.randint(1, 900) if kind < 0.45 else self._rng.randint(50, 6000)

    def _click(self, number: int, month: BillingMonth) -> None:
        """Do this month's share of the actions, and kill a polling process now and then."""
        plan = self._plan
        first, last = (plan.actions * n // plan.months for n in (number, number + 1))
        every = plan.actions // plan.kills if plan.kills else plan.actions + 1
        for action in range(first, last):
            if time.monotonic() > self._begun + plan.most_seconds * (number + 1) / plan.months:
                return
            self._dashboard.act()
            if action % every == every - 1:
                self._pollers.kill_one()
            if action % 50 == 0:
                self._pollers.check()
                self._show(self._dashboard.done.total(), str(month))

    def _settle(self) -> None:
        """Read everything that is left, without faults."""
        await_webhooks(self._control)
        for _ in range(MOST_PASSES):
            try:
                polled = poll_events(self._database, self._tools.reader(), utc_now() - SINCE * 3, utc_now())
            except ActionableError as problem:
                self._show(self._plan.actions, str(problem))
                continue
            settle_waiting_events(self._database)
            if polled.is_done:
                return
        raise AssertionError(f"Stripe's events could not be read to their end by {MOST_PASSES} polls")
