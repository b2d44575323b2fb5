"""Usage, fees and one-off items become one invoice whose items add up to the cent."""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fly_billing.errors import BillingError
from fly_billing.invoicing.rules.assembly import Invoice, assemble_invoice, invoice_id
from fly_billing.invoicing.rules.inputs import InvoiceInputs, Member, OneOffItem, Subscription, UsageRollup
from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.money import exact_sum
from fly_billing.pricing.rules.models import Flat, Graduated, Tier
from fly_billing.pricing.rules.prices import Price, PriceBook
from tests.support.builders import EGRESS, PRICES, REQUESTS, SEPTEMBER, SUPPORT, at, id_of, price

MID_MONTH = at("2026-09-16")


def rollup(
    meter: str, quantity: str | Decimal, start: datetime = SEPTEMBER.start, end: datetime = SEPTEMBER.end, **match: str
) -> UsageRollup:
    return UsageRollup(id_of(f"{meter} {match} {start} {quantity}"), meter, match, start, end, Decimal(quantity))


def subscription(started: str, ended: str | None = None, key: str = "support") -> Subscription:
    return Subscription(id_of(f"{key} {started}"), key, at(started), at(ended) if ended else None)


def one_off(amount: str | Decimal, name: str = "setup", currency: str = "USD") -> OneOffItem:
    return OneOffItem(id_of(name), name, Decimal(amount), currency)


def assemble(
    rollups: list[UsageRollup] | None = None,
    subscriptions: list[Subscription] | None = None,
    one_offs: list[OneOffItem] | None = None,
    prices: tuple[Price, ...] = PRICES,
    **changes: Any,
) -> Invoice:
    member = Member("acme", PriceBook(prices), rollups or [], subscriptions or [], one_offs or [])
    whole: dict[str, Any] = {"currency": "USD", "month": SEPTEMBER} | changes
    return assemble_invoice(InvoiceInputs("acme", members=[member], **whole))


def only_item(invoice: Invoice) -> InvoiceItem:
    (item,) = invoice.items
    return item


# --- Usage ---------------------------------------------------------------------------------------------------------


def test_usage_past_the_free_allowance_is_charged_only_for_the_excess() -> None:
    """60 + 50 GB are 110 GB: 100 are free, 10 x 0.02 = 0.20."""
    item = only_item(assemble([rollup("egress_gb", "60", region="iad"), rollup("egress_gb", "50", region="ams")]))
    assert (item.quantity, item.amount, item.amount_cents) == (Decimal(110), Decimal("0.20"), 20)
    assert item.rollup_ids == (
        rollup("egress_gb", "60", region="iad").id,
        rollup("egress_gb", "50", region="ams").id,
    )
    assert item.detail == {
        "price": "egress",
        "price_effective_from": "2026-01-01T00:00:00+00:00",
        "free_allowance_used": "100",
        "steps": [{"label": "all", "quantity": "10", "unit_amount": "0.02", "per": "1", "amount": "0.2"}],
    }


def test_usage_within_the_free_allowance_is_an_item_that_costs_nothing() -> None:
    item = only_item(assemble([rollup("egress_gb", "100", region="iad")]))
    assert (item.quantity, item.amount, item.amount_cents) == (Decimal(100), Decimal(0), 0)
    assert (item.detail["free_allowance_used"], item.detail["steps"]) == ("100", [])


def test_the_free_allowance_is_granted_once_in_a_month_with_a_price_change() -> None:
    """80 GB before the change are free; 20 of the 50 GB after it are free, and 30 x 0.03 = 0.90."""
    dearer = price("egress", "0.03", "egress_gb", effective_from=MID_MONTH, free_allowance=Decimal(100))
    before, after = assemble(
        [
            rollup("egress_gb", "50", MID_MONTH, region="iad"),
            rollup("egress_gb", "80", end=MID_MONTH, region="iad"),
        ],
        prices=(EGRESS, dearer),
    ).items
    assert {item.price_id: (item.quantity, item.amount) for item in (before, after)} == {
        EGRESS.id: (Decimal(80), Decimal(0)),
        dearer.id: (Decimal(50), Decimal("0.90")),
    }


def test_a_smaller_allowance_after_a_change_never_charges_units_that_were_free() -> None:
    smaller = price("egress", "0.03", "egress_gb", effective_from=MID_MONTH, free_allowance=Decimal(50))
    invoice = assemble(
        [rollup("egress_gb", "80", end=MID_MONTH), rollup("egress_gb", "10", MID_MONTH)], prices=(EGRESS, smaller)
    )
    assert invoice.amount == Decimal("0.30")


def test_a_machine_that_ran_all_month_costs_the_published_month() -> None:
    item = only_item(assemble([rollup("machine_seconds", "2592000", preset="shared-cpu-1x", region="iad")]))
    assert (item.unit, item.amount, item.amount_cents) == ("second", Decimal("1.94"), 194)


def test_graduated_usage_shows_each_tier() -> None:
    """100 x 0.10 + 50 x 0.05 = 12.50."""
    tiers = Graduated((Tier(Decimal(100), Decimal("0.10")), Tier(None, Decimal("0.05"))))
    item = only_item(assemble([rollup("requests", "150")], prices=(price("requests", "0", "requests", model=tiers),)))
    assert item.amount == Decimal("12.50")
    assert [step["label"] for step in item.detail["steps"]] == ["0 to 100", "above 100"]


def test_a_price_change_does_not_restart_the_tiers() -> None:
    """80 x 0.10 before it; 20 x 0.12 and 30 x 0.06 after it. Restarted tiers would make the second 50 x 0.12."""
    change = at("2026-09-15")
    old = Graduated((Tier(Decimal(100), Decimal("0.10")), Tier(None, Decimal("0.05"))))
    new = Graduated((Tier(Decimal(100), Decimal("0.12")), Tier(None, Decimal("0.06"))))
    versions = (
        price("requests", "0", "requests", model=old),
        price("requests", "0", "requests", model=new, effective_from=change),
    )
    usage = [rollup("requests", "50", change), rollup("requests", "80", end=change)]
    items = {item.price_id: item for item in assemble(usage, prices=versions).items}
    assert [items[version.id].amount for version in versions] == [Decimal("8"), Decimal("4.2")]
    assert [step["label"] for step in items[versions[1].id].detail["steps"]] == ["0 to 100", "above 100"]


def test_the_minimum_of_a_price_is_a_step_of_its_item() -> None:
    item = only_item(assemble([rollup("requests", "3")], prices=(replace(REQUESTS, minimum=Decimal(5)),)))
    assert item.amount == Decimal(5)
    assert [step["label"] for step in item.detail["steps"]] == ["all", "up to the minimum of 5"]


def test_usage_of_zero_is_an_item_of_zero() -> None:
    assert only_item(assemble([rollup("requests", "0")])).amount == 0


def test_a_price_with_at_zero_makes_an_item_without_usage() -> None:
    always = replace(REQUESTS, model=Flat(Decimal("7.50")), at_zero="item")
    assert only_item(assemble([rollup("requests", "0")], prices=(always,))).amount == Decimal("7.50")


def test_usage_without_a_price_makes_no_invoice() -> None:
    with pytest.raises(BillingError, match="unpriced_usage"):
        assemble([rollup("requests", "1")], prices=(EGRESS,))


@pytest.mark.parametrize(
    "changed",
    [
        [REQUESTS, price("requests", "0.20", "requests", effective_from=MID_MONTH)],
        [REQUESTS, price("requests", "0.20", "requests", effective_from=MID_MONTH, effective_until=at("2026-09-17"))],
        [price("requests", "0.10", "requests", effective_from=MID_MONTH)],
        [price("requests", "0.10", "requests", effective_until=MID_MONTH)],
    ],
    ids=["superseded", "a passing offer", "begins", "ends"],
)
def test_a_rollup_that_spans_a_price_change_is_not_billed(changed: list[Price]) -> None:
    with pytest.raises(BillingError, match="price_changed_inside_rollup") as raised:
        assemble([rollup("requests", "1")], prices=tuple(changed))
    assert (raised.value.code, raised.value.retryable) == ("price_changed_inside_rollup", True)
    assert "materialize usage_rollups for this month again" in raised.value.operator_text


# --- Fees ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("started", "ended", "quantity", "unit", "amount"),
    [
        ("2026-01-01", None, "1", "month", "29.00"),
        ("2026-09-01", "2026-10-01", "1", "month", "29.00"),
        ("2026-09-16", None, "1296000", "second", "14.50"),
        ("2026-01-01", "2026-09-07", "518400", "second", "5.80"),
        ("2026-09-01", "2026-09-01T00:00:01", "1", "second", "0.00001118827160493827"),
    ],
)
def test_a_fee_is_charged_for_the_part_of_the_month_it_ran(
    started: str, ended: str | None, quantity: str, unit: str, amount: str
) -> None:
    item = only_item(assemble(subscriptions=[subscription(started, ended)]))
    assert (item.kind, item.quantity, item.unit, item.amount) == (
        "subscription",
        Decimal(quantity),
        unit,
        Decimal(amount),
    )


def test_a_subscription_that_did_not_run_in_the_month_is_not_on_the_invoice() -> None:
    ran = [
        subscription("2026-10-01"),
        subscription("2026-01-01", "2026-09-01"),
        subscription("2026-09-05", "2026-09-05"),
    ]
    assert assemble(subscriptions=ran).items == ()


def test_two_halves_of_a_month_cost_the_same_as_the_month() -> None:
    halves = [subscription("2026-01-01", "2026-09-12T07:00:01"), subscription("2026-09-12T07:00:01")]
    assert assemble(subscriptions=halves).total_cents == 2900


def test_a_fee_takes_the_price_in_force_when_the_month_or_the_subscription_begins() -> None:
    dearer = price("support", "39.00", effective_from=MID_MONTH)
    prices = (SUPPORT, dearer)
    assert assemble(subscriptions=[subscription("2026-01-01")], prices=prices).amount == Decimal("29.00")
    assert assemble(subscriptions=[subscription("2026-09-16")], prices=prices).amount == Decimal("19.50")


# --- One-off items and the total -----------------------------------------------------------------------------------


def test_goodwill_is_taken_off_and_may_make_the_invoice_negative() -> None:
    """3 x 0.10 - 5.00 = -4.70."""
    invoice = assemble([rollup("requests", "3")], one_offs=[one_off("-5.00", "goodwill")])
    assert (invoice.amount, invoice.total_cents) == (Decimal("-4.70"), -470)
    assert [(item.kind, item.description, item.amount_cents) for item in invoice.items] == [
        ("usage", "requests as used", 30),
        ("one_off", "goodwill", -500),
    ]


def test_items_are_in_the_order_usage_fees_one_offs() -> None:
    invoice = assemble(
        [rollup("requests", "1"), rollup("egress_gb", "1")], [subscription("2026-01-01")], [one_off("1.00")]
    )
    assert [item.product for item in invoice.items] == ["Egress", "Requests", "Support", "One-off"]


def test_an_invoice_is_rounded_once_and_its_items_share_the_cents() -> None:
    """0.005 + 0.005 + 0.004 = 0.014: 1 cent, for the first of the largest remainders."""
    invoice = assemble(one_offs=[one_off("0.004", "a"), one_off("0.005", "b"), one_off("0.005", "c")])
    assert (invoice.amount, invoice.total_cents) == (Decimal("0.014"), 1)
    assert [(item.description, item.amount_cents) for item in invoice.items] == [("a", 0), ("b", 1), ("c", 0)]


def test_an_organization_without_charges_has_an_empty_invoice() -> None:
    invoice = assemble()
    assert (invoice.items, invoice.amount, invoice.total_cents) == ((), Decimal(0), 0)


def test_an_invoice_in_yen_has_whole_yen() -> None:
    invoice = assemble(one_offs=[one_off("1200.5", currency="JPY")], currency="JPY")
    assert (invoice.currency, invoice.total_cents) == ("JPY", 1201)


@pytest.mark.parametrize(
    "billed",
    [
        {"rollups": [rollup("requests", "1")]},
        {"subscriptions": [subscription("2026-01-01")]},
        {"one_offs": [one_off("1.00")]},
    ],
    ids=["usage", "fee", "one-off"],
)
def test_amounts_in_different_currencies_are_never_added_to_one_invoice(billed: dict[str, Any]) -> None:
    with pytest.raises(BillingError, match=r"currency_mismatch.* in USD, but the organization is billed in EUR"):
        assemble(**billed, currency="EUR")


def test_a_price_that_changes_its_currency_inside_the_month_fails_only_this_invoice() -> None:
    changed = replace(REQUESTS, currency="EUR", effective_from=MID_MONTH)
    usage = [rollup("requests", "1", end=MID_MONTH), rollup("requests", "1", MID_MONTH)]
    with pytest.raises(
        BillingError, match="currency_mismatch: price 'requests' is in EUR, but the organization is billed in USD"
    ):
        assemble(usage, prices=(REQUESTS, changed))


def test_input_in_any_order_makes_the_same_invoice() -> None:
    rollups = [rollup("requests", "1"), rollup("egress_gb", "101"), rollup("machine_seconds", "60")]
    subscriptions = [subscription("2026-01-01"), subscription("2026-09-16")]
    one_offs = [one_off("0.333", "a"), one_off("0.333", "b")]
    invoice = assemble(rollups, subscriptions, one_offs)
    assert assemble(rollups, subscriptions, one_offs) == invoice
    assert assemble(rollups[::-1], subscriptions[::-1], one_offs[::-1], PRICES[::-1]) == invoice
    assert len({item.id for item in invoice.items}) == 7


def test_an_invoice_has_one_identity_per_organization_month_and_revision() -> None:
    assert assemble().id == invoice_id("acme", SEPTEMBER) == invoice_id("acme", SEPTEMBER, 0)
    others = {invoice_id("acme", SEPTEMBER, 1), invoice_id("acme", SEPTEMBER.next()), invoice_id("acme2", SEPTEMBER)}
    assert len(others | {assemble().id}) == 4


@given(st.lists(st.decimals(Decimal("-1e9"), Decimal("1e9"), places=20), max_size=30))
def test_items_add_up_to_the_total_exactly_and_in_cents(amounts: list[Decimal]) -> None:
    invoice = assemble(one_offs=[one_off(amount, str(number)) for number, amount in enumerate(amounts)])
    assert exact_sum([item.amount for item in invoice.items]) == invoice.amount == exact_sum(amounts)
    assert sum(item.amount_cents for item in invoice.items) == invoice.total_cents


@given(st.decimals(0, Decimal("1e9"), places=15), st.lists(st.decimals(0, Decimal("1e9"), places=15), max_size=10))
def test_splitting_a_rollup_never_changes_what_it_costs_per_unit(quantity: Decimal, cuts: list[Decimal]) -> None:
    edges = [Decimal(0), *sorted({cut for cut in cuts if cut < quantity} - {Decimal(0)}), quantity]
    parts = [
        rollup("machine_seconds", end - start, preset=str(number))
        for number, (start, end) in enumerate(pairwise(edges))
    ]
    assert assemble(parts).amount == assemble([rollup("machine_seconds", quantity)]).amount


@given(st.integers(1, 2_591_999))
def test_a_subscription_cut_in_two_at_any_second_costs_the_same_to_the_cent(second: int) -> None:
    cut = datetime.fromtimestamp(SEPTEMBER.start.timestamp() + second, SEPTEMBER.start.tzinfo)
    halves = [
        Subscription(id_of("first"), "support", at("2026-01-01"), cut),
        Subscription(id_of("second"), "support", cut, None),
    ]
    assert assemble(subscriptions=halves).total_cents == 2900
