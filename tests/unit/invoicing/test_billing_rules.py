"""The rules of docs/billing_rules.md, by number. Rules 10 and 11 concern records and are tested in
test_closed_months.
"""

import re
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fly_billing.errors import BillingError
from fly_billing.invoicing.rules.assembly import Invoice, assemble_invoice
from fly_billing.invoicing.rules.inputs import (
    Commitment,
    Discount,
    InvoiceInputs,
    Member,
    OneOffItem,
    Subscription,
    UsageRollup,
)
from fly_billing.pricing.rules.models import Graduated, PerUnit, Tier
from fly_billing.pricing.rules.negotiated_prices import NegotiatedPrice
from fly_billing.pricing.rules.prices import Price, PriceBook
from fly_billing.pricing.rules.scope import Scope
from tests.support.builders import REQUESTS, SEPTEMBER, SUPPORT, at, fee_charged, id_of, price
from tests.unit.invoicing.steps.invoices_in_progress import amount_off, applied, credit, maximum, minimum, percent_off
from tests.unit.pricing.test_negotiated_prices import agreed, book_of, of_group
from tests.unit.pricing.test_negotiated_prices import member as in_group

CREDITS_GIVEN_BACK = Path(__file__).parents[2] / "integration" / "corrections" / "test_credits_given_back.py"
DOCUMENT = Path(__file__).parents[3] / "docs" / "billing_rules.md"
TENTH, TWENTIETH = at("2026-09-10"), at("2026-09-20")
DAY_30 = SEPTEMBER.end


def used(quantity: str, start: Any = SEPTEMBER.start, end: Any = DAY_30) -> UsageRollup:
    return UsageRollup(id_of(f"{quantity} {start}"), "requests", {}, start, end, Decimal(quantity))


def billed(*members: Member, **terms: Any) -> Invoice:
    return assemble_invoice(InvoiceInputs("acme", "USD", SEPTEMBER, members, **terms))


def acme(*prices: Price, usage: list[UsageRollup] | None = None, **bought: Any) -> Member:
    return Member("acme", PriceBook(prices), usage or [], **bought)


def amounts(invoice: Invoice, kind: str = "usage") -> list[Decimal]:
    return [item.amount for item in invoice.items if item.kind == kind]


def requests(unit_amount: str, **changes: Any) -> Price:
    return price("requests", unit_amount, "requests", unit="request", **changes)


def setup(amount: str) -> OneOffItem:
    return OneOffItem(id_of(f"one-off {amount}"), "setup" if Decimal(amount) > 0 else "sorry", Decimal(amount), "USD")


def plan(**terms: Any) -> Subscription:
    return Subscription(id_of("plan"), "support", at("2026-01-01"), None, **terms)


ALL = acme(REQUESTS, SUPPORT, usage=[used("100")], subscriptions=[plan()], one_offs=[setup("5")])


@pytest.mark.parametrize(
    ("terms", "kind", "taken"),
    [
        ({"discounts": [amount_off("20")]}, "discount", {"requests as used": "10", "support as used": "10"}),
        ({"commitments": [maximum("4")]}, "maximum", {"requests as used": "10", "support as used": "29", "setup": "1"}),
        ({"credits": [credit("12")]}, "credit", {"requests as used": "10", "support as used": "2"}),
    ],
)
def test_1_an_amount_off_reduces_the_items_from_the_top_of_the_invoice(
    terms: dict[str, Any], kind: str, taken: dict[str, str]
) -> None:
    """Usage of 10.00, a fee of 29.00, a setup of 5.00, in this order, for any order of the input."""
    for member in (ALL, replace(ALL, rollups=ALL.rollups[::-1], subscriptions=ALL.subscriptions[::-1])):
        invoice = billed(member, **terms)
        (item,) = (line for line in invoice.items if line.kind == kind)
        assert applied(item) == taken
        listed = [line.description for line in invoice.items]
        assert [name for name in listed if name in taken] == list(taken)


def test_1_within_a_kind_products_are_sorted_by_name_and_fees_by_time() -> None:
    """Two fees of the same plan: the one from the 1st (15 days: 14.50) before that from the 16th."""
    halves = [
        Subscription(id_of("second"), "support", at("2026-09-16"), None),
        Subscription(id_of("first"), "support", at("2026-01-01"), at("2026-09-16")),
        Subscription(id_of("alerts"), "alerts", at("2026-01-01"), None),
    ]
    invoice = billed(acme(SUPPORT, price("alerts", "3"), subscriptions=halves), discounts=[amount_off("10")])
    (item,) = (line for line in invoice.items if line.kind == "discount")
    assert [part["amount"] for part in item.detail["applied_to"]] == ["3", "7"]
    assert [line.subscription_id for line in invoice.items[:3]] == [id_of("alerts"), id_of("first"), id_of("second")]


def test_2_a_later_lower_maximum_refunds_nothing_and_charges_nothing_more() -> None:
    """15.00 by the 9th; from the 10th at most 10.00: another 50 requests cost nothing."""
    old = requests("1", maximum=Decimal(20), effective_until=TENTH)
    new = requests("1", maximum=Decimal(10), effective_from=TENTH)
    usage = [used("15", end=TENTH), used("50", TENTH)]
    assert amounts(billed(acme(old, new, usage=usage))) == [15, 0]


def test_2_a_later_higher_maximum_allows_further_charges() -> None:
    old = requests("1", maximum=Decimal(10), effective_until=TENTH)
    new = requests("1", maximum=Decimal(20), effective_from=TENTH)
    assert amounts(billed(acme(old, new, usage=[used("15", end=TENTH), used("50", TENTH)]))) == [10, 10]


PARTS = [used("10", end=TENTH), used("10", TENTH, TWENTIETH), used("10", TWENTIETH)]


def test_3_the_earlier_price_applies_again_after_an_offer() -> None:
    """10 x 1.00, 10 x 0.50, 10 x 1.00: three items."""
    regular, offer = requests("1"), requests("0.50", effective_from=TENTH, effective_until=TWENTIETH)
    invoice = billed(acme(regular, offer, usage=PARTS))
    assert sorted(amounts(invoice)) == [5, 10, 10]
    assert len({item.id for item in invoice.items}) == 3


def test_3_tiers_continue_in_time_order_through_a_temporary_price() -> None:
    """15 are free: the first 10 and 5 of the offer's. 5 x 0.50 + 10 x 1.00."""
    regular = requests("1", free_allowance=Decimal(15))
    offer = requests("0.50", free_allowance=Decimal(15), effective_from=TENTH, effective_until=TWENTIETH)
    assert sorted(amounts(billed(acme(regular, offer, usage=PARTS)))) == [0, Decimal("2.5"), 10]


def test_3_tiers_continue_after_an_offer() -> None:
    """The first 20 of a month at 2.00, more at 1.00: 20 + 10 x 0.50 and then 10 x 1.00, not 2.00."""
    tiers = Graduated((Tier(Decimal(20), Decimal(2)), Tier(None, Decimal(1))), Decimal(1))
    regular = requests("1", model=tiers)
    offer = requests("1", model=PerUnit(Decimal("0.50")), effective_from=TENTH, effective_until=TWENTIETH)
    assert sorted(amounts(billed(acme(regular, offer, usage=PARTS)))) == [5, 10, 20]


def test_4_the_minimum_of_the_version_of_the_last_usage_applies() -> None:
    """The offer has a minimum of 40, the price that applies again one of 30: 10 + 5 + 10, and 5 up to the 30."""
    regular = requests("1", minimum=Decimal(30))
    offer = requests("0.50", minimum=Decimal(40), effective_from=TENTH, effective_until=TWENTIETH)
    assert sum(amounts(billed(acme(regular, offer, usage=PARTS)))) == 30


def test_4_a_version_without_usage_does_not_count() -> None:
    old = requests("1", minimum=Decimal(30), effective_until=TENTH)
    new = requests("1", minimum=Decimal(90), effective_from=TENTH)
    assert amounts(billed(acme(old, new, usage=[used("10", end=TENTH)]))) == [30]


def test_4_the_version_in_force_at_the_end_applies_without_usage() -> None:
    """The offer's minimum is 40 even without usage, and it is over: the price that applies again has a
    minimum of 30.
    """
    regular = requests("1", minimum=Decimal(30), at_zero="item")
    offer = requests("1", minimum=Decimal(40), at_zero="item", effective_from=TENTH, effective_until=TWENTIETH)
    assert amounts(billed(acme(regular, offer))) == [30]


def test_5_a_prices_minimum_applies_to_each_organization_and_a_commitments_to_the_payer() -> None:
    """acme 10 and labs 4, each up to 15 by the price; at least 50 for both: 20 more, on acme's line."""
    book = requests("1", minimum=Decimal(15))
    labs = Member("labs", PriceBook([book]), [used("4")])
    invoice = billed(acme(book, usage=[used("10")]), labs, commitments=[minimum("50")])
    assert amounts(invoice) == [15, 15]
    (item,) = (line for line in invoice.items if line.kind == "minimum")
    assert item.organization_id == "acme"
    assert item.amount == 20


OLD_FEE, NEW_FEE = replace(SUPPORT, effective_until=TENTH), replace(
    SUPPORT, model=PerUnit(Decimal(40)), effective_from=TENTH
)  # fmt: skip


def test_6_a_fee_takes_the_price_of_its_first_moment_in_the_month() -> None:
    """29.00 until the 10th, 40.00 since: running all month 29.00; begun on the 16th half of 40.00."""
    book = PriceBook([OLD_FEE, NEW_FEE])
    begun = Subscription(id_of("begun"), "support", at("2026-09-16"), None)
    assert amounts(billed(Member("acme", book, subscriptions=[plan()])), "subscription") == [29]
    assert amounts(billed(Member("acme", book, subscriptions=[begun])), "subscription") == [20]


def test_6_a_fee_in_advance_takes_the_price_at_the_start_of_the_next_month() -> None:
    book = PriceBook([OLD_FEE, NEW_FEE])
    ahead = plan(billed="in_advance", charged=(fee_charged("29"),))
    assert amounts(billed(Member("acme", book, subscriptions=[ahead])), "subscription") == [40]


GOODWILL = acme(REQUESTS, usage=[used("600")], one_offs=[setup("-15")])


@pytest.mark.parametrize(
    ("commitment", "total"),
    [(minimum("100"), 85), (maximum("50"), 35), (minimum("60"), 45), (maximum("60"), 45), (maximum("80"), 45)],
)
def test_7_goodwill_counts_towards_no_minimum_and_no_maximum(commitment: Commitment, total: int) -> None:
    """60.00 of usage and 15.00 of goodwill: the customer pays 15.00 less than without it, with any commitments."""
    assert billed(GOODWILL, commitments=[commitment]).amount == total


def test_7_a_one_off_item_counts_towards_a_minimum() -> None:
    assert (
        billed(acme(REQUESTS, usage=[used("600")], one_offs=[setup("30")]), commitments=[minimum("100")]).amount == 100
    )


def test_8_a_refunded_fee_lowers_the_counted_amount() -> None:
    """In August the 29.00 for September counted. After the cancellation they are refunded: 60 - 29, and 69
    up to the 100.
    """
    cancelled = Subscription(
        id_of("plan"), "support", at("2026-01-01"), SEPTEMBER.start, billed="in_advance", charged=(fee_charged("29"),)
    )
    member = acme(REQUESTS, SUPPORT, usage=[used("600")], subscriptions=[cancelled])
    invoice = billed(member, commitments=[minimum("100")])
    assert amounts(invoice, "minimum") == [69]
    assert invoice.amount == 100


def test_9_discounts_apply_by_rank_commitments_by_amount_and_credits_by_priority() -> None:
    """10.00 of usage: rank 0 takes 10 %, rank 1 takes 4.00; 5.00 are left, and the credit of priority 0 pays them."""
    member = acme(REQUESTS, usage=[used("100")])
    discounts: list[Discount] = [amount_off("4", order=1), percent_off("10", order=0)]
    invoice = billed(member, discounts=discounts, credits=[credit("9", "second", priority=1), credit("5", "first")])
    assert amounts(invoice, "discount") == [-4, -1]
    assert amounts(invoice, "credit") == [-5]
    assert [item.description for item in invoice.items if item.kind == "credit"] == ["first"]
    whole = billed(
        member, commitments=[minimum("50"), maximum("3", scope=Scope(("usage",)))]
    )  # the smaller one first: 3, and 47 up to the 50
    assert amounts(whole, "maximum") == [-7]
    assert amounts(whole, "minimum") == [47]


LIST = requests("1")
MIDDLE = at("2026-09-16")
HALVES = [used("10", end=MIDDLE), used("10", MIDDLE)]
OWN, STARTUPS = agreed(unit_amount="0.90"), of_group("startups", unit_amount="0.60")


def negotiated(*prices: NegotiatedPrice, usage: list[UsageRollup], listed: Price = LIST, of: str = "") -> list[Decimal]:
    """Return acme's charge for requests at a list price of 1.00, as a member of the group `of`."""
    book = book_of([listed], prices, [in_group(of)] if of else [])
    return amounts(billed(Member("acme", book, usage)))


@pytest.mark.parametrize(
    ("prices", "charged"),
    [([OWN, STARTUPS], 9), ([STARTUPS, OWN], 9), ([STARTUPS], 6), ([of_group("schools", unit_amount="0.10")], 10)],
)
def test_12_an_organizations_price_replaces_its_groups_price_which_replaces_the_list_price(
    prices: list[NegotiatedPrice], charged: int
) -> None:
    """10 requests at its own 0.90, at the group's 0.60, at the list's 1.00; another group's price applies to none."""
    assert negotiated(*prices, usage=[used("10")], of="startups") == [charged]


@pytest.mark.parametrize(
    ("until", "charged"), [("2026-09-16", ["9", "6"]), ("2026-09-15", None), ("2026-10-01", ["18"])]
)
def test_12_the_groups_price_applies_after_an_organizations_price_ends(until: str, charged: list[str] | None) -> None:
    """10 x 0.90, then 10 x 0.60. A rollup that spans the end is refused, not split."""
    own = agreed(unit_amount="0.90", effective_until=until)
    if charged is None:
        with pytest.raises(BillingError, match="price_changed_inside_rollup"):
            negotiated(own, STARTUPS, usage=HALVES, of="startups")
    else:
        assert sorted(negotiated(own, STARTUPS, usage=HALVES, of="startups")) == sorted(map(Decimal, charged))


def test_12_the_later_of_two_overlapping_prices_applies_and_then_the_earlier_one_again() -> None:
    """10 x 0.90 until the 10th, 10 x 0.20 of the offer until the 20th, 10 x 0.90."""
    offer = agreed(unit_amount="0.20", effective_from="2026-09-10", effective_until="2026-09-20")
    assert sorted(negotiated(OWN, offer, usage=PARTS)) == [2, 9, 9]
    assert sorted(negotiated(offer, OWN, usage=PARTS)) == [2, 9, 9]


def test_12_a_price_for_more_dimensions_replaces_one_that_began_later() -> None:
    """10 requests of region ams at 0.50 since January, though all regions are at 0.20 since February."""
    ams = agreed(unit_amount="0.50", match={"region": "ams"})
    everywhere = agreed(unit_amount="0.20", effective_from="2026-02-01")
    in_ams, in_fra = (replace(used("10"), id=id_of(name), dimensions={"region": name}) for name in ("ams", "fra"))
    assert negotiated(ams, everywhere, usage=[in_ams]) == [5]
    assert negotiated(ams, everywhere, usage=[in_fra]) == [2]


def test_12_usage_of_all_regions_is_one_line_per_version_of_a_price_that_changes_inside_the_month() -> None:
    """Two regions with 10 requests each: 20 x 1.00 until the 16th, 20 x 2.00 after it."""
    usage = [
        replace(half, id=id_of(f"{half.id} {region}"), dimensions={"region": region})
        for half in HALVES
        for region in ("ams", "fra")
    ]
    invoice = billed(acme(LIST, requests("2", effective_from=MIDDLE), usage=usage))
    assert [(line.quantity, line.amount) for line in invoice.items] == [
        (Decimal(20), Decimal(20)),
        (Decimal(20), Decimal(40)),
    ]
    assert [line.rollup_ids for line in invoice.items] == [
        (usage[0].id, usage[1].id),
        (usage[2].id, usage[3].id),
    ]


@pytest.mark.parametrize("is_reversed", [False, True])
def test_12_two_negotiated_prices_of_one_day_share_the_tiers_in_the_order_of_their_ids(
    is_reversed: bool,
) -> None:
    """10 requests in each region, at its own price of 0.50 up to the tenth and 0.20 above. The ids decide."""
    tiers = [{"up_to": "10", "unit_amount": "0.50"}, {"up_to": None, "unit_amount": "0.20"}]
    prices = [agreed(model="graduated", tiers=tiers, match={"region": region}) for region in ("ams", "fra")]
    usage = [replace(used("10"), id=id_of(region), dimensions={"region": region}) for region in ("ams", "fra")]
    book = book_of([LIST], prices[::-1] if is_reversed else prices)
    invoice = billed(Member("acme", book, usage[::-1] if is_reversed else usage))
    assert {line.match["region"]: line.amount for line in invoice.items} == {("fra",): 5, ("ams",): 2}


@pytest.mark.parametrize(
    "pair",
    [
        [agreed(unit_amount="0.5", match={"region": ["ams"]}), agreed(unit_amount="0.4", match={"size": ["big"]})],
        [agreed(unit_amount="0.5", match={"region": "ams"}), agreed(unit_amount="0.4", match={"region": ["ams", "x"]})],
    ],
)
def test_12_two_prices_that_fit_equally_well_are_refused(pair: list[NegotiatedPrice]) -> None:
    both = replace(used("10"), dimensions={"region": "ams", "size": "big"})
    with pytest.raises(BillingError, match=r"ambiguous_price: .* both apply at 2026-09-01"):
        negotiated(*pair, usage=[both])


def test_13_a_percentage_follows_the_list_price_and_an_own_price_replaces_it() -> None:
    """At least 8.00 for requests of which 5 are free. 5 x 1.00 up to 8.00, half of it; 10 x 0.60 without
    any of that.
    """
    listed = requests("1", free_allowance=Decimal(5), minimum=Decimal(8))
    assert negotiated(agreed(percent_off="50"), usage=[used("10")], listed=listed) == [4]
    assert negotiated(agreed(unit_amount="0.60"), usage=[used("10")], listed=listed) == [6]


def test_13_an_allowance_continues_when_the_negotiated_price_begins() -> None:
    """15 are free in the month: the first 10, and 5 of the 10 that are half price from the 16th on."""
    half = agreed(percent_off="50", effective_from="2026-09-16")
    assert negotiated(half, usage=HALVES, listed=requests("1", free_allowance=Decimal(15))) == [0, Decimal("2.5")]


def test_14_a_negotiated_price_is_in_the_currency_of_the_list_price() -> None:
    with pytest.raises(BillingError, match="it is in EUR, but the list price is in USD"):
        negotiated(agreed(unit_amount="0.60", currency="EUR"), usage=[used("10")])
    assert negotiated(agreed(unit_amount="0.60", currency="USD"), usage=[used("10")]) == [6]


def test_14_a_percentage_off_applies_in_any_currency_of_its_book() -> None:
    euros = replace(LIST, currency="EUR")
    member = Member("acme", book_of([euros], [agreed(percent_off="10")]), [used("10")])
    invoice = assemble_invoice(InvoiceInputs("acme", "EUR", SEPTEMBER, [member]))
    assert amounts(invoice) == [9]
    assert invoice.currency == "EUR"


def test_every_rule_of_the_table_has_a_test() -> None:
    rules = re.findall(r"^\| (\d+) \|", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    files = (Path(__file__), CREDITS_GIVEN_BACK)
    tested = {
        rule
        for file in files
        for rule in re.findall(r"^def test_(\d+)_", file.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert [int(rule) for rule in rules] == list(range(1, 16))
    assert tested | {"10", "11"} == set(rules)
