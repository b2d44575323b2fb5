"""The columns of the file, by the FOCUS specification, versions 1.2 (May 2025) and 1.3. `rows` fills them.

The 21 mandatory ones: BilledCost, BillingAccountId, BillingAccountName, BillingCurrency, BillingPeriodEnd,
BillingPeriodStart, ChargeCategory, ChargeClass, ChargeDescription, ChargePeriodEnd, ChargePeriodStart, ContractedCost,
EffectiveCost, InvoiceIssuerName, ListCost, PricingQuantity, PricingUnit, ProviderName, PublisherName, ServiceCategory,
ServiceName.

The others are conditional or recommended columns for which we have values. We have no ResourceId, because usage is
aggregated by its dimensions, and no commitment discounts, capacity reservations or pricing currencies.
BillingAccountType and SubAccountType would have a single value.

The costs, all in the invoice's currency:
  ListCost        ListUnitPrice x PricingQuantity exactly, before discounts. Without a unit price: the BilledCost. For a
                  tax: its rate x the ListCost of the taxed items
  ContractedCost  ContractedUnitPrice x PricingQuantity exactly: the ListCost unless a price was negotiated
  EffectiveCost   exact, after discounts and before credits, which have their own rows. Without a unit price: the
                  BilledCost. For a reservation: 0, because it pays for later usage
  BilledCost      rounded to cents: the item's share of the invoice's total. All rows of an InvoiceId add up to it
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

FOCUS_VERSION = "1.2"
# Columns that version 1.3 renamed. Rows use the names of 1.2.
RENAMED = {"1.2": {}, "1.3": {"ProviderName": "ServiceProviderName", "PublisherName": "HostProviderName"}}
FOCUS_VERSIONS = tuple(RENAMED)

# The value of a cell; None is null.
Cell = str | Decimal | datetime | None

# The most decimals that a cost (or unit price) and a quantity can have. A decimal128 has 38 digits, so a cost has 14
# digits before the decimal point, and a quantity 20: a petabyte in bytes has 16.
COST_DECIMALS = 24
QUANTITY_DECIMALS = 18


@dataclass(frozen=True)
class FocusColumn:
    """A column of the file.

    Attributes:
        kind: text, time (UTC), cost or quantity.
        level: The specification's feature level, or custom.
    """

    name: str
    kind: str
    level: str


def _columns(level: str, kinds: dict[str, str]) -> list[FocusColumn]:
    return [FocusColumn(name, kind, level) for kind, names in kinds.items() for name in names.split()]


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
# Our own columns, after those of the specification: the invoice item of the row, and the coupons that reduced its cost.
_CUSTOM = _columns("custom", {"text": "x_Discounts x_InvoiceItemId x_InvoiceItemKind"})

COLUMNS: tuple[FocusColumn, ...] = (*sorted(_FOCUS, key=lambda column: column.name), *_CUSTOM)


def columns_of(version: str) -> dict[str, FocusColumn]:
    """Return the columns of a version's file in their order. The keys are the names that rows use."""
    names = {column.name: RENAMED[version].get(column.name, column.name) for column in COLUMNS}
    in_order = sorted(COLUMNS, key=lambda column: (column.level == "custom", names[column.name]))
    return {column.name: replace(column, name=names[column.name]) for column in in_order}


MANDATORY = tuple(column.name for column in COLUMNS if column.level == "mandatory")
