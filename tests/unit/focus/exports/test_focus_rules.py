"""The table of FOCUS 1.2's rules finds every fault in a file."""

from __future__ import annotations

import pytest

from tests.support.focus_rules import MANDATORY, OTHERS, violations

# A row that conforms to the specification: usage of a tier.
ROW = dict.fromkeys((*MANDATORY, *OTHERS), "") | {
    "BilledCost": "18",
    "BillingAccountId": "acme",
    "BillingAccountName": "Acme",
    "BillingCurrency": "USD",
    "BillingPeriodEnd": "2026-10-01T00:00:00Z",
    "BillingPeriodStart": "2026-09-01T00:00:00Z",
    "ChargeCategory": "Usage",
    "ChargeDescription": "Requests",
    "ChargeFrequency": "Usage-Based",
    "ChargePeriodEnd": "2026-10-01T00:00:00Z",
    "ChargePeriodStart": "2026-09-01T00:00:00Z",
    "ConsumedQuantity": "10000",
    "ConsumedUnit": "Requests",
    "ContractedCost": "20",
    "ContractedUnitPrice": "0.002",
    "EffectiveCost": "18",
    "InvoiceId": "ACME-0001",
    "InvoiceIssuerName": "Fly.io",
    "ListCost": "20",
    "ListUnitPrice": "0.002",
    "PricingCategory": "Standard",
    "PricingQuantity": "10000",
    "PricingUnit": "Requests",
    "ProviderName": "Fly.io",
    "PublisherName": "Fly.io",
    "ServiceCategory": "Web",
    "ServiceName": "Requests",
    "SkuId": "requests",
    "SkuMeter": "Requests",
    "SkuPriceId": "requests|0 to 10000",
    "Tags": '{"app": "web"}',
}


def test_a_conforming_row_breaks_no_rule() -> None:
    assert violations([*ROW, "x_Ours"], [ROW, ROW]) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ListCost": "20.01"}, "times PricingQuantity it is the ListCost"),
        ({"ListUnitPrice": "-0.002", "PricingQuantity": "-10000"}, "not below zero"),
        ({"BilledCost": "1e3"}, "wrong format"),
        ({"BilledCost": ""}, "BilledCost is null"),
        ({"ChargeCategory": "Discount"}, "not allowed"),
        ({"ChargeCategory": "Tax"}, "SkuPriceId is null for a tax"),
        ({"ChargeCategory": "Credit"}, "ConsumedQuantity-C-004-C"),
        ({"ChargeCategory": "Credit"}, "null but for usage"),
        ({"ChargeCategory": "Credit", "ListUnitPrice": ""}, "a credit's is its BilledCost"),
        ({"ChargeCategory": "Purchase"}, "a purchase is not usage-based"),
        ({"ChargeClass": "Refund"}, "not allowed"),
        ({"BillingPeriodEnd": "2026-10-01 00:00:00"}, "wrong format"),
        ({"ChargePeriodEnd": "2026-09-01T00:00:00Z"}, "ChargePeriodEnd is exclusive"),
        ({"PricingUnit": ""}, "not null with PricingQuantity"),
        ({"PricingUnit": "requests"}, "wrong format"),
        ({"ListUnitPrice": ""}, "ListUnitPrice is not null for usage"),
        ({"ConsumedUnit": ""}, "not null with ConsumedQuantity"),
        ({"ServiceCategory": "Networking"}, "ServiceName Requests has several ServiceCategory"),
        ({"BillingAccountId": "beta"}, "InvoiceId ACME-0001 has several BillingAccountId"),
        ({"Tags": '{"a": {"b": 1}}'}, "wrong format"),
        ({"SkuId": ""}, "SkuMeter is null without SkuId"),
    ],
)
def test_a_row_that_breaks_a_rule_is_found(changes: dict[str, str], message: str) -> None:
    assert any(message in violation for violation in violations(list(ROW), [ROW, ROW | changes]))


def test_a_file_without_a_mandatory_column_or_with_a_foreign_one_is_found() -> None:
    header = [name for name in ROW if name != "ListCost"]
    assert violations(header, []) == ["mandatory column ListCost is missing"]
    assert violations([*ROW, "Ours"], []) == ["custom column Ours has no prefix x_"]
    assert violations(["x_Ours", *ROW], []) == ["custom columns do not come last"]
