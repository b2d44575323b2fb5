"""Billing any unchanged inputs again leaves nothing to correct.

The month is September 2026. An invoice passes through the database in between: later runs know only stored
fields.
"""

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fly_billing.corrections.rules.differences import Difference, charges_of, differences, recalculate
from fly_billing.invoicing.rules.assembly import assemble_invoice
from fly_billing.invoicing.rules.inputs import (
    CREDITABLE,
    Adjustment,
    Commitment,
    CreditGrant,
    Discount,
    DiscountTaken,
    FeeCharged,
    InvoiceInputs,
    Member,
    OneOffItem,
    Subscription,
    UsageRollup,
)
from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.pricing.rules.intervals import CALENDAR, fee_periods
from fly_billing.pricing.rules.models import Graduated, Package, PerUnit, Tier
from fly_billing.pricing.rules.negotiated_prices import Membership, Negotiated, NegotiatedPrice, holdings_of
from fly_billing.pricing.rules.prices import Price, PriceBook
from fly_billing.pricing.rules.scope import CHARGES, Scope
from fly_billing.pricing.rules.tax_rates import TaxRate
from tests.support.builders import OCTOBER, REQUESTS, SEPTEMBER, at, fee_charged, id_of, price

MIDDLE = at("2026-09-16")
MOMENTS = st.sampled_from(
    [at("2026-08-10"), SEPTEMBER.start, at("2026-09-11"), MIDDLE, at("2026-09-21"), OCTOBER.start, at("2026-10-16")]
)
AMOUNTS = st.integers(0, 60).map(Decimal) | st.decimals(0, 200, places=2)
SIGNED = AMOUNTS | AMOUNTS.map(lambda amount: -amount)
PRODUCTS = st.sampled_from(["One-off", "Support"])
PERCENTS = st.sampled_from([Decimal(5), Decimal(50), Decimal(100), Decimal("33.3")])
# Fields of an item that `billed_items` does not read.
NOT_STORED: dict[str, Any] = {
    "match": {},
    "rollup_ids": (),
    "one_off_item_id": None,
    "adjustment_id": None,
    "credit_grant_id": None,
}


@st.composite
def books(draw: st.DrawFn) -> tuple[Price, ...]:
    """Draw usage with and without dimensions and versions, and four fees: two of them have the same product
    and text.
    """
    changes = draw(st.booleans())
    bounds = st.fixed_dictionaries(
        {},
        optional={
            "minimum": st.just(Decimal(5)),
            "maximum": st.just(Decimal(40)),
            "at_zero": st.just("item"),
            "free_allowance": st.just(Decimal(10)),
        },
    )
    found = [
        price("requests", "0.10", "requests", **draw(bounds)),
        price("egress", "0.02", "egress_gb", **draw(bounds)),
        price("egress-ams", "0.05", "egress_gb", match={"region": ("ams",)}, **draw(bounds)),
        price("support", "29"),
        price(
            "seats",
            "10",
            model=Graduated((Tier(Decimal(2), Decimal(10)), Tier(None, Decimal(7))), Decimal(1)),
            interval="quarter",
        ),
        price(
            "blocks",
            "6",
            product="Support",
            description="support as used",
            model=Package(Decimal(6), Decimal(4)),
            interval="half-year",
        ),
        price("twin", "29", product="Support", description="support as used", interval="year"),
    ]
    if changes:
        found[0] = replace(found[0], effective_until=MIDDLE)
        found.append(replace(found[0], effective_from=MIDDLE, effective_until=None, model=PerUnit(draw(AMOUNTS))))
        found[3] = replace(found[3], effective_until=OCTOBER.start)
        found.append(replace(found[3], effective_from=OCTOBER.start, effective_until=None, model=PerUnit(Decimal(35))))
    return tuple(found)


def rollups(draw: st.DrawFn, member: str, changes: bool) -> list[UsageRollup]:
    halves = [(SEPTEMBER.start, MIDDLE), (MIDDLE, SEPTEMBER.end)] if changes else [(SEPTEMBER.start, SEPTEMBER.end)]
    found = []
    for meter, dimensions in [("requests", {}), ("egress_gb", {"region": "ams"}), ("egress_gb", {"region": "iad"})]:
        for start, end in halves:
            quantity = draw(st.none() | st.integers(0, 400).map(Decimal))
            if quantity is not None:
                name = id_of(f"{member} {meter} {dimensions} {start}")
                found.append(UsageRollup(name, meter, dimensions, start, end, quantity))
    return found


@st.composite
def taken(draw: st.DrawFn, charged: Decimal) -> tuple[DiscountTaken, ...]:
    if not charged or not draw(st.booleans()):
        return ()
    return (DiscountTaken(id_of("early"), "EARLY", "Early bird", charged * draw(PERCENTS) / 100),)


# Fees by intervals of every length; a fee keeps its interval.
INTERVAL_OF = {"support": "month", "seats": "quarter", "blocks": "half-year", "twin": "year"}


@st.composite
def subscriptions(draw: st.DrawFn, name: str) -> Subscription:
    started = draw(MOMENTS)
    key = draw(st.sampled_from(list(INTERVAL_OF)))
    subscription = Subscription(
        id_of(name),
        key,
        started,
        draw(st.none() | MOMENTS.filter(lambda moment: moment >= started)),
        draw(st.sampled_from([Decimal(1), Decimal(3)])),
        draw(st.sampled_from(["in_arrears", "in_advance"])),
        draw(st.sampled_from(["second", "day", "none"])),
        draw(st.sampled_from(["calendar", "start"])),
        draw(st.none() | MOMENTS.filter(lambda moment: moment >= started)),
    )
    anchor = CALENDAR if subscription.anchor == "calendar" else subscription.paid_from
    return replace(
        subscription,
        charged=tuple(
            FeeCharged(period.start, period.end, amount, SEPTEMBER.plus(-1), draw(taken(amount)))
            for period in fee_periods(INTERVAL_OF[key], anchor, SEPTEMBER.start, OCTOBER.end)
            if draw(st.booleans())
            for amount in [draw(st.just(Decimal(0)) | AMOUNTS)]
        ),
    )


@st.composite
def negotiated(draw: st.DrawFn, member: str, middle: bool) -> Negotiated:
    """Draw a member's negotiated prices, alone and in a group: percentages off and own prices, some for Amsterdam."""
    begins = st.sampled_from(["2026-01-01", "2026-09-16"] if middle else ["2026-01-01"])
    found = []
    for key in draw(st.lists(st.sampled_from(["requests", "egress", "support", "seats"]), unique=True, max_size=3)):
        charges = draw(
            st.sampled_from(
                [
                    {"percent_off": "12.5"},
                    {"percent_off": "100"},
                    {"unit_amount": "0.07", "minimum": "3"},
                    {"model": "package", "unit_amount": "3", "per": "7"},
                    {"unit_amount": "2", "free_allowance": "20"},
                ]
            )
        )
        match = draw(st.sampled_from([{}, {"region": "ams"}])) if key == "egress" else {}
        whose = draw(st.sampled_from([{"organization": member}, {"group": "startups"}]))
        data = {"key": key, "effective_from": draw(begins), "match": match, **whose, **charges}
        found.append(NegotiatedPrice.from_data("fly", data))
    return Negotiated(holdings_of(member, found, [Membership("startups", member, at("2026-01-01"))]))


@st.composite
def members(draw: st.DrawFn, name: str) -> Member:
    book = draw(books())
    changes = any(version.effective_from == MIDDLE for version in book)
    plans = [draw(subscriptions(f"{name} {number}")) for number in range(draw(st.integers(0, 4)))]
    return Member(
        name,
        PriceBook(book).negotiated_by(draw(negotiated(name, changes))),
        rollups(draw, name, changes),
        sorted(plans, key=lambda subscription: (subscription.started_at, subscription.id)),
        [
            OneOffItem(id_of(f"{name} one-off {n}"), "setup", draw(SIGNED), "USD")
            for n in range(draw(st.integers(0, 2)))
        ],
        [
            Adjustment(id_of(f"{name} adjustment {n}"), SEPTEMBER.plus(-1), "Requests", "late", draw(SIGNED), "USD")
            for n in range(draw(st.integers(0, 1)))
        ],
    )


@st.composite
def scopes(draw: st.DrawFn, kinds: tuple[str, ...]) -> Scope:
    return Scope(
        draw(st.just(kinds) | st.sampled_from(kinds).map(lambda kind: (kind,))),
        products=draw(st.sampled_from([(), ("Support",), ("Requests", "Seats")])),
        price_keys=draw(st.sampled_from([(), (), ("support", "egress-ams"), ("twin",)])),
        meter=draw(st.sampled_from([None, None, None, "egress_gb"])),
        match=draw(st.sampled_from([{}, {}, {}, {"region": ("ams",)}])),
    )


@st.composite
def discounts(draw: st.DrawFn, number: int) -> Discount:
    name = id_of(f"discount {number}")
    promised: dict[str, Any] = {"percent": draw(PERCENTS)} if draw(st.booleans()) else {"amount": draw(AMOUNTS)}
    return Discount(
        name, f"C{number}", "coupon", scope=draw(scopes(CHARGES)), order=draw(st.integers(0, 1)), **promised
    )


@st.composite
def commitments(draw: st.DrawFn, number: int) -> Commitment:
    kind = draw(st.sampled_from(["minimum", "maximum"]))
    several: dict[str, Any] = (
        {"is_due": draw(st.booleans()), "counted_before": draw(AMOUNTS)} if kind == "minimum" else {}
    )
    scope = draw(scopes((*CHARGES, "minimum")))
    return Commitment(id_of(f"commitment {number}"), kind, "agreed", draw(AMOUNTS), scope, **several)


@st.composite
def invoice_inputs(draw: st.DrawFn) -> InvoiceInputs:
    """Draw a payer with up to two linked organizations, and terms of every kind."""
    names = ["acme", "labs", "shop"][: draw(st.integers(1, 3))]
    is_inclusive = draw(st.booleans())
    return InvoiceInputs(
        "acme",
        "USD",
        SEPTEMBER,
        [draw(members(name)) for name in names],
        [draw(discounts(number)) for number in range(draw(st.integers(0, 3)))],
        [draw(commitments(number)) for number in range(draw(st.integers(0, 3)))],
        [
            CreditGrant(
                id_of(f"credit {n}"), "prepaid", draw(AMOUNTS), at("2026-01-01"), scope=draw(scopes(CREDITABLE))
            )
            for n in range(draw(st.integers(0, 2)))
        ],
        [
            TaxRate(
                id_of(f"rate {n}"), f"tax {n}", draw(PERCENTS), is_inclusive, f"tax {n}", scope=draw(scopes(CHARGES))
            )
            for n in range(draw(st.integers(0, 2)))
        ],
    )


def stored(items: Iterable[InvoiceItem]) -> list[InvoiceItem]:
    """Return the items as a correction reads them from the database."""
    return [replace(item, **NOT_STORED, detail=json.loads(json.dumps(item.detail))) for item in items]


def rebilled(inputs: InvoiceInputs, billed: Iterable[InvoiceItem]) -> list[Difference]:
    items = list(billed)
    now = recalculate(inputs, items)
    return differences(charges_of(items, SEPTEMBER), {}, charges_of(now.items, SEPTEMBER), {})


@given(invoice_inputs())
def test_any_inputs_billed_again_have_nothing_to_correct(inputs: InvoiceInputs) -> None:
    invoice = assemble_invoice(inputs)
    assert [(difference.charge.key, difference.amount) for difference in rebilled(inputs, stored(invoice.items))] == []


# --- Worked examples: inputs of each kind in which the order of the items decides ----------------------------------

ANALYTICS, BACKUPS = price("analytics", "30"), price("backups", "20")
AHEAD = price("ahead", "10")  # its name comes first on an invoice
BOOK = (REQUESTS, ANALYTICS, BACKUPS, AHEAD)
FROM_AUGUST = at("2026-08-01")


def plan(key: str, billed: str = "in_arrears", ended_at: datetime | None = None, **charged: Any) -> Subscription:
    return Subscription(id_of(key), key, FROM_AUGUST, ended_at, billed=billed, **charged)


def inputs(*plans: Subscription, **terms: Any) -> InvoiceInputs:
    rollup = UsageRollup(id_of("use"), "requests", {}, SEPTEMBER.start, SEPTEMBER.end, Decimal(100))
    return InvoiceInputs("acme", "USD", SEPTEMBER, [Member("acme", PriceBook(BOOK), [rollup], plans)], **terms)


def off(code: str, scope: Scope | None = None, order: int = 0, **promised: Any) -> Discount:
    return Discount(id_of(code), code, code, scope=scope or Scope(), order=order, **promised)


def of(*keys: str, kinds: tuple[str, ...] = CHARGES) -> Scope:
    return Scope(kinds, price_keys=keys)


PAID: dict[str, Any] = {"charged": (fee_charged("10"),)}
IN_ADVANCE = plan("ahead", "in_advance", **PAID)
LABS = Member("labs", PriceBook(BOOK), [], [plan("backups")])
WORKED_EXAMPLES = {
    # October's 10 of `ahead` are filled first, as fees are listed: the 29 leave 11 of `backups`; half of that is off.
    "an amount off and a percentage of a fee": (
        inputs(
            IN_ADVANCE,
            plan("backups"),
            discounts=[
                off("AMOUNT", Scope(("subscription",)), amount=Decimal(19)),
                off("HALF", of("backups"), 1, percent=Decimal(50)),
            ],
        ),
        "15.50",  # 10 usage + 10 + 20 fees - 19 - 5.50
    ),
    # 40 at most of usage and fees: 20 too much is taken from usage and `ahead`; at least 25 of `backups` tops up 5.
    "a maximum over all and a minimum of a fee": (
        inputs(
            IN_ADVANCE,
            plan("backups"),
            plan("analytics"),
            commitments=[
                Commitment(id_of("most"), "maximum", "most", Decimal(50)),
                Commitment(id_of("least"), "minimum", "least", Decimal(55), of("backups", "analytics")),
            ],
        ),
        "55.00",  # 70 - 20 from usage (10) and ahead (10): 50 left of the two, and 5 up to the 55
    ),
    "a fee given back before its month, with its discount": (
        inputs(
            plan(
                "ahead",
                "in_advance",
                SEPTEMBER.end,
                charged=(
                    fee_charged("10"),
                    fee_charged(
                        "10", OCTOBER, discounts=(DiscountTaken(id_of("EARLY"), "EARLY", "EARLY", Decimal(5)),)
                    ),
                ),
            ),
            discounts=[off("EARLY", percent=Decimal(50))],
        ),
        "0.00",  # usage 10, half off; 10 for October refunded, less the 5 that were off
    ),
    "an amount off and usage in two regions of a percentage": (
        inputs(
            IN_ADVANCE,
            plan("analytics", ended_at=MIDDLE),
            discounts=[
                off("AMOUNT", amount=Decimal(12)),
                off("TENTH", of("analytics"), 1, percent=Decimal(10)),
            ],
        ),
        "21.50",  # 10 + 10 + 15 = 35; 12 off usage (10) and ahead (2); a tenth of 15
    ),
    "a linked organization whose fee stands between the payer's": (
        replace(
            inputs(
                IN_ADVANCE,
                plan("analytics"),
                discounts=[off("AMOUNT", amount=Decimal(15)), off("T", of("backups"), 1, percent=Decimal(50))],
            ),
            members=[inputs(IN_ADVANCE, plan("analytics")).members[0], LABS],
        ),
        "45.00",  # 10 + 10 + 30 + 20 = 70; 15 off usage and ahead; half of the 20 of labs
    ),
    "one of two fees given back in the middle of the month, and an amount off": (
        inputs(
            plan("backups", "in_advance", MIDDLE, charged=(fee_charged("20"),)),
            plan("analytics"),
            discounts=[off("AMOUNT", amount=Decimal(35)), off("TENTH", of("analytics"), 1, percent=Decimal(10))],
        ),
        "-1.00",  # an amount off takes at most 10 + 30 - 10 = 30: usage 10, analytics 20; and a tenth of its last 10
    ),
}


@pytest.mark.parametrize(("inputs", "total"), WORKED_EXAMPLES.values(), ids=list(WORKED_EXAMPLES))
def test_inputs_in_which_the_order_decides_are_billed_again_unchanged(inputs: InvoiceInputs, total: str) -> None:
    invoice = assemble_invoice(inputs)
    assert invoice.amount == Decimal(total)
    assert rebilled(inputs, stored(invoice.items)) == []
