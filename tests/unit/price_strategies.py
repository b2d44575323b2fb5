"""Prices, quantities and months made by Hypothesis. Keeps out: expected amounts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from fly_billing.pricing.rules.intervals import INTERVALS
from fly_billing.pricing.rules.models import (
    Flat,
    Graduated,
    GraduatedPercentage,
    Package,
    Percentage,
    PercentTier,
    PerUnit,
    PriceModel,
    Tier,
    Volume,
)
from fly_billing.pricing.rules.prices import Price
from fly_billing.pricing.rules.transformed_quantity import TransformedQuantity

QUANTITIES = st.decimals(0, Decimal("1e12"), places=15) | st.integers(0, 100).map(Decimal)
AMOUNTS = st.decimals(0, Decimal("1e6"), places=12) | st.integers(0, 100).map(Decimal)
SIZES = st.decimals(Decimal("0.001"), Decimal("1e9"), places=3) | st.integers(1, 100).map(Decimal)
BOUNDS = st.lists(SIZES, unique=True, max_size=5).map(lambda bounds: [*sorted(bounds), None])


def _tiers(tier: Callable[[Decimal | None, Decimal, Decimal], Any]) -> st.SearchStrategy[Any]:
    def fill(bounds: list[Decimal | None]) -> st.SearchStrategy[Any]:
        return st.tuples(*(st.builds(tier, st.just(bound), AMOUNTS, AMOUNTS) for bound in bounds))

    return BOUNDS.flatmap(fill)


TIERS = _tiers(Tier)
GRADUATED = st.builds(Graduated, TIERS, SIZES)
MODELS: st.SearchStrategy[PriceModel] = st.one_of(
    st.builds(PerUnit, AMOUNTS, SIZES),
    st.builds(Package, AMOUNTS, SIZES, st.sampled_from(["up", "down"])),
    GRADUATED,
    st.builds(Volume, TIERS, SIZES),
    st.builds(GraduatedPercentage, _tiers(PercentTier)),
    st.builds(Percentage, AMOUNTS, AMOUNTS),
    st.builds(Flat, AMOUNTS),
)
TRANSFORMS = st.builds(TransformedQuantity, SIZES, SIZES, st.sampled_from(["up", "down"]))
NAMES = st.text(min_size=1, max_size=10)
MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@st.composite
def prices(draw: st.DrawFn, models: st.SearchStrategy[PriceModel] = MODELS) -> Price:
    """Draw a price of any kind, in force with or without an end, with every field that a price can have."""
    bounds = sorted(draw(st.lists(AMOUNTS, min_size=2, max_size=2)))
    start, end = sorted(draw(st.lists(MOMENTS, min_size=2, max_size=2, unique=True)))
    meter = draw(st.none() | NAMES)
    matches = st.dictionaries(NAMES, st.lists(NAMES, min_size=1, max_size=3).map(tuple), max_size=2)
    return Price(
        book="made-up",
        key=draw(NAMES),
        meter=meter,
        product=draw(NAMES),
        description=draw(st.text()),
        unit=draw(NAMES),
        currency=draw(st.sampled_from(["USD", "JPY", "KWD"])),
        model=draw(models),
        effective_from=start,
        effective_until=draw(st.sampled_from([None, end])),
        free_allowance=draw(st.just(Decimal(0)) | QUANTITIES),
        match=draw(matches) if meter else {},
        minimum=draw(st.sampled_from([None, bounds[0]])),
        maximum=draw(st.sampled_from([None, bounds[1]])),
        at_zero=draw(st.sampled_from(["nothing", "item"])),
        transform_quantity=draw(st.none() | TRANSFORMS) if meter else None,
        interval="month" if meter else draw(st.sampled_from(list(INTERVALS))),
    )
