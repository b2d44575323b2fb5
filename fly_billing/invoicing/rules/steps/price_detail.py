"""The part of an item's detail that documents its price and its calculation."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from fly_billing.money import exact_sum, plain
from fly_billing.pricing.rules.models import PriceStep
from fly_billing.pricing.rules.prices import Price


def price_detail(price: Price, steps: Sequence[PriceStep]) -> dict[str, Any]:
    return {
        "price": price.key,
        "price_effective_from": price.effective_from.isoformat(),
        "steps": [step.as_data() for step in steps],
    }


def negotiated_detail(price: Price, at_list: Sequence[PriceStep], free: Decimal = Decimal(0)) -> dict[str, Any]:
    """Document a negotiated price: its holder and dates, and the calculation at the list price. Else empty.

    Args:
        price: The price that was charged.
        at_list: The steps at the list price.
        free: The free units at the list price.
    """
    agreed = price.negotiated
    if agreed is None:
        return {}
    return {
        "negotiated": {
            "of": agreed.holder,
            "since": agreed.effective_from.isoformat(),
            **({"until": agreed.effective_until.isoformat()} if agreed.effective_until else {}),
            **({"percent_off": plain(agreed.percent_off)} if agreed.percent_off is not None else {}),
            "list": {
                "amount": plain(exact_sum([step.amount for step in at_list])),
                **({"free_allowance_used": plain(free)} if free else {}),
                "steps": [step.as_data() for step in at_list],
            },
        }
    }
