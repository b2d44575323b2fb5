"""Reads Stripe: single invoices for the sync, a whole month for the reconciliation. Changes nothing.

Stripe's lists have no metadata filter and its search lags, so lists are read and matched here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from math import inf
from typing import Any

from stripe import StripeClient

from fly_billing.errors import ActionableError
from fly_billing.stripe_sync.client import APPLIED, StripeResponse
from fly_billing.stripe_sync.rules.money_objects import CREDIT_NOTE, DISPUTE, REFUND
from fly_billing.stripe_sync.sender import StripeSender

PAGE = 100
# Stripe's codes for a customer that was deleted or never existed.
MISSING = ("resource_missing", "customer_missing")

Body = Mapping[str, Any]


class ReadingFailed(ActionableError):
    """Stripe could not be read; nothing was changed."""

    def __init__(self, answer: StripeResponse) -> None:
        super().__init__(f"{answer.code}: {answer.message} (reading Stripe; nothing was changed there)")
        self.answer = answer


class StripeReader:
    """Reads, each with the sender's retries. Raises ReadingFailed if Stripe answers none of them."""

    def __init__(self, client: StripeClient, sender: StripeSender) -> None:
        self._client = client
        self._sender = sender

    def invoice(self, stripe_id: str) -> Body | None:
        """Return the invoice, or None if it does not exist or was deleted."""
        try:
            body = self._read("retrieve", lambda: self._client.v1.invoices.retrieve(stripe_id))
        except ReadingFailed as failed:
            if failed.answer.code == "resource_missing":
                return None
            raise
        return None if body.get("deleted") else body

    def invoices_of(self, customer: str, invoice_id: str) -> list[Body]:
        """List the customer's invoices that are marked as this one, without voided ones."""
        found = self._pages("list", lambda after: self._client.v1.invoices.list({"customer": customer, **after}))  # type: ignore[arg-type]
        return [body for body in found if our_invoice(body) == invoice_id and body["status"] != "void"]

    def customer_of(self, organization_id: str, since: datetime) -> str | None:
        """Return the customer created for the organization since then; the oldest if there are several."""
        found = [customer for name, customer in self.customers_since(since) if name == organization_id]
        return found[-1] if found else None

    def customers_since(self, since: datetime) -> Iterator[tuple[str, str]]:
        """Yield (organization, customer) of ours that were created since then, newest first."""
        # A minute earlier: clocks differ.
        created = {"created": {"gte": int(since.timestamp()) - 60}}
        for body in self._pages("list_customers", lambda after: self._client.v1.customers.list({**created, **after})):  # type: ignore[arg-type]
            organization = (body.get("metadata") or {}).get("organization")
            if organization:
                yield organization, body["id"]

    def has_customer(self, customer: str) -> bool:
        """Return True if the customer exists and is not deleted."""
        try:
            body = self._read("retrieve_customer", lambda: self._client.v1.customers.retrieve(customer))
        except ReadingFailed as failed:
            if failed.answer.code in MISSING:
                return False
            raise
        return not body.get("deleted")

    def is_deleted(self, customer: str) -> bool:
        """Return True if Stripe says that the customer was deleted. One of another account is unknown, not deleted."""
        try:
            return bool(
                self._read("retrieve_customer", lambda: self._client.v1.customers.retrieve(customer)).get("deleted")
            )
        except ReadingFailed as failed:
            if failed.answer.code in MISSING:
                return False
            raise

    def tax_ids(self, customer: str) -> list[Body]:
        """List the customer's tax ids."""
        tax_ids = self._client.v1.customers.tax_ids
        return list(self._pages("list_tax_ids", lambda after: tax_ids.list(customer, after)))  # type: ignore[arg-type]

    def lines(self, body: Body) -> list[tuple[str, int]]:
        """Return all lines of an invoice as (our item id, cents), in order."""
        return [
            ((line.get("metadata") or {}).get("fly_billing_item", ""), line["amount"]) for line in self.all_lines(body)
        ]

    def all_lines(self, body: Body) -> Sequence[Body]:
        """Return all lines of an invoice, in order; only long invoices need another read."""
        lines = body["lines"]
        if not lines["has_more"]:
            found: Sequence[Body] = lines["data"]
            return found
        stripe_id = body["id"]
        return list(self._pages("lines", lambda after: self._client.v1.invoices.line_items.list(stripe_id, after)))  # type: ignore[arg-type]

    def invoices_since(self, since: datetime, until: datetime | None = None) -> Iterator[Body]:
        """Yield every invoice created in `[since, until)`, newest first: one read per 100 invoices."""
        before = {} if until is None else {"lt": int(until.timestamp())}
        created = {"created": {"gte": int(since.timestamp()), **before}}
        return self._pages("list", lambda after: self._client.v1.invoices.list({**created, **after}))  # type: ignore[arg-type]

    def open_invoices(self) -> Iterator[Body]:
        """Yield every invoice that asks for a payment, of any age, newest first: one read per 100."""
        return self._pages("list", lambda after: self._client.v1.invoices.list({"status": "open", **after}))  # type: ignore[arg-type]

    def credit_notes_of(self, stripe_id: str) -> list[Body]:
        """List the credit notes of an invoice, newest first, voided ones included."""
        notes = self._service_of(CREDIT_NOTE)
        return list(self._pages("list_credit_note", lambda after: notes.list({"invoice": stripe_id, **after})))

    def customers(self) -> Iterator[Body]:
        """Yield all customers with their balances in each currency, newest first: one read per 100."""
        wanted: dict[str, Any] = {"expand": ["data.invoice_credit_balance"]}
        return self._pages("list_customers", lambda after: self._client.v1.customers.list({**wanted, **after}))  # type: ignore[arg-type]

    def event_pages(self, created: Mapping[str, int], types: Sequence[str]) -> Iterator[Body]:
        """Yield pages of at most 100 events of these types made in that time, newest first; `has_more` is Stripe's."""
        wanted = {"types": list(types), "created": dict(created)}
        return self._pages_of("list_events", lambda after: self._client.v1.events.list({**wanted, **after}))  # type: ignore[arg-type]

    def money_object(self, kind: str, stripe_id: str) -> Body | None:
        """Return the credit note, refund or dispute (`money_objects.KINDS`), or None if it does not exist."""
        try:
            return self._read(f"retrieve_{kind}", lambda: self._service_of(kind).retrieve(stripe_id))
        except ReadingFailed as failed:
            if failed.answer.code == "resource_missing":
                return None
            raise

    def money_objects_since(self, kind: str, since: datetime) -> Iterator[Body]:
        """Yield the credit notes, refunds or disputes created since then, newest first: one read per 100.

        The payments of refunds and disputes are expanded, because only these name the customer.
        """
        wanted: dict[str, Any] = {"created": {"gte": int(since.timestamp())}}
        if kind != CREDIT_NOTE:
            wanted["expand"] = ["data.payment_intent"]
        return self._pages(f"list_{kind}", lambda after: self._service_of(kind).list({**wanted, **after}))

    def _service_of(self, kind: str) -> Any:
        v1 = self._client.v1
        return {CREDIT_NOTE: v1.credit_notes, REFUND: v1.refunds, DISPUTE: v1.disputes}[kind]

    def balance_transactions(self, customer: str) -> Iterator[Body]:
        """Yield the changes of the customer's balance, newest first; none if Stripe does not have the customer."""
        transactions = self._client.v1.customers.balance_transactions
        try:
            yield from self._pages("list_balance_transactions", lambda after: transactions.list(customer, after))  # type: ignore[arg-type]
        except ReadingFailed as failed:
            if failed.answer.code not in MISSING:
                raise

    def invoice_of_payment(self, payment_intent: str) -> str | None:
        """Return the id of the Stripe invoice that a payment paid, or None."""
        wanted: Any = {"payment": {"type": "payment_intent", "payment_intent": payment_intent}, "limit": 1}
        found = self._read("list_invoice_payments", lambda: self._client.v1.invoice_payments.list(wanted))
        return next((payment["invoice"] for payment in found["data"]), None)

    def last_payment(self, stripe_id: str) -> Body | None:
        """Return the last payment of an invoice with its payment intent, or None."""
        wanted: Any = {"invoice": stripe_id, "limit": 1, "expand": ["data.payment.payment_intent"]}
        found = self._read("list_invoice_payments", lambda: self._client.v1.invoice_payments.list(wanted))
        return next(iter(found["data"]), None)

    def _pages(self, endpoint: str, call: Callable[[dict[str, Any]], Any]) -> Iterator[Body]:
        for page in self._pages_of(endpoint, call):
            yield from page["data"]

    def _pages_of(self, endpoint: str, call: Callable[[dict[str, Any]], Any]) -> Iterator[Body]:
        after: dict[str, Any] = {"limit": PAGE}
        while True:
            page = self._read(endpoint, lambda: call(after))  # noqa: B023 - called before `after` changes
            yield page
            if not page["has_more"]:
                return
            after = {"limit": PAGE, "starting_after": page["data"][-1]["id"]}

    def _read(self, endpoint: str, call: Callable[[], Any]) -> Body:
        response = self._sender.read(endpoint, call)
        if response.outcome != APPLIED:
            raise ReadingFailed(response)
        return response.body


def our_invoice(body: Body) -> str | None:
    """Return our invoice id from the metadata of a Stripe invoice."""
    found: str | None = (body.get("metadata") or {}).get("fly_billing_invoice")
    return found


def key_generation(body: Body) -> float:
    """Return the generation of keys that an invoice was created under; infinite if that metadata was removed."""
    generation = (body.get("metadata") or {}).get("generation", "")
    return int(generation) if generation.isdecimal() else inf
