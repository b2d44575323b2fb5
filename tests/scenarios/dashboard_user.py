"""Manual changes in Stripe's dashboard, or by other programs through its API, with a record of the changed invoices.

Keeps out: the reactions of the sync and the repair.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import stripe

from fly_billing.stripe_sandbox import SandboxServer
from fly_billing.stripe_sync.client import make_stripe_client
from tests.support.stripe_builders import API_KEY

Json = dict[str, Any]

# The prefix of the idempotency keys of requests that are not ours.
MANUAL = "manual/"
MARK = "fly_billing_invoice"
# These changes make a finalized invoice that we did not finalize.
FINALIZING = frozenset({"finalize a draft", "let Stripe finalize it", "copy"})


class DashboardUser:
    """A person at the dashboard, who meets the same faults as the sync. A change is made to the nth suitable one."""

    def __init__(self, sandbox: SandboxServer) -> None:
        self._control = sandbox.control
        client = make_stripe_client(API_KEY, sandbox.url)
        self._invoices, self._customers, self._items = client.v1.invoices, client.v1.customers, client.v1.invoice_items
        self._numbers = itertools.count(1)
        self._metadata: dict[str, Mapping[str, str]] = {}
        # The id of an invoice of ours -> the changes made or tried to its invoices in Stripe.
        self.changes: dict[str, set[str]] = defaultdict(set)
        self.deleted_customers: set[str] = set()

    def do(self, change: str, nth: int) -> tuple[str, str]:
        """Make the change; return the invoice's id and the outcome. Without a suitable invoice nothing is changed."""
        statuses, act = CHANGES[change]
        fitting = [
            billed_invoice
            for billed_invoice in self._control.invoices()
            if billed_invoice["status"] in statuses and self.mark_of(billed_invoice)
        ]
        if not fitting:
            return "nothing", "there is none"
        invoice = fitting[nth % len(fitting)]
        self.changes[self.mark_of(invoice) or ""].add(change)
        try:
            act(self, invoice)
        except stripe.StripeError as refused:
            return invoice["id"], f"refused: {type(refused).__name__}"
        return invoice["id"], "done"

    def mark_of(self, invoice: Mapping[str, Any]) -> str | None:
        """Return the id of our invoice in its metadata, or in its metadata from before a change."""
        metadata: Mapping[str, str] = self._metadata.get(invoice["id"], invoice["metadata"])
        return metadata.get(MARK)

    def write_metadata_back(self) -> None:
        """Restore changed metadata, as a reconciliation asks."""
        living = {invoice["id"] for invoice in self._control.invoices()}
        for stripe_id in living & self._metadata.keys():
            self._invoices.update(stripe_id, {"metadata": dict(self._metadata[stripe_id])}, self._key())

    def _key(self) -> Any:
        return {"idempotency_key": f"{MANUAL}{next(self._numbers)}"}

    def edit_line(self, invoice: Json, number: int = 0, change: int = 100) -> None:
        if len(invoice["lines"]) > number:
            line = invoice["lines"][number]
            self._invoices.line_items.update(
                invoice["id"], line["id"], {"amount": line["amount"] + change}, self._key()
            )

    def edit_two_lines(self, invoice: Json) -> None:
        if len(invoice["lines"]) > 1:
            self.edit_line(invoice, 0, 100)
            self.edit_line(invoice, 1, -100)

    def add_line(self, invoice: Json) -> None:
        self._invoices.add_lines(invoice["id"], {"lines": [{"amount": -100, "description": "A present"}]}, self._key())

    def delete_draft(self, invoice: Json) -> None:
        self._control.delete_object(invoice["id"])

    def finalize(self, invoice: Json) -> None:
        self._invoices.finalize_invoice(invoice["id"], {"auto_advance": False}, self._key())

    def auto_advance(self, invoice: Json) -> None:
        self._invoices.update(invoice["id"], {"auto_advance": True}, self._key())

    def void(self, invoice: Json) -> None:
        self._invoices.void_invoice(invoice["id"], {}, self._key())

    def pay(self, invoice: Json) -> None:
        self._invoices.pay(invoice["id"], {}, self._key())

    def fail_payment(self, invoice: Json) -> None:
        self._control.fail_payment(invoice["id"])

    def write_off(self, invoice: Json) -> None:
        self._invoices.mark_uncollectible(invoice["id"], {}, self._key())

    def delete_customer(self, invoice: Json) -> None:
        self.deleted_customers.add(invoice["customer"])
        self._customers.delete(invoice["customer"])

    def add_pending_item(self, invoice: Json) -> None:
        self._items.create({"customer": invoice["customer"], "currency": "usd", "amount": 700}, self._key())

    def remove_mark(self, invoice: Json) -> None:
        self._set_metadata(invoice, {MARK: ""})

    def change_month(self, invoice: Json) -> None:
        self._set_metadata(invoice, {"month": "2020-01"})

    def _set_metadata(self, invoice: Json, change: dict[str, str]) -> None:
        self._metadata.setdefault(invoice["id"], dict(invoice["metadata"]))
        self._invoices.update(invoice["id"], {"metadata": change}, self._key())

    def copy(self, invoice: Json) -> None:
        self._invoices.finalize_invoice(self._copied(invoice), {"auto_advance": False}, self._key())

    def copy_as_draft(self, invoice: Json) -> None:
        self._copied(invoice)

    def _copied(self, invoice: Json) -> str:
        metadata = dict(self._metadata.get(invoice["id"]) or invoice["metadata"])
        head: Any = {"customer": invoice["customer"], "currency": "usd", "metadata": metadata}
        made = self._invoices.create(head, self._key())
        lines: Any = [
            {"amount": line["amount"], "description": line["description"], "metadata": line["metadata"]}
            for line in invoice["lines"]
        ]
        for start in range(0, len(lines), 100):
            self._invoices.add_lines(made.id, {"lines": lines[start : start + 100]}, self._key())
        return made.id


EVERY = ("draft", "open", "paid")
# Change -> (statuses of the suitable invoices, the method that makes it).
CHANGES: Mapping[str, tuple[tuple[str, ...], Callable[[DashboardUser, Json], None]]] = {
    "edit a line": (("draft",), DashboardUser.edit_line),
    "edit two lines that even out": (("draft",), DashboardUser.edit_two_lines),
    "add a line": (("draft",), DashboardUser.add_line),
    "delete a draft": (("draft",), DashboardUser.delete_draft),
    "finalize a draft": (("draft",), DashboardUser.finalize),
    "let Stripe finalize it": (("draft",), DashboardUser.auto_advance),
    "void": (("open",), DashboardUser.void),
    "pay": (("open",), DashboardUser.pay),
    "fail a payment": (("open",), DashboardUser.fail_payment),
    "write off": (("open",), DashboardUser.write_off),
    "delete the customer": (EVERY, DashboardUser.delete_customer),
    "add a pending item": (EVERY, DashboardUser.add_pending_item),
    "remove our mark": (EVERY, DashboardUser.remove_mark),
    "change the month": (EVERY, DashboardUser.change_month),
    "copy as a draft": (EVERY, DashboardUser.copy_as_draft),
    "copy": (EVERY, DashboardUser.copy),
}
