"""Finds corrections: recalculates the final invoices of a month and compares them with what they charged.

Writes nothing. Not here: the comparison itself (`corrections.rules.differences`), credits to return
(`returned_credits`), booking (`adjustments`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from sqlalchemy import Connection

from fly_billing.corrections.changed_terms import find_changed_invoices
from fly_billing.corrections.correction import Correction, Corrections
from fly_billing.corrections.final_invoices import FinalInvoice, read_billed_invoices
from fly_billing.corrections.late_usage import UsageChanges, find_usage_changes
from fly_billing.corrections.returned_credits import find_returned_credits, paid_by_credit
from fly_billing.corrections.rules.causes import EARLIER_MONTH
from fly_billing.corrections.rules.differences import Difference, charges_of, differences, differences_by_usage
from fly_billing.corrections.taxes_reader import read_billed_taxes
from fly_billing.errors import BillingError, not_computable
from fly_billing.invoicing.inputs_reader import read_books, read_each, read_records
from fly_billing.invoicing.payers import Payer, read_payers
from fly_billing.invoicing.rules.invoice_in_progress import InvoiceInProgress
from fly_billing.invoicing.usage_reader import UsageToBill, read_rollups
from fly_billing.money import plain
from fly_billing.periods import BillingMonth
from fly_billing.postgres.isolation import VALUE_ERRORS, unreadable
from fly_billing.pricing.rules.tax_rates import rates_of_anything
from fly_billing.usage.usage_table import UsageTable


def find_corrections(
    connection: Connection,
    month: BillingMonth,
    groups: Sequence[str],
    usage_table: UsageTable,
    only: Collection[str] | None = None,
    *,
    with_terms: bool = True,
    follows: bool = False,
) -> Corrections:
    """Recalculate the final invoices of these billing groups and return what differs.

    Args:
        only: Recalculate only the invoices of these payers.
        with_terms: Differences from changed terms count like all others. If False, only invoices whose own usage or
            terms changed are recalculated; differences from changed terms are in `Correction.undecided`.
        follows: Recalculate all of `only`, because an earlier month that their minimums count has changed.
    """
    payers = [
        payer
        for payer in read_payers(connection, month, groups)
        if payer.is_final and payer.invoice_status != "void" and (only is None or payer.organization_id in only)
    ]
    changed = None if with_terms else find_changed_invoices(connection, month, payers)
    if changed and not follows:
        payers = [payer for payer in payers if payer.organization_id in changed.payers]
    invoices, failures = _read_final_invoices(connection, month, payers)
    changes = find_usage_changes(connection, month, [invoice.invoice_id for invoice in invoices], usage_table)
    billed_snapshots = [snapshot for snapshots in changed.usage.values() for snapshot in snapshots] if changed else []
    billed_usage = read_rollups(connection, billed_snapshots) if changed else None
    found = []
    for invoice in invoices:
        name = invoice.payer.organization_id
        try:
            if changed:
                usage = billed_usage if name in changed.usage else None
                correction = _correct_usage(connection, invoice, usage, changes)
            else:
                correction = _correct_all(connection, invoice, invoice.recalculated(), changes)
            _refuse_other_currency(correction)
            found.append(correction)
        except BillingError as error:
            failures.append((name, error))
        except VALUE_ERRORS as problem:
            failures.append((name, unreadable(f"{name} {month}", problem)))
    return Corrections(found, failures)


def _read_final_invoices(
    connection: Connection, month: BillingMonth, payers: Sequence[Payer]
) -> tuple[list[FinalInvoice], list[tuple[str, BillingError]]]:
    billed = read_billed_invoices(connection, month, payers)
    payers = [payer for payer in payers if payer.organization_id in billed.ids]
    books = read_books(connection)
    readable, failures = read_each(
        payers, connection, lambda some: read_records(connection, month, some, is_final=True)
    )
    taxed_by_item = [billed.ids[payer.organization_id] for payer, records in readable if records.taxes_by_item(payer)]
    taxes = read_billed_taxes(connection, taxed_by_item)
    paid = paid_by_credit(connection, billed.ids.values())
    invoices = []
    for payer, records in readable:
        invoice_id = billed.ids[payer.organization_id]
        invoices.append(
            FinalInvoice(
                payer, month, records, books, invoice_id, billed.items[invoice_id],
                billed.adjusted.get(invoice_id, {}), taxes, invoice_id in paid,
            )
        )  # fmt: skip
    return invoices, failures


def _correct_all(
    connection: Connection, invoice: FinalInvoice, recalculated: InvoiceInProgress, changes: UsageChanges
) -> Correction:
    """Return the correction to `recalculated`, with the differences of all causes."""
    found = differences(invoice.charges, invoice.adjusted, charges_of(recalculated.items, invoice.month), changes)
    if found and (invoice.is_paid_by_credit or any(item.kind == "credit" for item in recalculated.items)):
        found += find_returned_credits(connection, invoice.invoice_id, recalculated, invoice.month)
    taxed = invoice.taxes.taxed(invoice.invoice_id, recalculated.inputs, found, invoice.items, recalculated.items)
    inputs = recalculated.inputs
    whose = f"{inputs.organization_id} in {invoice.month}"
    rates = () if inputs.is_taxed_by_item else rates_of_anything(inputs.taxes, whose)
    return Correction(
        invoice.payer, invoice.invoice_id, invoice.month, found, recalculated.counted, taxed, rates=rates
    )  # fmt: skip


def _correct_usage(
    connection: Connection, invoice: FinalInvoice, billed_usage: UsageToBill | None, changes: UsageChanges
) -> Correction:
    """Return the correction for changed usage; differences from changed terms are undecided.

    Args:
        billed_usage: The usage that the invoice billed, if it changed.
    """
    now = invoice.recalculated()
    whole = _correct_all(connection, invoice, now, changes)
    waiting = replace(whole, differences=(), undecided=whole.differences, counted={}, taxed={}, is_usage_undecided=True)
    if billed_usage is None:
        return replace(waiting, is_usage_undecided=False) if _come_from_terms(whole.differences) else whole
    try:
        then = invoice.recalculated(billed_usage)
    except BillingError:  # a price changed inside a period that the billed usage was aggregated over
        return waiting
    owed_then, owed_now = (charges_of(recalculated.items, invoice.month) for recalculated in (then, now))
    by_usage, by_terms = differences_by_usage(invoice.charges, invoice.adjusted, owed_then, owed_now, changes)
    if not _come_from_terms(by_terms):
        return whole
    if invoice.is_paid_by_credit or now.counted:  # credits and minimums are not split by cause
        return waiting
    taxed = invoice.taxes.taxed(invoice.invoice_id, now.inputs, by_usage, then.items, now.items, is_adjusted=False)
    return replace(whole, differences=by_usage, undecided=by_terms, taxed=taxed)


def _come_from_terms(found: Sequence[Difference]) -> bool:
    """Return True if some of these differences come from changed terms, not from an earlier month of a minimum.

    Returned credits are ignored: they follow from the other differences.
    """
    return any(
        EARLIER_MONTH not in difference.causes for difference in found if difference.charge.credit_grant_id is None
    )


def _refuse_other_currency(correction: Correction) -> None:
    """Raise BillingError if the next invoice is in another currency, which can't include the difference."""
    payer, month = correction.payer, correction.month
    current_currency = payer.members[0].currency_now
    if correction.differences and current_currency != payer.currency:
        raise not_computable(
            "currency_changed_since",
            f"the invoice of {payer.organization_id} for {month} is in {payer.currency} and needs a correction of"
            f" {plain(correction.amount)} {payer.currency}, but {payer.organization_id} is billed in"
            f" {current_currency} now. If Stripe does not have the invoice, reissue it with `fly-billing rebill"
            f" {payer.organization_id} {month} --reissue`; otherwise settle the amount with a one-off item in"
            f" {current_currency}",
        )
