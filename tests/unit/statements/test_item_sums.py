"""The complete calculations of less common items: titles, units, lines and totals."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from fly_billing.invoicing.rules.assembly import assemble_invoice
from fly_billing.invoicing.rules.inputs import InvoiceInputs, Member, Subscription, UsageRollup
from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.pricing.rules.negotiated_prices import Negotiated, NegotiatedPrice, holdings_of
from fly_billing.pricing.rules.prices import Price, PriceBook
from fly_billing.pricing.rules.transformed_quantity import TransformedQuantity
from fly_billing.statements.rules.item_sums import amount_sums, sums_of_item
from fly_billing.statements.rules.sums import Line, Sum
from tests.support.builders import REQUESTS, SEPTEMBER, at, id_of, price
from tests.unit.invoicing.steps.invoices_in_progress import item

USED = UsageRollup(id_of("usage"), "requests", {}, SEPTEMBER.start, SEPTEMBER.end, Decimal(250))


def billed(held: Price, *subscriptions: Subscription, own: NegotiatedPrice | None = None) -> tuple[InvoiceItem, Price]:
    """Bill acme's September: the subscription, or else 250 requests. Return the item and its price."""
    negotiated = Negotiated(holdings_of("acme", [own] if own else [], []))
    book = PriceBook([held]).negotiated_by(negotiated)
    member = Member("acme", book, () if subscriptions else (USED,), subscriptions)
    (found,) = assemble_invoice(InvoiceInputs("acme", "USD", SEPTEMBER, [member])).items
    return found, own.over(held) if own else held


def line(label: str, amount: str, product: tuple[int, str, int] | None = None) -> Line:
    return Line(label, Decimal(amount), product and (Decimal(product[0]), Decimal(product[1]), Decimal(product[2])))


def sum_of(title: str, unit: str, total: str, *lines: Line) -> Sum:
    return Sum(title, unit, lines, Decimal(total))


def test_seats_beyond_the_free_ones_are_explained_as_a_fee() -> None:
    """Of 5 seats 2 are free: 3 x 10.00 a month, for the full month."""
    fee, seats = billed(
        price("seats", "10", free_allowance=Decimal(2)),
        Subscription(id_of("seats"), "seats", at("2026-09-01"), None, Decimal(5)),
    )
    assert sums_of_item(fee, (), seats, "USD") == [
        sum_of("Billable quantity", "unit", "3", line("subscribed", "5"), line("free allowance", "-2")),
        sum_of("Fee for a full month", "USD", "30", line("all", "30", (3, "10", 1))),
        sum_of("Amount", "USD", "30", line("share of the month", "30", (1, "30", 1))),
    ]


def test_a_negotiated_price_is_followed_by_the_amount_at_the_list_price() -> None:
    """250 x 0.075 = 18.75 with 25 % off, instead of 250 x 0.10 = 25.00."""
    own = NegotiatedPrice.from_data(
        "fly", {"key": "requests", "organization": "acme", "effective_from": "2026-01-01", "percent_off": "25"}
    )
    charged, quarter_off = billed(REQUESTS, own=own)
    assert sums_of_item(charged, [USED], quarter_off, "USD")[1:] == [
        sum_of("Amount", "USD", "18.75", line("all", "18.75", (250, "0.075", 1))),
        sum_of("At the list price", "USD", "25", line("all", "25", (250, "0.10", 1))),
    ]


def test_converted_usage_is_first_summed_without_a_unit() -> None:
    """250 requests are 2.5 hundreds, rounded up to 3: 3 x 0.10."""
    hundreds = replace(REQUESTS, transform_quantity=TransformedQuantity.from_data({"divide_by": "100"}))
    charged, per_hundred = billed(hundreds)
    assert sums_of_item(charged, [USED], per_hundred, "USD") == [
        sum_of("Used", "", "250", line("requests; 2026-09-01 to 2026-10-01", "250")),
        sum_of(
            "Quantity",
            "request",
            "3",
            line("used", "2.5", (250, "1", 100)),
            line("the month's total rounded up to a multiple of 1", "0.5"),
        ),
        sum_of("Amount", "USD", "0.3", line("all", "0.3", (3, "0.10", 1))),
    ]


HALF = {"agreed": "1000", "ran_seconds": "1296000", "whole_seconds": "2592000"}
FROM_SUPPORT = [{"product": "Support", "description": "support as used", "amount": "-15"}]


@pytest.mark.parametrize(
    ("kind", "amount", "detail", "sums"),
    [
        (  # half of a fee that a credit paid is refunded: half of the credit returns
            "credit",
            "15",
            {"paid": "30", "returned": "15", "applied_to": FROM_SUPPORT},
            [sum_of("Amount", "USD", "15", line("Support: support as used", "15"))],
        ),
        (
            "rounding",
            "-0.004",
            {"base": "10.234", "step": "0.01"},
            [
                sum_of(
                    "Amount",
                    "USD",
                    "-0.004",
                    line("the nearest multiple of 0.01", "10.23"),
                    line("all other items", "-10.234"),
                )
            ],
        ),
        (  # at least 1,000.00 a month, for half of September
            "minimum",
            "500",
            {"minimum": "500", "base": "0", "counted_before": "0", "counted": [], **HALF},
            [
                sum_of("Counted this month", "USD", "0"),
                sum_of(
                    "Amount",
                    "USD",
                    "500",
                    line("agreed minimum, 1,000 x 1,296,000 / 2,592,000 seconds", "500"),
                    line("counted in earlier months", "0"),
                    line("counted this month", "0"),
                ),
            ],
        ),
    ],
)
def test_each_kind_of_item_is_explained_by_its_own_calculation(
    kind: str, amount: str, detail: dict[str, Any], sums: list[Sum]
) -> None:
    assert amount_sums(item("it", amount, kind, detail=detail), "USD") == sums
