"""A negotiated price of an organization replaces the list price: worked cases, from the definition.

The month is September 2026. The list: a request costs 0.10, a GB 0.02 after 100 free ones, support 29.00 a
month.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fly_billing.errors import BillingError, not_computable
from fly_billing.invoicing.rules.assembly import Invoice, assemble_invoice
from fly_billing.invoicing.rules.inputs import InvoiceInputs, Member, Subscription, UsageRollup
from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.pricing.negotiated_prices import PriceBooks
from fly_billing.pricing.rules.models import MODELS, Graduated, Package, PerUnit, Tier
from fly_billing.pricing.rules.negotiated_prices import Membership, Negotiated, NegotiatedPrice, holdings_of
from fly_billing.pricing.rules.prices import Price, PriceBook
from fly_billing.pricing.rules.rating import rate
from tests.support.builders import EGRESS, PRICES, REQUESTS, SEPTEMBER, SUPPORT, at, id_of
from tests.unit.pricing.test_price_fields import OF_MODEL, data_of

MIDDLE = at("2026-09-16")


def agreed(key: str = "requests", organization: str | None = "acme", **fields: Any) -> NegotiatedPrice:
    """Return a price that acme negotiated, from 2026 on unless `fields`, as in a file, say otherwise."""
    whose = {"organization": organization} if organization else {}
    return NegotiatedPrice.from_data("fly", {"key": key, "effective_from": "2026-01-01", **whose, **fields})


def of_group(group: str, **fields: Any) -> NegotiatedPrice:
    return agreed(organization=None, group=group, **fields)


def member(group: str, start: str = "2026-01-01", end: str | None = None) -> Membership:
    return Membership(group, "acme", at(start), at(end) if end else None)


def book_of(
    prices: Iterable[Price], negotiated: Iterable[NegotiatedPrice], memberships: Sequence[Membership] = ()
) -> PriceBook:
    """Return the price book with acme's prices."""
    return PriceBook(prices).negotiated_by(Negotiated(holdings_of("acme", negotiated, memberships)))


def used(meter: str, *quantities: str, **dimensions: str) -> list[UsageRollup]:
    """Return usage of September: one quantity for the month, or one for each half."""
    edges = [SEPTEMBER.start, *([MIDDLE] if len(quantities) == 2 else []), SEPTEMBER.end]
    return [
        UsageRollup(id_of(f"{meter} {dimensions} {start}"), meter, dimensions, start, end, Decimal(quantity))
        for start, end, quantity in zip(edges, edges[1:], quantities, strict=False)
    ]


def month(
    negotiated: Iterable[NegotiatedPrice],
    rollups: Sequence[UsageRollup] = (),
    plans: Sequence[Subscription] = (),
    memberships: Sequence[Membership] = (),
    prices: Iterable[Price] = PRICES,
) -> Invoice:
    payer = Member("acme", book_of(prices, negotiated, memberships), rollups, plans)
    return assemble_invoice(InvoiceInputs("acme", "USD", SEPTEMBER, [payer]))


def amounts(invoice: Invoice) -> list[str]:
    return [f"{item.amount.normalize():f}" for item in invoice.items]


def at_price(invoice: Invoice) -> dict[str, str]:
    """Return amounts by unit amount."""
    return {item.detail["steps"][0]["unit_amount"]: f"{item.amount.normalize():f}" for item in invoice.items}


def listed(item: InvoiceItem) -> str:
    """Return the item's amount at the list price."""
    return str(item.detail["negotiated"]["list"]["amount"])


# --- The holder of a price -----------------------------------------------------------------------------------------


def test_an_organization_without_a_negotiated_price_pays_the_list_price() -> None:
    (item,) = month([agreed(organization="labs", unit_amount="0.01")], used("requests", "50")).items
    assert (item.amount, item.negotiated_price_id, "negotiated" in item.detail) == (Decimal(5), None, False)


def test_an_organizations_own_price_replaces_the_list_price_and_the_item_names_both() -> None:
    price = agreed(unit_amount="0.07")
    (item,) = month([price], used("requests", "50")).items
    assert item.amount == Decimal("3.50")  # 50 x 0.07
    assert (item.price_id, item.negotiated_price_id, item.price_key) == (REQUESTS.id, price.id, "requests")
    assert listed(item) == "5"  # 50 x 0.10
    assert item.detail["negotiated"]["of"] == "acme"
    assert item.detail["negotiated"]["since"] == "2026-01-01T00:00:00+00:00"


def test_a_member_of_a_group_pays_the_price_of_the_group() -> None:
    (item,) = month(
        [of_group("startups", unit_amount="0.06")], used("requests", "50"), memberships=[member("startups")]
    ).items
    assert (item.amount, item.detail["negotiated"]["of"]) == (Decimal(3), "group startups")  # 50 x 0.06


def test_an_organization_outside_the_group_pays_the_list_price() -> None:
    assert amounts(month([of_group("startups", unit_amount="0.06")], used("requests", "50"))) == ["5"]


def test_an_organizations_own_price_replaces_its_groups_price_even_if_it_is_higher() -> None:
    both = [of_group("startups", unit_amount="0.06"), agreed(unit_amount="0.09")]
    assert amounts(month(both, used("requests", "50"), memberships=[member("startups")])) == ["4.5"]


def test_an_organizations_own_price_for_one_region_leaves_other_regions_to_the_group() -> None:
    """10 GB from Amsterdam at 1.00, 10 GB from Frankfurt at the group's 0.50; neither has free units."""
    both = [
        of_group("startups", key="egress", unit_amount="0.50"),
        agreed("egress", unit_amount="1.00", match={"region": "ams"}),
    ]
    usage = [*used("egress_gb", "10", region="ams"), *used("egress_gb", "10", region="fra")]
    assert sorted(amounts(month(both, usage, memberships=[member("startups")]))) == ["10", "5"]


def test_two_groups_with_a_price_for_one_key_at_one_moment_are_refused_by_name() -> None:
    both = [of_group("startups", unit_amount="0.06"), of_group("schools", percent_off="50")]
    with pytest.raises(BillingError, match=r"ambiguous_price: .*group schools.*group startups"):
        month(both, used("requests", "50"), memberships=[member("startups"), member("schools")])


def test_consecutive_memberships_of_two_groups_do_not_conflict() -> None:
    both = [of_group("startups", unit_amount="0.06"), of_group("schools", percent_off="50")]
    one_after_the_other = [member("startups", end="2026-09-16"), member("schools", "2026-09-16")]
    invoice = month(both, used("requests", "10", "10"), memberships=one_after_the_other)
    assert amounts(invoice) == ["0.5", "0.6"]


def test_two_prices_of_one_holder_that_fit_equally_well_are_refused() -> None:
    both = [
        agreed("egress", unit_amount="1", match={"region": ["ams", "fra"]}),
        agreed("egress", unit_amount="2", match={"region": "ams"}),
    ]
    with pytest.raises(BillingError, match="ambiguous_price"):
        month(both, used("egress_gb", "1", region="ams"))


def test_a_price_for_more_dimensions_replaces_the_general_price() -> None:
    both = [agreed("egress", unit_amount="1"), agreed("egress", unit_amount="2", match={"region": "ams"})]
    usage = [*used("egress_gb", "1", region="ams"), *used("egress_gb", "10", region="fra")]
    assert sorted(amounts(month(both, usage))) == ["10", "2"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"effective_from": "2026-02-01"}),  # a later start does not decide
        ({}, {"match": {"region": "ams"}}),  # nor does a narrower price
        ({"percent_off": "100"}, {}),  # nor does a lower price
    ],
)
def test_two_groups_are_refused_at_any_prices(first: dict[str, Any], second: dict[str, Any]) -> None:
    both = [of_group("startups", **({"percent_off": "5"} | first)), of_group("schools", percent_off="5", **second)]
    with pytest.raises(BillingError, match="ambiguous_price"):
        month(both, used("requests", "1", region="ams"), memberships=[member("startups"), member("schools")])


@pytest.mark.parametrize(
    ("dimensions", "of"), [({}, ""), ({"region": "ams"}, " for region ams")], ids=["a fee", "usage"]
)
def test_contradicting_prices_are_named_with_the_fix(dimensions: dict[str, str], of: str) -> None:
    both = [of_group("startups", percent_off="5"), of_group("schools", percent_off="6", effective_from="2026-02-01")]
    held = Negotiated(holdings_of("acme", both, [member("startups"), member("schools")]))
    with pytest.raises(BillingError) as refused:
        held.holds("requests", dimensions, MIDDLE)
    assert str(refused.value) == (
        "ambiguous_price: negotiated price fly/requests of group schools from 2026-02-01 00:00 and negotiated price"
        " fly/requests of group startups from 2026-01-01 00:00 both apply at 2026-09-16 00:00Z"
        f"{of}: end one of them, or a membership, or give the organization a price of its own"
    )


def test_a_membership_that_ends_when_the_price_begins_has_no_effect() -> None:
    price = of_group("startups", percent_off="5", effective_from="2026-09-16")
    assert holdings_of("acme", [price], [member("startups", end="2026-09-16")]) == []
    assert holdings_of("acme", [price], [member("startups", end="2026-09-17")]) != []
    assert holdings_of("labs", [price], [member("startups")]) == []
    assert holdings_of("acme", [agreed("it", organization="labs", percent_off="5")], [member("startups")]) == []


def test_the_model_of_a_negotiated_price_is_stored_as_written() -> None:
    """It has no fields of the list price, and no unit or currency that the entry does not have."""
    bare = agreed(unit_amount="0.50")
    assert bare.charges_data() == bare.terms
    assert bare.terms == {"model": "per_unit", "unit_amount": "0.50"}
    whole = agreed(unit_amount="2", minimum="3", currency="EUR", unit="GB").charges_data()
    assert whole == {
        "model": "per_unit", "unit_amount": "2", "minimum": "3", "currency": "EUR", "unit": "GB",
    }  # fmt: skip
    assert agreed(percent_off="12.50").charges_data() == {"percent_off": "12.5"}
    assert agreed(percent_off="10").over(REQUESTS).book == "fly"
    assert agreed(unit_amount="1").over(REQUESTS).book == "fly"


# --- The period of a price -----------------------------------------------------------------------------------------


def test_a_negotiated_price_from_the_middle_of_the_month_splits_it_like_a_list_version() -> None:
    invoice = month([agreed(unit_amount="0.07", effective_from="2026-09-16")], used("requests", "10", "20"))
    assert amounts(invoice) == ["1", "1.4"]  # 10 x 0.10, then 20 x 0.07


def test_the_list_price_applies_again_after_the_agreement_ends() -> None:
    price = agreed(unit_amount="0.07", effective_until="2026-09-16")
    assert sorted(amounts(month([price], used("requests", "10", "20")))) == ["0.7", "2"]


def test_a_later_version_supersedes_an_earlier_one_and_an_ended_one_has_no_effect() -> None:
    versions = [
        agreed(unit_amount="0.01", effective_until="2026-09-01"),
        agreed(unit_amount="0.05", effective_from="2026-02-01"),
        agreed(unit_amount="0.08", effective_from="2026-09-16"),
        agreed(unit_amount="0.02", effective_from="2026-10-01"),
    ]
    assert amounts(month(versions, used("requests", "10", "10"))) == ["0.5", "0.8"]


def test_joining_or_leaving_a_group_inside_the_month_changes_the_price() -> None:
    price = of_group("startups", unit_amount="0.06")
    usage = used("requests", "10", "20")
    joined = month([price], usage, memberships=[member("startups", "2026-09-16")])
    left = month([price], usage, memberships=[member("startups", end="2026-09-16")])
    assert at_price(joined) == {"0.1": "1", "0.06": "1.2"}
    assert at_price(left) == {"0.06": "0.6", "0.1": "2"}


def test_a_rollup_that_spans_the_start_of_a_negotiated_price_is_refused() -> None:
    with pytest.raises(BillingError, match="price_changed_inside_rollup"):
        month([agreed(unit_amount="0.07", effective_from="2026-09-16")], used("requests", "30"))


def test_a_fee_takes_the_price_in_force_at_its_first_moment_in_the_month() -> None:
    plan = Subscription(id_of("plan"), "support", at("2026-08-01"), None, Decimal(2))
    assert amounts(month([agreed("support", unit_amount="20")], plans=[plan])) == ["40"]
    assert amounts(month([agreed("support", unit_amount="20", effective_from="2026-09-16")], plans=[plan])) == ["58"]
    later = replace(plan, started_at=MIDDLE)  # half of the month
    assert amounts(month([agreed("support", unit_amount="20", effective_from="2026-09-16")], plans=[later])) == ["20"]


def test_a_negotiated_fee_outlasts_the_list_price_and_a_percentage_off_does_not() -> None:
    """The list's support ended with August; acme agreed on 20.00 without end."""
    plan = Subscription(id_of("plan"), "support", at("2026-08-01"), None)
    ended = replace(SUPPORT, effective_until=SEPTEMBER.start)
    assert amounts(month([agreed("support", unit_amount="20")], plans=[plan], prices=[ended])) == ["20"]
    with pytest.raises(BillingError, match="unpriced_subscription"):
        month([agreed("support", percent_off="10")], plans=[plan], prices=[ended])
    with pytest.raises(BillingError, match="unpriced_subscription"):
        month([agreed("support", unit_amount="20", effective_until="2026-09-01")], plans=[plan], prices=[ended])


def test_a_negotiated_price_is_compared_with_the_list_price_that_returns() -> None:
    """The later of two versions is in force: the negotiated 0.05 is beside 0.30, not beside the 0.10 that ended."""
    before = replace(REQUESTS, effective_until=SEPTEMBER.start)
    again = replace(REQUESTS, effective_from=SEPTEMBER.start, model=PerUnit(Decimal("0.30")))
    (item,) = month([agreed(unit_amount="0.05")], used("requests", "10"), prices=[before, again]).items
    assert (item.amount, listed(item), item.price_id) == (Decimal("0.5"), "3", again.id)


def test_a_negotiated_price_for_one_region_extends_the_ended_list_price_only_there() -> None:
    ended = replace(REQUESTS, effective_until=SEPTEMBER.start)
    own = agreed(unit_amount="0.05", match={"region": "ams"})
    assert amounts(month([own], used("requests", "10", region="ams"), prices=[ended])) == ["0.5"]
    with pytest.raises(BillingError, match="unpriced_usage"):
        month([own], used("requests", "10", region="fra"), prices=[ended])


def test_a_negotiated_price_that_does_not_fit_the_list_price_is_refused() -> None:
    with pytest.raises(BillingError) as refused:
        month([agreed(percent_off="0.0000000000001")], used("requests", "10"))
    assert str(refused.value) == (
        "unreadable_price: negotiated price fly/requests of acme from 2026-01-01 00:00: price fly/requests: unit_amount"
        " 0.0999999999999999 has more than 12 decimals: give the price of more units with `per`: correct the negotiated"
        " price, then"
        " bill the month again"
    )


def test_an_unreadable_agreement_raises_a_new_error_each_time() -> None:
    """The books are kept as long as a process; one error, raised again and again, would grow by each traceback."""
    books = PriceBooks({}, unreadable={"acme": not_computable("unreadable_price", "correct its row")})
    raised = []
    for _ in range(2):
        with pytest.raises(BillingError, match="unreadable_price: correct its row") as refused:
            books.of("acme", "fly")
        raised.append(refused.value)
    assert raised[0] is not raised[1]
    assert vars(raised[0]) == vars(raised[1])


def test_a_change_of_the_list_price_is_noticed_beside_a_negotiated_price() -> None:
    """ams has a negotiated price from the 10th; a rollup of fra spans the list's change on the 16th."""
    dearer = replace(REQUESTS, effective_from=MIDDLE, model=PerUnit(Decimal("0.20")))
    own = agreed(unit_amount="0.05", match={"region": "ams"}, effective_from="2026-09-10")
    with pytest.raises(BillingError, match="price_changed_inside_rollup"):
        month([own], used("requests", "30", region="fra"), prices=[REQUESTS, dearer])


def test_a_negotiated_price_is_beside_the_regular_list_price_again_after_an_offer() -> None:
    """The list: 0.10, and 0.08 in the first half of September. The negotiated price is always 0.05."""
    offer = replace(REQUESTS, effective_from=SEPTEMBER.start, effective_until=MIDDLE, model=PerUnit(Decimal("0.08")))
    items = month([agreed(unit_amount="0.05")], used("requests", "10", "10"), prices=[REQUESTS, offer]).items
    assert sorted((listed(item), str(item.amount.normalize())) for item in items) == [("0.8", "0.5"), ("1", "0.5")]
    assert {item.price_id for item in items} == {REQUESTS.id, offer.id}


def test_a_negotiated_price_after_the_list_price_ended_applies_without_usage() -> None:
    """The list charges 4.00 until the 10th; acme agreed on 1.00 a month from the 16th to the 20th."""
    ended = replace(REQUESTS, at_zero="item", minimum=Decimal(4), effective_until=at("2026-09-10"))
    own = agreed(
        model="flat", flat_amount="1", at_zero="item", effective_from="2026-09-16", effective_until="2026-09-20"
    )
    assert amounts(month([own], prices=[ended])) == ["1"]


def test_a_negotiated_price_of_a_key_that_the_book_does_not_have_has_no_effect() -> None:
    book = book_of([REQUESTS], [agreed("unknown", unit_amount="1"), agreed("support", percent_off="1")])
    assert book.negotiated_edges() == {}
    assert PriceBook([REQUESTS]).negotiated_edges() == {}
    assert book_of([REQUESTS], [agreed(unit_amount="1", effective_from="2026-09-16")]).negotiated_edges() == {
        "requests": {MIDDLE}
    }


def test_the_price_at_zero_is_the_one_at_the_months_last_moment() -> None:
    """The list charges 4.00 without usage until the 16th, 6.00 from then on; the negotiated 1.00 ended before."""
    prices = [
        replace(REQUESTS, at_zero="item", minimum=Decimal(4), effective_until=MIDDLE),
        replace(REQUESTS, at_zero="item", minimum=Decimal(6), effective_from=MIDDLE),
    ]
    own = agreed(model="flat", flat_amount="1", at_zero="item", effective_until="2026-09-10")
    assert amounts(month([own], prices=prices)) == ["6"]
    assert amounts(month([replace(own, effective_until=None)], prices=prices)) == ["1"]
    # The list price ended on the 16th, the negotiated one on the 10th: the list's 4.00 was in force last.
    assert amounts(month([own], prices=prices[:1])) == ["4"]
    # The list price ended first: then only the negotiated price was in force, until the 20th.
    later = replace(own, effective_until=at("2026-09-20"))
    assert amounts(month([later], prices=prices[:1])) == ["1"]


# --- Charges -------------------------------------------------------------------------------------------------------


def test_a_percentage_follows_later_versions_of_the_list_price() -> None:
    dearer = replace(REQUESTS, effective_from=MIDDLE, model=PerUnit(Decimal("0.20")))
    invoice = month([agreed(percent_off="25")], used("requests", "10", "10"), prices=[REQUESTS, dearer])
    assert amounts(invoice) == ["0.75", "1.5"]  # 10 x 0.10 and 10 x 0.20, each less a quarter
    assert [listed(item) for item in invoice.items] == ["1", "2"]
    assert len({item.price_id for item in invoice.items}) == 2


def test_a_negotiated_price_stays_when_the_list_price_changes_and_each_item_names_its_list_price() -> None:
    dearer = replace(REQUESTS, effective_from=MIDDLE, model=PerUnit(Decimal("0.20")))
    invoice = month([agreed(unit_amount="0.05")], used("requests", "10", "10"), prices=[REQUESTS, dearer])
    assert amounts(invoice) == ["0.5", "0.5"]
    assert [listed(item) for item in invoice.items] == ["1", "2"]


def test_a_negotiated_price_outlasts_the_list_price_and_a_percentage_off_does_not() -> None:
    ended = replace(REQUESTS, effective_until=SEPTEMBER.start)
    assert amounts(month([agreed(unit_amount="0.05")], used("requests", "10"), prices=[ended])) == ["0.5"]
    with pytest.raises(BillingError, match="unpriced_usage"):
        month([agreed(percent_off="10")], used("requests", "10"), prices=[ended])


def test_negotiated_tiers_continue_those_of_the_list() -> None:
    """List: the first 100 at 0.10, then 0.05. Negotiated from the 16th: the first 100 at 0.08, then 0.02."""
    tiers = (Tier(Decimal(100), Decimal("0.10")), Tier(None, Decimal("0.05")))
    own = agreed(
        model="graduated", effective_from="2026-09-16",
        tiers=[{"up_to": "100", "unit_amount": "0.08"}, {"unit_amount": "0.02"}],
    )  # fmt: skip
    invoice = month([own], used("requests", "60", "60"), prices=[replace(REQUESTS, model=Graduated(tiers))])
    assert amounts(invoice) == ["6", "3.6"]  # 60 x 0.10; 40 x 0.08 and 20 x 0.02
    assert listed(invoice.items[1]) == "5"  # 40 x 0.10 and 20 x 0.05


def test_a_percentage_off_reduces_every_charge_of_the_list_price() -> None:
    """Tiers with flat fees, a minimum: 5.00 + 10 x 1.00 = 15.00 of at least 20.00; 10 % off is at least 18.00."""
    tiers = (Tier(Decimal(100), Decimal(1), Decimal(5)), Tier(None, Decimal("0.5")))
    price = replace(REQUESTS, model=Graduated(tiers), minimum=Decimal(20))
    (item,) = month([agreed(percent_off="10")], used("requests", "10"), prices=[price]).items
    assert (item.amount, listed(item)) == (Decimal(18), "20")


def test_an_allowance_is_granted_once_beside_a_negotiated_price_for_one_region() -> None:
    """100 GB are free in total: 60 from Amsterdam at a quarter off come first, then 60 from Frankfurt: 20 x 0.02."""
    own = agreed("egress", percent_off="25", match={"region": "ams"})
    usage = [*used("egress_gb", "60", region="ams"), *used("egress_gb", "60", region="fra")]
    invoice = month([own], usage)
    assert sorted(amounts(invoice)) == ["0", "0.4"]
    (negotiated,) = [item for item in invoice.items if item.negotiated_price_id]
    assert negotiated.match == {"region": ("ams",)}
    assert negotiated.detail["negotiated"]["list"]["free_allowance_used"] == "60"


def test_a_negotiated_allowance_replaces_that_of_the_list() -> None:
    (item,) = month(
        [agreed("egress", unit_amount="0.02", free_allowance="500")], used("egress_gb", "600", region="ams")
    ).items
    assert (item.amount, listed(item)) == (Decimal(2), "10")  # 100 x 0.02; at the list price 500 x 0.02


def test_negotiated_packages_are_counted_in_packages() -> None:
    price = replace(REQUESTS, model=Package(Decimal(5), Decimal(1000)))
    (item,) = month(
        [agreed(model="package", unit_amount="3", per="1000")], used("requests", "2100"), prices=[price]
    ).items
    assert (item.amount, listed(item)) == (Decimal(9), "15")


def test_a_negotiated_yearly_fee_stays_yearly() -> None:
    yearly = replace(SUPPORT, interval="year")
    for negotiated in (agreed("support", unit_amount="20"), agreed("support", percent_off="10")):
        assert negotiated.over(yearly).interval == "year"


def test_a_negotiated_price_with_at_zero_is_charged_without_usage() -> None:
    own = agreed(model="flat", flat_amount="4", at_zero="item")
    assert amounts(month([own])) == ["4"]
    assert amounts(month([replace(own, effective_until=MIDDLE)])) == []  # at the month's end the list price is in force
    price = replace(REQUESTS, at_zero="item", minimum=Decimal(8))
    assert amounts(month([agreed(percent_off="50")], prices=[price])) == ["4"]
    assert amounts(month([agreed(unit_amount="1")], prices=[price])) == []


def test_a_hundred_percent_off_charges_nothing_and_makes_a_free_trial_of_a_fee() -> None:
    plan = Subscription(id_of("plan"), "support", at("2026-09-01"), None)
    invoice = month([agreed("support", percent_off="100", effective_until="2026-10-01")], plans=[plan])
    assert (amounts(invoice), listed(invoice.items[0])) == (["0"], "29")


def test_a_negotiated_price_of_one_book_has_no_effect_in_another() -> None:
    """acme is billed by a book in EUR: its negotiated prices of `fly`, in USD, have no effect there."""
    eur = replace(REQUESTS, book="fly-eur", currency="EUR")
    holdings = [
        holding for holding in holdings_of("acme", [agreed(unit_amount="0.01")], []) if holding.price.book == "fly-eur"
    ]
    payer = Member("acme", PriceBook([eur]).negotiated_by(Negotiated(holdings)), used("requests", "50"))
    assert amounts(assemble_invoice(InvoiceInputs("acme", "EUR", SEPTEMBER, [payer]))) == ["5"]


def test_an_item_names_the_negotiated_price_its_period_and_the_list_price() -> None:
    """30 requests, 10 of them free at both prices: 20 x 0.10 at the list price, 10 % off."""
    price = replace(REQUESTS, free_allowance=Decimal(10))
    own = agreed(percent_off="10", effective_until="2026-12-01")
    (item,) = month([own], used("requests", "30"), prices=[price]).items
    assert item.detail["negotiated"] == {
        "of": "acme",
        "since": "2026-01-01T00:00:00+00:00",
        "until": "2026-12-01T00:00:00+00:00",
        "percent_off": "10",
        "list": {
            "amount": "2",
            "free_allowance_used": "10",
            "steps": [{"label": "all", "quantity": "20", "unit_amount": "0.1", "per": "1", "amount": "2"}],
        },
    }
    (fee,) = month(
        [agreed("support", unit_amount="20")], plans=[Subscription(id_of("plan"), "support", at("2026-09-01"), None)]
    ).items
    assert fee.detail["negotiated"] == {
        "of": "acme",
        "since": "2026-01-01T00:00:00+00:00",
        "list": {
            "amount": "29",
            "steps": [
                {"label": "share of the month", "quantity": "1", "unit_amount": "29", "per": "1", "amount": "29"}
            ],
        },
    }


# --- Refused input -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"group": "startups"}, "exactly one of organization and group"),
        ({"organization": None}, "exactly one of organization and group"),
        ({}, "either percent_off, or the charge"),
        ({"percent_off": "0"}, "percent_off 0 must be above 0"),
        ({"percent_off": "100.1"}, "percent_off 100.1 must be above 0 and at most 100"),
        ({"percent_off": "-5"}, "percent_off '-5' must be a finite number of at least 0"),
        ({"percent_off": "10", "unit_amount": "1"}, "unknown field"),
        ({"percent_off": "10", "minimum": "1"}, "unknown field"),
        ({"unit_amount": "1", "effective_until": "2026-01-01"}, "is not after effective_from"),
        ({"unit_amount": "1", "effective_from": None}, "effective_from is missing"),
        ({"unit_amount": "1", "key": None}, "key is missing"),
        ({"unit_amount": "1", "meter": "requests"}, "meter: the list price defines that"),
        ({"unit_amount": "1", "product": "Other"}, "product: the list price defines that"),
        ({"unit_amount": "1", "interval": "year"}, "interval: the list price defines that"),
        ({"unit_amont": "1"}, "unknown field"),
        ({"unit_amount": "-1"}, "unit_amount '-1'"),
        ({"model": "graduated", "tiers": []}, "graduated tiers need an up_to each"),
        ({"model": "flat", "flat_amount": "1", "at_zero": "item", "match": {"region": "ams"}}, "at_zero: item"),
    ],
)
def test_an_entry_with_no_change_or_two_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=rf"negotiated price fly/.* of .*: .*{message}"):
        agreed(**fields)


@pytest.mark.parametrize(
    ("own", "over", "message"),
    [
        (agreed(unit_amount="1", currency="EUR"), REQUESTS, "it is in EUR, but the list price is in USD"),
        (agreed("support", unit_amount="1", match={"region": "ams"}), SUPPORT, "match is for usage"),
        (
            agreed("support", unit_amount="1", transform_quantity={"step": "5"}),
            SUPPORT,
            "transform_quantity is for usage",
        ),
        (
            agreed("egress", unit_amount="1", match={"region": "fra"}),
            replace(EGRESS, match={"region": ("ams",)}),
            "match region fra: the list price does not cover that",
        ),
        (
            agreed("egress", unit_amount="1", match={"region": ["fra", "ams", "iad"]}),
            replace(EGRESS, match={"region": ("ams",)}),
            "match region fra, iad: the list price does not cover that",
        ),
        (agreed(percent_off="0.0000000000001"), REQUESTS, "more than 12 decimals"),
    ],
)
def test_a_price_that_does_not_fit_the_list_price_is_refused_by_name(
    own: NegotiatedPrice, over: Price, message: str
) -> None:
    with pytest.raises(ValueError, match=f"negotiated price fly/{own.key} of acme from 2026-01-01 00:00: .*{message}"):
        own.over(over)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "negotiated price fly/? of ?: key is missing"),
        ({"group": "startups"}, "negotiated price fly/? of startups: key is missing"),
        ({"organization": "acme"}, "negotiated price fly/? of acme: key is missing"),
        (
            {"key": "requests", "organization": "acme", "group": "startups"},
            "negotiated price fly/requests of acme: effective_from is missing",
        ),
        (
            {"key": "a", "organization": "acme", "group": "b", "percent_off": "1", "effective_from": "2026-01-01"},
            "negotiated price fly/a of acme: name exactly one of organization and group: the holder of the price",
        ),
        (
            {"key": "a", "group": "b", "effective_from": "2026-01-01"},
            "negotiated price fly/a of b: give either percent_off, or the charge: a model and its fields",
        ),
        (
            {"key": "a", "group": "b", "effective_from": "2026-01-01", "percent_off": "1", "minimum": "1"},
            "negotiated price fly/a of b: unknown field 'minimum' in a percentage off the list price; known are"
            " percent_off",
        ),
        (
            {"key": "a", "group": "b", "effective_from": "2026-01-01", "meter": "m", "interval": "year"},
            "negotiated price fly/a of b: interval, meter: the list price defines that, leave it out",
        ),
        (
            {"key": "a", "group": "b", "effective_from": "2026-01-01", "unit_amount": "-1"},
            "negotiated price fly/a of b: unit_amount '-1' must be a finite number of at least 0",
        ),
        (
            {
                "key": "a", "group": "b", "effective_from": "2026-01-01", "unit_amount": "1", "at_zero": "item",
                "match": {"region": "ams"},
            },
            "negotiated price fly/a of b: at_zero: item is for a price without match: a month without usage has no"
            " dimensions",
        ),
    ],
)  # fmt: skip
def test_an_unreadable_negotiated_price_is_refused_with_its_holder_and_key(data: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r"negotiated price") as refused:
        NegotiatedPrice.from_data("fly", data)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"group": None}, "member acme of group ?: group is missing"),
        ({"organization": None}, "member ? of group startups: organization is missing"),
        ({"effective_from": "soon"}, "member acme of group startups: effective_from 'soon' is not a date"),
        (
            {"since": "2026-09-01"},
            "member acme of group startups: unknown field 'since' in a member of a group; known are"
            " effective_from, effective_until, group, organization",
        ),
        (
            {"effective_until": "2026-09-16"},
            "member acme of group startups: effective_until 2026-09-16 00:00:00+00:00 is not after effective_from",
        ),
    ],
)
def test_an_unreadable_membership_is_refused_with_its_organization(changes: dict[str, Any], message: str) -> None:
    data = {"group": "startups", "organization": "acme", "effective_from": "2026-09-16"}
    with pytest.raises(ValueError, match=r"member") as refused:
        Membership.from_data(data | changes)
    assert str(refused.value) == message


def test_an_empty_membership_is_named_by_question_marks() -> None:
    with pytest.raises(ValueError, match=r"^member \? of group \?: group is missing$"):
        Membership.from_data({})


def test_a_negotiated_price_and_a_membership_keep_their_file_and_line() -> None:
    data = {"key": "requests", "organization": "acme", "effective_from": "2026-01-01", "percent_off": "10"}
    price = NegotiatedPrice.from_data("fly", data, "fly/agreed.yaml: line 2")
    assert (price.place, price.book) == ("fly/agreed.yaml: line 2", "fly")
    assert NegotiatedPrice.from_data("fly", data).place == ""
    membership = {"group": "startups", "organization": "acme", "effective_from": "2026-09-16"}
    assert Membership.from_data(membership, "fly/agreed.yaml: line 9").place == "fly/agreed.yaml: line 9"
    assert Membership.from_data(membership).place == ""
    assert Membership.from_data(membership | {"effective_until": "2026-09-17"}) == Membership(
        "startups", "acme", MIDDLE, at("2026-09-17")
    )


@pytest.mark.parametrize("end", ["2026-09-16", "2026-09-15"])
def test_a_membership_that_ends_before_it_begins_is_refused(end: str) -> None:
    data = {"group": "startups", "organization": "acme", "effective_from": "2026-09-16", "effective_until": end}
    with pytest.raises(ValueError, match=r"member acme of group startups: effective_until .* is not after"):
        Membership.from_data(data)


# --- Properties ------------------------------------------------------------------------------------------------------

QUANTITIES = st.integers(0, 500).map(Decimal) | st.decimals(0, 500, places=3)


@given(st.sampled_from(sorted(MODELS)), QUANTITIES, st.integers(1, 10000), st.booleans())
def test_a_percentage_off_any_price_is_that_percentage_off_its_amount(
    model: str, quantity: Decimal, hundredths: int, is_bounded: bool
) -> None:
    bounds = {"minimum": "3", "maximum": "40", "at_zero": "item", "free_allowance": "2"} if is_bounded else {}
    percent = Decimal(hundredths) / 100
    price = Price.from_data("fly", data_of(model, "requests", bounds))
    own = agreed("it", percent_off=str(percent)).over(price)
    assert rate(own, quantity).amount * 100 == rate(price, quantity).amount * (100 - percent)


@given(st.sampled_from(sorted(OF_MODEL)), QUANTITIES, QUANTITIES)
def test_a_negotiated_price_equal_to_the_list_price_charges_the_same(
    model: str, first: Decimal, second: Decimal
) -> None:
    """From any moment on, tiers, packages, flat fees and allowances of the month continue."""
    price = Price.from_data("fly", data_of(model, "requests", {"free_allowance": "5"}))
    terms = {**OF_MODEL[model], "model": model, "free_allowance": "5", "effective_from": "2026-09-16"}
    usage = used("requests", str(first), str(second))
    at_list = month([], usage, prices=[price])
    negotiated = month([agreed("it", **terms)], usage, prices=[price])
    assert negotiated.amount == at_list.amount
    assert [listed(item) for item in negotiated.items if item.negotiated_price_id] == [
        f"{item.amount.normalize():f}" for item in negotiated.items if item.negotiated_price_id
    ]
