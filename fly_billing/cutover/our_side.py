"""Reads this project's side of the comparison: a month's invoices, and the payer of each customer in Stripe."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fly_billing.cutover.rules.comparison import FailedPayer, OurInvoice
from fly_billing.cutover.rules.past_invoices import PastInvoice
from fly_billing.errors import ActionableError
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, records, rows


class UnknownOrganizations(ActionableError):
    """The file of customers names organizations that do not exist."""


@dataclass(frozen=True)
class Payers:
    """The payers here of Stripe's invoices.

    Attributes:
        of_organization: The payer of each organization in the month.
        organization_of: The organization of each customer in Stripe, if known.
    """

    of_organization: Mapping[str, str]
    organization_of: Mapping[str, str]

    def payer_of(self, invoice: PastInvoice) -> str | None:
        """Return the payer, or None if neither the customer nor the invoice's metadata names an organization."""
        organization = self.organization_of.get(invoice.customer, invoice.organization_id or "")
        return self.of_organization.get(organization)


@dataclass(frozen=True)
class OurSide:
    """A month's invoices here, and their payers."""

    invoices: Sequence[OurInvoice]
    failed: Sequence[FailedPayer]
    payers: Payers


def read_our_side(
    database: BillingDatabase, month: BillingMonth, customers: Mapping[str, str], marked: Mapping[str, str]
) -> OurSide:
    """Read a month from one snapshot of the database.

    Args:
        customers: The organization of each customer in Stripe, from the user's file. It takes precedence over what
            earlier syncs recorded.
        marked: The organization that customers in Stripe name in their metadata. Both others take precedence.

    Raises:
        UnknownOrganizations: `customers` names organizations that do not exist.
    """
    day = {"month": month.first_day}
    with database.consistent_read() as connection:
        products: dict[object, dict[str, int]] = defaultdict(dict)
        for row in rows(connection, "cutover_products", **day):
            products[row["invoice_id"]][row["product"]] = row["cents"]
        invoices = [
            OurInvoice(product_cents=products[row.pop("invoice_id")], **row)
            for row in map(dict, rows(connection, "cutover_invoices", **day))
        ]
        failed = records(connection, FailedPayer, "cutover_failed", **day)
        known = rows(connection, "cutover_customers", **day)
    return OurSide(invoices, failed, _payers(known, customers, marked))


def _payers(known: Sequence[Mapping[str, str]], customers: Mapping[str, str], marked: Mapping[str, str]) -> Payers:
    payers = {row["organization_id"]: row["payer_id"] for row in known}
    unknown = sorted(set(customers.values()) - payers.keys())
    if unknown:
        shown = ", ".join(unknown[:5]) + (f" and {len(unknown) - 5:,} more" if len(unknown) > 5 else "")
        raise UnknownOrganizations(f"the file of customers names organizations that don't exist: {shown}")
    synced = {row["customer"]: row["organization_id"] for row in known if row["customer"]}
    return Payers(payers, {**marked, **synced, **customers})
