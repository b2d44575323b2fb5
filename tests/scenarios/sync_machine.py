"""A platform, a Stripe, and all events that can happen to them, in any order, for Hypothesis to explore.

Rules are the events; the invariants after each are in `sync_audit`. At the end faults stop, people fix what only they
can, and every billable invoice is in Stripe once, to the cent. Draws never depend on the results of earlier steps
(ids are Stripe's, threads are quick or slow), so that Hypothesis can play a run again.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import stripe
from hypothesis import currently_in_test_context, note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fly_billing.embedded_postgres import PostgresServer, create_database, drop_database
from fly_billing.invoicing.bill_run import bill
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.stripe_sandbox import SandboxServer
from fly_billing.stripe_sync.approvals import UnusualTotals, approve_totals, guard_results
from fly_billing.stripe_sync.event_inbox import KEPT, poll_events, settle_waiting_events
from fly_billing.stripe_sync.journal import StripeJournal
from fly_billing.stripe_sync.month_sync import sync_month
from fly_billing.stripe_sync.reader import ReadingFailed
from fly_billing.stripe_sync.repair import Repaired, carry_out, plan_of_repair
from fly_billing.stripe_sync.rules.reconciliation import Discrepancy
from fly_billing.stripe_sync.rules.repair_plan import Action
from fly_billing.stripe_sync.webhooks import PATH, build_app
from fly_billing.stripe_sync.webhooks.server import make_receiver
from tests.scenarios.dashboard_user import CHANGES, FINALIZING, DashboardUser
from tests.scenarios.sync_audit import Audit, Bill, Seen
from tests.scenarios.watched_process import Crash, WatchedHttp, WatchedProcess
from tests.support.stripe_builders import (
    JULY,
    JUNE,
    TERMS,
    MovableClock,
    add_organization,
    charge,
    close_month,
    execute,
    groups_of,
    reconcile,
)

ORGANIZATIONS = ("acme", "bolt", "crux", "dusk", "echo", "flux")
MONTHS = (JUNE, JULY)
SECRET = "whsec_of_the_machine"
GUARD_PERCENT = 50

# Items of an invoice, in dollars, and its lines in Stripe, in cents.
BILLS: Mapping[str, tuple[tuple[str, ...], tuple[int, ...]]] = {
    "one line": (("12.00",), (1200,)),
    "three lines": (("33.45", "10.00", "0.05"), (3345, 1000, 5)),
    "a charge and a credit": (("20.00", "-5.00"), (2000, -500)),
    "below Stripe's least charge": (("0.30",), (30,)),
    "a credit": (("-7.50",), (-750,)),
    "nothing": ((), ()),
    "what evens out": (("4.00", "-4.00"), (400, -400)),
    "two batches": (("1.00",) * 101, (100,) * 101),
    # Stripe gets 247 of them, and one line over the other 13.
    "more than Stripe takes": (("1.00",) * 260, (*(100,) * 247, 1300)),
}

MUTATIONS = ("customers.create", "invoices.create", "invoices.add_lines", "invoices.finalize")
ENDPOINTS = (
    *MUTATIONS,
    "*",
    "invoices.*",
    "invoices.retrieve",
    "invoices.list",
    "invoices.list_lines",
    "invoices.delete",
    "invoices.void",
    "customers.list",
    "customers.retrieve",
    "events.list",
)
EFFECTS: Mapping[str, Mapping[str, Any]] = {
    "drop_before_apply": {},
    "apply_then_drop": {},
    "applied_500": {},
    "stored_500": {},
    "conflict_409": {},
    "rate_limited": {},
    "lock_timeout": {},
    "lock_timeout, stored": {"stored": True},
    "error, 400": {"status": 400, "type": "invalid_request_error", "message": "No."},
    "error, 400 stored": {"status": 400, "type": "invalid_request_error", "message": "No.", "stored": True},
    "error, 500": {"status": 500},
    "error, 401": {"status": 401, "type": "invalid_request_error", "message": "Invalid API Key provided."},
}
STRIKES: Mapping[str, Mapping[str, Any]] = {
    "the first": {"nth": 1},
    "the second": {"nth": 2},
    "the third": {"nth": 3},
    "the first three": {"first": 3},
    "the first six": {"first": 6},
    "one in three": {"probability": 0.33},
    "every": {},
}

# A moment of a process: a sync of one invoice without a fault has about fifty of them.
MOMENTS = st.integers(1, 120)
NTH = st.integers(0, 9)
WORKERS = st.integers(1, 2)
ITEMS = st.sampled_from(sorted(BILLS))
CHANGE = st.sampled_from(sorted(CHANGES))
ENDPOINT = st.sampled_from(ENDPOINTS)
EFFECT = st.sampled_from(sorted(EFFECTS))
STRIKE = st.sampled_from(sorted(STRIKES))
# Stripe keeps events for 30 days: older ones are correctly lost.
MOST_HOURS = 24 * 20
# Seconds for which a hanging request hangs, and the timeout for it.
HANGING, PATIENCE = 0.25, 0.1

_numbers = itertools.count()


def make_template(postgres: PostgresServer, name: str, folder: Path) -> None:
    """Make a database with closed months of all organizations and no final invoice."""
    create_database(postgres, name, template="billing_template")
    database = BillingDatabase(postgres.url(name))
    for organization in ORGANIZATIONS:
        add_organization(database, organization)
    for month in MONTHS:
        close_month(database, folder, month, finalize=False)
    database.engine.dispose()


class SyncMachine(RuleBasedStateMachine):
    """One platform and its Stripe. `journal` and `http` can be replaced by broken ones."""

    journal: type[StripeJournal] = StripeJournal
    http: type[WatchedHttp] = WatchedHttp

    def __init__(self, postgres: PostgresServer, sandbox: SandboxServer, template: str) -> None:
        super().__init__()
        self._postgres = postgres
        self._name = f"{template}_{os.getpid()}_{next(_numbers)}"
        create_database(postgres, self._name, template=template)
        self._url = postgres.url(self._name)
        self._database = BillingDatabase(self._url)
        sandbox.control.reset()
        sandbox.control.settings(new_customers_have_a_card=True)  # the dashboard user pays invoices
        self._sandbox = sandbox
        self._clock = MovableClock(sandbox)
        self._hours = 0
        self._dashboard_user = DashboardUser(sandbox)
        self._audit = Audit(self._database, sandbox, self._dashboard_user)
        self._billed: list[str] = []
        self._backup = f"{self._name}_backup"
        self._has_backup = False
        self._is_hanging = False
        self._is_permitted = False
        # The events of a step from all threads, because Hypothesis accepts notes from its own thread only.
        self._notes: list[str] = []

    # Events -----------------------------------------------------------------------------------------------------

    @initialize(items=ITEMS)
    def first_invoice(self, items: str) -> None:
        self._bill(items)

    @rule(items=ITEMS)
    def finalize_another_invoice(self, items: str) -> None:
        self._bill(items)

    @rule(endpoint=ENDPOINT, effect=EFFECT, strikes=STRIKE)
    def faults_begin(self, endpoint: str, effect: str, strikes: str) -> None:
        self._add_fault(endpoint, effect, strikes)

    @rule(endpoint=st.sampled_from(MUTATIONS), nth=st.integers(1, 3), after_apply=st.booleans())
    def a_request_hangs(self, endpoint: str, nth: int, after_apply: bool) -> None:
        """A request takes longer than our timeout: later requests overlap with it."""
        self._is_hanging = True
        self._sandbox.control.add_fault("slow", endpoint, nth=nth, seconds=HANGING, after_apply=after_apply)

    @rule()
    def faults_end(self) -> None:
        self._let_requests_end()
        self._sandbox.control.clear_faults()
        self._is_hanging = False

    @rule(workers=WORKERS)
    def sync(self, workers: int) -> None:
        self._in_a_process(lambda process: self._sync(process, workers))

    # A sync sends no request for an invoice that is in Stripe, so each rule with a fault adds a new one to sync.

    @rule(items=ITEMS, workers=WORKERS, endpoint=st.sampled_from(MUTATIONS), effect=EFFECT, strikes=STRIKE)
    def sync_during_faults(self, items: str, workers: int, endpoint: str, effect: str, strikes: str) -> None:
        self._bill(items)
        self._add_fault(endpoint, effect, strikes)
        self._in_a_process(lambda process: self._sync(process, workers))

    @rule(items=ITEMS, workers=WORKERS, moment=MOMENTS)
    def sync_and_die(self, items: str, workers: int, moment: int) -> None:
        self._bill(items)
        self._in_a_process(lambda process: self._sync(process, workers), dies_at=moment)

    @rule(items=ITEMS, moment=MOMENTS)
    def sync_beside_another(self, items: str, moment: int) -> None:
        """A second machine syncs from beginning to end at a moment of the first one's sync."""
        self._bill(items)

        def meanwhile() -> None:
            process = self._start()
            self._sync(process, workers=1)
            process.close()

        self._in_a_process(lambda process: self._sync(process, workers=1), at=(moment, meanwhile))

    @rule(items=ITEMS, moment=MOMENTS, change=CHANGE, nth=NTH)
    def sync_with_a_manual_change(self, items: str, moment: int, change: str, nth: int) -> None:
        self._bill(items)
        meanwhile = self._manual_change(change, nth)
        self._in_a_process(lambda process: self._sync(process, workers=1), at=(moment, meanwhile))

    @rule(hours=st.sampled_from((1, 25)))
    def time_passes(self, hours: int) -> None:
        if self._hours + hours <= MOST_HOURS:
            self._let_requests_end()
            self._hours += hours
            self._clock.advance(hours)

    @rule(change=CHANGE, nth=NTH)
    def simulate_a_manual_change(self, change: str, nth: int) -> None:
        self._change_manually(change, nth)
        self._note()

    @rule()
    def forget_deleted_customers(self) -> None:
        """Clear the ids of deleted customers, as the failure `customer_missing` asks."""
        execute(
            self._database,
            "update organizations set stripe_customer_id = null where stripe_customer_id = any (:gone)",
            gone=sorted(self._dashboard_user.deleted_customers),
        )

    @rule(chosen=st.lists(st.integers(0, 30), min_size=1, max_size=5))
    def deliver_events(self, chosen: list[int]) -> None:
        """Webhooks deliver some events late, twice and in any order; the others are lost."""
        events = self._events()
        process = self._start()
        app = build_app(SECRET, make_receiver(process.database, process.tools().reader()))
        for n in chosen if events else []:
            assert _post(app, events[n % len(events)]) == 200
        process.close()

    @rule()
    def poll(self) -> None:
        self._in_a_process(self._poll)

    @rule(moment=MOMENTS)
    def poll_and_die(self, moment: int) -> None:
        self._in_a_process(self._poll, dies_at=moment)

    @rule()
    def compare(self) -> None:
        """A reconciliation changes nothing."""
        before = self._audit.look()
        try:
            self._discrepancies()
        except ReadingFailed as problem:
            self._notes.append(f"not read: {problem}")
        self._note()
        assert self._is_hanging or self._audit.look() == before

    @rule(is_permitted=st.booleans())
    def repair(self, is_permitted: bool) -> None:
        self._in_a_process(lambda process: self._repair(process, is_permitted))

    @rule(is_permitted=st.booleans(), moment=MOMENTS)
    def repair_and_die(self, is_permitted: bool, moment: int) -> None:
        self._in_a_process(lambda process: self._repair(process, is_permitted), dies_at=moment)

    @rule(is_permitted=st.booleans(), moment=MOMENTS, change=CHANGE, nth=NTH)
    def repair_with_a_manual_change(self, is_permitted: bool, moment: int, change: str, nth: int) -> None:
        meanwhile = self._manual_change(change, nth)
        self._in_a_process(lambda process: self._repair(process, is_permitted), at=(moment, meanwhile))

    @rule()
    def a_backup_is_made(self) -> None:
        """Copy our whole database."""
        self._database.engine.dispose()
        drop_database(self._postgres, self._backup)
        create_database(self._postgres, self._backup, template=self._name)
        self._has_backup = True

    @rule()
    def the_backup_is_restored(self) -> None:
        """Our database returns to its earlier state, Stripe does not. Later invoices are billed again."""
        if not self._has_backup:
            return
        self._let_requests_end()
        self._audit.forget_the_journal()
        self._database.engine.dispose()
        drop_database(self._postgres, self._name)
        create_database(self._postgres, self._name, template=self._backup)
        for n, items in enumerate(self._billed):
            self._finalize(n, items)

    @rule()
    def approve(self) -> None:
        for month in MONTHS:
            for result in guard_results(self._database, month, GUARD_PERCENT):
                approve_totals(self._database, [month], {result.currency: result.total_cents}, "a human", self._clock())

    # Invariants -------------------------------------------------------------------------------------------------

    @invariant()
    def run_audit(self) -> None:
        self._audit.check(is_permitted=self._is_permitted)
        self._is_permitted = False

    def teardown(self) -> None:
        """After a run without an error, resolve everything and check it."""
        try:
            if sys.exc_info()[0] is None:
                self.resolve_everything()
        finally:
            self.drop()

    def statuses_in_stripe(self) -> list[str]:
        """List the statuses of all invoices in Stripe, oldest first."""
        return [invoice["status"] for invoice in self._sandbox.control.invoices()]

    def drop(self) -> None:
        """Drop the databases."""
        self._database.engine.dispose()
        for name in (self._name, self._backup):
            drop_database(self._postgres, name)

    def resolve_everything(self) -> None:
        """People do what only they can; then syncs, polls and confirmed repairs resolve everything else."""
        self.faults_end()
        self._dashboard_user.write_metadata_back()
        self.forget_deleted_customers()
        self._clock.advance(25)
        left: list[Discrepancy] = []
        for _ in range(6):
            self.approve()
            self.sync(workers=1)
            self.poll()
            self.repair(is_permitted=True)
            self.run_audit()
            before, left = left, self._discrepancies()
            if not left or left == before:
                break
        self.poll()
        seen = self._audit.check()
        matters_for_people = {self._why_left(discrepancy, seen) for discrepancy in left}
        for invoice_id, billed in self._audit.billed.items():
            if invoice_id not in matters_for_people:
                self._check_billed_once(invoice_id, billed, seen)

    def _why_left(self, discrepancy: Discrepancy, seen: Seen) -> str:
        """Return the invoice that only people can settle, because money moved that no program returns.

        - `duplicate`: other invoices were created manually, and were paid or written off, so they can't be voided
        - `differing`, `edited`: a wrong draft was finalized manually, or edited while we finalized it, and
          it was paid or written off since
        - `orphaned`: ours was voided manually, and another one that was created manually still exists
        """
        changes = self._dashboard_user.changes[discrepancy.invoice_id]
        theirs = {copy.stripe_id: copy.status for copy in discrepancy.theirs}
        manual = FINALIZING & changes or theirs.keys() & self._audit.edited_meanwhile
        assert manual, f"left over without a manual change: {discrepancy}"
        if discrepancy.kind == "orphaned":
            assert seen.journal[discrepancy.invoice_id]["status"] == "void", f"left over: {discrepancy}"
        else:
            assert discrepancy.kind in ("duplicate", "differing", "edited"), f"left over: {discrepancy}"
            assert {"paid", "uncollectible"} & set(theirs.values()), f"left over: {discrepancy}"
        return discrepancy.invoice_id

    def _check_billed_once(self, invoice_id: str, billed: Bill, seen: Seen) -> None:
        living = self._audit.living(invoice_id, seen)
        row = seen.journal[invoice_id]
        is_owed = billed.total != 0 and row["status"] != "void"
        context = f"{invoice_id}, {billed.organization} {billed.month}: {row}, {living}"
        assert len(living) == is_owed, context
        assert row["state"] == ("finalized" if billed.total else "skipped_zero"), context
        for invoice in living:
            assert invoice["id"] == row["stripe_invoice_id"], context
            assert sorted(line["amount"] for line in invoice["lines"]) == sorted(billed.lines), context
            assert row["status"] == {"open": "finalized"}.get(invoice["status"], invoice["status"]), context

    # Steps ------------------------------------------------------------------------------------------------------

    def _bill(self, items: str) -> None:
        """Finalize the next invoice, if one is left: two months of each organization, one after the other."""
        if len(self._billed) < len(ORGANIZATIONS) * len(MONTHS):
            self._billed.append(items)
            self._finalize(len(self._billed) - 1, items)

    def _finalize(self, n: int, items: str) -> None:
        organization, month = list(itertools.product(ORGANIZATIONS, MONTHS))[n]
        amounts, lines = BILLS[items]
        closed = month.closes_at(TERMS.grace) + timedelta(days=1)
        if organization in bill(self._database, month, [organization], TERMS, closed, finalize=False).already_final:
            return
        if amounts:
            charge(self._database, organization, *amounts, month=month)
        (invoice,) = bill(self._database, month, [organization], TERMS, closed).invoices
        self._audit.billed[str(invoice.id)] = Bill(organization, str(month), lines)

    def _start(self) -> WatchedProcess:
        patience = PATIENCE if self._is_hanging else 25
        return WatchedProcess(
            self._url, self._sandbox.url, self._clock, patience=patience, journal=self.journal, http=self.http
        )

    def _add_fault(self, endpoint: str, effect: str, strikes: str) -> None:
        name = effect.partition(",")[0]
        self._sandbox.control.add_fault(name, endpoint, **EFFECTS[effect], **STRIKES[strikes], seed=7)

    def _in_a_process(
        self,
        work: Callable[[WatchedProcess], None],
        *,
        dies_at: int | None = None,
        at: tuple[int, Callable[[], None]] | None = None,
    ) -> None:
        process = self._start()
        if dies_at is not None:
            process.moments.plan_death(dies_at)
        if at is not None:
            process.moments.plan(*at)
        try:
            work(process)
        except Crash:
            self._notes.append("it died")
        finally:
            process.close()
            self._note()

    def _sync(self, process: WatchedProcess, workers: int) -> None:
        for month in MONTHS:
            report = sync_month(process.tools(workers), month, groups_of(self._database))
            codes = [failure.failure.code for failure in report.failures]
            self._notes.append(f"{month}: {report.states}, {codes}, {len(report.not_tried)} not tried")

    def _repair(self, process: WatchedProcess, is_permitted: bool) -> None:
        self._is_permitted = self._is_permitted or is_permitted
        for month in MONTHS:
            try:
                done = self._repair_month(process, month, is_permitted)
            except (ReadingFailed, UnusualTotals) as problem:
                self._notes.append(f"{month}: not repaired: {problem}")
            else:
                outcomes = [f"{repair.action.verb}: {repair.outcome} {repair.detail}" for repair in done]
                self._notes.append(f"{month}: {outcomes}")

    def _repair_month(self, process: WatchedProcess, month: BillingMonth, is_permitted: bool) -> list[Repaired]:
        tools, groups = process.tools(), groups_of(self._database)
        _, actions = plan_of_repair(tools, month, groups, all_lines=True)
        return carry_out(tools, month, actions, lambda action: self._may(action, is_permitted), GUARD_PERCENT)

    def _may(self, action: Action, is_permitted: bool) -> bool:
        self._notes.append(f"{'yes' if is_permitted else 'no'} to: {action.sentence}")
        return is_permitted

    def _poll(self, process: WatchedProcess) -> None:
        now, tools = self._clock(), process.tools()
        try:
            found = poll_events(process.database, tools.reader(), now - KEPT, now)
            self._notes.append(f"{found.outcomes}")
        except ReadingFailed as problem:
            self._notes.append(f"not read: {problem}")
        settle_waiting_events(process.database)

    def _note(self) -> None:
        for event in self._notes if currently_in_test_context() else []:
            note(event)
        self._notes.clear()

    def _change_manually(self, change: str, nth: int) -> str:
        stripe_id, ended = self._dashboard_user.do(change, nth)
        self._notes.append(f"{change}, {stripe_id}: {ended}")
        return stripe_id

    def _manual_change(self, change: str, nth: int) -> Callable[[], None]:
        """Return a function that makes the change while a sync may be working on the same invoice."""
        return lambda: self._audit.edited_meanwhile.add(self._change_manually(change, nth))

    def _let_requests_end(self) -> None:
        """Wait until hanging requests are applied, before time passes or faults end."""
        if self._is_hanging:
            time.sleep(HANGING)

    def _events(self) -> list[str]:
        """Return all events, oldest first, from the store, which has no faults."""
        with closing(sqlite3.connect(self._sandbox.store_path)) as store:
            return [body for (body,) in store.execute("select body from events order by seq")]

    def _discrepancies(self) -> list[Discrepancy]:
        process = self._start()
        try:
            return [discrepancy for month in MONTHS for discrepancy in reconcile(process.tools(), month).discrepancies]
        finally:
            process.close()


def _post(app: Any, body: str) -> int:
    """Deliver a signed event to the webhook service; return the status of its response."""
    signed = stripe.WebhookSignature.generate_signature_header(body, SECRET)
    scope = {
        "type": "http", "method": "POST", "path": PATH, "query_string": b"",
        "headers": [(b"stripe-signature", signed.encode())],
    }  # fmt: skip
    answers: list[int] = []

    async def receive() -> Mapping[str, Any]:
        return {"type": "http.request", "body": body.encode(), "more_body": False}

    async def send(message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            answers.append(message["status"])

    asyncio.run(app(scope, receive, send))
    return answers[0]
