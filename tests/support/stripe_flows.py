"""Sequences of calls to Stripe's API through a recorder: the product's own, all endpoints directly, faults, refusals.

Each sequence asserts its result, so that one that stopped halfway does not count as complete. Not here: judging the
recorded calls (`stripe_openapi`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
import stripe

from fly_billing.postgres.database import BillingDatabase
from fly_billing.stripe_sandbox import SandboxServer
from fly_billing.stripe_sandbox.faults import DELIVERIES, EFFECTS
from fly_billing.stripe_sync.client import make_stripe_client
from fly_billing.stripe_sync.event_inbox import poll_events
from fly_billing.stripe_sync.invoice_sync import SyncTools
from fly_billing.stripe_sync.repair import carry_out, plan_of_repair
from tests.support.credit_builders import credit
from tests.support.stripe_builders import (
    API_KEY,
    JULY,
    JUNE,
    add_organization,
    bill_june,
    charge,
    close_month,
    execute,
    groups_of,
    invoice_in_stripe,
    kinds,
    outcome,
    query,
    sync,
    sync_tools,
    utc_now,
)
from tests.support.stripe_recorder import Recorder

HOUR = 3600
KEY: Any = {"idempotency_key": "a key used twice"}


@dataclass(frozen=True)
class RecordedSandbox:
    """A billing database, a sandbox, and the recorder through which all calls to the sandbox go."""

    database: BillingDatabase
    folder: Path
    sandbox: SandboxServer
    recorder: Recorder

    @property
    def client(self) -> stripe.StripeClient:
        return make_stripe_client(API_KEY, self.recorder.url)

    @property
    def tools(self) -> SyncTools:
        return sync_tools(self.database, self.recorder.url)


# The product --------------------------------------------------------------------------------------------------------


def sync_and_repair_june(recorded: RecordedSandbox) -> None:
    """Sync eight organizations, four of them under faults; read the month back; repair planted differences."""
    faults = {
        "echo": ("apply_then_drop", "customers.create"),
        "flux": ("stored_500", "customers.create"),
        "gale": ("stored_500", "invoices.create"),
        "hale": ("apply_then_drop", "invoices.add_lines"),
    }
    for organization, (effect, endpoint) in faults.items():
        recorded.sandbox.control.add_fault(effect, endpoint, metadata={"organization": organization}, first=1)
    charges = {"acme": ["12.00", "23.45"], "bolt": ["1.00"] * 150, "crux": ["5.00", "-5.00"], "dove": ["3.00", "-10"]}
    bill_june(recorded.database, recorded.folder, **charges, **{name: ["5.00"] for name in faults})
    tools = recorded.tools
    assert outcome(sync(tools)) == ({"finalized": 7, "skipped_zero": 1}, [])
    assert [rule["fired"] for rule in recorded.sandbox.control.faults()] == [1, 1, 1, 1]
    recorded.sandbox.control.clear_faults()
    assert kinds(tools) == []

    _copy(recorded, "acme", finalize=True)
    _copy(recorded, "bolt", finalize=False)
    _, actions = plan_of_repair(tools, JUNE, groups_of(recorded.database), all_lines=True)
    done = carry_out(tools, JUNE, actions, lambda action: True, guard_percent=50)
    assert sorted((repair.action.verb, repair.outcome) for repair in done) == [("remove", "done"), ("void", "done")]


def credit_an_invoice(recorded: RecordedSandbox) -> None:
    """Credit a part of an open invoice of June."""
    assert credit(recorded.tools, "flux", "1.00").state == "issued"


def _copy(recorded: RecordedSandbox, organization: str, *, finalize: bool) -> None:
    """Create an organization's invoice a second time, as another program would."""
    first = invoice_in_stripe(recorded.sandbox, organization)
    direct = make_stripe_client(API_KEY, recorded.sandbox.url).v1.invoices
    made = direct.create({"customer": first["customer"], "currency": "usd", "metadata": first["metadata"]})
    if finalize:
        direct.add_lines(made.id, {"lines": [{"amount": first["total"], "description": "the same again"}]})
        direct.finalize_invoice(made.id)


def send_complete_invoices(recorded: RecordedSandbox) -> None:
    """Send July's invoice of an organization with details and taxes, and August's after they changed."""
    database, tools = recorded.database, recorded.tools
    add_organization(database, "iris")
    execute(
        database,
        """
        insert into billing_details (
            organization_id, legal_name, email, line1, city, country, tax_ids, collection, net_days,
            purchase_order, footer
        )
        values (
            'iris', 'Iris GmbH', 'iris@fly.test', 'Ankerweg 1', 'Berlin', 'DE', '{eu_vat:DE123456789}', 'send_invoice',
            30, 'PO-7', 'Thank you'
        )
        """,
    )
    execute(
        database,
        """
        insert into tax_rates (id, organization_id, name, percent, is_inclusive, first_month)
        values (gen_random_uuid(), 'iris', 'VAT', 19, false, '2023-06-01')
        """,
    )
    charge(database, "iris", "100.00", "-20.00", month=JULY)
    close_month(database, recorded.folder, JULY)
    assert outcome(sync(tools, JULY))[0]["finalized"] == 1
    changed = "email = 'new@fly.test', line1 = null, tax_ids = '{gb_vat:GB123456789}'"
    execute(database, f"update billing_details set {changed}")  # noqa: S608
    charge(database, "iris", "50.00", month=JULY.next())
    close_month(database, recorded.folder, JULY.next())
    assert outcome(sync(tools, JULY.next()))[0]["finalized"] == 1
    ours = [each for each in recorded.sandbox.control.invoices() if each["metadata"]["organization"] == "iris"]
    assert sorted(invoice["total"] for invoice in ours) == [5950, 9520]


def follow_a_payment(recorded: RecordedSandbox) -> None:
    """Let a payment fail and then succeed; polling reports both."""
    control, since = recorded.sandbox.control, utc_now() - timedelta(hours=1)
    sent = invoice_in_stripe(recorded.sandbox, "bolt")["id"]
    control.fail_payment(sent, message="Your card has expired.")
    poll_events(recorded.database, recorded.tools.reader(), since, utc_now())
    assert _status(recorded, "bolt") == "finalized"
    make_stripe_client(API_KEY, recorded.sandbox.url).v1.invoices.pay(sent)
    poll_events(recorded.database, recorded.tools.reader(), since, utc_now())
    assert _status(recorded, "bolt") == "paid"


def _status(recorded: RecordedSandbox, organization: str) -> str:
    (row,) = query(recorded.database, "select status from invoices where organization_id = :it", it=organization)
    return str(row["status"])


# Directly: the sandbox's other endpoints ----------------------------------------------------------------------------


def go_through_customers(recorded: RecordedSandbox) -> None:
    customers = recorded.client.v1.customers
    place: Any = {"line1": "1 Anchor Way", "line2": "", "city": "Chicago", "country": "US"}
    made = customers.create(
        {
            "name": "Fly",
            "business_name": "Fly Inc",
            "email": "bills@fly.test",
            "address": place,
            "shipping": {"name": "Fly", "address": place},
            "preferred_locales": ["en"],
            "tax_exempt": "none",
            "metadata": {"org": "fly"},
        }
    )
    vat: Any = {"type": "eu_vat", "value": "DE123456789"}
    added = customers.tax_ids.create(made.id, vat)
    customers.tax_ids.retrieve(made.id, added.id)
    assert [each.value for each in customers.tax_ids.list(made.id, {"limit": 1}).data] == ["DE123456789"]
    customers.tax_ids.delete(made.id, added.id)
    customers.create({"name": "Fly Ltd", "tax_id_data": [{"type": "gb_vat", "value": "GB123456789"}]})
    customers.update(made.id, {"balance": -1000, "business_name": "", "email": "", "address": "", "shipping": ""})
    customers.retrieve(made.id)
    page = customers.list({"limit": 1, "created": {"gte": made.created, "lt": made.created + HOUR}})
    customers.list({"starting_after": page.data[0].id, "created": made.created})
    customers.list({"email": "bills@fly.test", "ending_before": made.id})
    customers.delete(made.id)
    assert customers.retrieve(made.id).deleted


def go_through_customer_balances(recorded: RecordedSandbox) -> None:
    """Credit a customer, use the credit, carry a small amount over, and read the reasons of all changes."""
    customers, customer = recorded.client.v1.customers, _customer(recorded)
    credit: Any = {"amount": -500, "currency": "usd", "description": "Outage of June", "metadata": {"ticket": "7"}}
    given = customers.balance_transactions.create(customer, credit)
    customers.balance_transactions.update(customer, given.id, {"description": "", "metadata": {"ticket": "8"}})
    assert customers.balance_transactions.retrieve(customer, given.id).ending_balance == -500
    customers.update(customer, {"balance": -950})
    _open(recorded, customer)
    page = customers.balance_transactions.list(customer, {"limit": 1})
    rest = customers.balance_transactions.list(customer, {"starting_after": page.data[0].id, "created": {"gte": 1}})
    assert [page.data[0].type, *(each.type for each in rest.data)] == ["applied_to_invoice", "adjustment", "adjustment"]
    euros: Any = {"amount": -4000, "currency": "eur"}
    customers.balance_transactions.create(customer, euros)
    seen = customers.retrieve(customer, {"expand": ["invoice_credit_balance"]})
    customers.list({"limit": 1, "expand": ["data.invoice_credit_balance"]})
    assert (seen.balance, seen.to_dict()["invoice_credit_balance"]) == (-50, {"usd": 50, "eur": 4000})


def go_through_invoices(recorded: RecordedSandbox) -> None:
    """Send an invoice with every field that a request can set; then drafts that end otherwise."""
    invoices, customer = recorded.client.v1.invoices, _customer(recorded)
    sent = invoices.create(
        {
            "customer": customer,
            "currency": "usd",
            "collection_method": "send_invoice",
            "days_until_due": 30,
            "custom_fields": [{"name": "order", "value": "7"}],
            "footer": "Thank you",
            "discounts": "",
        }
    )
    rate = {"display_name": "VAT", "percentage": 20, "inclusive": False, "country": "DE", "tax_type": "vat"}
    vat: Any = {"amount": 240, "taxable_amount": 1200, "taxability_reason": "standard_rated", "tax_rate_data": rate}
    back: Any = {**vat, "amount": -5, "taxable_amount": -25}
    priced: Any = {"product_data": {"name": "Machines"}, "currency": "usd", "unit_amount_decimal": "1.5"}
    filled = invoices.add_lines(
        sent.id,
        {
            "lines": [
                {
                    "amount": 1200,
                    "description": "VM usage",
                    "period": {"start": 1, "end": 2},
                    "tax_amounts": [vat, back],
                },
                {"price_data": priced, "quantity_decimal": Decimal("2.5")},
                {"amount": -200},
            ],
            "invoice_metadata": {"lines": "3"},
        },
    )
    first, second, third = filled.lines.data
    invoices.update_lines(sent.id, {"lines": [{"id": first.id, "amount": 1300, "discountable": False}]})
    invoices.line_items.update(sent.id, second.id, {"quantity": 2, "metadata": {"n": "2"}})
    invoices.remove_lines(sent.id, {"lines": [{"id": third.id, "behavior": "unassign"}]})
    invoices.line_items.list(sent.id, {"limit": 1, "starting_after": first.id})
    invoices.line_items.list(sent.id, {"ending_before": second.id})
    invoices.update(sent.id, {"description": "June", "number": "A-1", "custom_fields": "", "metadata": {"a": "1"}})
    invoices.finalize_invoice(sent.id, {"auto_advance": True})
    invoices.pay(sent.id, {"paid_out_of_band": True})
    invoices.list({"customer": customer, "status": "paid", "due_date": {"gt": 1}, "collection_method": "send_invoice"})

    given_up, void, gone = _open(recorded, customer), _open(recorded, customer), invoices.create({"customer": customer})
    invoices.mark_uncollectible(given_up)
    invoices.void_invoice(void)
    invoices.delete(gone.id)
    assert invoices.retrieve(void).status == "void"


def go_through_invoice_items(recorded: RecordedSandbox) -> None:
    items, customer = recorded.client.v1.invoice_items, _customer(recorded)
    pending = items.create({"customer": customer, "amount": 500, "currency": "usd", "description": "Support"})
    priced: Any = {"currency": "usd", "product": "prod_support", "unit_amount": 100}
    other = items.create({"customer": customer, "price_data": priced, "quantity": 3})
    items.update(pending.id, {"amount": 400, "metadata": {"a": "1"}})
    items.retrieve(pending.id)
    items.list({"customer": customer, "pending": True, "limit": 1})
    items.delete(other.id)
    taken = recorded.client.v1.invoices.create({"customer": customer, "pending_invoice_items_behavior": "include"})
    assert taken.total == 400
    items.create({"customer": customer, "invoice": taken.id, "amount": 100})
    assert len(items.list({"invoice": taken.id, "pending": False}).data) == 2


def go_through_payments_and_events(recorded: RecordedSandbox) -> None:
    """Pay an invoice after a failure and a retry; let Stripe finalize one itself, and one that it can't."""
    control, v1, customer = recorded.sandbox.control, recorded.client.v1, _customer(recorded)
    unpaid = _open(recorded, customer)
    control.fail_payment(unpaid, next_attempt_seconds=None)
    v1.invoices.retrieve(unpaid)
    v1.invoice_payments.list({"invoice": unpaid, "status": "open", "expand": ["data.payment.payment_intent"]})
    v1.invoices.pay(unpaid)
    v1.invoice_payments.list({"invoice": unpaid, "status": "paid"})
    v1.invoice_payments.list({"invoice": unpaid, "expand": ["data.payment.payment_intent"]})

    automatic = v1.invoices.create({"customer": customer, "auto_advance": True})
    failing = v1.invoices.create({"customer": customer})
    control.advance_clock(2 * HOUR)
    control.fail_finalization(failing.id)
    assert v1.invoices.retrieve(automatic.id).status == "paid"
    assert v1.invoices.retrieve(failing.id).last_finalization_error is not None

    wanted: Any = {"types": ["invoice.paid", "invoice.created"], "created": {"gte": automatic.created}, "limit": 1}
    page = v1.events.list(wanted)
    v1.events.list({"starting_after": page.data[0].id, "type": "invoice.paid"})
    for _ in v1.events.list({"limit": 100}).auto_paging_iter():
        pass
    assert v1.events.retrieve(page.data[0].id).type in wanted["types"]


def go_through_cards(recorded: RecordedSandbox) -> None:
    """Pay with the customer's own card, another one and one that declines; send an invoice; detach a card."""
    v1 = recorded.client.v1
    card = "pm_card_visa"
    settings: Any = {"default_payment_method": card, "footer": "Thanks"}
    customer = v1.customers.create(
        {"email": "pays@fly.test", "payment_method": card, "invoice_settings": settings}, {}
    ).id
    declining = v1.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": customer})
    unpaid = _open(recorded, customer)
    with pytest.raises(stripe.CardError):
        v1.invoices.pay(unpaid, {"payment_method": declining.id})
    v1.invoices.pay(unpaid, {"off_session": True, "expand": ["payments.data.payment.payment_intent"]})
    payment = v1.invoice_payments.list({"invoice": unpaid, "status": "paid"}).data[0]
    assert isinstance(payment.payment.payment_intent, str)
    intent = v1.payment_intents.retrieve(payment.payment.payment_intent, {"expand": ["latest_charge", "customer"]})
    paid_by: Any = {"type": "payment_intent", "payment_intent": intent.id}
    assert v1.invoice_payments.list({"payment": paid_by}).data[0].id == payment.id
    v1.invoice_payments.retrieve(payment.id, {"expand": ["invoice"]})
    v1.payment_intents.list({"customer": customer, "limit": 1})
    found = v1.charges.list({"customer": customer, "payment_intent": intent.id}).data
    assert [(charge.status, charge.amount) for charge in found] == [("succeeded", 900), ("failed", 900)]
    kept = v1.charges.retrieve(found[0].id, {"expand": ["balance_transaction", "payment_intent.customer"]})
    v1.balance_transactions.list({"source": kept.id, "type": "charge", "currency": "usd"})
    v1.balance_transactions.retrieve(kept.to_dict()["balance_transaction"]["id"], {"expand": ["source"]})

    sent = v1.invoices.create({"customer": customer, "collection_method": "send_invoice", "days_until_due": 30})
    v1.invoices.add_lines(sent.id, {"lines": [{"amount": 900}]})
    v1.invoices.update(sent.id, {"default_payment_method": declining.id})
    v1.invoices.send_invoice(sent.id)
    v1.invoices.mark_uncollectible(sent.id)
    v1.invoices.void_invoice(sent.id)
    v1.payment_methods.list({"customer": customer, "limit": 1})
    v1.payment_methods.retrieve(declining.id, {"expand": ["customer"]})
    v1.payment_methods.detach(declining.id)
    assert len(v1.customers.payment_methods.list(customer).data) == 1


def go_through_refunds(recorded: RecordedSandbox) -> None:
    """Refund a part of an invoice's charge, and the rest; the bank sends one of the refunds back."""
    v1, control = recorded.client.v1, recorded.sandbox.control
    customer = _customer(recorded)
    charge = _paid(recorded, customer)
    first = v1.refunds.create(
        {"charge": charge.id, "amount": 300, "reason": "requested_by_customer", "metadata": {"ticket": "7"}}
    )
    v1.refunds.update(first.id, {"metadata": {"ticket": "8"}})
    rest = v1.refunds.create({"payment_intent": str(charge.payment_intent)})
    control.act("fail-refund", rest.id)
    v1.refunds.retrieve(rest.id, {"expand": ["charge", "failure_balance_transaction", "balance_transaction"]})
    waiting = v1.refunds.create({"charge": charge.id, "amount": 100})
    control.edit_object(waiting.id, status="requires_action")
    assert v1.refunds.cancel(waiting.id).status == "canceled"
    page = v1.refunds.list({"charge": charge.id, "limit": 1})
    v1.refunds.list({"payment_intent": str(charge.payment_intent), "starting_after": page.data[0].id})
    assert v1.charges.retrieve(charge.id).amount_refunded == 300


def go_through_credit_notes(recorded: RecordedSandbox) -> None:
    """Lower an open invoice and void that; credit a paid one in every way that Stripe knows, by amount and by lines."""
    v1, customer = recorded.client.v1, _customer(recorded)
    unpaid = _open(recorded, customer)
    first = v1.credit_notes.create(
        {"invoice": unpaid, "amount": 200, "memo": "Sorry", "reason": "order_change", "metadata": {"ticket": "7"}}
    )
    v1.credit_notes.update(first.id, {"memo": "Sorry again", "metadata": {"ticket": "8"}})
    v1.credit_notes.void_credit_note(first.id)
    [line] = v1.invoices.retrieve(unpaid).lines.data
    own: Any = {"type": "custom_line_item", "description": "Goodwill", "quantity": 3, "unit_amount": 10}
    part: Any = {"type": "invoice_line_item", "invoice_line_item": line.id, "amount": 70}
    lines: Any = {"invoice": unpaid, "lines": [own, part], "email_type": "none"}
    v1.credit_notes.preview(lines)
    some: Any = {**lines, "limit": 1}
    v1.credit_notes.preview_lines.list(some)
    lowered = v1.credit_notes.create(lines)
    v1.credit_notes.line_items.list(lowered.id, {"limit": 1, "starting_after": lowered.lines.data[0].id})

    v1.invoices.pay(unpaid)
    charge = v1.charges.list({"customer": customer, "limit": 1}).data[0]
    refund = v1.refunds.create({"charge": charge.id, "amount": 100})
    share: Any = [{"refund": refund.id, "amount_refunded": 60}]
    v1.credit_notes.create({"invoice": unpaid, "amount": 60, "refunds": share, "effective_at": charge.created})
    whole: Any = {
        "invoice": unpaid,
        "amount": 100,
        "refund_amount": 50,
        "credit_amount": 30,
        "out_of_band_amount": 20,
        "expand": ["customer_balance_transaction"],
    }
    note = v1.credit_notes.create(whole)
    v1.credit_notes.retrieve(note.id, {"expand": ["invoice", "customer", "refunds.refund"]})
    page = v1.credit_notes.list({"invoice": unpaid, "limit": 1})
    v1.credit_notes.list({"customer": customer, "starting_after": page.data[0].id})
    v1.customers.balance_transactions.list(customer, {"expand": ["data.credit_note", "data.invoice"]})
    seen = v1.invoices.retrieve(unpaid)
    assert (seen.pre_payment_credit_notes_amount, seen.post_payment_credit_notes_amount) == (100, 160)
    _credit_taxed_lines(recorded, customer)


def _credit_taxed_lines(recorded: RecordedSandbox, customer: str) -> None:
    """Of 12.00 with 2.40 of VAT, credit 3.60 with the tax that we say, and 2.40 with the tax that Stripe calculates.

    Two parts of the invoice are paid before, one of them outside of Stripe.
    """
    v1 = recorded.client.v1
    rate = {"display_name": "VAT", "percentage": 20, "inclusive": False}
    vat: Any = {"amount": 240, "taxable_amount": 1200, "tax_rate_data": rate}
    made = v1.invoices.create({"customer": customer, "currency": "usd"})
    v1.invoices.add_lines(made.id, {"lines": [{"amount": 1200, "tax_amounts": [vat]}]})
    finalized: Any = v1.invoices.finalize_invoice(made.id)
    recorded.sandbox.control.act("pay-part", made.id, amount=100)
    recorded.sandbox.control.act("pay-part", made.id, amount=100, outside=True)
    v1.invoice_payments.list({"invoice": made.id, "expand": ["data.payment.payment_intent"]})
    rate_id = finalized.total_taxes[0].tax_rate_details.tax_rate
    ours: Any = {"amount": 60, "taxable_amount": 300, "tax_rate": rate_id}
    own: Any = {
        "type": "custom_line_item", "description": "Outage", "quantity": 1, "unit_amount": 300, "tax_amounts": [ours],
    }  # fmt: skip
    noted = v1.credit_notes.create({"invoice": made.id, "lines": [own]})
    line: Any = {"type": "invoice_line_item", "invoice_line_item": finalized.lines.data[0].id, "amount": 200}
    calculated = v1.credit_notes.create({"invoice": made.id, "lines": [line]})
    assert [(note.amount, note.subtotal, note.total_excluding_tax) for note in (noted, calculated)] == [
        (360, 300, 300), (240, 200, 200),
    ]  # fmt: skip


def go_through_disputes(recorded: RecordedSandbox) -> None:
    """Let cardholders dispute three charges: one is won, one lost, one accepted."""
    v1, control, customer = recorded.client.v1, recorded.sandbox.control, _customer(recorded)
    won, lost, accepted = [control.act("dispute", _paid(recorded, customer).id, amount=n) for n in (900, 800, 700)]
    v1.disputes.update(won["id"], {"metadata": {"case": "7"}})
    v1.disputes.update(won["id"], {"evidence": {"customer_name": "Ann", "uncategorized_text": "Used"}, "submit": False})
    assert v1.disputes.update(won["id"], {"evidence": {"product_description": "Machines"}}).status == "under_review"
    control.act("win-dispute", won["id"])
    control.act("lose-dispute", lost["id"])
    v1.disputes.close(accepted["id"])
    control.act("overpay", _open(recorded, customer), amount=300)
    seen = v1.disputes.retrieve(won["id"], {"expand": ["charge", "payment_intent"]})
    page = v1.disputes.list({"limit": 1, "created": {"gte": 1}})
    rest = v1.disputes.list({"starting_after": page.data[0].id})
    v1.disputes.list({"charge": won["charge"]})
    v1.disputes.list({"payment_intent": won["payment_intent"]})
    assert [seen.status, page.data[0].status, rest.data[0].status] == ["won", "lost", "lost"]


def go_through_search_and_webhook_endpoints(recorded: RecordedSandbox) -> None:
    v1 = recorded.client.v1
    customer = v1.customers.create({"email": "found@fly.test", "metadata": {"org": "found"}})
    draft: Any = {"customer": customer.id, "automatic_tax": {"enabled": False}, "discounts": ""}
    made = [v1.invoices.create(draft).id for _ in range(2)]
    assert (
        v1.customers.search({"query": "email:'found@fly.test' AND metadata['org']:'found'"}).data[0].id == customer.id
    )
    page = v1.invoices.search(
        {"query": f"customer:'{customer.id}' AND created>1", "limit": 1, "expand": ["data.customer"]}
    )
    rest = v1.invoices.search({"query": f"customer:'{customer.id}' AND created>1", "page": str(page.next_page)})
    assert [page.data[0].id, rest.data[0].id] == made[::-1]

    hook = v1.webhook_endpoints.create(
        {"url": "https://fly.test/hook", "enabled_events": ["invoice.paid"], "metadata": {"a": "1"}}
    )
    v1.webhook_endpoints.update(hook.id, {"disabled": True, "description": "Ours", "enabled_events": ["*"]})
    v1.webhook_endpoints.retrieve(hook.id)
    v1.webhook_endpoints.list({"limit": 1})
    v1.webhook_endpoints.delete(hook.id)


def _paid(recorded: RecordedSandbox, customer: str) -> stripe.Charge:
    """Finalize an invoice of $9.00 and pay it by card; return its charge."""
    recorded.client.v1.invoices.pay(_open(recorded, customer))
    return recorded.client.v1.charges.list({"customer": customer, "limit": 1}).data[0]


def _customer(recorded: RecordedSandbox) -> str:
    return recorded.client.v1.customers.create({"name": "By hand"}).id


def _open(recorded: RecordedSandbox, customer: str) -> str:
    """Finalize an invoice of $9.00 for the customer; return its id."""
    invoices = recorded.client.v1.invoices
    made = invoices.create({"customer": customer, "currency": "usd"})
    invoices.add_lines(made.id, {"lines": [{"amount": 900}]})
    return invoices.finalize_invoice(made.id).id


# Faults -------------------------------------------------------------------------------------------------------------


def meet_every_fault(recorded: RecordedSandbox) -> None:
    """Send a valid request into each kind of fault; repeat it under the same key where it failed."""
    control = recorded.sandbox.control
    for number, effect in enumerate(sorted(EFFECTS.keys() - DELIVERIES)):
        control.add_fault(effect, "customers.create", first=1, seconds=0.01)  # nothing would release the held call
        options: Any = {"idempotency_key": f"fault {number}"}
        for _ in range(2):
            _attempt(partial(recorded.client.v1.customers.create, {"name": effect}, options))
    for reason in ("global-rate", "global-concurrency", "endpoint-rate", "endpoint-concurrency", "resource-specific"):
        control.add_fault("rate_limited", "customers.list", first=1, reason=reason, should_retry=True)
        _attempt(recorded.client.v1.customers.list)
    declined: Any = {"status": 402, "type": "card_error", "code": "card_declined", "message": "Declined."}
    control.add_fault("error", "customers.list", first=1, stored=True, **declined)
    _attempt(recorded.client.v1.customers.list)
    assert {rule["fired"] for rule in control.faults()} == {1}
    control.clear_faults()


def _attempt(call: Callable[[], Any]) -> None:
    try:
        call()
    except stripe.StripeError:
        return  # the recorder has the response


# Refusals -----------------------------------------------------------------------------------------------------------


def meet_every_refusal(recorded: RecordedSandbox) -> None:
    """Send a request that Stripe refuses for each reason that the sandbox implements."""
    client, v1, customer = recorded.client, recorded.client.v1, _known_customer(recorded)
    wrong: list[Any] = [
        {},
        {"customer": customer, "colour": 1, "size": 2},
        {"customer": ""},
        {"customer": "cus_gone"},
        {"customer": customer, "number": "x" * 27},
        {"customer": customer, "due_date": "soon"},
        {"customer": customer, "days_until_due": 366},
        {"customer": customer, "days_until_due": 3},
        {"customer": customer, "collection_method": "send_invoice"},
        {"customer": customer, "auto_advance": "maybe"},
        {"customer": customer, "currency": "dollars"},
        {"customer": customer, "metadata": {"k" * 41: "v"}},
        {"customer": customer, "metadata": "none"},
        {"customer": customer, "automatic_tax": {"enabled": True}},
        {"customer": customer, "collection_method": "beg"},
        {"customer": customer, "custom_fields": [{"name": "n", "value": "v"}] * 5},
    ]
    for params in wrong:
        _refused(partial(v1.invoices.create, params))
    draft, final = _made(recorded, customer), _made(recorded, customer)
    direct = make_stripe_client(API_KEY, recorded.sandbox.url).v1.invoices
    direct.finalize_invoice(final)
    bad_lines: list[Any] = [
        [{"description": "no amount"}],
        [{"amount": 1, "quantity": 2}],
        [{"amount": 1}] * 101,
        [{"invoice_item": "ii_gone"}],
        [{"price_data": {"currency": "usd", "unit_amount_decimal": "1.0000000000001"}}],
        [{"price_data": {"currency": "eur", "unit_amount": 1}}],
    ]
    for lines in bad_lines:
        _refused(partial(v1.invoices.add_lines, draft, {"lines": lines}))
    _refused(lambda: v1.invoices.add_lines(final, {"lines": [{"amount": 1}]}))
    _refused(lambda: v1.invoices.update(final, {"description": "too late"}))
    _refused(lambda: v1.invoices.finalize_invoice(final))
    _refused(lambda: v1.invoices.delete(final))
    _refused(lambda: v1.invoices.void_invoice(draft))
    _refused(lambda: v1.invoices.retrieve("in_gone"))
    _refused(lambda: v1.customers.retrieve("cus_gone"))
    _refused(lambda: v1.events.retrieve("evt_gone"))
    _refused(lambda: v1.invoice_items.delete("ii_gone"))
    _refused(lambda: v1.invoices.list({"limit": 101}))
    _refused(lambda: v1.events.list({"starting_after": "evt_gone"}))
    _refused(lambda: client.raw_request("get", "/v1/unicorns"))
    _refused(lambda: client.raw_request("get", "/v1/customers", stripe_version="2011-01-01"))
    _refused(lambda: v1.invoices.create_preview({"customer": customer}))
    _refused(lambda: v1.customers.create({"email": "nobody"}))
    _refused(lambda: v1.customers.search({"query": "colour:'red'"}))
    _refused(lambda: v1.webhook_endpoints.create({"url": "here", "enabled_events": ["*"]}))
    _refused(lambda: v1.refunds.create({"charge": "ch_gone"}))
    _refused(lambda: v1.credit_notes.create({"invoice": draft, "amount": 1}))
    _refused(lambda: v1.payment_methods.attach("pm_card_chargeDeclined", {"customer": customer}))
    _refused(lambda: v1.invoices.list({"expand": ["data.total"]}))
    _meet_keys_and_limits(recorded)


def _meet_keys_and_limits(recorded: RecordedSandbox) -> None:
    """Send wrongly used idempotency keys and invalid API keys, and exceed the limits."""
    v1, control = recorded.client.v1, recorded.sandbox.control
    direct = make_stripe_client(API_KEY, recorded.sandbox.url).v1.customers
    direct.create({"name": "first"}, KEY)
    _refused(lambda: v1.customers.create({"name": "second"}, KEY))
    _refused(lambda: v1.invoices.create({"customer": "cus_1"}, KEY))
    _refused(lambda: v1.customers.create({}, {"idempotency_key": "k" * 256}))
    for key in ("sk_live_refused", "nonsense"):
        # Bypasses our own guard, which would refuse these keys.
        unguarded = stripe.StripeClient(key, base_addresses={"api": recorded.recorder.url}, max_network_retries=0)
        _refused(unguarded.v1.customers.list)
    with pytest.raises(HTTPError) as keyless:
        urlopen(f"{recorded.recorder.url}/v1/customers", timeout=10)
    keyless.value.close()
    for limit in ("endpoint_per_second", "global_per_second", "concurrency"):
        control.settings(**{limit: 0})
        _refused(v1.customers.list)
        control.settings(**{limit: None})


def _known_customer(recorded: RecordedSandbox) -> str:
    return make_stripe_client(API_KEY, recorded.sandbox.url).v1.customers.create({}).id


def _made(recorded: RecordedSandbox, customer: str) -> str:
    direct = make_stripe_client(API_KEY, recorded.sandbox.url).v1.invoices
    return direct.create({"customer": customer, "currency": "usd"}).id


def _refused(call: Callable[[], Any]) -> None:
    with pytest.raises(stripe.StripeError):
        call()


# Webhooks -----------------------------------------------------------------------------------------------------------


@contextmanager
def hooked(recorded: RecordedSandbox) -> Iterator[None]:
    """Have every event delivered to the recorder; return when all are."""
    recorded.sandbox.control.add_webhook_endpoint(recorded.recorder.hook_url)
    yield
    deadline = time.monotonic() + 300
    while any(delivery["state"] != "delivered" for delivery in recorded.sandbox.control.deliveries()):
        assert time.monotonic() < deadline, "deliveries are still pending"
        time.sleep(0.02)
