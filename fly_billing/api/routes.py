"""The routes below /v1: what they take, which scope they need, and which answer they give.

Not here: who is asking (`api.guard`, `api.callers`), setting thresholds and caps (`api.alert_routes`), the answers
(`api.answers`), and how they are documented (`api.openapi`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from fly_billing.api import answers, models
from fly_billing.api.callers import ORGANIZATION, Caller, Found, found_or_refused, needs
from fly_billing.api.cost_answers import MOST_PLACES
from fly_billing.api.openapi import documented, documented_without_answer, documented_write
from fly_billing.api.page_links import make_link, revoke_link_with_token
from fly_billing.api.problems import RequestRefused
from fly_billing.api.responses import respond
from fly_billing.api.rules.access import ISSUER, ApiToken, check_scopes
from fly_billing.api.rules.paging import InvalidCursor, page_after
from fly_billing.api.token_store import NewToken, TokenRefused, issue_for_issuer
from fly_billing.customer_alerts.spend_caps import spend_caps
from fly_billing.customer_alerts.thresholds import thresholds
from fly_billing.postgres.database import BillingDatabase
from fly_billing.statements.explanation_reader import read_explanation
from fly_billing.statements.month_end import read_month_end
from fly_billing.statements.rules.statement import Statement, StatementInvoice, StatementItem
from fly_billing.statements.statement_reader import month_of_invoice
from fly_billing.statements.usage_reader import read_quantities

MOST_INVOICES = 100
MOST_ITEMS = 200

Month = Annotated[
    str | None,
    Query(pattern=r"^[0-9]{4}-[0-9]{2}$", description="A month in UTC. Default: the newest.", examples=["2026-09"]),
]
AllMonths = Annotated[
    Literal["all"] | None,
    Query(description="`all` lists every month. Default: without the earlier months that nothing is due for."),
]


router = APIRouter(prefix="/v1")


@router.get(f"{ORGANIZATION}/statement", **documented("statement", models.StatementAnswer, "statement"))
def statement(
    request: Request, caller: Annotated[Caller, needs("statement")], month: Month = None, months: AllMonths = None
) -> Response:
    """Show a month's statement: the amounts owed now, the months in a line each, and the month's items and cost."""
    return respond(request, answers.statement_answer(caller.statement(month, all_months=months == "all")))


@router.get(f"{ORGANIZATION}/upcoming-invoice", **documented("upcoming_invoice", models.UpcomingAnswer, "statement"))
def upcoming_invoice(request: Request, caller: Annotated[Caller, needs("statement")]) -> Response:
    """Show the open months so far. In the first days of a month, the month before is still open, too."""
    newest = caller.statement()
    months = sorted({invoice.month for invoice in newest.invoices if invoice.status == "open"})
    statements = [newest if month == newest.month else caller.statement(month) for month in months]
    return respond(request, answers.upcoming_answer(newest, statements))


@router.get(f"{ORGANIZATION}/estimate", **documented("estimate", models.EstimateAnswer, "statement"))
def estimate(request: Request, caller: Annotated[Caller, needs("statement")]) -> Response:
    """Estimate the current month's total at its end, with a range. It is not owed, and it is in no other amount."""
    found = found_or_refused(lambda: read_month_end(caller.database, caller.organization_id, caller.now))
    return respond(request, answers.estimate_answer(caller.organization_id, found, caller.now))


@router.get(f"{ORGANIZATION}/invoices", **documented("invoices", models.InvoicesAnswer, "invoices"))
def invoices(
    request: Request,
    caller: Annotated[Caller, needs("invoices")],
    limit: Annotated[int, Query(ge=1, le=MOST_INVOICES, description="Invoices per page.")] = 20,
    cursor: Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before.")] = None,
) -> Response:
    """List the invoices, the newest month first."""
    found = caller.overview(all_months=True)
    listed = [invoice for invoice in found.invoices if invoice.id]
    page, next_cursor = _page(listed, lambda invoice: invoice.id or "", cursor, limit)
    return respond(request, answers.invoices_answer(found, page, next_cursor))


@router.get(f"{ORGANIZATION}/invoices/{{invoice_id}}", **documented("invoice", models.InvoiceAnswer, "invoices"))
def invoice(request: Request, caller: Annotated[Caller, needs("invoices")], invoice_id: UUID) -> Response:
    """Show an invoice with its items, its taxes, its customer, and where to pay it."""
    month = month_of_invoice(caller.database, invoice_id)
    if month is None:
        raise RequestRefused(404)
    found = caller.statement(str(month))
    return respond(request, answers.invoice_answer(found, _invoice(found, invoice_id)))


@router.get(
    f"{ORGANIZATION}/items/{{item_id}}/explanation", **documented("explanation", models.ExplanationAnswer, "invoices")
)
def explanation(request: Request, caller: Annotated[Caller, needs("invoices")], item_id: UUID) -> Response:
    """Explain how an item's amount was calculated: its usage, its price, its sums and its rounding."""
    explained = found_or_refused(lambda: read_explanation(caller.database, item_id))
    if caller.organization_id not in (explained.payer_id, explained.explanation.item.organization_id):
        raise RequestRefused(404)
    return respond(request, answers.explanation_answer(explained, caller.organization_id, caller.now))


@router.get(f"{ORGANIZATION}/usage", **documented("usage", models.UsageAnswer, "usage"))
def usage(
    request: Request,
    caller: Annotated[Caller, needs("usage")],
    month: Month = None,
    limit: Annotated[int, Query(ge=1, le=MOST_ITEMS, description="Items per page.")] = MOST_ITEMS,
    cursor: Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before.")] = None,
) -> Response:
    """Show a month's usage and its cost by day, app, region and product. The items come in pages."""
    found = caller.statement(month)
    shown = found.shown()
    if shown is None:
        raise RequestRefused(404)
    items, next_cursor = _page([item for item in shown.items if item.kind == "usage"], _item_id, cursor, limit)
    quantities = read_quantities(caller.database, [UUID(item.id) for item in items], MOST_PLACES)
    return respond(request, answers.usage_answer(found, items, quantities, next_cursor))


@router.get(f"{ORGANIZATION}/balance", **documented("balance", models.BalanceAnswer, "balance"))
def balance(request: Request, caller: Annotated[Caller, needs("balance")]) -> Response:
    """Show the amounts owed, from the ledger, and which part of them is not certain yet."""
    return respond(request, answers.balance_answer(caller.overview()))


@router.get(f"{ORGANIZATION}/credits", **documented("credits", models.CreditsAnswer, "balance"))
def remaining_credits(request: Request, caller: Annotated[Caller, needs("balance")]) -> Response:
    """List the credits that are not used up."""
    return respond(request, answers.credits_answer(caller.overview()))


@router.get(f"{ORGANIZATION}/alerts", **documented("alerts", models.AlertsAnswer, "alerts"))
def alerts(request: Request, caller: Annotated[Caller, needs("alerts")]) -> Response:
    """List the thresholds at which the customer is alerted, with the last month that reached each; and the cap."""
    caller.refuse_unknown_organization()
    found = thresholds(caller.database, caller.organization_id)
    caps = spend_caps(caller.database, caller.organization_id)
    return respond(request, answers.alerts_answer(caller.organization_id, found, caps, caller.now))


@router.post("/tokens", **documented_write("token", models.TokenAnswer, ISSUER, 201))
def issue_token(request: Request, wanted: models.TokenRequest) -> Response:
    """Issue a token for an organization. Needs an operator's token with the role issuer. It is shown only once."""
    token: ApiToken = request.state.token
    if not token.may_issue:
        raise RequestRefused(403)
    now: datetime = request.state.now
    issued = _issued(request.app.state.database, wanted, token, now)
    answer = models.TokenAnswer(as_of=now, **issued)
    return Response(answer.model_dump_json(), 201, headers={"Cache-Control": "no-store"}, media_type="application/json")


def _issued(database: BillingDatabase, wanted: models.TokenRequest, issuer: ApiToken, now: datetime) -> dict[str, Any]:
    if not wanted.organization_id.isprintable():
        raise RequestRefused(404)
    try:
        expires_at = now + timedelta(days=wanted.expires_in_days)
        new = NewToken(wanted.name, expires_at, wanted.organization_id, None, check_scopes(wanted.scopes))
        issued = issue_for_issuer(database, new, issuer, now)
    except (TokenRefused, ValueError) as mistake:
        raise RequestRefused(422, str(mistake)) from mistake
    if issued is None:
        raise RequestRefused(404)
    data = issued.as_data()
    return {name: data[name] for name in ("id", "token", "organization_id", "name", "scopes", "expires_at")}


@router.post("/page-links", **documented_write("page_link", models.PageLinkAnswer, ISSUER, 201))
def make_page_link(request: Request, wanted: models.PageLinkRequest) -> Response:
    """Make a link to an organization's page. Needs an operator's token with the role issuer."""
    token: ApiToken = request.state.token
    if not token.may_issue:
        raise RequestRefused(403)
    if not wanted.organization_id.isprintable():
        raise RequestRefused(404)
    state, now = request.app.state, request.state.now
    if not state.links.secrets:
        raise RequestRefused(503, "this server makes no links: its FLY_BILLING_LINK_SECRET is not set")
    link = found_or_refused(
        lambda: make_link(state.database, state.links, wanted.organization_id, wanted.expires_in_days, now)
    )
    answer = models.PageLinkAnswer(as_of=now, **link.as_data())
    return Response(answer.model_dump_json(), 201, headers={"Cache-Control": "no-store"}, media_type="application/json")


@router.delete("/page-links/{link_id}", **documented_without_answer("revoke_page_link", ISSUER))
def revoke_page_link(request: Request, link_id: UUID) -> Response:
    """Revoke a link to an organization's page. Needs an operator's token with the role issuer.

    Links are not stored: an id that no link has, and one that is revoked already, are a 204, too.
    """
    token: ApiToken = request.state.token
    if not token.may_issue:
        raise RequestRefused(403)
    revoke_link_with_token(request.app.state.database, link_id, token.id)
    return Response(status_code=204)


def _page(
    listed: Sequence[Found], key: Callable[[Found], str], cursor: str | None, limit: int
) -> tuple[Sequence[Found], str | None]:
    """Return the page after the cursor and the next one. Raises RequestRefused for a cursor that is none of ours."""
    try:
        return page_after(listed, key, cursor, limit)
    except InvalidCursor as mistake:
        raise RequestRefused(422, str(mistake)) from mistake


def _item_id(item: StatementItem) -> str:
    return item.id


def _invoice(found: Statement, invoice_id: UUID) -> StatementInvoice:
    for each in found.invoices:
        if each.id == str(invoice_id):
            return each
    raise RequestRefused(404)
