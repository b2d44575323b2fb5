"""Reads the rows of a FOCUS 1.0 cost-and-usage CSV, exactly, and says of each what it is: usage, one-off or rejected.

Keeps out: what is made of them. No number passes through a float.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from pathlib import Path

from fly_billing.domain.errors import ToBeMended
from fly_billing.domain.money import EXACT
from fly_billing.domain.plain_data import AMOUNT_DECIMALS, has_more_decimals

COLUMNS = (
    "BillingCurrency", "ChargeCategory", "ChargeDescription", "ChargePeriodStart", "ListCost", "ListUnitPrice",
    "PricingQuantity", "PricingUnit", "ProviderName", "RegionId", "ServiceName", "SkuId", "SkuPriceId", "SubAccountId",
    "SubAccountName",
)  # fmt: skip
ABSENT = ("", "NULL")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
# What the usage table holds of a quantity: digits before and behind the point.
WHOLE_DIGITS, DECIMALS = 20, 15


class FocusImportError(ToBeMended):
    """The file can't be imported as a whole; nothing was changed."""


@dataclass(frozen=True)
class RejectedRow:
    """A row that can't be billed, with the reason; `line` is where it ends in the file, 1-based."""

    line: int
    reason: str
    message: str
    raw: str


@dataclass(frozen=True)
class FocusRow:
    """One charge. `quantity`, `list_unit_price` and `list_cost` have the file's digits; None: not given."""

    line: int
    id: str
    sub_account_id: str
    sub_account_name: str
    currency: str
    provider: str
    category: str
    description: str
    service: str
    region: str
    sku: str
    unit: str | None
    starts_at: datetime
    quantity: Decimal | None
    list_unit_price: Decimal | None
    list_cost: Decimal | None
    raw: str

    @property
    def is_usage(self) -> bool:
        """Tell whether it can be metered: usage of a unit, with a list price and a quantity of digits that are held."""
        return (
            self.category == "Usage"
            and self.unit is not None
            and self.list_unit_price is not None
            and self.list_unit_price >= 0
            and not has_more_decimals(self.list_unit_price, AMOUNT_DECIMALS)
            and self.quantity is not None
            and _can_be_metered(self.quantity)
        )

    @property
    def list_amount(self) -> Decimal | None:
        """Return ListUnitPrice x PricingQuantity, exactly; ListCost where one of them is missing."""
        if self.list_unit_price is None or self.quantity is None:
            return self.list_cost
        return EXACT.multiply(self.list_unit_price, self.quantity)


def _can_be_metered(quantity: Decimal) -> bool:
    return quantity >= 0 and quantity.adjusted() < WHOLE_DIGITS and not has_more_decimals(quantity, DECIMALS)


def read_focus_rows(path: Path, now: datetime) -> tuple[list[FocusRow], list[RejectedRow]]:
    """Read every row, in order. Raises FocusImportError where the file is no FOCUS file."""
    rows: list[FocusRow] = []
    rejected: list[RejectedRow] = []
    lines = list(_lines(path))
    times_seen = Counter(fields.get("Id", "") for _, fields, _ in lines if fields)
    hashes_seen: Counter[str] = Counter()
    for line, fields, raw in lines:
        try:
            if fields is None:
                raise _RowError("torn_row", "it has more or fewer fields than the header")
            identity = _identity(fields, raw, times_seen, hashes_seen)
            rows.append(_row(line, identity, fields, raw, now))
        except _RowError as problem:
            rejected.append(RejectedRow(line, problem.reason, str(problem), raw))
    return rows, rejected


class _RowError(Exception):
    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def _lines(path: Path) -> Iterator[tuple[int, Mapping[str, str] | None, str]]:
    """Yield line number, fields by column (None where their number is wrong), and the row as text."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            missing = [name for name in COLUMNS if name not in header]
            if missing:
                raise FocusImportError(
                    f"{path.name} is no FOCUS 1.0 file: its header has no column {', '.join(missing)}"
                )
            for fields in reader:
                if fields:
                    by_column = dict(zip(header, fields, strict=True)) if len(fields) == len(header) else None
                    yield reader.line_num, by_column, ",".join(fields)
    except (csv.Error, UnicodeDecodeError) as problem:
        raise FocusImportError(f"{path.name} is no readable CSV file: {problem}") from problem


def _identity(fields: Mapping[str, str], raw: str, times_seen: Mapping[str, int], hashes_seen: Counter[str]) -> str:
    """Return the row's `Id` if no other row has it; else a hash of the row, numbered: two charges may be alike."""
    own = fields.get("Id", "")
    if own not in ABSENT and times_seen[own] == 1:
        return own
    digest = sha256(raw.encode()).hexdigest()[:32]
    hashes_seen[digest] += 1
    return f"row-{digest}-{hashes_seen[digest]}"


def _row(line: int, identity: str, fields: Mapping[str, str], raw: str, now: datetime) -> FocusRow:
    sub_account = _text(fields, "SubAccountId")
    if sub_account is None:
        raise _RowError("missing_sub_account", "SubAccountId is empty: there is nobody to bill")
    currency = fields["BillingCurrency"]
    if not re.fullmatch(r"[A-Z]{3}", currency):
        raise _RowError("bad_currency", f"BillingCurrency {currency!r} is no ISO 4217 code")
    row = FocusRow(
        line=line,
        id=identity,
        sub_account_id=sub_account,
        sub_account_name=_text(fields, "SubAccountName") or sub_account,
        currency=currency,
        provider=_text(fields, "ProviderName") or "unnamed provider",
        category=fields["ChargeCategory"],
        description=_text(fields, "ChargeDescription") or _text(fields, "ServiceName") or "no description",
        service=_text(fields, "ServiceName") or "Other",
        region=_text(fields, "RegionId") or "",
        sku=_text(fields, "SkuPriceId") or _text(fields, "SkuId") or "none",
        unit=_text(fields, "PricingUnit"),
        starts_at=_time(fields["ChargePeriodStart"], now),
        quantity=_number(fields, "PricingQuantity"),
        list_unit_price=_number(fields, "ListUnitPrice"),
        list_cost=_number(fields, "ListCost"),
        raw=raw,
    )
    if not row.is_usage and row.list_amount is None:
        raise _RowError("no_amount", "it has neither ListUnitPrice and PricingQuantity nor ListCost")
    return row


def _text(fields: Mapping[str, str], name: str) -> str | None:
    text = fields[name].strip()
    return None if text in ABSENT else text


def _number(fields: Mapping[str, str], name: str) -> Decimal | None:
    text = _text(fields, name)
    if text is None:
        return None
    number = Decimal(text) if NUMBER.fullmatch(text) else None
    if number is None or number.adjusted() > 24 or int(number.as_tuple().exponent) < -40:
        raise _RowError(
            "bad_number", f"{name} {text!r} is no number with at most 25 digits before the point and 40 behind"
        )
    return number


def _time(text: str, now: datetime) -> datetime:
    """Read a FOCUS time: UTC (the specification's Date/Time Format), with or without `Z`."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise _RowError("bad_time", f"ChargePeriodStart {text!r} is no time") from None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    if moment.date() > now.astimezone(UTC).date():
        raise _RowError("in_future", f"it is for {moment:%Y-%m-%d}, which is yet to come: import the file again then")
    return moment


def reject_mixed_currencies(
    rows: Sequence[FocusRow], known: Mapping[str, str]
) -> tuple[list[FocusRow], list[RejectedRow]]:
    """Keep each sub-account's rows in one currency: the `known` one, else that of its first row. Reject the others."""
    currencies = dict(known)
    kept, rejected = [], []
    for row in rows:
        wanted = currencies.setdefault(row.sub_account_id, row.currency)
        if row.currency == wanted:
            kept.append(row)
        else:
            message = f"it is in {row.currency}, the sub-account's other charges are in {wanted}"
            rejected.append(RejectedRow(row.line, "mixed_currency", message, row.raw))
    return kept, rejected
