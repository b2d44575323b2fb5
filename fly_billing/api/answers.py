"""Makes the API's answers from what the readers of statements return. No amount is calculated here.

Sentences for operators (problems of rows, names of usage files) stay inside: they may name other organizations.
Not here: reading (`statements`), and routes (`api.routes`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from fly_billing.api import models
from fly_billing.api.cost_answers import comparison, cost, money, money_by_currency
from fly_billing.customer_alerts.rules.thresholds import SpendThreshold
from fly_billing.customer_alerts.spend_caps import SpendCap
from fly_billing.money import plain
from fly_billing.periods import BillingMonth
from fly_billing.statements.explanation_reader import ExplainedItem
from fly_billing.statements.rules import balance, sums
from fly_billing.statements.rules.estimate import MonthEndEstimate, NoEstimate
from fly_billing.statements.rules.statement import (
    EarlierMonths,
    RemainingCredit,
    Statement,
    StatementInvoice,
    StatementItem,
    UsageSource,
)
from fly_billing.statements.usage_reader import UsageQuantities
from fly_billing.stripe_sync.rules.customer_details import InvoiceDetails


def statement_answer(statement: Statement) -> models.StatementAnswer:
    """Return the statement of the month that it shows."""
    shown = statement.shown()
    return models.StatementAnswer(
        **_head(statement),
        organization_name=statement.organization_name,
        is_complete=is_complete(statement),
        owed=owed(statement),
        months=[models.InvoiceSummary(**_summary(invoice, statement)) for invoice in statement.invoices],
        earlier_months=_earlier_months(statement.earlier_months),
        month=statement.month,
        invoice=invoice_of(shown, statement) if shown else None,
        cost=cost(shown.spend, shown.currency) if shown and shown.spend else None,
        compared=comparison(shown.compared, shown.currency) if shown and shown.compared else None,
        not_compared=shown.not_compared if shown else "",
        credits=[*map(_credit, statement.credits)],
        usage_included_until=statement.completeness.until if statement.completeness else None,
        usage_as_of=statement.completeness.as_of if statement.completeness else None,
        usage_sources=[*map(_usage_source, statement.completeness.sources)] if statement.completeness else [],
        unread_usage=statement.unread_usage_in_words(),
    )


def _earlier_months(found: EarlierMonths | None) -> models.EarlierMonthCount | None:
    return models.EarlierMonthCount(count=found.count, first_month=found.first_month) if found else None


def _usage_source(source: UsageSource) -> models.ReceivedSource:
    return models.ReceivedSource(name=source.name, last_received_on=source.until)


def upcoming_answer(newest: Statement, open_months: Sequence[Statement]) -> models.UpcomingAnswer:
    """Return the open invoices. `open_months`: a statement of each open month, the oldest first."""
    shown = [(statement, invoice) for statement in open_months if (invoice := statement.shown())]
    return models.UpcomingAnswer(
        **_head(newest),
        is_complete=all(map(is_complete, [newest, *open_months])),
        totals=money_by_currency(newest.upcoming()),
        invoices=[invoice_of(invoice, statement) for statement, invoice in shown],
    )


def estimate_answer(
    organization_id: str, found: MonthEndEstimate | NoEstimate, as_of: datetime
) -> models.EstimateAnswer:
    """Return the estimate, or why there is none."""
    made = found if isinstance(found, MonthEndEstimate) else None
    low, likely, high = (money(cents, made.currency) for cents in made.range_cents) if made else (None, None, None)
    return models.EstimateAnswer(
        as_of=as_of,
        organization_id=organization_id,
        month=found.month,
        low=low,
        likely=likely,
        high=high,
        in_words=found.in_words(),
        method=[*made.method] if made else [],
        complete_days=made.complete_days if made else None,
        days=made.days if made else None,
        no_estimate=found.code if isinstance(found, NoEstimate) else None,
    )


def invoices_answer(
    statement: Statement, page: Sequence[StatementInvoice], next_cursor: str | None
) -> models.InvoicesAnswer:
    invoices = [models.InvoiceSummary(**_summary(invoice, statement)) for invoice in page]
    return models.InvoicesAnswer(**_head(statement), invoices=invoices, next_cursor=next_cursor)


def invoice_answer(statement: Statement, invoice: StatementInvoice) -> models.InvoiceAnswer:
    return models.InvoiceAnswer(
        **_head(statement),
        is_complete=is_complete(statement),
        invoice=invoice_of(invoice, statement),
        customer=_customer(invoice.customer) if invoice.customer and invoice.payer is None else None,
        seller=None if invoice.seller is None else list(invoice.seller),
        payment_page=invoice.hosted_invoice_url,
        pdf=invoice.pdf_url,
    )


def balance_answer(statement: Statement) -> models.BalanceAnswer:
    upcoming = money_by_currency(statement.upcoming())
    return models.BalanceAnswer(
        **_head(statement), is_complete=is_complete(statement), owed=owed(statement), upcoming=upcoming
    )


def credits_answer(statement: Statement) -> models.CreditsAnswer:
    found = [*map(_credit, statement.credits)]
    return models.CreditsAnswer(**_head(statement), is_complete=is_complete(statement), credits=found)


def usage_answer(
    statement: Statement, items: Sequence[StatementItem], quantities: UsageQuantities, next_cursor: str | None
) -> models.UsageAnswer:
    """Return the cost of the month that the statement shows, and the usage of these items of it.

    Raises ValueError if it shows no month.
    """
    shown = statement.shown()
    if shown is None:
        raise ValueError("the statement shows no month")
    total = None if shown.total_cents is None else money(shown.total_cents, shown.currency)
    return models.UsageAnswer(
        **_head(statement),
        month=shown.month,
        is_complete=is_complete(statement),
        total=total,
        cost=cost(shown.spend, shown.currency) if shown.spend else None,
        items=[_item_usage(item, shown, quantities) for item in items],
        next_cursor=next_cursor,
    )


def explanation_answer(explained: ExplainedItem, organization_id: str, as_of: Any) -> models.ExplanationAnswer:
    """Return the explanation. An organization that another one pays for sees nothing of the payer's total."""
    explanation = explained.explanation
    item = explanation.item
    is_payer = explained.payer_id == organization_id
    return models.ExplanationAnswer(
        as_of=as_of,
        organization_id=organization_id,
        item_id=str(item.id),
        month=str(explained.month),
        kind=item.kind,
        product=item.product,
        description=item.description,
        quantity=plain(item.quantity),
        unit=item.unit,
        exact_amount=plain(item.amount),
        amount=money(item.amount_cents, explanation.currency),
        sums=[*map(_sum, explanation.sums)],
        rounding=explanation.rounding.sentence if is_payer else _ROUNDED_BY_PAYER,
        facts=[models.Fact(name=name, text=text) for name, text in explanation.facts if name in _PUBLIC_FACTS],
        is_reproduced=not explanation.problems,
    )


# The other facts are for operators: they name price books, groups of customers, and who booked what.
_PUBLIC_FACTS = {
    "Charged by",
    "List price",
    "Period",
    "Interval",
    "Occurred at",
    "Subscription",
    "Granted at",
    "Reason",
}
_ROUNDED_BY_PAYER = "The payer's invoice is rounded once, and its cents are distributed over the items."


def alerts_answer(
    organization_id: str, found: Iterable[SpendThreshold], caps: Iterable[SpendCap], as_of: Any
) -> models.AlertsAnswer:
    """Return the thresholds, and the newest call about the cap. `caps`: of this organization, at most one."""
    calls = [call for cap in caps if (call := _cap_call(cap))]
    return models.AlertsAnswer(
        as_of=as_of,
        organization_id=organization_id,
        alerts=[*map(_spend_alert, found)],
        cap_call=calls[0] if calls else None,
    )


def alert_answer(threshold: SpendThreshold, as_of: datetime) -> models.AlertAnswer:
    """Return an alert or the cap that was just set."""
    return models.AlertAnswer(as_of=as_of, organization_id=threshold.organization_id, alert=_spend_alert(threshold))


def _spend_alert(threshold: SpendThreshold) -> models.SpendAlert:
    cents = threshold.amount_cents
    return models.SpendAlert(
        id=str(threshold.id),
        kind=threshold.kind,
        name=threshold.subject,
        amount=None if cents is None else money(cents, threshold.currency),
        percent=threshold.percent,
        is_first=threshold.is_first,
        last_reached_in=threshold.last_alerted,
        no_effect=threshold.no_effect,
    )


def _cap_call(cap: SpendCap) -> models.SpendCapCall | None:
    if cap.number is None or cap.state is None or cap.reason is None or cap.month is None or cap.called_at is None:
        return None
    return models.SpendCapCall(
        number=cap.number,
        state=cap.state,
        reason=cap.reason,
        month=cap.month,
        called_at=cap.called_at,
        acknowledged_at=cap.acknowledged_at,
    )


def is_complete(statement: Statement) -> bool:
    """Return True if every record could be read."""
    return not statement.problems


def owed(statement: Statement) -> models.Owed:
    return models.Owed(
        in_words=statement.headline(),
        calculation=[
            models.AmountLine(text=text, amount=money(cents, currency))
            for text, cents, currency in statement.sums_of_balances()
        ],
        caveats=statement.caveats(),
        balances=[_balance(each, currency) for currency, each in statement.balances().items()],
    )


def invoice_of(invoice: StatementInvoice, statement: Statement) -> models.InvoiceWithItems:
    """Return the invoice with its items, as far as the statement has them."""
    currency = invoice.currency
    return models.InvoiceWithItems(
        **_summary(invoice, statement),
        items=[_item(item, currency) for item in invoice.items],
        taxes=[
            models.Tax(
                name=tax.name,
                percent=tax.percent,
                is_inclusive=tax.is_inclusive,
                category=tax.category,
                legal_text=tax.legal_text,
                taxable=money(tax.taxable_cents, currency),
                tax=money(tax.tax_cents, currency),
            )
            for tax in invoice.taxes
        ],
        sums=[models.AmountLine(text=text, amount=money(cents, currency)) for text, cents in invoice.sums()],
    )


def _head(statement: Statement) -> dict[str, Any]:
    return {"as_of": statement.as_of, "organization_id": statement.organization_id}


def _summary(invoice: StatementInvoice, statement: Statement) -> dict[str, Any]:
    payer = invoice.payer
    return {
        "id": invoice.id,
        "month": invoice.month,
        "status": invoice.status if payer is None or invoice.status == "open" else "paid by another",
        "status_in_words": invoice.status_in_words(),
        "number": None if payer else invoice.number,
        "total": None if invoice.total_cents is None else money(invoice.total_cents, invoice.currency),
        "due_on": invoice.due_on,
        "calculated_at": invoice.as_of,
        "reminder": invoice.reminder(statement.as_of),
        "trouble": invoice.trouble,
        "payer": models.PaidBy(id=payer.id, name=payer.name) if payer else None,
    }


def _item(item: StatementItem, currency: str) -> models.Item:
    return models.Item(
        id=item.id,
        kind=item.kind,
        organization_id=item.organization_id,
        product=item.product,
        description=item.description,
        quantity=item.quantity,
        unit=item.unit,
        calculation=item.working,
        reasons=list(item.reasons),
        supplied=item.period_in_words(),
        exact_amount=item.amount,
        amount=money(item.amount_cents, currency),
    )


def _customer(details: InvoiceDetails) -> models.Customer:
    return models.Customer(
        name=details.name,
        email=details.email,
        address=list(details.address_lines),
        tax_ids=list(details.tax_ids),
        purchase_order=details.purchase_order,
    )


def _balance(found: balance.Balance, currency: str) -> models.CurrencyBalance:
    return models.CurrencyBalance(
        currency=currency,
        owed=money(found.owed, currency),
        unpaid_invoices=found.unpaid,
        credit=money(found.credit, currency),
        carried_over=money(found.carried_over, currency),
        total=money(found.total, currency),
        waiting=money(found.waiting, currency),
        disputed=money(found.disputed, currency),
        refunded=money(found.refunded, currency),
        paid=money(found.paid, currency),
    )


def _credit(credit: RemainingCredit) -> models.Credit:
    return models.Credit(
        description=credit.description,
        granted=money(credit.granted_cents, credit.currency),
        remaining=money(credit.left_cents, credit.currency),
        expires_at=credit.expires_at,
        also_pays_taxes=credit.pays == "gross",
        in_words=credit.in_words(),
    )


def _sum(found: sums.Sum) -> models.ExplainedSum:
    return models.ExplainedSum(
        title=found.title, unit=found.unit, lines=[*map(_line, found.lines)], total=plain(found.total)
    )


def _line(line: sums.Line) -> models.SumLine:
    quantity, unit_amount, per = map(plain, line.product) if line.product else (None, None, None)
    return models.SumLine(
        label=line.label, quantity=quantity, unit_amount=unit_amount, per=per, amount=plain(line.amount)
    )


def _item_usage(item: StatementItem, invoice: StatementInvoice, found: UsageQuantities) -> models.ItemUsage:
    first_day, item_id = BillingMonth.parse(invoice.month).first_day, UUID(item.id)
    places = found.by_place.get(item_id, ())
    others = [models.OtherPlaces(count=row.others, quantity=plain(row.quantity)) for row in places if row.others]
    return models.ItemUsage(
        item_id=item.id,
        product=item.product,
        description=item.description,
        quantity=item.quantity,
        unit=item.unit,
        cost=money(item.amount_cents, invoice.currency),
        by_day=[
            models.DayQuantity(
                day=None if row.day is None else first_day + timedelta(days=row.day - 1), quantity=plain(row.quantity)
            )
            for row in found.by_day.get(item_id, ())
        ],
        by_place=[
            models.PlaceQuantity(app=row.app, region=row.region, quantity=plain(row.quantity))
            for row in places
            if not row.others
        ],
        other_places=others[0] if others else None,
    )
