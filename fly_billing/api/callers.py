"""Who sent a request, and about which organization: refuses a token without the scope, or of another organization.

What a token may not read and what does not exist give the same 404. Not here: whether the token works (`api.guard`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Path, Request

from fly_billing.api.problems import RequestRefused
from fly_billing.api.rules.access import ApiToken
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.postgres.organizations import NoSuchOrganization, organization_name
from fly_billing.statements.explanation_reader import NoSuchItem
from fly_billing.statements.rules.statement import Statement
from fly_billing.statements.statement_reader import NoSuchMonth, read_statement

ORGANIZATION = "/organizations/{organization_id}"
OrganizationId = Annotated[str, Path(max_length=200, description="The organization's id.", examples=["acme"])]
Found = TypeVar("Found")


@dataclass(frozen=True)
class Caller:
    """A request that may read or write of an organization.

    Attributes:
        now: The time of the request: `as_of` of its answer.
    """

    database: BillingDatabase
    organization_id: str
    now: datetime
    token: ApiToken

    def statement(self, month: str | None = None, *, all_months: bool = False) -> Statement:
        """Read a month's statement. Raises RequestRefused."""
        parsed = _month(month)
        return found_or_refused(
            lambda: read_statement(self.database, self.organization_id, self.now, parsed, all_months=all_months)
        )

    def overview(self, *, all_months: bool = False) -> Statement:
        """Read the amounts owed and the months in a line each, without the details of one. Raises RequestRefused."""
        return found_or_refused(
            lambda: read_statement(
                self.database, self.organization_id, self.now, has_details=False, all_months=all_months
            )
        )

    def refuse_unknown_organization(self) -> None:
        """Raise RequestRefused if no organization has this id, as an operator's token may ask."""
        with self.database.transaction() as connection:
            found_or_refused(lambda: organization_name(connection, self.organization_id))


def needs(scope: str) -> Any:
    """Return the dependency that refuses a token without this scope (403), or of another organization (404)."""

    async def caller(request: Request, organization_id: OrganizationId) -> Caller:
        token: ApiToken = request.state.token
        if not token.has_scope(scope):
            raise RequestRefused(403)
        if not token.is_about(organization_id) or not organization_id.isprintable():
            raise RequestRefused(404)
        return Caller(request.app.state.database, organization_id, request.state.now, token)

    return Depends(caller)


def found_or_refused(read: Callable[[], Found]) -> Found:
    """Return the result of this function. A missing record is a 404 without its message, which may name others."""
    try:
        return read()
    except (NoSuchOrganization, NoSuchItem, NoSuchMonth) as missing:
        raise RequestRefused(404) from missing


def _month(text: str | None) -> BillingMonth | None:
    try:
        return BillingMonth.parse(text) if text else None
    except ValueError as mistake:
        raise RequestRefused(422, "month: there is no such month; write it as YYYY-MM") from mistake
