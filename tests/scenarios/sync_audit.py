"""The invariants between bills, our journal and Stripe, checked in the sandbox's own store at any moment.

Keeps out: the steps (`sync_machine`), and manual changes (`dashboard_user`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fly_billing.postgres.database import BillingDatabase
from fly_billing.stripe_sandbox import SandboxServer
from tests.scenarios.dashboard_user import FINALIZING, MANUAL, DashboardUser
from tests.support.stripe_builders import query

Json = dict[str, Any]

FINAL = ("open", "paid", "uncollectible")


@dataclass(frozen=True)
class Bill:
    """A finalized invoice: the expected cents of its lines in Stripe. A total of 0 is never sent."""

    organization: str
    month: str
    lines: tuple[int, ...]

    @property
    def total(self) -> int:
        return sum(self.lines)


@dataclass
class Seen:
    """Both sides at one moment. `invoices`: all that Stripe has, `journal`: by the id of our invoice."""

    invoices: list[Json]
    journal: Mapping[str, Mapping[str, Any]]

    def by_id(self) -> Mapping[str, Json]:
        return {invoice["id"]: invoice for invoice in self.invoices}


@dataclass
class Audit:
    """Follows Stripe's call log from step to step, and fails where an invariant is broken."""

    database: BillingDatabase
    sandbox: SandboxServer
    dashboard_user: DashboardUser
    billed: dict[str, Bill] = field(default_factory=dict)
    # Stripe's ids of drafts that were edited while a sync worked on them, which it can't have noticed.
    edited_meanwhile: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._calls_by_key: Counter[str] = Counter()
        self._applied_by_key: Counter[str] = Counter()
        self._discards = 0
        self._finalized_by_us: set[str] = set()
        self._voided_by_us: set[str] = set()
        self._last_attempt = 0
        self._before: Mapping[str, Mapping[str, Any]] = {}

    def look(self) -> Seen:
        journal = query(
            self.database,
            """
            select cast(i.id as text) as id, i.status, s.state, s.stripe_invoice_id, s.stripe_total_cents, s.generation
            from invoices as i left join stripe_invoices as s on s.invoice_id = i.id where i.status <> 'open'
            """,
        )
        return Seen(self.sandbox.control.invoices(), {row["id"]: row for row in journal})

    def check(self, *, is_permitted: bool = False) -> Seen:
        """Assert all invariants. `is_permitted`: a person has confirmed a repair since the last check."""
        voided = len(self._voided_by_us)
        self._read_calls()
        seen = self.look()
        self._check_journaled()
        self._check_each_key_was_applied_once()
        for invoice_id, bill in self.billed.items():
            theirs = [invoice for invoice in seen.invoices if self.dashboard_user.mark_of(invoice) == invoice_id]
            self._check_asked_once(invoice_id, bill, theirs)
            self._check_equal(bill, theirs)
            self._check_journal(bill, seen.journal[invoice_id], seen)
            self._check_status(seen.journal[invoice_id], theirs)
        if not is_permitted:
            assert len(self._voided_by_us) == voided, "an invoice was voided without confirmation"
        self._check_nothing_is_sent_again(is_permitted=is_permitted)
        self._before = seen.journal
        return seen

    def forget_the_journal(self) -> None:
        """Note a restored backup: later requests are no longer in the journal, and their keys may be used again."""
        self._read_calls()
        self._calls_by_key.clear()
        self._applied_by_key.clear()
        self._discards, self._last_attempt, self._before = 0, 0, {}

    def _read_calls(self) -> None:
        """Read the calls to Stripe since the last time."""
        control = self.sandbox.control
        calls = control.calls()
        control.clear_calls()
        for call in calls:
            key, parts = call["idempotency_key"] or "", call["path"].split("/")
            if call["method"] == "GET" or key.startswith(MANUAL) or call["endpoint"] == "customers.delete":
                continue
            if call["method"] == "DELETE":
                self._discards += 1
                continue
            self._calls_by_key[key] += 1
            if call["applied"] and not call["replayed"]:
                self._applied_by_key[key] += 1
                if call["endpoint"] == "invoices.finalize":
                    self._finalized_by_us.add(parts[3])
                if call["endpoint"] == "invoices.void":
                    self._voided_by_us.add(parts[3])

    def _check_journaled(self) -> None:
        """Assert that each of our requests was journaled with its key before it was sent."""
        found = query(
            self.database,
            "select idempotency_key, step from stripe_attempts union all"
            " select idempotency_key, step from stripe_repairs",
        )
        written = Counter(row["idempotency_key"] for row in found)
        for key, count in self._calls_by_key.items():
            assert count <= written[key], f"{count} calls under {key!r}, {written[key]} of them in the journal"
        assert self._discards <= sum(1 for row in found if row["step"] == "discard")

    def _check_each_key_was_applied_once(self) -> None:
        twice = [key for key, count in self._applied_by_key.items() if count > 1]
        assert not twice, f"Stripe did twice what was sent under {twice}"

    def _check_asked_once(self, invoice_id: str, bill: Bill, theirs: list[Json]) -> None:
        """Assert that the customer is asked to pay once, after any manual change, and never to pay zero."""
        living = [invoice["id"] for invoice in theirs if invoice["status"] in FINAL]
        ours = [living_id for living_id in living if living_id in self._finalized_by_us]
        assert len(ours) <= 1, f"{invoice_id} was finalized twice: {ours}"
        manual = FINALIZING & self.dashboard_user.changes[invoice_id]
        assert len(living) <= 1 or manual, f"{invoice_id} is {len(living)} times in Stripe: {living}"
        assert set(living) == set(ours) or manual, f"{living} not finalized by us or manually"
        assert bill.total or not theirs, f"{invoice_id} over $0.00 was sent: {theirs}"

    def _check_equal(self, bill: Bill, theirs: list[Json]) -> None:
        for invoice in theirs:
            if invoice["id"] in self._finalized_by_us - self.edited_meanwhile:
                lines = tuple(line["amount"] for line in invoice["lines"])
                assert (invoice["total"], lines) == (bill.total, bill.lines), (
                    f"{invoice['id']}: {invoice['total']}, {lines}"
                )

    def _check_journal(self, bill: Bill, row: Mapping[str, Any], seen: Seen) -> None:
        """Assert that Stripe has each invoice that our journal records as finalized, and not as a draft."""
        if row["state"] == "skipped_zero":
            assert bill.total == 0
        if row["state"] == "finalized":
            theirs = seen.by_id().get(row["stripe_invoice_id"])
            assert theirs is not None, f"the journal has {row['stripe_invoice_id']}, Stripe has not"
            assert theirs["status"] != "draft", f"the journal says finalized, {theirs['id']} is a draft"
            assert row["stripe_total_cents"] == bill.total

    def _check_status(self, row: Mapping[str, Any], theirs: list[Json]) -> None:
        """Assert that our invoice is paid, written off or void only if the one in our journal is so in Stripe."""
        statuses = {invoice["id"]: invoice["status"] for invoice in theirs}
        changes = self.dashboard_user.changes[row["id"]]
        if row["status"] == "paid":
            assert "paid" in statuses.values()
        if row["status"] == "void":
            assert "void" in changes and "void" in statuses.values()
        if row["status"] == "uncollectible":
            assert "write off" in changes

    def _check_nothing_is_sent_again(self, *, is_permitted: bool) -> None:
        """Assert that an invoice that our journal recorded as finalized is created again only after confirmation."""
        found = query(
            self.database,
            "select id, cast(invoice_id as text) as invoice_id from stripe_attempts"
            " where id > :last and step = 'create'",
            last=self._last_attempt,
        )
        again = {row["invoice_id"] for row in found if self._state_before(row["invoice_id"]) == "finalized"}
        assert is_permitted or not again, f"{again} were created again without confirmation"
        self._last_attempt = max([self._last_attempt, *(row["id"] for row in found)])

    def _state_before(self, invoice_id: str) -> str | None:
        return (self._before.get(invoice_id) or {}).get("state")

    def living(self, invoice_id: str, seen: Seen) -> list[Json]:
        """List our finalized invoices in Stripe, without void ones."""
        return [
            invoice
            for invoice in seen.invoices
            if self.dashboard_user.mark_of(invoice) == invoice_id and invoice["status"] in FINAL
        ]
