"""Reads what happened at Stripe in the last 30 days, and records what neither webhooks nor polling brought.

Events get lost: an endpoint was deleted, nothing ran for a month, Stripe dropped a delivery. So a nightly sweep lists
invoices, credit notes, refunds, disputes and customers' balances, a hundred per read, and records each state that is
not recorded yet. Only new states cost further reads: the invoice that a refund or dispute belongs to, and the changes
of a balance that differs. Not here: the objects (`stripe_sync.rules`), and how each is recorded (`money_inbox`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from fly_billing.foreign_text import visible
from fly_billing.money import counted
from fly_billing.postgres.database import BillingDatabase
from fly_billing.postgres.isolation import is_row_error, reason_of
from fly_billing.stripe_sync.money_inbox import FoundMoney, balance_changes, record_money, with_its_invoice
from fly_billing.stripe_sync.reader import ReadingFailed, StripeReader
from fly_billing.stripe_sync.rules.invoice_amounts import AskedAmounts, read_asked_amounts
from fly_billing.stripe_sync.rules.money_objects import (
    CREDIT_NOTE,
    DISPUTE,
    REFUND,
    MoneyObject,
    balances_of,
    id_of,
    place_of,
    read_money_object,
)

# Stripe keeps events for 30 days, so an older change was seen by the sweep of its day.
SWEPT = timedelta(days=30)
# Objects of a list that are compared with our records at once.
BLOCK = 500
INVOICES, BALANCES = "invoices", "balances"
KINDS_OF_SWEEP = (INVOICES, CREDIT_NOTE, REFUND, DISPUTE, BALANCES)

Body = Mapping[str, Any]


@dataclass
class MoneySweep:
    """The outcome of a sweep.

    Attributes:
        read: The number of objects of our customers that were read, by kind.
        missed: The number of states that were recorded only now, by kind.
        refused: A row per object that could not be read or recorded; all others are.
        unread: Why Stripe could not be read, once it could not. The kinds after that were not swept.
    """

    read: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    refused: list[Mapping[str, Any]] = field(default_factory=list)
    unread: str | None = None

    @property
    def problems(self) -> list[Mapping[str, Any]]:
        """Return a row per refused object, and one if Stripe could not be read."""
        text = f"Stripe could not be read, {self.unread}"
        after = "the next sweep reads it all again, and records nothing twice"
        return [*([{"what": text, "what to do": after}] if self.unread else []), *self.refused]


def can_sweep(database: BillingDatabase) -> bool:
    """Return True if an organization has a customer at Stripe. Before that, there is nothing to read, nor a key."""
    return any(database.values("has_stripe_customers"))


class _Customers:
    """The organizations by their Stripe customer."""

    def __init__(self, database: BillingDatabase) -> None:
        found = database.records(_Customer, "customers_of_organizations")
        self._organizations = {customer.stripe_customer_id: customer.organization_id for customer in found}
        self._customers = {customer.organization_id: customer.stripe_customer_id for customer in found}

    def organization(self, customer: str | None) -> str | None:
        return self._organizations.get(customer or "")

    def of(self, organization_id: str) -> str | None:
        return self._customers.get(organization_id)


@dataclass(frozen=True)
class _Customer:
    """An organization with a customer in Stripe."""

    stripe_customer_id: str
    organization_id: str


def sweep_money(
    database: BillingDatabase,
    reader: StripeReader,
    now: datetime,
    progress: Callable[[str], None] = lambda sentence: None,
) -> MoneySweep:
    """Compare Stripe's objects of the last 30 days with our records, and record the states that are missing.

    Runs of the sweep may overlap, and one that was killed or could not read Stripe is completed by the next. An object
    that can't be read or recorded fails alone.

    Args:
        now: When the sweep begins. A state that an event brings meanwhile is newer, and stays.
        progress: Called with a sentence after each kind of object.
    """
    sweep = _Sweep(database, reader, now)
    for kind in KINDS_OF_SWEEP:
        try:
            sweep.of(kind)
        except ReadingFailed as problem:
            sweep.result.unread = f"{kind.replace('_', ' ')}: {visible(str(problem))}"
            break
        done = sweep.result
        progress(f"{kind.replace('_', ' ')}: {done.read[kind]} compared, {counted(done.missed[kind], 'state')} missed")
    return sweep.result


def read_balances(database: BillingDatabase, reader: StripeReader, organizations: Iterable[str], now: datetime) -> int:
    """Read all changes of these organizations' balances again, and record those that are missing; return their number.

    A sweep reads the changes of a balance only if its sum differs. Raises ReadingFailed.
    """
    recorded = 0
    for organization_id in sorted(set(organizations)):
        for customer in filter(None, database.values("stripe_customer_of", organization_id=organization_id)):
            found = FoundMoney(balance_changes(reader, customer))
            with database.transaction() as connection:
                recorded += record_money(connection, found, "sweep", now)
    return recorded


class _Sweep:
    """One sweep. Each kind is read page by page; new states are recorded, one object per transaction."""

    def __init__(self, database: BillingDatabase, reader: StripeReader, now: datetime) -> None:
        self.result = MoneySweep()
        self._database = database
        self._reader = reader
        self._now = now
        self._since = now - SWEPT
        self._customers = _Customers(database)

    def of(self, kind: str) -> None:
        """Sweep one kind of object. Raises ReadingFailed."""
        if kind == INVOICES:
            self._invoices()
        elif kind == BALANCES:
            self._balances()
        else:
            self._objects(kind)

    def _invoices(self) -> None:
        """Record what Stripe asks for with all open invoices, and with those of the last 30 days."""
        seen: set[str] = set()
        for listed in (self._reader.open_invoices(), self._reader.invoices_since(self._since)):
            for block in _blocks(self._ours(INVOICES, listed)):
                new = {body["id"]: body for body in block if body["id"] not in seen}
                seen |= new.keys()
                self._record_invoices(list(new.values()))

    def _record_invoices(self, bodies: list[Body]) -> None:
        asked = [found for body in bodies if (found := self._try(INVOICES, body, read_asked_amounts))]
        ids = [each.stripe_invoice_id for each in asked]
        known = {
            each.stripe_invoice_id: each for each in self._database.records(_asked, "known_asked_amounts", ids=ids)
        }
        for each in asked:
            if known.get(each.stripe_invoice_id) != replace(each, customer=None):
                self._record(INVOICES, each.customer, each.stripe_invoice_id, partial(FoundMoney, asked=[each]))

    def _objects(self, kind: str) -> None:
        """Record credit notes, refunds or disputes of the last 30 days, and older ones that were not settled yet."""
        pending = set(self._database.values("unsettled_stripe_money", kind=kind))
        for block in _blocks(self._ours(kind, self._reader.money_objects_since(kind, self._since))):
            pending -= {body["id"] for body in block}
            self._record_objects(kind, block)
        for id in sorted(pending):
            body = self._reader.money_object(kind, id)
            if body is not None:
                self.result.read[kind] += 1
                self._record_objects(kind, [body])

    def _record_objects(self, kind: str, bodies: list[Body]) -> None:
        found = [money for body in bodies if (money := self._try(kind, body, read_money_object))]
        ids, customers = [money.id for money in found], {body["id"]: _customer_of(kind, body) for body in bodies}
        known = {state.id: state for state in self._database.records(_State, "known_stripe_money", ids=ids)}
        for money in found:
            if known.get(money.id) != _state(money):
                self._record(kind, customers[money.id], money.id, partial(with_its_invoice, self._reader, money))

    def _balances(self) -> None:
        """Read the changes of each customer's balance that is not the one after the last recorded change."""
        known: dict[str, dict[str, int]] = defaultdict(dict)
        for each in self._database.records(_Balance, "known_balances"):
            if each.balance_cents:
                known[each.organization_id][each.currency] = each.balance_cents
        listed: set[str] = set()
        for body in self._ours(BALANCES, self._reader.customers()):
            now, customer = self._try(BALANCES, body, balances_of), body["id"]
            listed.add(self._customers.organization(customer) or "")
            if now is not None and now != known[self._customers.organization(customer) or ""]:
                self._record(BALANCES, customer, customer, partial(self._changes, customer))

        for organization_id in sorted(known.keys() - listed):
            customer = self._customers.of(organization_id)
            if customer and self._reader.is_deleted(customer):
                self._record(BALANCES, customer, customer, partial(FoundMoney, deleted={customer: self._now}))

    def _changes(self, customer: str) -> FoundMoney:
        """Return the changes of a balance that differs. If it has none, the recorded one was of an earlier customer."""
        changes = balance_changes(self._reader, customer)
        return FoundMoney(changes) if changes else FoundMoney(deleted={customer: self._now})

    def _ours(self, kind: str, bodies: Iterable[Body]) -> Iterator[Body]:
        """Yield the objects of our customers."""
        for body in bodies:
            if self._customers.organization(_customer_of(kind, body)):
                self.result.read[kind] += 1
                yield body

    def _record(self, kind: str, customer: str | None, id: str, find: Callable[[], FoundMoney]) -> None:
        """Find what there is to record, and record it. A refused object is named. Raises ReadingFailed."""
        try:
            found = find()
            with self._database.transaction() as connection:
                self.result.missed[kind] += record_money(connection, found, "sweep", self._now)
        except Exception as problem:
            if not is_row_error(problem):
                raise
            self._refuse(customer, f"{kind} {id}", problem)

    def _try(self, kind: str, body: Body, read: Callable[[Body], Any]) -> Any:
        """Read an object; None if it is none that Stripe would send."""
        try:
            return read(body)
        except (TypeError, ValueError, LookupError) as problem:
            self._refuse(_customer_of(kind, body), place_of(body), problem)
            return None

    def _refuse(self, customer: str | None, what: str, problem: Exception) -> None:
        row = {
            "organization": self._customers.organization(customer) or "",
            "stripe": visible(what),
            "what": visible(reason_of(problem)),
            "what to do": "look at the object in Stripe's dashboard; every night tries it again",
        }
        if row not in self.result.refused:
            self.result.refused.append(row)


def _customer_of(kind: str, body: Body) -> str | None:
    """Return the customer of an object. Refunds and disputes do not name it: their payment does, which is expanded."""
    if kind == BALANCES:
        return id_of(body.get("id"))
    if kind in (REFUND, DISPUTE):
        payment = body.get("payment_intent")
        return id_of(payment.get("customer")) if isinstance(payment, Mapping) else None
    return id_of(body.get("customer"))


def _blocks(bodies: Iterable[Body]) -> Iterator[list[Body]]:
    block: list[Body] = []
    for body in bodies:
        block.append(body)
        if len(block) == BLOCK:
            yield block
            block = []
    if block:
        yield block


@dataclass(frozen=True)
class _State:
    """The recorded state of a credit note, refund or dispute, as far as it can change."""

    id: str
    status: str
    amount_cents: int
    unpaid_cents: int | None
    refunded_cents: int | None
    credited_cents: int | None
    out_of_band_cents: int | None


def _state(money: MoneyObject) -> _State:
    return _State(
        money.id, money.status, money.amount_cents, money.unpaid_cents, money.refunded_cents, money.credited_cents,
        money.out_of_band_cents,
    )  # fmt: skip


@dataclass(frozen=True)
class _Balance:
    """A customer's balance in one currency after the last recorded change."""

    organization_id: str
    currency: str
    balance_cents: int


def _asked(**columns: Any) -> AskedAmounts:
    return AskedAmounts(customer=None, **columns)
