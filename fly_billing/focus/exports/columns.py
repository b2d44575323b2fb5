"""The columns of the file, by the FOCUS specification, versions 1.2 (May 2025) and 1.3.

Keeps out: where their values come from.

The 21 mandatory ones: BilledCost, BillingAccountId, BillingAccountName, BillingCurrency, BillingPeriodEnd,
BillingPeriodStart, ChargeCategory, ChargeClass, ChargeDescription, ChargePeriodEnd, ChargePeriodStart, ContractedCost,
EffectiveCost, InvoiceIssuerName, ListCost, PricingQuantity, PricingUnit, ProviderName, PublisherName, ServiceCategory,
ServiceName.

The others are conditional or recommended ones for which we know the truth. Left out: what we do not have (ResourceId:
usage is added up by its dimensions; the columns
of commitment discounts, capacity reservations and pricing currencies), and types of which there is only one
(BillingAccountType, SubAccountType).

The costs, all in the invoice's currency:
  ListCost        ListUnitPrice x PricingQuantity exactly, before discounts; where a row has no unit price, its
                  BilledCost, or for a tax: its rate on the ListCost of what it is on
  ContractedCost  ContractedUnitPrice x PricingQuantity exactly: the ListCost unless a price was negotiated
  EffectiveCost   exact, after discounts and before credits, which are rows of their own; where a row has no unit price,
                  its BilledCost; 0 for a reservation, which pays for what is used later
  BilledCost      cents: the item's share of its invoice's rounded total. All of one InvoiceId add up to the invoice
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

FOCUS_VERSION = "1.2"
# What 1.3 calls columns otherwise; rows have the names of 1.2.
RENAMED = {"1.2": {}, "1.3": {"ProviderName": "ServiceProviderName", "PublisherName": "HostProviderName"}}
FOCUS_VERSIONS = tuple(RENAMED)

# What a cell holds; None is null.
Cell = str | Decimal | datetime | None

# Digits behind the point that a cost, a unit price and a quantity have at most. With 38 digits in all (decimal128),
# 14 are left before the point of a cost, and 20 of a quantity: a petabyte in bytes has 16.
COST_DECIMALS = 24
QUANTITY_DECIMALS = 18


@dataclass(frozen=True)
class Column:
    """`kind`: text, time (UTC), cost or quantity. `level`: the specification's feature level, or custom."""

    name: str
    kind: str
    level: str


def _columns(level: str, kinds: dict[str, str]) -> list[Column]:
    return [Column(name, kind, level) for kind, names in kinds.items() for name in names.split()]


_FOCUS = [
    *_columns(
        "mandatory",
        {
            "cost": "BilledCost ContractedCost EffectiveCost ListCost",
            "quantity": "PricingQuantity",
            "time": "BillingPeriodEnd BillingPeriodStart ChargePeriodEnd ChargePeriodStart",
            "text": "BillingAccountId BillingAccountName BillingCurrency ChargeCategory ChargeClass ChargeDescription"
            " InvoiceIssuerName PricingUnit ProviderName PublisherName ServiceCategory ServiceName",
        },
    ),
    *_columns(
        "conditional",
        {
            "cost": "ContractedUnitPrice ListUnitPrice",
            "quantity": "ConsumedQuantity",
            "text": "ConsumedUnit PricingCategory RegionId RegionName SkuId SkuMeter SkuPriceDetails SkuPriceId"
            " SubAccountId SubAccountName Tags",
        },
    ),
    *_columns("recommended", {"text": "ChargeFrequency InvoiceId ServiceSubcategory"}),
]
# Ours, after those of the specification: which item the row is of, and by which coupons its costs differ.
_CUSTOM = _columns("custom", {"text": "x_Discounts x_InvoiceItemId x_InvoiceItemKind"})

COLUMNS: tuple[Column, ...] = (*sorted(_FOCUS, key=lambda column: column.name), *_CUSTOM)


def columns_of(version: str) -> dict[str, Column]:
    """Return the columns of a version's file in their order, each under the name that rows have it by."""
    names = {column.name: RENAMED[version].get(column.name, column.name) for column in COLUMNS}
    in_order = sorted(COLUMNS, key=lambda column: (column.level == "custom", names[column.name]))
    return {column.name: replace(column, name=names[column.name]) for column in in_order}


MANDATORY = tuple(column.name for column in COLUMNS if column.level == "mandatory")
