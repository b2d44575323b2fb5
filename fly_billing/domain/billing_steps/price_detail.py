"""How an item with a price says which price held and how its amount came about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fly_billing.domain.price_models import PriceStep
from fly_billing.domain.prices import Price


def price_detail(price: Price, steps: Sequence[PriceStep]) -> dict[str, Any]:
    return {
        "price": price.key,
        "price_effective_from": price.effective_from.isoformat(),
        "steps": [step.as_data() for step in steps],
    }
