"""A scope selects the items of a discount, a commitment or a credit."""

from typing import Any

import pytest

from fly_billing.pricing.rules.scope import CHARGES, KINDS, Scope
from tests.unit.invoicing.steps.invoices_in_progress import item

AMS, IAD, BOTH = ({"region": regions} for regions in (("ams",), ("iad",), ("ams", "iad")))


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_scope_covers_every_purchase(kind: str) -> None:
    assert Scope().covers(item("web", "1", kind)) is (kind in ("usage", "subscription", "one_off"))


def test_a_scope_covers_the_kinds_that_it_names() -> None:
    scope = Scope(kinds=("usage", "adjustment"))
    assert [kind for kind in KINDS if scope.covers(item("web", "1", kind))] == ["usage", "adjustment"]


@pytest.mark.parametrize(
    ("scope", "fields", "is_covered"),
    [
        (Scope(products=("Machines", "GPUs")), {"product": "GPUs"}, True),
        (Scope(products=("Machines", "GPUs")), {"product": "Volumes"}, False),
        (Scope(price_keys=("support",)), {"price_key": "support"}, True),
        (Scope(price_keys=("support",)), {"price_key": "support-plus"}, False),
        (Scope(price_keys=("support",)), {"price_key": None}, False),
        (Scope(meter="requests"), {"meter": "requests"}, True),
        (Scope(meter="requests"), {"meter": "egress_gb"}, False),
        (Scope(meter="requests"), {"meter": None}, False),
    ],
)
def test_a_scope_covers_the_products_prices_and_the_meter_that_it_names(
    scope: Scope, fields: dict[str, Any], is_covered: bool
) -> None:
    assert scope.covers(item("web", "1", **fields)) is is_covered


@pytest.mark.parametrize(
    ("named", "priced", "is_covered"),
    [
        (AMS, AMS, True),
        (AMS, IAD, False),
        (BOTH, AMS, True),
        (BOTH, BOTH, True),
        # A price for both regions: the part of the item in ams is unknown.
        (AMS, BOTH, False),
        # A price for every region.
        (AMS, {}, False),
        (AMS, {"preset": ("performance-1x",)}, False),
        (AMS, AMS | {"preset": ("performance-1x",)}, True),
        (AMS | {"preset": ("performance-1x",)}, AMS | {"preset": ("performance-1x",)}, True),
        (AMS | {"preset": ("performance-1x",)}, AMS | {"preset": ("shared-cpu-1x",)}, False),
        (AMS | {"preset": ("performance-1x",)}, AMS, False),
    ],
)
def test_a_scope_of_a_region_covers_an_item_whose_price_is_only_for_that_region(
    named: dict[str, tuple[str, ...]], priced: dict[str, tuple[str, ...]], is_covered: bool
) -> None:
    assert Scope(match=named).covers(item("web", "1", match=priced)) is is_covered


@pytest.mark.parametrize("other", [{"product": "Volumes"}, {"meter": "egress_gb"}, {"match": IAD}, {"kind": "minimum"}])
def test_an_item_in_scope_meets_every_condition_of_the_scope(other: dict[str, Any]) -> None:
    scope = Scope(products=("Machines",), meter="machine_seconds", match=AMS)
    fields: dict[str, Any] = {"product": "Machines", "meter": "machine_seconds", "match": AMS}
    assert scope.covers(item("web", "1", **fields))
    assert not scope.covers(item("web", "1", **fields | other))


# --- As data -------------------------------------------------------------------------------------------------------


def test_a_scope_is_read_from_data() -> None:
    data = {
        "kinds": ["usage"],
        "products": ["Machines"],
        "price_keys": ["performance-1x"],
        "meter": "machine_seconds",
        "match": {"region": "ams", "preset": ["performance-1x", "performance-2x"]},
    }
    assert Scope.from_data(data) == Scope(
        kinds=("usage",),
        products=("Machines",),
        price_keys=("performance-1x",),
        meter="machine_seconds",
        match={"region": ("ams",), "preset": ("performance-1x", "performance-2x")},
    )


def test_a_scope_without_data_covers_all_charges_or_the_terms_default() -> None:
    assert Scope.from_data({}) == Scope(kinds=CHARGES)
    assert Scope.from_data({}, ("usage", "minimum")).kinds == ("usage", "minimum")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"regions": ["ams"]}, r"unknown field 'regions' in a scope"),
        ({"kinds": ["usage", "gift"]}, r"kinds 'gift' of a scope; known are usage, subscription"),
        ({"match": {"region": [False]}}, "match region"),
    ],
)
def test_an_unreadable_scope_gives_the_reason(data: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Scope.from_data(data)
