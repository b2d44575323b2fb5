"""The page that a link in an e-mail leads to: it stops alerts about an organization to one address (RFC 8058).

A GET only shows a button, because mail scanners follow links; a POST stops the alerts, from the button or from a mail
program's own one. The signature of the link is checked before the database is asked. Not here: the link
(`customer_alerts.rules.unsubscribe_links`).
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from fly_billing.api.page_links import PageLinks
from fly_billing.api.page_responses import PRIVATE, page_not_here, page_unreachable
from fly_billing.api.problems import UNREACHABLE
from fly_billing.customer_alerts.customer_mail import PATH, unsubscribe
from fly_billing.customer_alerts.rules.unsubscribe_links import Unsubscription, read_unsubscribe_token
from fly_billing.statements.page import content_security_policy, notice_page

unsubscribe_router = APIRouter()


@unsubscribe_router.get(PATH + "/{token}", include_in_schema=False)
async def ask(request: Request, token: str) -> Response:
    """Show the button that stops e-mails."""
    wanted = _wanted(request, token)
    if wanted is None:
        return page_not_here()
    text = f"You get an e-mail when the spend of {wanted.organization_id} reaches an amount."
    return _page("Stop e-mails about your spend?", text, "Stop these e-mails")


@unsubscribe_router.post(PATH + "/{token}", include_in_schema=False)
def stop(request: Request, token: str) -> Response:
    """Stop e-mails. Repeating it changes nothing."""
    wanted = _wanted(request, token)
    if wanted is None:
        return page_not_here()
    try:
        unsubscribe(request.app.state.database, wanted)
    except UNREACHABLE as reason:
        return page_unreachable(reason)
    text = f"This address gets no more e-mails about the spend of {wanted.organization_id}. Invoices are not affected."
    return _page("E-mails are stopped", text)


def _wanted(request: Request, token: str) -> Unsubscription | None:
    links: PageLinks = request.app.state.links
    return read_unsubscribe_token(links.secrets, token)


def _page(title: str, text: str, button: str | None = None) -> Response:
    policy = content_security_policy().replace("form-action 'none'", "form-action 'self'")
    headers = {**PRIVATE, "Content-Security-Policy": f"{policy}; frame-ancestors 'none'"}
    return HTMLResponse(notice_page(title, text, button), headers=headers)
