"""The end of a campaign without faults: remaining invoices are synced, decided by a person, and reported by webhooks.

A person does only what the product's texts and commands say. Keeps out: faults, and judging the result (audit.py).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.settings import Settings
from fly_billing.stripe_sandbox import SandboxControl
from fly_billing.stripe_sync.event_inbox import poll_events, settle_waiting_events
from fly_billing.stripe_sync.invoice_sync import SyncTools
from fly_billing.stripe_sync.reader import ReadingFailed
from fly_billing.stripe_sync.repair import DONE, carry_out, plan_of_repair
from fly_billing.stripe_sync.rules.repair_plan import LEAVE
from tests.chaos.syncing import Order, tools_of
from tests.chaos.worker_pool import WorkerPool
from tests.support.stripe_builders import execute, groups_of, query

LEFT = """
select i.id, s.failure_code as code
from invoices as i left join stripe_invoices as s on s.invoice_id = i.id
where i.status = 'finalized' and coalesce(s.state, '') not in ('finalized', 'skipped_zero')
"""
# The failure's text asks to set it to null, so that a customer is created.
FORGET_CUSTOMERS = """
update organizations set stripe_customer_id = null where id in (
    select i.organization_id from invoices as i join stripe_invoices as s on s.invoice_id = i.id
    where s.failure_code = :code
)
"""
CUSTOMER_MISSING = "customer_missing"
# The most calls of `repair`, the most polls of events, and the most seconds of a sync or of Stripe's webhooks.
ROUNDS = 4
POLLS = 100
PATIENCE = 1800.0


@dataclass
class Decided:
    """Counts of invoices left to people, by reason, and of unconfirmed actions of `repair`; and its failed actions."""

    by_human: Counter[str] = field(default_factory=Counter)
    by_repair: Counter[str] = field(default_factory=Counter)
    undone: list[str] = field(default_factory=list)


def drain(workers: WorkerPool, order: Order, database: BillingDatabase) -> Counter[str]:
    """Sync until no invoice is left, or another run changes nothing; return the number left, by failure."""
    workers.begin(order)
    left, deadline = _left(database), time.monotonic() + PATIENCE
    while left:
        passes = workers.passes
        while workers.passes < passes + 2:
            workers.check()
            assert time.monotonic() < deadline, f"{len(left)} invoices are not synced after {PATIENCE:.0f} s"
            time.sleep(0.05)
        before, left = left, _left(database)
        if before == left:
            break
    workers.end()
    return Counter(left.values())


def _left(database: BillingDatabase) -> dict[str, str]:
    return {str(row["id"]): row["code"] or "unfinished" for row in query(database, LEFT)}


def decide(workers: WorkerPool, order: Order, left: Mapping[str, int]) -> Decided:
    """Do what only a person may, until `fly-billing repair` has done all it can. `left`: the result of `drain`."""
    tools = tools_of(order)
    database = tools.journal.database
    decided = Decided(Counter({CUSTOMER_MISSING: left.get(CUSTOMER_MISSING, 0)}))
    execute(database, FORGET_CUSTOMERS, code=CUSTOMER_MISSING)
    months = order.months
    for _ in range(ROUNDS):
        drain(workers, order, database)
        decided.undone.clear()
        months = [month for month in months if _repair(tools, BillingMonth.parse(month), order, decided)]
        if not months:
            break
    return decided


def _repair(tools: SyncTools, month: BillingMonth, order: Order, decided: Decided) -> bool:
    """Repair a month as `fly-billing repair` does, with every action confirmed; return True if some failed."""
    settings = Settings.from_environment(order.environment)
    _, actions = plan_of_repair(tools, month, groups_of(tools.journal.database), all_lines=True)
    done = carry_out(tools, month, actions, lambda action: True, settings.guard_percent)
    for repair in done:
        if repair.outcome != DONE:
            decided.undone.append(f"{repair.action.organization_id}: {repair.detail}")
        elif repair.action.is_safe:
            decided.by_repair[f"{repair.action.kind}: {repair.action.verb}"] += 1
        else:
            decided.by_human[f"{repair.action.kind}, asked by repair"] += 1
    return any(repair.outcome != DONE and repair.action.verb != LEAVE for repair in done)


def poll(order: Order, since: datetime) -> int:
    """Poll Stripe's events as the sensor does every 15 minutes; return the number that no webhook had delivered."""
    tools, new = tools_of(order), 0
    for _ in range(POLLS):
        try:
            polled = poll_events(tools.journal.database, tools.reader(), since, tools.clock())
        except ReadingFailed:
            continue  # the next poll reads events that were not recorded as read
        new += polled.new
        if polled.is_done:
            settle_waiting_events(tools.journal.database)
            return new
    raise AssertionError(f"Stripe's events could not be read to their end by {POLLS} polls")


def await_webhooks(control: SandboxControl, most_pending: int = 0) -> None:
    """Wait until Stripe has delivered all events, or all but some."""
    deadline = time.monotonic() + PATIENCE
    while (pending := sum(delivery["state"] == "pending" for delivery in control.deliveries())) > most_pending:
        assert time.monotonic() < deadline, f"{pending} events were not delivered in {PATIENCE:.0f} s"
        # The sandbox lists all deliveries for each look, and delivers nothing meanwhile.
        time.sleep(min(10.0, 0.1 + pending / 100))
