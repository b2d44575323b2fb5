"""Reads an invoice of Stripe, from the API's JSON or from a row of the dashboard's CSV export.

Amounts become our minor units (ISO 4217). The fields are those of https://docs.stripe.com/api/invoices/object, in the
versions before and after 2025-03-31, which replaced `total_tax_amounts` by `total_taxes`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fly_billing.invoicing.rules.chargeable_amounts import from_stripe
from fly_billing.money import counted, minor_digits

Body = Mapping[str, Any]

# Stripe writes a quantity, a multiplication sign, the product and its price if a line has no description of its own.
_GENERATED = re.compile(r"[\d,.]+ \u00d7 (?P<name>.+?)(?: \((?:Tier \d+ )?at .+\))?")
# Columns of the dashboard's export that the comparison needs, in lower case.
CSV_COLUMNS = ("id", "customer", "currency", "status", "total")
CSV_DATES = ("date (utc)", "created (utc)")
# Credit notes before and after the payment.
_CREDITED = ("pre_payment_credit_notes_amount", "post_payment_credit_notes_amount")


class UnreadableInvoice(ValueError):
    """The invoice can't be compared. The message says which field is wrong."""


@dataclass(frozen=True)
class PastLine:
    """A line of a Stripe invoice.

    Attributes:
        names: What a products file may call it: the ids of its product and price, and its description.
        name: The description, without Stripe's quantity and price.
        cents: Its amount less its discounts, with the taxes that it contains.
    """

    names: Sequence[str]
    name: str
    cents: int


@dataclass(frozen=True)
class PastInvoice:
    """An invoice that Stripe billed.

    Attributes:
        organization_id: From its metadata; None without.
        is_ours: fly_billing sent it.
        tax_cents: Tax that is added to the prices. Tax that prices contain is part of `charge_cents`.
        credit_note_cents: What credit notes took back later. It is not subtracted from the total.
        lines: None if the export has not all of them.
    """

    stripe_id: str
    number: str
    customer: str
    organization_id: str | None
    currency: str
    created: datetime
    status: str
    total_cents: int
    tax_cents: int
    credit_note_cents: int
    lines: Sequence[PastLine] | None
    is_ours: bool = False

    @property
    def charge_cents(self) -> int:
        return self.total_cents - self.tax_cents


def parse_invoice(body: Body) -> PastInvoice:
    """Read an invoice as Stripe's API writes it. Raises UnreadableInvoice."""
    currency = _text(body, "currency").upper()
    metadata = body.get("metadata") or {}
    return PastInvoice(
        stripe_id=_text(body, "id"),
        number=str(body.get("number") or body["id"]),
        customer=_customer(body.get("customer")),
        organization_id=metadata.get("organization") or None,
        currency=currency,
        created=_moment(_whole(body, "created")),
        status=_text(body, "status"),
        total_cents=_cents(_whole(body, "total"), currency),
        tax_cents=_cents(_added_tax(body), currency),
        credit_note_cents=_cents(sum(_whole(body, name) for name in _CREDITED if body.get(name) is not None), currency),
        lines=_lines(body.get("lines"), currency),
        is_ours="fly_billing_invoice" in metadata,
    )


def parse_row(row: Mapping[str, str]) -> PastInvoice:
    """Read a row of the dashboard's export of invoices, whose amounts are in the major unit.

    Args:
        row: Fields by their column, in lower case. The export has no lines.

    Raises:
        UnreadableInvoice: Names the column and its value.
    """
    currency = row["currency"].strip().upper()
    if not re.fullmatch("[A-Z]{3}", currency):
        raise UnreadableInvoice(f"Currency is {row['currency']!r}, not an ISO 4217 code")
    created = next(name for name in CSV_DATES if name in row)
    return PastInvoice(
        stripe_id=_filled(row, "id"),
        number=row.get("number") or row["id"],
        customer=_filled(row, "customer"),
        organization_id=row.get("organization (metadata)") or None,
        currency=currency,
        created=_written_moment(created, row[created]),
        status=_filled(row, "status").lower(),
        total_cents=_written_cents("Total", row["total"], currency),
        tax_cents=_written_cents("Tax", row.get("tax") or "0", currency),
        credit_note_cents=0,
        lines=None,
        is_ours=bool(row.get("fly_billing_invoice (metadata)")),
    )


def _text(body: Body, name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise UnreadableInvoice(f"{name} is {value!r}, but a text is needed")
    return value


def _whole(body: Body, name: str) -> int:
    value = body.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise UnreadableInvoice(f"{name} is {value!r}, but a whole number is needed")
    return value


def _customer(value: Any) -> str:
    """Return the customer's id, also if the customer was expanded."""
    found = value.get("id") if isinstance(value, Mapping) else value
    if not isinstance(found, str) or not found:
        raise UnreadableInvoice(f"customer is {found!r}, but an id is needed")
    return found


def _cents(amount: int, currency: str) -> int:
    cents, rest = from_stripe(amount, currency)
    if rest:
        raise UnreadableInvoice(f"{amount} is not a whole amount of {currency} in Stripe's hundredths")
    return cents


def _added_tax(body: Body) -> int:
    """Return the tax that is added to the prices, in Stripe's units."""
    for name in ("total_taxes", "total_tax_amounts"):
        if body.get(name) is not None:
            return sum(_whole(tax, "amount") for tax in body[name] if not _is_contained(tax))
    return _whole(body, "tax") if body.get("tax") is not None else 0


def _is_contained(tax: Body) -> bool:
    return tax.get("tax_behavior") == "inclusive" or tax.get("inclusive") is True


def _lines(found: Any, currency: str) -> Sequence[PastLine] | None:
    if not isinstance(found, Mapping) or found.get("has_more"):
        return None
    return [_line(line, currency) for line in found["data"]]


def _line(line: Body, currency: str) -> PastLine:
    details = (line.get("pricing") or {}).get("price_details") or {}
    price = line.get("price") or line.get("plan") or {}
    ids = [details.get("product"), details.get("price"), price.get("product"), price.get("id")]
    description = line.get("description") or price.get("nickname") or next(filter(None, ids), None) or line["id"]
    discounts = sum(_whole(discount, "amount") for discount in line.get("discount_amounts") or [])
    return PastLine(
        names=[name for name in (*ids, description) if name],
        name=product_in(description),
        cents=_cents(_whole(line, "amount") - discounts, currency),
    )


def product_in(description: str) -> str:
    """Return the product in a description that Stripe made: without its quantity and price."""
    made = _GENERATED.fullmatch(description)
    return made["name"] if made else description


def _moment(seconds: int) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        raise UnreadableInvoice(f"created is {seconds}, but a time in seconds is needed") from None


def _filled(row: Mapping[str, str], name: str) -> str:
    if not row[name].strip():
        raise UnreadableInvoice(f"{name} is empty")
    return row[name].strip()


def _written_moment(column: str, text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text.strip())
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise UnreadableInvoice(f"{column} is {text!r}: write it such as 2026-11-01 09:30, in UTC") from None


def _written_cents(column: str, text: str, currency: str) -> int:
    """Parse `1234.50`, or `1234,50` of a dashboard in another language. Thousands are never separated."""
    digits = minor_digits(currency)
    match = re.fullmatch(r"(-?)([0-9]+)(?:[.,]([0-9]+))?", text.strip())
    decimals = (match[3] or "") if match else ""
    # A spreadsheet may have written 1200 as `1,200`, which is not 1.20.
    may_be_thousands = len(decimals) == 3 and digits < 3
    if not match or may_be_thousands or len(decimals.rstrip("0")) > digits:
        raise UnreadableInvoice(
            f"{column} is {text!r}: write at most {counted(digits, 'decimal')}, and don't separate thousands"
        )
    return int(match[1] + match[2] + decimals[:digits].ljust(digits, "0"))
