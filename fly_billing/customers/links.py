"""Links organizations to the organization that pays for them. A link never moves; it ends, and another one begins."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from sqlalchemy import Connection

from fly_billing.corrections.correction import Actor
from fly_billing.customers.known import Organizations
from fly_billing.customers.rules.organizations import PayerLink
from fly_billing.customers.writing import TableRow, TermTable, Written, known_rows, refuse, withdraw_rows, write_rows
from fly_billing.periods import BillingMonth, moment_text

LINKS = TermTable(
    "organization_links", ("organization_id", "first_month"), "links_of", "add_links", "change_link", "withdraw_link"
)


def write_links(connection: Connection, actor: Actor, some: Sequence[PayerLink]) -> list[Written]:
    """Link organizations to payers, or change the last month of a link.

    Raises:
        CustomerRefused: Has a line for each problem: an unknown or closed organization, two currencies, a month that is
            billed already, a payer that is linked itself, or another payer of a link that exists.
    """
    known = known_rows(connection, LINKS, (one.organization_id for one in some))
    organizations = Organizations(connection, (name for one in some for name in (one.organization_id, one.payer_id)))
    refuse([
        f"{one.place}link of {one.organization_id} to {one.payer_id}: {problem}"
        for one in some
        if (problem := _problem(one, organizations, is_new=_key(one) not in known))
    ])  # fmt: skip
    return write_rows(connection, actor, LINKS, [_row(one) for one in some], known)


def _key(one: PayerLink) -> tuple[str, date]:
    return one.organization_id, one.first_month.first_day


def _problem(one: PayerLink, organizations: Organizations, *, is_new: bool) -> str | None:
    for name in (one.organization_id, one.payer_id):
        if problem := organizations.unknown(name):
            return problem
        closed = organizations[name].closed_at
        if is_new and closed is not None and closed <= one.first_month.start:
            return f"{name} closed its account on {moment_text(closed)}"
    both = [organizations[name].currency for name in (one.organization_id, one.payer_id)]
    if is_new and both[0] != both[1]:
        return f"{one.organization_id} is billed in {both[0]}, and {one.payer_id} in {both[1]}"
    return None


def _row(one: PayerLink) -> TableRow:
    columns = {
        "organization_id": one.organization_id, "payer_id": one.payer_id, "first_month": one.first_month.first_day,
        "last_month": one.last_month.first_day if one.last_month else None,
    }  # fmt: skip
    what = f"link of {one.organization_id} to {one.payer_id} from {one.first_month}"
    return TableRow(columns, one.organization_id, what, one.first_month, one.place)


def withdraw_links(connection: Connection, actor: Actor, some: Sequence[PayerLink]) -> list[Written]:
    """Delete links of which no month is final. Raises CustomerRefused."""
    return withdraw_rows(connection, actor, LINKS, [_row(one) for one in some])


def link_organization(
    connection: Connection, actor: Actor, organization_id: str, payer_id: str, first: BillingMonth | None,
    last: BillingMonth | None,
) -> list[Written]:  # fmt: skip
    """Link an organization to a payer, or end the link that it has.

    Args:
        first: Its first month. None: that of the link that it has to this payer, or the current month.
        last: Its last month; None: no end.

    Raises:
        CustomerRefused: Has a line for each problem.
        ValueError: The last month is before the first.
    """
    if first is None:
        first = max(
            (
                BillingMonth(row["first_month"].year, row["first_month"].month)
                for row in known_rows(connection, LINKS, [organization_id]).values()
                if row["payer_id"] == payer_id and row["last_month"] is None
            ),
            default=BillingMonth.containing(actor.at),
        )
    return write_links(connection, actor, [PayerLink(organization_id, payer_id, first, last)])
