"""Pricing: price books, negotiated prices, tax rates, and rating of quantities.

The public interface rates quantities without a database:

    >>> from fly_billing.pricing import Price, rate, rate_month
"""

from fly_billing.pricing.rules.prices import Price
from fly_billing.pricing.rules.rating import rate, rate_month

__all__ = ["Price", "rate", "rate_month"]
