"""Brings one finalized invoice to Stripe: create -> add_lines -> verify -> finalize, exactly once.

An unknown outcome is settled by sending the same key again while Stripe remembers it, and after that by reading Stripe.
Not here: building requests (`stripe_sync.rules.requests`), sending them (`sender`), the meaning of errors (`client`,
`stripe_sync.rules.sync_failures`), many invoices (`month_sync`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from stripe import StripeClient

from fly_billing.invoicing.rules.chargeable_amounts import charging_problem, from_stripe, to_stripe
from fly_billing.stripe_sync.client import APPLIED, UNKNOWN, StripeResponse
from fly_billing.stripe_sync.existing_objects import NOTHING, ExistingObjects
from fly_billing.stripe_sync.journal import InvoiceAttempts, JournalEntry, StripeJournal
from fly_billing.stripe_sync.rate_limiter import RateLimiter
from fly_billing.stripe_sync.reader import ReadingFailed, StripeReader, key_generation
from fly_billing.stripe_sync.rules.customer_details import changed_params, customer_params, same_tax_id
from fly_billing.stripe_sync.rules.idempotency_keys import idempotency_key, is_safe_to_send, request_hash
from fly_billing.stripe_sync.rules.invoice_amounts import AskedAmounts, read_asked_amounts
from fly_billing.stripe_sync.rules.line_taxes import tax_amounts, tax_amounts_at_stripe
from fly_billing.stripe_sync.rules.money_objects import UnreadableMoney
from fly_billing.stripe_sync.rules.requests import (
    FinalizedInvoice,
    StripeRequest,
    add_lines_requests,
    add_tax_id_request,
    create_customer_request,
    create_request,
    discard_request,
    finalize_request,
    folded_lines,
    limit_problem,
    remove_tax_id_request,
    update_customer_request,
)
from fly_billing.stripe_sync.rules.retries import RetryPolicy
from fly_billing.stripe_sync.rules.sync_failures import stripe_failure
from fly_billing.stripe_sync.sender import StripeSender

# Somebody deleted or finalized the draft in the dashboard, so its current state must be read.
DRAFT_GONE = frozenset({"resource_missing", "invoice_not_editable"})

# The number of times one run makes a draft or a customer under new keys before somebody has to look at it.
NEW_STARTS = 3


class StepFailed(Exception):
    """A step failed and this run can't fix it. `state` is the state to record in the journal.

    `detail` is the problem of this invoice, for operators.
    """

    def __init__(
        self, state: str, step: str, code: str, answer: StripeResponse | None = None, detail: str = ""
    ) -> None:
        self.state = state
        self.step = step
        said = answer or StripeResponse(outcome="")
        self.failure = stripe_failure(code, said.message, said.request_id, said.log_url, detail)
        super().__init__(f"{step}: {self.failure.operator_text}")


class MustRead(Exception):
    """Sending is not safe before Stripe was read. `answer` is the response that caused this, if there is one."""

    def __init__(self, step: str, answer: StripeResponse | None = None) -> None:
        self.step = step
        self.answer = answer
        super().__init__(step)

    def as_failure(self) -> StepFailed:
        """Return the failure to report if reading did not help: Stripe's last response, or that the draft differs."""
        if self.answer is None:
            return StepFailed("needs_attention", "verify", "verify_mismatch")
        return StepFailed("failed", self.step, self.answer.code or "server_error", self.answer)


@dataclass(frozen=True)
class SyncRules:
    """Settings of a sync.

    Attributes:
        workers: The number of invoices synced at the same time.
        collect: Stripe charges the customer's default payment method once the invoice is finalized.
        retries: The tries of each request, and the pauses in between.
    """

    workers: int = 40
    collect: bool = True
    retries: RetryPolicy = field(default_factory=RetryPolicy)


@dataclass(frozen=True)
class SyncTools:
    """The journal, client, rate limiter and clock that a sync uses."""

    journal: StripeJournal
    client: StripeClient
    limiter: RateLimiter
    clock: Callable[[], datetime]
    rules: SyncRules = SyncRules()
    sleep: Callable[[float], None] = time.sleep
    livemode: bool = False

    def sender(self) -> StripeSender:
        return StripeSender(self.limiter, self.rules.retries, self.sleep, self.livemode)

    def reader(self) -> StripeReader:
        return StripeReader(self.client, self.sender())


class InvoiceSync:
    """Syncs one invoice. All its state is in the journal, so another process can continue at any time."""

    def __init__(self, tools: SyncTools, invoice: FinalizedInvoice, before: ExistingObjects = NOTHING) -> None:
        self._tools = tools
        self._journal = tools.journal
        self._invoices = tools.client.v1.invoices
        self._sender = tools.sender()
        self._reader = tools.reader()
        self._invoice = invoice
        self._before = before
        self._entry = JournalEntry("pending", 0, None)
        self._customer = ""

    def run(self) -> str:
        """Sync the invoice as far as possible and return its final state. Raises StepFailed."""
        self._entry = self._journal.open(self._invoice.id, self._tools.clock())
        if self._entry.state in ("finalized", "skipped_zero"):
            return self._entry.state  # another run was quicker
        if self._entry.status != "finalized":
            return "not_to_be_sent"  # it was voided since this run read it
        if self._invoice.is_unreadable:
            raise StepFailed("needs_attention", "create", "unreadable_invoice")
        if self._invoice.total_cents == 0:
            return self._move("skipped_zero")
        if code := charging_problem(self._invoice.total_cents, self._invoice.currency):
            raise StepFailed("needs_attention", "create", code)
        if problem := limit_problem(self._invoice):
            raise StepFailed("needs_attention", "create", "over_stripe_limit", detail=problem)
        try:
            found = self._found_before()
            self._customer = self._journal.customer_of(self._invoice.organization_id) or self._find_customer(found)
            if found:
                self._settle(found)
            if self._entry.state != "finalized":
                self._update_customer()
            self._resume()
            return self._go_on()
        except ReadingFailed as failed:
            raise StepFailed("unknown", "verify", failed.answer.code or "server_error", failed.answer) from failed

    def _found_before(self) -> Sequence[Mapping[str, Any]]:
        """Return the Stripe invoices of this invoice that our journal does not know; they are not created again.

        Raises StepFailed if that is not known, or if somebody voided the invoice in Stripe.
        """
        found = self._before.invoices.get(str(self._invoice.id), ())
        is_unread = self._invoice.id in self._before.unread
        if not (found or is_unread) or not self._journal.not_created([self._invoice.id]):
            return ()  # nothing, or another process sent it since we looked
        if is_unread:
            answer = self._before.answer
            raise StepFailed("failed", "create", (answer and answer.code) or "server_error", answer)
        living = [body for body in found if body["status"] != "void"]
        # A repair voids invoices of earlier generations before it creates a new one.
        if not living and any(key_generation(body) >= self._entry.generation for body in found):
            raise StepFailed("needs_attention", "create", "voided_in_stripe")
        return living

    def _resume(self) -> None:
        """Return to the last certain state. A verified draft is verified again: it may have been edited since."""
        if self._entry.state in ("failed", "unknown", "needs_attention"):
            if self._entry.stripe_invoice_id is None:
                self._move("pending")
            elif (self._entry.state, self._entry.step) == ("unknown", "add_lines"):
                self._move("drafted")  # the lines may still arrive: only the same key shows that, a read does not
            else:
                self._settle_by_reading()
        elif self._entry.state == "verified":
            self._move("filled")

    def _go_on(self) -> str:
        for start in range(1, NEW_STARTS + 1):
            try:
                return self._advance()
            except MustRead as reason:
                self._settle_by_reading()
                if self._entry.state != "finalized" and start == NEW_STARTS:
                    raise reason.as_failure() from reason
        return self._entry.state

    def _advance(self) -> str:
        filled: Mapping[str, Any] | None = None
        if self._entry.state == "pending":
            made = self._perform(create_request(self._invoice, self._customer, self._entry.generation), self._create)
            self._move("drafted", stripe_invoice_id=made.body["id"])
        if self._entry.state == "drafted":
            answers = [self._perform(request, self._add_lines) for request in add_lines_requests(self._invoice)]
            # A replay shows the draft as it was when it was filled; it may have been edited since.
            filled = None if any(answer.was_replayed for answer in answers) else answers[-1].body
            self._move("filled")
        if self._entry.state == "filled":
            self._verify(filled)
            self._move("verified")
        if self._entry.state == "verified":
            answer = self._perform(finalize_request(self._tools.rules.collect), self._finalize)
            # A replay shows the invoice as it was when it was finalized; it may have been paid since.
            now = self._reader.invoice(self._draft) if answer.was_replayed else None
            self._finish(now or answer.body)
        return self._entry.state

    # The mutations, as the client makes them. `StripeSender` journals, paces and retries them.

    def _create(self, request: StripeRequest, key: str) -> Any:
        return self._invoices.create(dict(request.params), {"idempotency_key": key})  # type: ignore[arg-type]

    def _add_lines(self, request: StripeRequest, key: str) -> Any:
        return self._invoices.add_lines(self._draft, dict(request.params), {"idempotency_key": key})  # type: ignore[arg-type]

    def _finalize(self, request: StripeRequest, key: str) -> Any:
        return self._invoices.finalize_invoice(self._draft, dict(request.params), {"idempotency_key": key})  # type: ignore[arg-type]

    def _delete(self, request: StripeRequest, key: str) -> Any:
        return self._invoices.delete(self._draft, {}, {"idempotency_key": key})

    def _create_customer(self, request: StripeRequest, key: str) -> Any:
        return self._tools.client.v1.customers.create(dict(request.params), {"idempotency_key": key})  # type: ignore[arg-type]

    def _change_customer(self, request: StripeRequest, key: str) -> Any:
        service = self._tools.client.v1.customers
        return service.update(self._customer, dict(request.params), {"idempotency_key": key})  # type: ignore[arg-type]

    def _add_tax_id(self, request: StripeRequest, key: str) -> Any:
        tax_ids = self._tools.client.v1.customers.tax_ids
        return tax_ids.create(self._customer, dict(request.params), {"idempotency_key": key})  # type: ignore[arg-type]

    def _remove_tax_id(self, request: StripeRequest, key: str) -> Any:
        tax_ids = self._tools.client.v1.customers.tax_ids
        return tax_ids.delete(self._customer, request.params["id"], {}, {"idempotency_key": key})

    def _find_customer(self, found: Sequence[Mapping[str, Any]]) -> str:
        """Return the organization's customer if Stripe has one that we don't know; create one if not."""
        organization = self._invoice.organization_id
        known = found[0]["customer"] if found else self._before.customers.get(organization)
        if known is None:
            return self._make_customer()
        self._journal.set_customer(organization, known)
        return str(known)

    def _make_customer(self) -> str:
        """Create the organization's customer once. The key names the organization, so all months share it.

        If the customer was deleted in Stripe, or Stripe stored a failure for it, the next generation's key is used.
        """
        organization = self._invoice.organization_id
        request = create_customer_request(organization, self._invoice.organization_name, self._invoice.details)
        generation = 0
        while self._journal.attempts(idempotency_key(request, organization, generation + 1)):
            generation += 1
        failure = StepFailed("needs_attention", request.step, "customer_unknown")
        for key in (idempotency_key(request, organization, generation + n) for n in range(NEW_STARTS)):
            try:
                customer = self._customer_under(key, request)
            except MustRead as reason:
                customer = self._reader.customer_of(organization, self._journal.attempts(key)[0].sent_at)
                failure = reason.as_failure() if reason.answer else failure
            if customer is not None:
                self._journal.set_customer(organization, customer)
                return customer
        raise failure

    def _update_customer(self) -> None:
        """Bring the customer's details at Stripe to those of this invoice, if they differ from what we sent last."""
        if self._invoice.details is None:
            return
        sent = dict(self._journal.sent_details(self._invoice.organization_id))
        if sent.pop("customer", None) != self._customer:
            sent = {}
        wanted = customer_params(self._invoice.details, sent)
        if wanted == sent:
            return
        if params := changed_params(wanted, sent):
            self._repeat(update_customer_request(params), self._change_customer)
        if wanted.get("tax_ids") != sent.get("tax_ids"):
            self._update_tax_ids(wanted.get("tax_ids", ()), sent.get("tax_ids", ()))
        self._note_sent(self._customer, wanted)

    def _update_tax_ids(self, wanted: Sequence[str], sent: Sequence[str]) -> None:
        """Add the tax ids that Stripe lacks, then remove those of ours that are gone. Others stay."""
        there = self._reader.tax_ids(self._customer)
        for text in wanted:
            if not any(same_tax_id(text, body["type"], body["value"]) for body in there):
                self._repeat(add_tax_id_request(text), self._add_tax_id)
        for body in there:
            if any(same_tax_id(text, body["type"], body["value"]) for text in sent if text not in wanted):
                self._repeat(remove_tax_id_request(body["id"]), self._remove_tax_id)

    def _repeat(self, request: StripeRequest, call: Callable[[StripeRequest, str], Any]) -> None:
        """Send a request that may be applied twice: if Stripe stored a failure under its key, under the next key."""
        subject = f"{self._customer}/{self._invoice.id}/{request_hash(request)[:12]}"
        generation = 0
        while self._journal.attempts(idempotency_key(request, subject, generation + 1)):
            generation += 1
        for start in range(1, NEW_STARTS + 1):
            try:
                self._perform(request, call, idempotency_key(request, subject, generation))
            except MustRead as reason:
                generation += 1
                if start == NEW_STARTS or (reason.answer and not reason.answer.was_replayed):
                    raise reason.as_failure() from reason
            else:
                return

    def _customer_under(self, key: str, request: StripeRequest) -> str | None:
        answer = self._perform(request, self._create_customer, key)
        customer = str(answer.body["id"])
        if answer.was_replayed and not self._reader.has_customer(customer):
            return None
        if self._invoice.details and (sent := customer_params(self._invoice.details, {})):
            self._note_sent(customer, sent)
        return customer

    def _note_sent(self, customer: str, sent: Mapping[str, Any]) -> None:
        """Record what a customer has of us. With its id: the organization may get another customer."""
        organization = self._invoice.organization_id
        self._journal.set_sent_details(organization, {**sent, "customer": customer}, self._tools.clock())

    @property
    def _draft(self) -> str:
        assert self._entry.stripe_invoice_id is not None, "a draft has an id"
        return self._entry.stripe_invoice_id

    def _perform(
        self, request: StripeRequest, call: Callable[[StripeRequest, str], Any], key: str | None = None
    ) -> StripeResponse:
        """Send a request until it is applied. Raises StepFailed, or MustRead if sending again would not be safe."""
        key = key or idempotency_key(request, str(self._invoice.id), self._entry.generation)
        if not is_safe_to_send(request, self._journal.attempts(key), self._tools.clock()):
            raise MustRead(request.step)
        log = InvoiceAttempts(self._journal, self._tools.clock, self._invoice.id, self._entry.generation)
        answers = self._sender.send(request, key, lambda key: call(request, key), log)
        last = answers[-1]
        if last.outcome == APPLIED:
            return last
        # A stored error does not say what was applied; only a read does.
        if last.was_replayed or last.code == "idempotency_error" or last.code in DRAFT_GONE:
            raise MustRead(request.step, last)
        state = "unknown" if any(answer.outcome == UNKNOWN for answer in answers) else "failed"
        raise StepFailed(state, request.step, last.code or "server_error", last)

    def _verify(self, body: Mapping[str, Any] | None) -> None:
        """Compare the filled draft with our invoice before the customer is asked to pay.

        After a fresh add_lines, total, currency and line count of its response are enough. Without that response,
        Stripe is read and every line compared.
        """
        found = self._reader.invoice(self._draft) if body is None else body
        is_right = self._equals if body is None else self._adds_up
        if found is None or found["status"] != "draft" or not is_right(found):
            raise MustRead("verify")

    @property
    def _total(self) -> int:
        """The invoice's total in Stripe's unit."""
        return to_stripe(self._invoice.total_cents, self._invoice.currency)

    def _adds_up(self, body: Mapping[str, Any]) -> bool:
        lines = body["lines"]
        count = lines.get("total_count") or (len(self._reader.lines(body)))
        return (
            body["total"] == self._total
            and body["currency"] == self._invoice.currency.lower()
            and body["customer"] == self._customer
            and count == len(folded_lines(self._invoice.lines))
            and self._is_taxed_right(body)
        )

    def _is_taxed_right(self, body: Mapping[str, Any]) -> bool:
        return tax_amounts_at_stripe(body) == tax_amounts(self._invoice.taxes, self._invoice.currency)

    def _equals(self, body: Mapping[str, Any]) -> bool:
        currency = self._invoice.currency
        wanted = [(line.item_id, to_stripe(line.amount_cents, currency)) for line in folded_lines(self._invoice.lines)]
        return self._adds_up(body) and sorted(self._reader.lines(body)) == sorted(wanted)

    def _settle_by_reading(self) -> None:
        """Read what Stripe has of this invoice and update the journal to match."""
        self._settle(self._remote())

    def _settle(self, found: Sequence[Mapping[str, Any]]) -> None:
        final = [body for body in found if body["status"] != "draft"]
        if len(final) > 1:
            raise StepFailed("needs_attention", "verify", "duplicate_in_stripe")
        if final:
            self._finish(final[0])
        elif found:
            self._settle_draft(found[0])
        else:
            self._start_over()

    def _remote(self) -> Sequence[Mapping[str, Any]]:
        """Return the invoice that our journal knows or, if that is gone, all that are marked as this invoice."""
        known = self._entry.stripe_invoice_id
        body = None if known is None else self._reader.invoice(known)
        if body is not None and body["status"] != "void":
            return [body]
        return self._reader.invoices_of(self._customer, str(self._invoice.id))

    def _settle_draft(self, body: Mapping[str, Any]) -> None:
        """Continue a complete or an empty draft under the next generation's keys; delete a half-filled one."""
        self._entry = JournalEntry(self._entry.state, self._entry.generation, body["id"])
        following = self._entry.generation + 1
        if self._equals(body):
            self._move("filled", generation=following)
        elif not body["lines"]["data"]:
            self._move("drafted", generation=following)
        else:
            self._discard()

    def _discard(self) -> None:
        self._move("drafted")  # the journal knows the draft before it goes
        try:
            self._perform(discard_request(), self._delete)
        except MustRead as reason:
            if self._reader.invoice(self._draft) is not None:
                raise StepFailed("unknown", "discard", "server_error", reason.answer) from reason
        self._start_over()

    def _start_over(self) -> None:
        """Create the invoice under the next generation's keys, because Stripe has nothing of it."""
        self._entry = JournalEntry(self._entry.state, self._entry.generation, None)
        self._move("pending", generation=self._entry.generation + 1)

    def _finish(self, body: Mapping[str, Any]) -> None:
        """Record that Stripe has the finalized invoice. Raises StepFailed if its total, currency or taxes differ."""
        self._entry = JournalEntry(self._entry.state, self._entry.generation, body["id"])
        is_equal = body["total"] == self._total and body["currency"] == self._invoice.currency.lower()
        if not (is_equal and self._is_taxed_right(body)):
            raise StepFailed("needs_attention", "finalize", "differs_in_stripe")
        due = body.get("due_date")
        currency = self._invoice.currency
        asked = _asked(body)
        self._move(
            "finalized",
            total=self._invoice.total_cents,
            due=asked.first_due_cents if asked else from_stripe(body["amount_due"], currency)[0],
            balance=from_stripe(body["ending_balance"] or 0, currency)[0],
            hosted_invoice_url=body.get("hosted_invoice_url"),
            invoice_pdf_url=body.get("invoice_pdf"),
            number=body.get("number"),
            due_on=datetime.fromtimestamp(due, UTC).date() if due else None,
            asked=asked,
        )

    def _move(
        self, state: str, *, generation: int | None = None, stripe_invoice_id: str | None = None, **facts: Any
    ) -> str:
        entry = self._entry
        self._entry = JournalEntry(
            state, entry.generation if generation is None else generation, stripe_invoice_id or entry.stripe_invoice_id
        )
        self._journal.move(
            self._invoice.id, state, self._entry.generation, self._tools.clock(),
            stripe_invoice_id=self._entry.stripe_invoice_id, **facts,
        )  # fmt: skip
        return state


def _asked(body: Mapping[str, Any]) -> AskedAmounts | None:
    """Return what Stripe asks for; None if that can't be read. The invoice is there all the same."""
    try:
        return read_asked_amounts(body)
    except UnreadableMoney:
        return None
