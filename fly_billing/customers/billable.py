"""Refuses another currency or price book of an organization that its terms can't be billed in.

Its invoices could not be built otherwise, until somebody ends those terms. Not here: prices of usage, which a month
without them names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date

from sqlalchemy import Connection

from fly_billing.customers.charges import CHARGES
from fly_billing.customers.commitments import COMMITMENTS
from fly_billing.customers.coupons import COUPONS, DISCOUNTS
from fly_billing.customers.known import Organizations, PriceKeys
from fly_billing.customers.links import LINKS
from fly_billing.customers.subscriptions import SUBSCRIPTIONS
from fly_billing.customers.writing import known_rows, refuse
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import values


def refuse_unbillable_terms(connection: Connection, organization_ids: Iterable[str]) -> None:
    """Check the terms of organizations that have got another currency or price book.

    Raises:
        CustomerRefused: Has a line for each term that can't be billed from the month on in which they apply.
    """
    names = list(organization_ids)
    prices = PriceKeys(connection) if names else None
    problems = []
    for name in names:
        organizations = Organizations(connection, [name])
        one = organizations[name]
        since = organizations.priced_since(name) or BillingMonth.containing(one.created_at)
        terms = [
            *_charges(connection, organizations, name, since), *_monthly(connection, name, one.currency, since),
            *_links(connection, name, one.currency, since),
        ]  # fmt: skip
        problems += [
            f"{name} would be billed in {one.currency} from {since} on, but has {term}: end it before, or change the"
            " currency from a later month on"
            for term in terms
        ]
        problems += [
            f"{name}: {problem}: end the subscription before, or change the price book from a later month on"
            for problem in _fees(connection, name, since, prices, one.price_book, one.currency)
        ]
    refuse(problems)


def _charges(
    connection: Connection, organizations: Organizations, name: str, since: BillingMonth
) -> Iterator[str]:  # fmt: skip
    other = [
        row
        for row in known_rows(connection, CHARGES, [name]).values()
        if row["currency"] != organizations[name].currency
        and organizations.charged_in(name, BillingMonth.containing(row["occurred_at"])) >= since
    ]
    billed = set(values(connection, "billed_one_off_items", ids=[row["id"] for row in other]))
    for row in other:
        if row["id"] not in billed:
            yield f"the charge {row['description']!r} in {row['currency']}, which is not billed yet"


def _monthly(connection: Connection, name: str, currency: str, since: BillingMonth) -> Iterator[str]:
    for row in known_rows(connection, COMMITMENTS, [name]).values():
        if row["currency"] != currency and _lasts(row["last_month"], since):
            yield f"the {row['kind']} {row['description']!r} in {row['currency']}"
    discounts = [row for row in known_rows(connection, DISCOUNTS, [name]).values() if _lasts(row["last_month"], since)]
    coupons = known_rows(connection, COUPONS, (row["coupon_code"] for row in discounts))
    for (code,), coupon in coupons.items():
        if coupon["currency"] not in (None, currency):
            yield f"the coupon {code} in {coupon['currency']}"


def _links(connection: Connection, name: str, currency: str, since: BillingMonth) -> Iterator[str]:
    payers = [
        row["payer_id"]
        for row in known_rows(connection, LINKS, [name]).values()
        if _lasts(row["last_month"], since)
    ]  # fmt: skip
    paid_for = values(connection, "paid_for_after", payer_id=name, month=since.plus(-1).first_day)
    others = Organizations(connection, [*payers, *paid_for])
    for other in [*payers, *paid_for]:
        if others[other].currency != currency:
            yield f"a link to {other}, which is billed in {others[other].currency}"


def _lasts(last_month: date | None, since: BillingMonth) -> bool:
    return last_month is None or last_month >= since.first_day


def _fees(
    connection: Connection, name: str, since: BillingMonth, prices: PriceKeys | None, book: str, currency: str
) -> Iterator[str]:
    for row in known_rows(connection, SUBSCRIPTIONS, [name]).values():
        begins = max(row["started_at"], since.start)
        runs = row["ended_at"] is None or row["ended_at"] > begins
        if runs and prices and (problem := prices.wrong_fee(book, row["price_key"], currency, begins)):
            yield problem
