"""The Stripe endpoints of the sandbox: name, method, path, parameters and handler of each.

Fault rules, rate limits and the call log use the name (`invoices.add_lines`). To add an endpoint, write its handler and
add a row here. Not here: the handlers.
"""

from collections.abc import Callable
from dataclasses import dataclass

from fly_billing.stripe_sandbox import (
    balance_transactions,
    charges,
    credit_notes,
    customer_balance,
    customers,
    disputes,
    events,
    finalizing,
    invoice_items,
    invoices,
    lines,
    payment_methods,
    refunds,
    searching,
    tax_ids,
    webhook_endpoints,
)
from fly_billing.stripe_sandbox.params import EXPAND, Spec
from fly_billing.stripe_sandbox.store import Json, Store

Handler = Callable[[Store, Json, Json], Json]
NOTHING: Spec = {}
READ = EXPAND


@dataclass(frozen=True)
class Endpoint:
    """One endpoint.

    Attributes:
        spec: The parameters; None accepts any.
        handle: Called with the store, the ids in the path and the parameters; returns the body.
    """

    name: str
    method: str
    path: str
    spec: Spec | None
    handle: Handler


CUSTOMER, INVOICE, ITEM = "/v1/customers/{customer}", "/v1/invoices/{invoice}", "/v1/invoiceitems/{invoiceitem}"
BALANCE = f"{CUSTOMER}/balance_transactions"
TAX_IDS = f"{CUSTOMER}/tax_ids"
CARD, REFUND = "/v1/payment_methods/{payment_method}", "/v1/refunds/{refund}"
HOOKS, HOOK = "/v1/webhook_endpoints", "/v1/webhook_endpoints/{webhook_endpoint}"
DISPUTE = "/v1/disputes/{dispute}"
CREDIT_NOTE = "/v1/credit_notes/{id}"
BALANCE_CHANGE = f"{BALANCE}/{{transaction}}"
ENDPOINTS = (
    Endpoint("customers.create", "POST", "/v1/customers", customers.CREATE, customers.create),
    Endpoint("customers.search", "GET", "/v1/customers/search", searching.SEARCH, searching.customers),
    Endpoint("customers.list", "GET", "/v1/customers", customers.LIST, customers.listing),
    Endpoint("customers.retrieve", "GET", CUSTOMER, READ, customers.retrieve),
    Endpoint("customers.update", "POST", CUSTOMER, customers.UPDATE, customers.update),
    Endpoint("customers.delete", "DELETE", CUSTOMER, NOTHING, customers.delete),
    Endpoint("tax_ids.create", "POST", TAX_IDS, tax_ids.CREATE, tax_ids.create),
    Endpoint("tax_ids.list", "GET", TAX_IDS, tax_ids.LIST, tax_ids.listing),
    Endpoint("tax_ids.retrieve", "GET", f"{TAX_IDS}/{{id}}", READ, tax_ids.retrieve),
    Endpoint("tax_ids.delete", "DELETE", f"{TAX_IDS}/{{id}}", NOTHING, tax_ids.delete),
    Endpoint("customer_balance.create", "POST", BALANCE, customer_balance.CREATE, customer_balance.create),
    Endpoint("customer_balance.list", "GET", BALANCE, customer_balance.LIST, customer_balance.listing),
    Endpoint("customer_balance.retrieve", "GET", BALANCE_CHANGE, READ, customer_balance.retrieve),
    Endpoint("customer_balance.update", "POST", BALANCE_CHANGE, customer_balance.UPDATE, customer_balance.update),
    Endpoint("payment_methods.list", "GET", "/v1/payment_methods", payment_methods.LIST, payment_methods.listing),
    Endpoint("payment_methods.retrieve", "GET", CARD, READ, payment_methods.retrieve),
    Endpoint("payment_methods.attach", "POST", f"{CARD}/attach", payment_methods.ATTACH, payment_methods.attach),
    Endpoint("payment_methods.detach", "POST", f"{CARD}/detach", READ, payment_methods.detach),
    Endpoint(
        "customers.payment_methods.list",
        "GET",
        f"{CUSTOMER}/payment_methods",
        payment_methods.OF_CUSTOMER,
        payment_methods.listing,
    ),
    Endpoint("invoices.create", "POST", "/v1/invoices", invoices.CREATE, invoices.create),
    Endpoint("invoices.search", "GET", "/v1/invoices/search", searching.SEARCH, searching.invoices),
    Endpoint("invoices.list", "GET", "/v1/invoices", invoices.LIST, invoices.listing),
    Endpoint("invoices.retrieve", "GET", INVOICE, READ, invoices.retrieve),
    Endpoint("invoices.update", "POST", INVOICE, invoices.FIELDS, invoices.update),
    Endpoint("invoices.delete", "DELETE", INVOICE, NOTHING, invoices.delete),
    Endpoint("invoices.list_lines", "GET", f"{INVOICE}/lines", lines.LIST, lines.listing),
    Endpoint("invoices.add_lines", "POST", f"{INVOICE}/add_lines", lines.ADD_LINES, lines.add_lines),
    Endpoint("invoices.update_lines", "POST", f"{INVOICE}/update_lines", lines.UPDATE_LINES, lines.update_lines),
    Endpoint("invoices.remove_lines", "POST", f"{INVOICE}/remove_lines", lines.REMOVE_LINES, lines.remove_lines),
    Endpoint("invoices.update_line", "POST", f"{INVOICE}/lines/{{line_item_id}}", lines.UPDATE_LINE, lines.update_line),
    Endpoint("invoices.finalize", "POST", f"{INVOICE}/finalize", finalizing.FINALIZE, finalizing.finalize),
    Endpoint("invoices.send", "POST", f"{INVOICE}/send", READ, finalizing.send),
    Endpoint("invoices.pay", "POST", f"{INVOICE}/pay", finalizing.PAY, finalizing.pay),
    Endpoint("invoices.void", "POST", f"{INVOICE}/void", READ, finalizing.void),
    Endpoint(
        "invoices.mark_uncollectible", "POST", f"{INVOICE}/mark_uncollectible", READ, finalizing.mark_uncollectible
    ),
    Endpoint("invoice_items.create", "POST", "/v1/invoiceitems", invoice_items.CREATE, invoice_items.create),
    Endpoint("invoice_items.list", "GET", "/v1/invoiceitems", invoice_items.LIST, invoice_items.listing),
    Endpoint("invoice_items.retrieve", "GET", ITEM, READ, invoice_items.retrieve),
    Endpoint("invoice_items.update", "POST", ITEM, invoice_items.UPDATE, invoice_items.update),
    Endpoint("invoice_items.delete", "DELETE", ITEM, NOTHING, invoice_items.delete),
    Endpoint("credit_notes.create", "POST", "/v1/credit_notes", credit_notes.CREATE, credit_notes.create),
    Endpoint("credit_notes.list", "GET", "/v1/credit_notes", credit_notes.LIST, credit_notes.listing),
    Endpoint("credit_notes.preview", "GET", "/v1/credit_notes/preview", credit_notes.CREATE, credit_notes.preview),
    Endpoint(
        "credit_notes.preview_lines",
        "GET",
        "/v1/credit_notes/preview/lines",
        credit_notes.PREVIEW_LINES,
        credit_notes.preview_lines,
    ),
    Endpoint(
        "credit_notes.list_lines",
        "GET",
        "/v1/credit_notes/{credit_note}/lines",
        credit_notes.LIST_LINES,
        credit_notes.list_lines,
    ),
    Endpoint("credit_notes.retrieve", "GET", CREDIT_NOTE, READ, credit_notes.retrieve),
    Endpoint("credit_notes.update", "POST", CREDIT_NOTE, credit_notes.UPDATE, credit_notes.update),
    Endpoint("credit_notes.void", "POST", f"{CREDIT_NOTE}/void", READ, credit_notes.void),
    Endpoint("invoice_payments.list", "GET", "/v1/invoice_payments", charges.LIST_PAYMENTS, charges.list_payments),
    Endpoint("invoice_payments.retrieve", "GET", "/v1/invoice_payments/{invoice_payment}", READ, charges.payment),
    Endpoint("payment_intents.list", "GET", "/v1/payment_intents", charges.LIST_INTENTS, charges.list_intents),
    Endpoint("payment_intents.retrieve", "GET", "/v1/payment_intents/{intent}", charges.INTENT, charges.intent),
    Endpoint("charges.list", "GET", "/v1/charges", charges.LIST_CHARGES, charges.list_charges),
    Endpoint("charges.retrieve", "GET", "/v1/charges/{charge}", READ, charges.charge),
    Endpoint("refunds.create", "POST", "/v1/refunds", refunds.CREATE, refunds.create),
    Endpoint("refunds.list", "GET", "/v1/refunds", refunds.LIST, refunds.listing),
    Endpoint("refunds.retrieve", "GET", REFUND, READ, refunds.retrieve),
    Endpoint("refunds.update", "POST", REFUND, refunds.UPDATE, refunds.update),
    Endpoint("refunds.cancel", "POST", f"{REFUND}/cancel", READ, refunds.cancel),
    Endpoint("disputes.list", "GET", "/v1/disputes", disputes.LIST, disputes.listing),
    Endpoint("disputes.retrieve", "GET", DISPUTE, READ, disputes.retrieve),
    Endpoint("disputes.update", "POST", DISPUTE, disputes.UPDATE, disputes.update),
    Endpoint("disputes.close", "POST", f"{DISPUTE}/close", READ, disputes.close),
    Endpoint(
        "balance_transactions.list",
        "GET",
        "/v1/balance_transactions",
        balance_transactions.LIST,
        balance_transactions.listing,
    ),
    Endpoint(
        "balance_transactions.retrieve", "GET", "/v1/balance_transactions/{id}", READ, balance_transactions.retrieve
    ),
    Endpoint("webhook_endpoints.create", "POST", HOOKS, webhook_endpoints.CREATE, webhook_endpoints.create),
    Endpoint("webhook_endpoints.list", "GET", HOOKS, webhook_endpoints.LIST, webhook_endpoints.listing),
    Endpoint("webhook_endpoints.retrieve", "GET", HOOK, READ, webhook_endpoints.retrieve),
    Endpoint("webhook_endpoints.update", "POST", HOOK, webhook_endpoints.UPDATE, webhook_endpoints.update),
    Endpoint("webhook_endpoints.delete", "DELETE", HOOK, NOTHING, webhook_endpoints.delete),
    Endpoint("events.list", "GET", "/v1/events", events.LIST, events.listing),
    Endpoint("events.retrieve", "GET", "/v1/events/{id}", READ, events.retrieve),
)

# Stripe's endpoints that are not offered, and whose paths look like an object's: `create_preview` is not an invoice.
NOT_OFFERED = (
    ("GET", "/v1/charges/search"),
    ("GET", "/v1/payment_intents/search"),
    ("POST", "/v1/invoices/create_preview"),
)
