"""Changes organizations and their terms: `org`, `subscribe`, `change-plan`, `cancel`, `charge`, `credit`, `coupon`,
`commit`, `tax`, `link` and `price override`.

Each makes its changes in one transaction, and prints them. Not here: the rules and the writing (`customers`).
"""

from __future__ import annotations

import getpass
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from rich.table import Table
from sqlalchemy import Connection

from fly_billing.cli.local_platform import local_platform
from fly_billing.cli.terminal import Terminal, joined, lines, styled
from fly_billing.corrections.correction import Actor
from fly_billing.customers.billing_details import change_billing_details
from fly_billing.customers.charges import final_invoice_notices, write_charges
from fly_billing.customers.closing import close_organization, reopen_organization
from fly_billing.customers.commitments import add_commitment
from fly_billing.customers.coupons import give_coupons, write_coupons
from fly_billing.customers.credits import write_credits
from fly_billing.customers.known import typed_amount_of
from fly_billing.customers.links import link_organization
from fly_billing.customers.organizations import (
    Groups,
    ListedOrganization,
    add_organization,
    change_organization,
    list_organizations,
    rename_organization,
    show_organization,
)
from fly_billing.customers.overview import read_overview
from fly_billing.customers.price_overrides import write_price_overrides
from fly_billing.customers.rules.organizations import OrganizationRecord
from fly_billing.customers.rules.terms import (
    CommitmentTerms,
    CouponTerms,
    CreditTerms,
    DiscountTerms,
    OneOffCharge,
    SubscriptionTerms,
    TaxTerms,
)
from fly_billing.customers.subscriptions import cancel, change_plan, write_subscriptions
from fly_billing.customers.taxes import change_tax_status, set_tax
from fly_billing.customers.writing import CustomerRefused, Effect, Written, changing, closed_months_changed
from fly_billing.money import counted, from_cents, parse_typed_amount
from fly_billing.periods import BillingMonth, moment_text
from fly_billing.postgres.database import BillingDatabase
from fly_billing.pricing.rules.negotiated_prices import NegotiatedPrice
from fly_billing.settings import Settings

VERBS = {
    Effect.NEW: ("added", "green"), Effect.CHANGED: ("changed", "green"), Effect.UNCHANGED: ("unchanged", ""),
    Effect.WITHDRAWN: ("withdrawn", "yellow"),
}  # fmt: skip


@dataclass(frozen=True)
class ChangeOptions:
    """The options that all these commands have.

    Attributes:
        why: The reason, kept with the change.
    """

    is_dry_run: bool
    as_json: bool
    why: str | None


@dataclass
class Work:
    """A change that is being made: its connection, its author, and what people should know besides its outcome."""

    connection: Connection
    actor: Actor
    settings: Settings
    notices: list[str]

    @property
    def month(self) -> BillingMonth:
        return BillingMonth.containing(self.actor.at)

    @property
    def today(self) -> datetime:
        return self.actor.at.replace(hour=0, minute=0, second=0, microsecond=0)


Act = Callable[[Work], Sequence[Written]]


def make(console: Terminal, options: ChangeOptions, act: Act) -> None:
    """Make the changes of one command in one transaction, and print them. Raises CustomerRefused."""
    actor = Actor(getpass.getuser(), datetime.now(UTC).replace(microsecond=0), options.why)
    with local_platform() as settings:
        database = BillingDatabase(settings.database_url)
        with changing(database, is_dry_run=options.is_dry_run) as connection:
            work = Work(connection, actor, settings, [])
            try:
                written = act(work)
            except ValueError as problem:  # a field that its record refuses
                raise CustomerRefused([str(problem)]) from problem
            notices = work.notices + [change.notice for change in closed_months_changed(connection, actor)]
    _print(console, options, written, list(dict.fromkeys(notices)))


def _print(console: Terminal, options: ChangeOptions, written: Sequence[Written], notices: Sequence[str]) -> None:
    if options.as_json:
        changes = [done.as_data() for done in written]
        print(json.dumps({"dry_run": options.is_dry_run, "changes": changes, "notices": list(notices)}, indent=2))
        return
    for done in written:
        verb, style = VERBS[done.effect]
        console.print(joined(styled(verb, style), f" {'; '.join([done.what, *done.changes])}"), soft_wrap=True)
    for notice in notices:
        console.print(joined(styled("note", "yellow"), f" {notice}"), soft_wrap=True)
    if options.is_dry_run:
        console.print("Dry run: nothing was written.")


# --- Organizations ----------------------------------------------------------------------------------------------------


def add(console: Terminal, options: ChangeOptions, organization: str, name: str | None, **facts: Any) -> None:
    """Add an organization. `facts`: other fields of OrganizationRecord; None for its default."""
    given = {field: value for field, value in facts.items() if value is not None}

    def act(work: Work) -> Sequence[Written]:
        one = OrganizationRecord(organization, name or organization, **{"created_at": work.actor.at} | given)
        groups = Groups(work.settings.max_org_partitions, work.settings.shared_groups)
        named = [field for field in ("created_at", "stripe_customer_id") if field in given]
        return [add_organization(work.connection, work.actor, one, groups, named)]

    make(console, options, act)


def rename(console: Terminal, options: ChangeOptions, organization: str, name: str) -> None:
    """Give an organization another name."""
    make(console, options, lambda work: [rename_organization(work.connection, work.actor, organization, name)])


def change_pricing(
    console: Terminal, options: ChangeOptions, organization: str, currency: str | None, book: str | None,
    first: BillingMonth | None,
) -> None:  # fmt: skip
    """Give an organization another currency or price book."""
    if currency is None and book is None:
        raise CustomerRefused(["give a --currency, a --book or both"])

    def act(work: Work) -> Sequence[Written]:
        code = currency.upper() if currency else None
        return [change_organization(work.connection, work.actor, organization, code, book, first)]

    make(console, options, act)


def close(console: Terminal, options: ChangeOptions, organization: str, at: datetime | None) -> None:
    """Close an organization's account, now or at an instant."""
    make(
        console, options,
        lambda work: close_organization(work.connection, work.actor, organization, at or work.actor.at),
    )  # fmt: skip


def reopen(console: Terminal, options: ChangeOptions, organization: str) -> None:
    """Open an organization's account again."""
    make(console, options, lambda work: [reopen_organization(work.connection, work.actor, organization)])


def change_details(console: Terminal, options: ChangeOptions, organization: str, **details: Any) -> None:
    """Change the details that are given. `details`: columns of `billing_details`; None: it stays."""
    given = {name: value for name, value in details.items() if value is not None}
    if "tax_ids" in given:
        given["tax_ids"] = tuple(part.strip() for part in given["tax_ids"].split(",") if part.strip())

    def act(work: Work) -> Sequence[Written]:
        return [change_billing_details(work.connection, work.actor, organization, **given)]

    make(console, options, act)


def show_all(console: Terminal, word: str | None, *, with_closed: bool, as_json: bool) -> None:
    """Print the organizations, or those with a word in id or name."""
    now = datetime.now(UTC)
    with local_platform() as settings:
        found = list_organizations(BillingDatabase(settings.database_url), now, word, with_closed=with_closed)
    if as_json:
        print(json.dumps([vars(one) for one in found], indent=2, default=datetime.isoformat))
        return
    table = Table(title="Organizations", title_justify="left")
    for heading in ("Id", "Name", "Currency", "Price book", "Since", "Subscriptions", "Paid by", "Last invoice", ""):
        table.add_column(heading, justify="right" if heading == "Subscriptions" else "left", overflow="fold")
    for one in found:
        table.add_row(
            one.id, one.name, one.currency, one.price_book, f"{one.created_at.astimezone(UTC):%Y-%m-%d}",
            f"{one.subscriptions:,}", one.payer_id or "", one.last_final_month or "", _closed(one, now),
        )  # fmt: skip
    console.print(table)
    console.print(counted(len(found), "organization"))


def _closed(one: ListedOrganization, now: datetime) -> str:
    if one.closed_at is None:
        return ""
    return f"{'closed' if one.closed_at <= now else 'closes'} {moment_text(one.closed_at.astimezone(UTC))}"


def show(console: Terminal, organization: str, *, as_json: bool) -> None:
    """Print an organization and all its terms. Raises CustomerRefused."""
    now = datetime.now(UTC)
    with local_platform() as settings:
        found = read_overview(BillingDatabase(settings.database_url), organization, now)
    one = found.organization
    if as_json:
        print(json.dumps(found.as_data(), indent=2))
        return
    console.print(
        f"{one.id}: {one.name}, price book {one.price_book} in {one.currency}, a customer from"
        f" {moment_text(one.created_at.astimezone(UTC))} on{', ' + _closed(one, now) if one.closed_at else ''}",
        soft_wrap=True,
    )
    table = Table(title="Terms", title_justify="left")
    for heading in ("Kind", "Terms"):
        table.add_column(heading, overflow="fold")
    for term in found.terms:
        table.add_row(term.kind, lines(*(f"{name}: {value}" for name, value in term.facts.items())))
    console.print(table if found.terms else "It has no terms: it pays list prices for its usage.")


# --- Fees and charges -------------------------------------------------------------------------------------------------


def subscribe(
    console: Terminal, options: ChangeOptions, organization: str, key: str, start: datetime | None, **terms: Any
) -> None:
    """Begin a subscription, now or at an instant. `terms`: other fields of SubscriptionTerms."""

    def act(work: Work) -> Sequence[Written]:
        one = SubscriptionTerms(organization, key, start or work.actor.at, **terms)
        return write_subscriptions(work.connection, work.actor, [one])

    make(console, options, act)


def replace_plan(
    console: Terminal, options: ChangeOptions, organization: str, old: str, new: str, at: datetime | None,
    **choice: Any,
) -> None:  # fmt: skip
    """End a subscription and begin another one, now or at an instant. `choice`: of `change_plan`."""
    make(
        console, options,
        lambda work: change_plan(
            work.connection, work.actor, organization, old, new, at or work.actor.at, **choice
        ),
    )  # fmt: skip


def end_fee(
    console: Terminal, options: ChangeOptions, organization: str, key: str, at: datetime | None,
    *, at_month_end: bool, **choice: Any,
) -> None:  # fmt: skip
    """End a subscription now, at an instant, or with the month. `choice`: of `cancel`."""

    def act(work: Work) -> Sequence[Written]:
        moment = BillingMonth.containing(at or work.actor.at).end if at_month_end else at or work.actor.at
        return [cancel(work.connection, work.actor, organization, key, moment, **choice)]

    make(console, options, act)


def charge(
    console: Terminal, options: ChangeOptions, organization: str, amount: str, on: datetime | None, *,
    gives_back: bool, **terms: Any,
) -> None:  # fmt: skip
    """Charge an amount once, or give it back. `terms`: other fields of OneOffCharge; with a quantity, of each unit."""

    def act(work: Work) -> Sequence[Written]:
        moment = on or work.today
        given = typed_amount_of(work.connection, organization, amount, moment)[0] * (-1 if gives_back else 1)
        name = "amount" if terms["quantity"] == 1 and terms["unit"] == "item" else "unit_amount"
        columns: dict[str, Any] = {**terms, name: given}
        one = OneOffCharge(organization, occurred_at=moment, **columns)
        written = write_charges(work.connection, work.actor, [one], may_change=False)
        if written[0].effect == Effect.NEW:  # otherwise an invoice may have it already
            work.notices.extend(final_invoice_notices(work.connection, [one]))
        return written

    make(console, options, act)


def grant_credit(
    console: Terminal, options: ChangeOptions, organization: str, amount: str, start: datetime | None, **terms: Any
) -> None:
    """Grant credit from today or a time on. `terms`: other fields of CreditTerms."""

    def act(work: Work) -> Sequence[Written]:
        given, _ = typed_amount_of(work.connection, organization, amount)
        one = CreditTerms(organization, amount=given, granted_at=start or work.today, **terms)
        return write_credits(work.connection, work.actor, [one])

    make(console, options, act)


# --- Coupons, commitments, taxes, payers and prices -------------------------------------------------------------------


def add_coupon(
    console: Terminal, options: ChangeOptions, code: str, amount: str | None, currency: str | None, **terms: Any
) -> None:
    """Add a coupon or change it. `terms`: other fields of CouponTerms."""

    def act(work: Work) -> Sequence[Written]:
        unit = (currency or "USD").upper() if amount is not None else currency
        off = None if amount is None or unit is None else from_cents(parse_typed_amount(amount, unit), unit)
        return write_coupons(work.connection, work.actor, [CouponTerms(code, amount=off, currency=unit, **terms)])

    make(console, options, act)


def give_coupon(
    console: Terminal, options: ChangeOptions, organization: str, code: str, first: BillingMonth | None,
    last: BillingMonth | None,
) -> None:  # fmt: skip
    """Give a coupon to an organization, from this month or another one on."""

    def act(work: Work) -> Sequence[Written]:
        return give_coupons(work.connection, work.actor, [DiscountTerms(organization, code, first or work.month, last)])

    make(console, options, act)


def commit(
    console: Terminal, options: ChangeOptions, organization: str, amount: str, first: BillingMonth | None,
    description: str | None, **terms: Any,
) -> None:  # fmt: skip
    """Agree on a minimum or maximum. `terms`: other fields of CommitmentTerms."""

    def act(work: Work) -> Sequence[Written]:
        bound, currency = typed_amount_of(work.connection, organization, amount)
        said = description or _commitment_text(bound, currency, terms["kind"], terms["months"])
        one = CommitmentTerms(organization, said, bound, first or work.month, **terms)
        return add_commitment(work.connection, work.actor, one)

    make(console, options, act)


def _commitment_text(bound: Decimal, currency: str, kind: str, months: int) -> str:
    least = "At least" if kind == "minimum" else "At most"
    return f"{least} {bound:f} {currency} " + ("a month" if months == 1 else f"in {counted(months, 'month')}")


def add_tax(
    console: Terminal, options: ChangeOptions, organization: str, name: str, percent: Decimal,
    first: BillingMonth | None, **terms: Any,
) -> None:  # fmt: skip
    """Tax an organization; its present rate of that tax ends before. `terms`: other fields of TaxTerms."""

    def act(work: Work) -> Sequence[Written]:
        return set_tax(work.connection, work.actor, TaxTerms(organization, name, percent, first or work.month, **terms))

    make(console, options, act)


def set_tax_status(
    console: Terminal, options: ChangeOptions, organization: str, first: BillingMonth | None, location: str | None,
    kind: str | None,
) -> None:  # fmt: skip
    """Say where an organization is and of which kind, from this month or another one on."""

    if location is None and kind is None:
        raise CustomerRefused(["give a --location, a --kind or both"])

    def act(work: Work) -> Sequence[Written]:
        return change_tax_status(work.connection, work.actor, organization, first or work.month, location, kind)

    make(console, options, act)


def link(
    console: Terminal, options: ChangeOptions, organization: str, payer: str, first: BillingMonth | None,
    last: BillingMonth | None,
) -> None:  # fmt: skip
    """Link an organization to a payer, or end its link."""
    make(
        console, options,
        lambda work: link_organization(work.connection, work.actor, organization, payer, first, last),
    )  # fmt: skip


def override_price(
    console: Terminal, options: ChangeOptions, organization: str, key: str, start: datetime | None, **terms: Any
) -> None:
    """Negotiate a price for an organization, in its price book. `terms`: fields of a price book's file."""

    def act(work: Work) -> Sequence[Written]:
        book = show_organization(work.connection, organization, work.actor.at).price_book
        given = {name: value for name, value in terms.items() if value not in (None, {})}
        if "unit_amount" in given:
            given["model"] = "per_unit"
        data = {"key": key, "organization": organization, "effective_from": start or work.actor.at, **given}
        return write_price_overrides(work.connection, work.actor, [NegotiatedPrice.from_data(book, data)])

    make(console, options, act)
