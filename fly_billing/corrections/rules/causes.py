"""The causes of adjustments, and their words for the customer. Pure. Not here: finding them (`differences`)."""

from __future__ import annotations

LATE_ROWS = "late rows"
CORRECTED_ROWS = "corrected rows"
LATE_LEVEL = "level from an earlier month"
USAGE_CHANGED = "usage changed"
PRICE_VERSION = "price version"
SUBSCRIPTION = "subscription"
TERMS = "terms"
FOLLOWS = "follows from other items"
EARLIER_MONTH = "earlier month"
RULE = "rule"

# Each cause in words for the customer.
CAUSES = {
    LATE_ROWS: "usage of the month arrived after its invoice was finalized",
    CORRECTED_ROWS: "a source changed or withdrew usage that was billed",
    LATE_LEVEL: "a level that continues into the month changed in an earlier month",
    USAGE_CHANGED: "the usage of the month changed; the details are no longer available",
    PRICE_VERSION: "another version of the price is valid for the month",
    SUBSCRIPTION: "the subscription's dates or quantity changed",
    TERMS: "a discount or a commitment of the month changed",
    EARLIER_MONTH: "it counts earlier months, whose amounts changed",
    FOLLOWS: "it depends on other items of the month that were corrected",
    RULE: "the month is calculated by other rules now, such as another aggregation of a meter",
}
