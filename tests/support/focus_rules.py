"""The rules of the FOCUS specification 1.2 for a cost-and-usage file, as a table.

Source: the columns and attributes of FinOps-Open-Cost-and-Usage-Spec/FOCUS_Spec, release 1.2, and its conformance rules
(cr-1.2), with their numbers. It does not use our exporter.
Rows are as in a CSV file: text by column; empty text is null.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

Row = Mapping[str, str]

MANDATORY = (
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart",
    "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargePeriodEnd", "ChargePeriodStart", "ContractedCost",
    "EffectiveCost", "InvoiceIssuerName", "ListCost", "PricingQuantity", "PricingUnit", "ProviderName",
    "PublisherName", "ServiceCategory", "ServiceName",
)  # fmt: skip
# Conditional, recommended and optional ones.
OTHERS = (
    "AvailabilityZone", "BillingAccountType", "CapacityReservationId", "CapacityReservationStatus", "ChargeFrequency",
    "CommitmentDiscountCategory", "CommitmentDiscountId", "CommitmentDiscountName", "CommitmentDiscountQuantity",
    "CommitmentDiscountStatus", "CommitmentDiscountType", "CommitmentDiscountUnit", "ConsumedQuantity", "ConsumedUnit",
    "ContractedUnitPrice", "InvoiceId", "ListUnitPrice", "PricingCategory", "PricingCurrency",
    "PricingCurrencyContractedUnitPrice", "PricingCurrencyEffectiveCost", "PricingCurrencyListUnitPrice", "RegionId",
    "RegionName", "ResourceId", "ResourceName", "ResourceType", "ServiceSubcategory", "SkuId", "SkuMeter",
    "SkuPriceDetails", "SkuPriceId", "SubAccountId", "SubAccountName", "SubAccountType", "Tags",
)  # fmt: skip
NEVER_NULL = (
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart",
    "ChargeCategory", "ChargeDescription", "ChargeFrequency", "ChargePeriodEnd", "ChargePeriodStart", "ContractedCost",
    "EffectiveCost", "InvoiceIssuerName", "ListCost", "ProviderName", "PublisherName", "ServiceCategory", "ServiceName",
)  # fmt: skip
DECIMALS = (
    "BilledCost", "ConsumedQuantity", "ContractedCost", "ContractedUnitPrice", "EffectiveCost", "ListCost",
    "ListUnitPrice", "PricingQuantity",
)  # fmt: skip
TIMES = ("BillingPeriodEnd", "BillingPeriodStart", "ChargePeriodEnd", "ChargePeriodStart")
KEY_VALUES = ("SkuPriceDetails", "Tags")
UNITS = ("ConsumedUnit", "PricingUnit")
ALLOWED = {
    "ChargeCategory": ("Usage", "Purchase", "Tax", "Credit", "Adjustment"),
    "ChargeClass": ("Correction",),
    "ChargeFrequency": ("One-Time", "Recurring", "Usage-Based"),
    "PricingCategory": ("Standard", "Dynamic", "Committed", "Other"),
    "ServiceCategory": (
        "AI and Machine Learning", "Analytics", "Business Applications", "Compute", "Databases", "Developer Tools",
        "Multicloud", "Identity", "Integration", "Internet of Things", "Management and Governance", "Media",
        "Migration", "Mobile", "Networking", "Security", "Storage", "Web", "Other",
    ),
}  # fmt: skip
# The subcategories of each category that has products in the shipped price book.
SUBCATEGORIES = {
    "Compute": ("Containers", "End User Computing", "Quantum Compute", "Serverless Compute", "Virtual Machines"),
    "Databases": (
        "Caching", "Data Warehouses", "Ledger Databases", "NoSQL Databases", "Relational Databases",
        "Time Series Databases",
    ),
    "Management and Governance": (
        "Architecture", "Compliance", "Cost Management", "Data Governance", "Disaster Recovery", "Endpoint Management",
        "Observability", "Support",
    ),
    "Networking": (
        "Application Networking", "Content Delivery", "Network Connectivity", "Network Infrastructure",
        "Network Routing", "Network Security",
    ),
    "Security": ("Secret Management", "Security Posture Management", "Threat Detection and Response"),
    "Storage": ("Backup Storage", "Block Storage", "File Storage", "Object Storage", "Storage Platforms"),
}  # fmt: skip
NUMERIC_FORMAT = re.compile(r"-?\d+(\.\d+)?", re.ASCII)
DATE_TIME_FORMAT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z", re.ASCII)
CURRENCY_FORMAT = re.compile(r"[A-Z]{3}", re.ASCII)
# "<unit-quantity> <plural-units>", base units capitalized and joined by hyphens.
UNIT_FORMAT = re.compile(r"([1-9]\d* )?[A-Z][^-/]*(-[A-Z][^-/]*)*(/.+)?")


@dataclass(frozen=True)
class Rule:
    """If `when` is true for a row, `then` must be."""

    name: str
    when: Callable[[Row], bool]
    then: Callable[[Row], bool]


def _is_tax(row: Row) -> bool:
    return row["ChargeCategory"] == "Tax"


def _is_bought(row: Row) -> bool:
    return row["ChargeCategory"] in ("Usage", "Purchase") and not row["ChargeClass"]


def _has(*columns: str) -> Callable[[Row], bool]:
    return lambda row: all(row[column] for column in columns)


def _has_not(column: str) -> Callable[[Row], bool]:
    return lambda row: not row[column]


def _number(row: Row, column: str) -> Fraction:
    return Fraction(row[column])


_PRICED = ("ContractedUnitPrice", "ListUnitPrice", "PricingQuantity", "PricingCategory", "SkuId", "SkuPriceId")
RULES = (
    *(Rule(f"{column} is null for a tax", _is_tax, _has_not(column)) for column in _PRICED),
    *(Rule(f"{column} is not null for usage and purchases", _is_bought, _has(column)) for column in _PRICED),
    Rule(
        "ListUnitPrice-C-008-M: it is not below zero",
        _has("ListUnitPrice"),
        lambda row: _number(row, "ListUnitPrice") >= 0,
    ),
    Rule(
        "ListUnitPrice-C-010-C: times PricingQuantity it is the ListCost",
        lambda row: _has("ListUnitPrice", "PricingQuantity")(row) and not row["ChargeClass"],
        lambda row: _number(row, "ListUnitPrice") * _number(row, "PricingQuantity") == _number(row, "ListCost"),
    ),
    Rule(
        "ContractedUnitPrice-C-008-M: it is not below zero",
        _has("ContractedUnitPrice"),
        lambda row: _number(row, "ContractedUnitPrice") >= 0,
    ),
    Rule(
        "ContractedUnitPrice-C-010-C: times PricingQuantity it is the ContractedCost",
        lambda row: _has("ContractedUnitPrice", "PricingQuantity")(row) and not row["ChargeClass"],
        lambda row: (
            _number(row, "ContractedUnitPrice") * _number(row, "PricingQuantity") == _number(row, "ContractedCost")
        ),
    ),
    Rule(
        "ListCost-C-008-C: a credit's is its BilledCost",
        lambda row: row["ChargeCategory"] == "Credit" and not row["ListUnitPrice"],
        lambda row: row["ListCost"] == row["BilledCost"],
    ),
    Rule(
        "ContractedCost-C-008-C: a credit's is its BilledCost",
        lambda row: row["ChargeCategory"] == "Credit" and not row["ListUnitPrice"],
        lambda row: row["ContractedCost"] == row["BilledCost"],
    ),
    Rule(
        "EffectiveCost-C-010-C: a credit's is its BilledCost",
        lambda row: row["ChargeCategory"] == "Credit",
        lambda row: row["EffectiveCost"] == row["BilledCost"],
    ),
    Rule("PricingUnit-C-005-C: null without PricingQuantity", _has_not("PricingQuantity"), _has_not("PricingUnit")),
    Rule("PricingUnit-C-006-C: not null with PricingQuantity", _has("PricingQuantity"), _has("PricingUnit")),
    Rule(
        "ConsumedQuantity-C-004-C: null but for usage",
        lambda row: row["ChargeCategory"] != "Usage",
        _has_not("ConsumedQuantity"),
    ),
    Rule(
        "ConsumedQuantity-C-005-C: not null for usage",
        lambda row: row["ChargeCategory"] == "Usage" and not row["ChargeClass"],
        _has("ConsumedQuantity"),
    ),
    Rule("ConsumedUnit-C-004-C: null without ConsumedQuantity", _has_not("ConsumedQuantity"), _has_not("ConsumedUnit")),
    Rule("ConsumedUnit-C-005-C: not null with ConsumedQuantity", _has("ConsumedQuantity"), _has("ConsumedUnit")),
    Rule(
        "ChargeFrequency-C-004-C: a purchase is not usage-based",
        lambda row: row["ChargeCategory"] == "Purchase",
        lambda row: row["ChargeFrequency"] != "Usage-Based",
    ),
    Rule(
        "ServiceSubcategory-C-004-M: it is one of its ServiceCategory",
        _has("ServiceSubcategory"),
        lambda row: (
            row["ServiceSubcategory"]
            in (*SUBCATEGORIES.get(row["ServiceCategory"], ()), f"Other ({row['ServiceCategory']})")
        ),
    ),
    Rule("RegionName-C-004-C: null without RegionId", _has_not("RegionId"), _has_not("RegionName")),
    Rule("RegionName-C-005-C: not null with RegionId", _has("RegionId"), _has("RegionName")),
    Rule("SkuMeter is null without SkuId", _has_not("SkuId"), _has_not("SkuMeter")),
    Rule("SkuPriceDetails is null without SkuPriceId", _has_not("SkuPriceId"), _has_not("SkuPriceDetails")),
    Rule(
        "ChargePeriodEnd is exclusive",
        lambda row: True,
        lambda row: row["ChargePeriodStart"] < row["ChargePeriodEnd"],
    ),
    Rule(
        "BillingPeriodEnd is exclusive",
        lambda row: True,
        lambda row: row["BillingPeriodStart"] < row["BillingPeriodEnd"],
    ),
)
# Each value of the first column has exactly one value of the second.
ONE_EACH = (("InvoiceId", "BillingAccountId"), ("SkuPriceId", "SkuId"), ("ServiceName", "ServiceCategory"))


def violations(header: Sequence[str], rows: Sequence[Row]) -> list[str]:
    """Return every broken rule with the row's number; empty for a valid file."""
    return [*_of_header(header), *(found for n, row in enumerate(rows, 1) for found in _of_row(n, row)), *_of_all(rows)]


def _of_header(header: Sequence[str]) -> Iterator[str]:
    yield from (f"mandatory column {name} is missing" for name in MANDATORY if name not in header)
    custom = [name for name in header if name not in MANDATORY and name not in OTHERS]
    yield from (f"custom column {name} has no prefix x_" for name in custom if not name.startswith("x_"))
    if list(header[len(header) - len(custom) :]) != custom:
        yield "custom columns do not come last"


def _of_row(number: int, row: Row) -> Iterator[str]:
    formats = (
        (DECIMALS, NUMERIC_FORMAT.fullmatch),
        (TIMES, DATE_TIME_FORMAT.fullmatch),
        (("BillingCurrency",), CURRENCY_FORMAT.fullmatch),
        (UNITS, UNIT_FORMAT.fullmatch),
        (KEY_VALUES, _is_key_value),
    )
    for column in NEVER_NULL:
        if not row[column]:
            yield f"row {number}: {column} is null"
    for columns, is_right in formats:
        for column in columns:
            if row[column] and not is_right(row[column]):
                yield f"row {number}: {column} {row[column]!r} has the wrong format"
    for column, allowed in ALLOWED.items():
        if row[column] and row[column] not in allowed:
            yield f"row {number}: {column} {row[column]!r} is not allowed"
    for rule in RULES:
        if rule.when(row) and not rule.then(row):
            yield f"row {number}: {rule.name}"


def _is_key_value(text: str) -> bool:
    found = json.loads(text)
    return isinstance(found, dict) and not any(isinstance(value, dict | list) for value in found.values())


def _of_all(rows: Sequence[Row]) -> Iterator[str]:
    for column, parent in ONE_EACH:
        parents: dict[str, set[str]] = defaultdict(set)
        for row in rows:
            if row[column]:
                parents[row[column]].add(row[parent])
        yield from (
            f"{column} {name} has several {parent}: {sorted(of)}" for name, of in parents.items() if len(of) > 1
        )
