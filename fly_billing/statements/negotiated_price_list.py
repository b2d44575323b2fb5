"""Lists negotiated prices: which organization has each, since when, and what it charges beside the list price."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fly_billing.errors import BillingError
from fly_billing.postgres.database import BillingDatabase
from fly_billing.postgres.organizations import organization_name
from fly_billing.pricing.negotiated_prices import read_agreements
from fly_billing.pricing.price_books import read_price_books
from fly_billing.pricing.rules.negotiated_prices import Holding, NegotiatedPrice
from fly_billing.pricing.rules.prices import Price
from fly_billing.statements.rules.item_facts import charged_by


@dataclass(frozen=True)
class ListedPrice:
    """A negotiated price of one organization.

    Attributes:
        charges: The price in words; for a percentage, also the amount that it leaves of the list price.
        list_price: The list price in words; None if there is none.
        holder: The organization or group that the price was negotiated with.
    """

    organization_id: str
    book: str
    key: str
    match: Mapping[str, Sequence[str]]
    start: datetime
    end: datetime | None
    charges: str
    list_price: str | None
    holder: str

    def as_data(self) -> dict[str, Any]:
        """Return JSON-ready data; amounts are exact text."""
        return {
            "organization": self.organization_id,
            "book": self.book,
            "price": self.key,
            "match": {dimension: list(values) for dimension, values in self.match.items()},
            "from": self.start.isoformat(),
            "until": self.end.isoformat() if self.end else None,
            "charges": self.charges,
            "list_price": self.list_price,
            "of": self.holder,
        }


@dataclass(frozen=True)
class NegotiatedPriceList:
    """The negotiated prices, by organization.

    Attributes:
        unreadable: The reason why an organization's prices can't be read, by its id.
    """

    prices: Sequence[ListedPrice]
    unreadable: Mapping[str, BillingError]


def read_negotiated_prices(
    database: BillingDatabase, organization_id: str | None, at: datetime | None, now: datetime
) -> NegotiatedPriceList:
    """Read the negotiated prices of all organizations, or of one.

    Args:
        at: List only prices in force at this time. None: all.
        now: The time whose list prices are compared.

    Raises:
        NoSuchOrganization: No organization has this id.
    """
    with database.transaction() as connection:
        if organization_id is not None:
            organization_name(connection, organization_id)
        agreements = read_agreements(connection)
        versions: dict[tuple[str, str], list[Price]] = defaultdict(list)
        for book, prices in read_price_books(connection).items():
            for price in prices:
                versions[book, price.key].append(price)
    listed = [
        _listed(name, holding, versions[holding.price.book, holding.price.key], now)
        for name, holdings in sorted(agreements.holdings().items())
        if organization_id in (None, name)
        for holding in holdings
        if at is None or holding.is_in_force(at)
    ]
    unreadable = {name: error for name, error in agreements.unreadable.items() if organization_id in (None, name)}
    return NegotiatedPriceList(listed, dict(sorted(unreadable.items())))


def _listed(organization_id: str, holding: Holding, versions: Sequence[Price], now: datetime) -> ListedPrice:
    """Describe a negotiated price beside the list price in force now, or when the negotiated price begins or ended."""
    price = holding.price
    moment = max(holding.start, now if holding.end is None or now < holding.end else holding.start)
    in_force = [version for version in versions if version.effective_from <= moment]
    version = max(in_force, key=lambda version: version.effective_from, default=None)
    return ListedPrice(
        organization_id,
        price.book,
        price.key,
        price.match,
        holding.start,
        holding.end,
        _charges(price, version),
        charged_by(version) if version else None,
        price.holder,
    )


def _charges(price: NegotiatedPrice, version: Price | None) -> str:
    """Return the price in words: a percentage with the amount that it leaves of the list price."""
    percentage = "" if price.percent_off is None else f"{price.percent_off:f} % off"
    if version is None:
        return percentage or "no list price"
    try:
        amount = charged_by(price.over(version))
    except ValueError as problem:
        return str(problem)
    return f"{percentage}: {amount}" if percentage else amount
