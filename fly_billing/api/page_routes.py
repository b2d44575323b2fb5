"""The route of the customer page: which months it shows, and how it splits the cost.

Not here: who may read it (`api.guard`), what it looks like (`statements.page`), and its headers (`api.page_responses`).
"""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter, Request
from starlette.responses import Response

from fly_billing.api.page_links import PAGE_PATH
from fly_billing.api.page_responses import page_not_here, page_response, page_unreachable
from fly_billing.api.problems import UNREACHABLE
from fly_billing.api.rules.links import PageLink
from fly_billing.periods import BillingMonth
from fly_billing.postgres.organizations import NoSuchOrganization
from fly_billing.statements.live_page import LivePages
from fly_billing.statements.rules.daily_costs import SPLITS
from fly_billing.statements.statement_reader import NoSuchMonth

page_router = APIRouter()


@page_router.get(PAGE_PATH + "{link}", include_in_schema=False)
def customer_page(
    request: Request, month: str | None = None, by: str = "product", months: str | None = None
) -> Response:
    """Show the page of the link's organization. A month that is not there gives the same page as a wrong link."""
    link: PageLink = request.state.link
    now: datetime = request.state.now
    pages: LivePages = request.app.state.pages
    try:
        split = by if by in SPLITS else SPLITS[0]
        html = pages.read(link.organization_id, now, _month(month), split, all_months=months == "all")
    except (NoSuchOrganization, NoSuchMonth, _NotAMonth):
        return page_not_here()
    except UNREACHABLE as reason:
        return page_unreachable(reason)
    return page_response(request, html)


class _NotAMonth(ValueError):
    """The address has a month that is none."""


def _month(text: str | None) -> BillingMonth | None:
    try:
        return BillingMonth.parse(text) if text else None
    except ValueError as mistake:
        raise _NotAMonth from mistake
