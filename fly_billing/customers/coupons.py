"""Writes coupons, and gives them to organizations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import Connection

from fly_billing.corrections.correction import Actor
from fly_billing.customers.known import Organizations
from fly_billing.customers.rules.terms import CouponTerms, DiscountTerms
from fly_billing.customers.writing import (
    Known,
    TableRow,
    TermTable,
    Written,
    by_organization,
    known_rows,
    problems_of,
    refuse,
    withdraw_rows,
    write_rows,
)
from fly_billing.money import plain
from fly_billing.periods import LAST_MONTH, BillingMonth
from fly_billing.postgres.database import Row, values
from fly_billing.pricing.rules.fields import did_you_mean

COUPONS = TermTable("coupons", ("code",), "coupons_with", "add_coupons", "change_coupon")
DISCOUNTS = TermTable(
    "discounts",
    ("organization_id", "coupon_code", "first_month"),
    "discounts_of",
    "add_discounts",
    "change_discount",
    "withdraw_discount",
)


def write_coupons(connection: Connection, actor: Actor, some: Sequence[CouponTerms]) -> list[Written]:
    """Add the new coupons and change those that differ. The discount of one that a final invoice used stays.

    Raises:
        CustomerRefused: Has a line for each problem.
    """
    known = known_rows(connection, COUPONS, (one.code for one in some))
    month = BillingMonth.containing(actor.at)
    found = []
    for one in some:
        columns = {column.name: getattr(one, column.name) for column in fields(one) if column.name != "place"}
        off = f"{plain(one.percent)} %" if one.percent is not None else f"{one.amount:f} {one.currency}"
        what = f"{one.title}: {off} off"
        found.append(TableRow(columns | {"scope": dict(one.scope)}, None, what, month, one.place))
    return write_rows(connection, actor, COUPONS, found, known)


def give_coupons(
    connection: Connection, actor: Actor, some: Sequence[DiscountTerms], *, keeps_end: bool = True
) -> list[Written]:
    """Give coupons to organizations, or change the months for which they have them.

    Args:
        keeps_end: An existing discount keeps its last month if the record has none. False: it has no end then.

    Raises:
        CustomerRefused: Has a line for each problem: an unknown organization or coupon, a coupon in another currency,
            the same coupon twice in a month, or what the database refuses.
    """
    known = known_rows(connection, DISCOUNTS, (one.organization_id for one in some))
    coupons = known_rows(connection, COUPONS, (one.coupon_code for one in some))
    organizations = Organizations(connection, (one.organization_id for one in some))
    problems = problems_of(some, lambda one: organizations.unknown(one.organization_id))
    problems += problems_of(some, lambda one: _unknown_coupon(connection, one.coupon_code, coupons))
    refuse(problems)
    of_organization = by_organization(known.values())
    refuse(problems_of(some, lambda one: _problem(one, organizations, coupons, of_organization[one.organization_id])))
    return write_rows(
        connection, actor, DISCOUNTS, [_row(one, actor, coupons, known, keeps_end=keeps_end) for one in some], known
    )


def _unknown_coupon(connection: Connection, code: str, coupons: Known) -> str | None:
    if (code,) in coupons:
        return None
    codes = values(connection, "coupon_codes")
    return f"no coupon {code!r}{did_you_mean(code, codes)}: `fly-billing coupon add` makes one"


def _key(one: DiscountTerms) -> tuple[Any, ...]:
    return one.organization_id, one.coupon_code, one.first_month.first_day


def _problem(one: DiscountTerms, organizations: Organizations, coupons: Known, existing: Sequence[Row]) -> str | None:
    if _key(one)[1:] in {(row["coupon_code"], row["first_month"]) for row in existing}:
        return None
    if problem := organizations.problem(one.organization_id, one.first_month.start):
        return problem
    coupon = coupons[(one.coupon_code,)]
    if problem := organizations.wrong_currency(one.organization_id, coupon["currency"], one.first_month):
        return problem
    first, last = one.first_month.first_day, _last_month(one, coupon, None)
    for row in existing:
        is_same = (row["organization_id"], row["coupon_code"]) == (one.organization_id, one.coupon_code)
        ends_before = row["last_month"] is not None and row["last_month"] < first
        if is_same and not ends_before and (last is None or row["first_month"] <= last):
            return f"it has this coupon from {row['first_month']:%Y-%m} on already"
    return None


def _last_month(one: DiscountTerms, coupon: Row, existing: Row | None, *, keeps_end: bool = True) -> Any:
    """Return the last month that the discount has in the database: at most as many months as the coupon."""
    if existing is not None and one.last_month is None and keeps_end:
        return existing["last_month"]
    given = one.last_month
    if existing is None and coupon["months"] is not None:
        most = min(one.first_month.plus(coupon["months"] - 1), LAST_MONTH)
        given = most if given is None else min(given, most)
    return given.first_day if given else None


def _row(one: DiscountTerms, actor: Actor, coupons: Known, known: Known, *, keeps_end: bool = True) -> TableRow:
    existing = known.get(_key(one))
    columns = {
        "id": existing["id"] if existing else one.id, "organization_id": one.organization_id,
        "coupon_code": one.coupon_code, "first_month": one.first_month.first_day,
        "last_month": _last_month(one, coupons[(one.coupon_code,)], existing, keeps_end=keeps_end),
        "redeemed_at": existing["redeemed_at"] if existing else one.redeemed_at or actor.at,
    }  # fmt: skip
    return TableRow(columns, one.organization_id, one.title, one.first_month, one.place)


def withdraw_discounts(connection: Connection, actor: Actor, some: Sequence[DiscountTerms]) -> list[Written]:
    """Take coupons back that reduced no invoice yet, not even an open one. Raises CustomerRefused."""
    known = known_rows(connection, DISCOUNTS, (one.organization_id for one in some))
    coupons = known_rows(connection, COUPONS, (one.coupon_code for one in some))
    found = [_row(one, actor, coupons, known) for one in some if _key(one) in known]
    return withdraw_rows(connection, actor, DISCOUNTS, found)
