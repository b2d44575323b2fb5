"""The ways to break down amounts for finance. Pure. Not here: the tables (`tables`)."""

from __future__ import annotations

from enum import StrEnum


class RevenueBy(StrEnum):
    """The ways to break down revenue."""

    PRODUCT = "product"
    REGION = "region"
    ORGANIZATION = "organization"
