"""Reads the rows of a FOCUS 1.0 to 1.3 cost-and-usage CSV. Each is usage, a one-off charge, or rejected.

Numbers are read as exact decimals, never as floats.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from fly_billing.errors import ActionableError
from fly_billing.focus.imports.identity import Identities, ImportScope
from fly_billing.focus.spreadsheet_text import from_cell
from fly_billing.money import EXACT, plain
from fly_billing.periods import BillingMonth
from fly_billing.pricing.rules.fields import AMOUNT_DECIMALS, has_more_decimals, refuse_repeated

COLUMNS = (
    "BillingCurrency", "ChargeCategory", "ChargeDescription", "ChargePeriodStart", "ListCost", "ListUnitPrice",
    "PricingQuantity", "PricingUnit", "ProviderName", "RegionId", "ServiceName", "SkuId", "SkuPriceId", "SubAccountId",
    "SubAccountName",
)  # fmt: skip
# Columns that FOCUS 1.3 renamed. The one that has a value is read.
RENAMED = {"ProviderName": "ServiceProviderName"}
# A row is billed at its list price, or at the amount that its provider billed.
COSTS = ("list", "billed")
BILLED_COLUMNS = ("BilledCost", "BillingPeriodEnd", "BillingPeriodStart")
ABSENT = ("", "NULL")
# The subject of a charge: a later export of the same charge has the same values here, even if its cost has changed.
SUBJECT = (
    "BillingCurrency", "ChargeCategory", "ChargeClass", "ChargePeriodEnd", "ChargePeriodStart", "CommitmentDiscountId",
    "PricingCategory", "PricingUnit", "RegionId", "ResourceId", "SkuId", "SkuPriceId",
)  # fmt: skip
TIMES = frozenset({"ChargePeriodEnd", "ChargePeriodStart"})
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
# The digits of a quantity in the usage table: before and after the decimal point.
WHOLE_DIGITS, DECIMALS = 20, 15


class FocusImportError(ActionableError):
    """The file can't be imported. Nothing changed."""


@dataclass(frozen=True)
class RejectedFocusRow:
    """A row that can't be billed.

    Attributes:
        line: The file's line on which the row ends, counted from 1.
        reason: A short code.
        message: The reason for people.
        raw: The row as text.
    """

    file: str
    line: int
    reason: str
    message: str
    raw: str


@dataclass(frozen=True)
class FocusRow:
    """One charge.

    Attributes:
        id, scope: The charge's identity (see `identity`).
        quantity, list_unit_price: As in the file; None if absent. Always None if rows are billed at their BilledCost,
            because their product would be another amount.
        cost: The ListCost, or the BilledCost.
        raw: The row as text.
    """

    file: str
    line: int
    id: str
    scope: ImportScope
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
    cost: Decimal | None
    raw: str

    @property
    def is_usage(self) -> bool:
        """Return True if it can be metered: usage in a unit, whose list price and quantity we can store exactly."""
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
    def amount(self) -> Decimal | None:
        """The exact product ListUnitPrice x PricingQuantity, or the cost if one of them is missing."""
        if self.list_unit_price is None or self.quantity is None:
            return self.cost
        return EXACT.multiply(self.list_unit_price, self.quantity)


def _can_be_metered(quantity: Decimal) -> bool:
    return quantity >= 0 and quantity.adjusted() < WHOLE_DIGITS and not has_more_decimals(quantity, DECIMALS)


def read_focus_rows(
    paths: Sequence[Path], now: datetime, cost: str = "list"
) -> tuple[list[FocusRow], list[RejectedFocusRow]]:
    """Read every row of an export's files, in order. Raises FocusImportError if a file is not a FOCUS file."""
    if cost not in COSTS:
        raise FocusImportError(f"no such cost: {cost}; choose {' or '.join(COSTS)}")
    rows: list[FocusRow] = []
    rejected: list[RejectedFocusRow] = []
    identities = Identities()
    for path in paths:
        for line, fields, raw in _lines(path, COLUMNS if cost == "list" else (*COLUMNS, *BILLED_COLUMNS)):
            try:
                if fields is None:
                    raise _RowError("torn_row", "it has more or fewer fields than the header")
                rows.append(_row(path.name, line, identities, fields, raw, now, cost))
            except _RowError as problem:
                rejected.append(RejectedFocusRow(path.name, line, problem.reason, str(problem), raw))
    return rows, rejected


class _RowError(Exception):
    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def _lines(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, Mapping[str, str] | None, str]]:
    """Yield the line number, the fields by column (None if there are too many or too few), and the row as text."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            missing = [name for name in columns if name not in header and RENAMED.get(name) not in header]
            if missing:
                raise FocusImportError(
                    f"{path.name} is not a FOCUS file: its header has no column {', '.join(missing)}"
                )
            _refuse_repeated_columns(path, header)
            for fields in reader:
                if fields:
                    by_column = dict(zip(header, fields, strict=True)) if len(fields) == len(header) else None
                    yield reader.line_num, by_column and _with_old_names(by_column), ",".join(fields)
    except (csv.Error, UnicodeDecodeError) as problem:
        raise FocusImportError(f"{path.name} is not a readable CSV file: {problem}") from problem


def _refuse_repeated_columns(path: Path, header: Sequence[str]) -> None:
    try:
        refuse_repeated(header, "its header")
    except ValueError as problem:
        raise FocusImportError(f"{path.name} can't be imported: {problem}") from None


def _with_old_names(fields: Mapping[str, str]) -> Mapping[str, str]:
    """Return the fields with the column names of FOCUS 1.2."""
    renamed = dict(fields)
    for before, now in RENAMED.items():
        if renamed.get(now, "") not in ABSENT or before not in renamed:
            renamed[before] = renamed[now]
    return renamed


def _row(
    file: str, line: int, identities: Identities, fields: Mapping[str, str], raw: str, now: datetime, cost: str
) -> FocusRow:
    sub_account = _text(fields, "SubAccountId")
    if sub_account is None:
        raise _RowError("missing_sub_account", "SubAccountId is empty: there is nobody to bill")
    currency = fields["BillingCurrency"]
    if not re.fullmatch(r"[A-Z]{3}", currency):
        raise _RowError("bad_currency", f"BillingCurrency {currency!r} is not an ISO 4217 code")
    is_list = cost == "list"
    starts_at = _not_after(now, _time(fields, "ChargePeriodStart") if is_list else _billed_at(fields))
    quantity, unit_price = (
        (_number(fields, "PricingQuantity"), _number(fields, "ListUnitPrice")) if is_list else (None, None)
    )
    amount = _number(fields, "ListCost" if is_list else "BilledCost")
    provider = _text(fields, "ProviderName") or "unnamed provider"
    period = _billing_month(fields, starts_at)
    scope = ImportScope(provider, _given(fields, "BillingAccountId"), period.first_day, sub_account)
    row = FocusRow(
        file=file,
        line=line,
        id="",
        scope=scope,
        sub_account_id=sub_account,
        sub_account_name=_text(fields, "SubAccountName") or sub_account,
        currency=currency,
        provider=provider,
        category=fields["ChargeCategory"],
        description=_text(fields, "ChargeDescription") or _text(fields, "ServiceName") or "no description",
        service=_text(fields, "ServiceName") or "Other",
        region=_text(fields, "RegionId") or "",
        sku=_text(fields, "SkuPriceId") or _text(fields, "SkuId") or "none",
        unit=_text(fields, "PricingUnit"),
        starts_at=starts_at,
        quantity=quantity,
        list_unit_price=unit_price,
        cost=amount,
        raw=raw,
    )
    if not row.is_usage and row.amount is None:
        missing = "neither ListUnitPrice and PricingQuantity nor ListCost" if is_list else "no BilledCost"
        raise _RowError("no_amount", f"it has {missing}")
    subject = [_moment_or_text(fields, name) if name in TIMES else _given(fields, name) for name in SUBJECT]
    content = [row.description, row.service, *_charged(row)]
    return replace(row, id=identities.next_id(scope, [*subject, starts_at.isoformat()], content))


def _charged(row: FocusRow) -> list[str]:
    """Return the numbers that the row's amount is calculated from, in one notation."""
    has_price = row.list_unit_price is not None and row.quantity is not None
    numbers = [row.quantity, row.list_unit_price] if has_price else [row.cost]
    return [plain(number) for number in numbers if number is not None]


def _given(fields: Mapping[str, str], name: str) -> str:
    """Return a cell of a column that the file may not have."""
    return _text(fields, name) or "" if name in fields else ""


def _moment_or_text(fields: Mapping[str, str], name: str) -> str:
    try:
        return _time(fields, name).isoformat()
    except (KeyError, _RowError):
        return _given(fields, name)


def _billing_month(fields: Mapping[str, str], starts_at: datetime) -> BillingMonth:
    """Return the month in which the row was billed, or the charge's month if the file does not say."""
    given = _given(fields, "BillingPeriodStart")
    return BillingMonth.containing(_time(fields, "BillingPeriodStart") if given else starts_at)


def _text(fields: Mapping[str, str], name: str) -> str | None:
    exported = from_cell(fields[name])
    if exported is not None:
        return exported
    text = fields[name].strip()
    return None if text in ABSENT else text


def _number(fields: Mapping[str, str], name: str) -> Decimal | None:
    text = _text(fields, name)
    if text is None:
        return None
    number = Decimal(text) if NUMBER.fullmatch(text) else None
    if number is None or number.adjusted() > 24 or int(number.as_tuple().exponent) < -40:
        raise _RowError(
            "bad_number", f"{name} {text!r} is not a number with at most 25 digits before the point and 40 after it"
        )
    return number


def _time(fields: Mapping[str, str], name: str) -> datetime:
    """Read a FOCUS time: UTC (the specification's Date/Time Format), with or without `Z`."""
    try:
        moment = datetime.fromisoformat(fields[name])
    except ValueError:
        raise _RowError("bad_time", f"{name} {fields[name]!r} is not a valid time") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _billed_at(fields: Mapping[str, str]) -> datetime:
    """Return the charge's start if it is in the billing period, otherwise the period's start.

    A correction of an earlier month and a fee in advance are for another period than the one that billed them.
    """
    charged, start = _time(fields, "ChargePeriodStart"), _time(fields, "BillingPeriodStart")
    return charged if start <= charged < _time(fields, "BillingPeriodEnd") else start


def _not_after(now: datetime, moment: datetime) -> datetime:
    if moment.date() > now.astimezone(UTC).date():
        raise _RowError("in_future", f"it is for {moment:%Y-%m-%d}, a future day: import the file again on that day")
    return moment


def reject_mixed_currencies(
    rows: Sequence[FocusRow], known: Mapping[str, str]
) -> tuple[list[FocusRow], list[RejectedFocusRow]]:
    """Reject rows in another currency than their sub-account's: the `known` one, or the one of its first row."""
    currencies = dict(known)
    kept, rejected = [], []
    for row in rows:
        wanted = currencies.setdefault(row.sub_account_id, row.currency)
        if row.currency == wanted:
            kept.append(row)
        else:
            message = f"it is in {row.currency}, the sub-account's other charges are in {wanted}"
            rejected.append(RejectedFocusRow(row.file, row.line, "mixed_currency", message, row.raw))
    return kept, rejected
