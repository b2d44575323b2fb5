"""Reads the rows of a FOCUS 1.0 to 1.3 cost-and-usage CSV, exactly, and says of each what it is.

That is usage, one-off or rejected. Keeps out: what is made of them. No number passes through a float.
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
# FOCUS 1.3 renamed these; whichever of the two names has a value is read.
RENAMED = {"ProviderName": "ServiceProviderName"}
# What a row is billed at: its list price, or what its provider billed.
COSTS = ("list", "billed")
BILLED_COLUMNS = ("BilledCost", "BillingPeriodEnd", "BillingPeriodStart")
ABSENT = ("", "NULL")
# What a charge is about: a later export of the same charge has these columns as they were, whatever it costs by then.
SUBJECT = (
    "BillingCurrency", "ChargeCategory", "ChargeClass", "ChargePeriodEnd", "ChargePeriodStart", "CommitmentDiscountId",
    "PricingCategory", "PricingUnit", "RegionId", "ResourceId", "SkuId", "SkuPriceId",
)  # fmt: skip
TIMES = frozenset({"ChargePeriodEnd", "ChargePeriodStart"})
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
# What the usage table holds of a quantity: digits before and behind the point.
WHOLE_DIGITS, DECIMALS = 20, 15


class FocusImportError(ActionableError):
    """The file can't be imported as a whole; nothing was changed."""


@dataclass(frozen=True)
class RejectedRow:
    """A row that can't be billed, with the reason; `line` is where it ends in the file, 1-based."""

    file: str
    line: int
    reason: str
    message: str
    raw: str


@dataclass(frozen=True)
class FocusRow:
    """One charge. `quantity`, `list_unit_price` and `cost` have the file's digits; None: not given.

    `cost` is its ListCost. Where rows are billed at what their provider billed, it is its BilledCost, and there is
    neither quantity nor unit price: they would come to something else. `scope` and `id` are made by `identity`.
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
    def amount(self) -> Decimal | None:
        """Return ListUnitPrice x PricingQuantity, exactly; the cost where one of them is missing."""
        if self.list_unit_price is None or self.quantity is None:
            return self.cost
        return EXACT.multiply(self.list_unit_price, self.quantity)


def _can_be_metered(quantity: Decimal) -> bool:
    return quantity >= 0 and quantity.adjusted() < WHOLE_DIGITS and not has_more_decimals(quantity, DECIMALS)


def read_focus_rows(
    paths: Sequence[Path], now: datetime, cost: str = "list"
) -> tuple[list[FocusRow], list[RejectedRow]]:
    """Read every row of the files of one export, in order. Raises FocusImportError where one is no FOCUS file."""
    if cost not in COSTS:
        raise FocusImportError(f"no such cost: {cost}; rows are billed at {' or '.join(COSTS)}")
    rows: list[FocusRow] = []
    rejected: list[RejectedRow] = []
    identities = Identities()
    for path in paths:
        for line, fields, raw in _lines(path, COLUMNS if cost == "list" else (*COLUMNS, *BILLED_COLUMNS)):
            try:
                if fields is None:
                    raise _RowError("torn_row", "it has more or fewer fields than the header")
                rows.append(_row(path.name, line, identities, fields, raw, now, cost))
            except _RowError as problem:
                rejected.append(RejectedRow(path.name, line, problem.reason, str(problem), raw))
    return rows, rejected


class _RowError(Exception):
    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def _lines(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, Mapping[str, str] | None, str]]:
    """Yield line number, fields by column (None where their number is wrong), and the row as text."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            missing = [name for name in columns if name not in header and RENAMED.get(name) not in header]
            if missing:
                raise FocusImportError(f"{path.name} is no FOCUS file: its header has no column {', '.join(missing)}")
            _refuse_repeated_columns(path, header)
            for fields in reader:
                if fields:
                    by_column = dict(zip(header, fields, strict=True)) if len(fields) == len(header) else None
                    yield reader.line_num, by_column and _named_as_before(by_column), ",".join(fields)
    except (csv.Error, UnicodeDecodeError) as problem:
        raise FocusImportError(f"{path.name} is no readable CSV file: {problem}") from problem


def _refuse_repeated_columns(path: Path, header: Sequence[str]) -> None:
    try:
        refuse_repeated(header, "its header")
    except ValueError as problem:
        raise FocusImportError(f"{path.name} can't be imported: {problem}") from None


def _named_as_before(fields: Mapping[str, str]) -> Mapping[str, str]:
    """Return the fields under the names of FOCUS 1.2."""
    found = dict(fields)
    for before, now in RENAMED.items():
        if found.get(now, "") not in ABSENT or before not in found:
            found[before] = found[now]
    return found


def _row(
    file: str, line: int, identities: Identities, fields: Mapping[str, str], raw: str, now: datetime, cost: str
) -> FocusRow:
    sub_account = _text(fields, "SubAccountId")
    if sub_account is None:
        raise _RowError("missing_sub_account", "SubAccountId is empty: there is nobody to bill")
    currency = fields["BillingCurrency"]
    if not re.fullmatch(r"[A-Z]{3}", currency):
        raise _RowError("bad_currency", f"BillingCurrency {currency!r} is no ISO 4217 code")
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
    """Return the numbers that decide what the row costs, each written in one way."""
    has_price = row.list_unit_price is not None and row.quantity is not None
    numbers = [row.quantity, row.list_unit_price] if has_price else [row.cost]
    return [plain(number) for number in numbers if number is not None]


def _given(fields: Mapping[str, str], name: str) -> str:
    """Return a column that a file may lack."""
    return _text(fields, name) or "" if name in fields else ""


def _moment_or_text(fields: Mapping[str, str], name: str) -> str:
    try:
        return _time(fields, name).isoformat()
    except (KeyError, _RowError):
        return _given(fields, name)


def _billing_month(fields: Mapping[str, str], starts_at: datetime) -> BillingMonth:
    """Return the month in which the row was billed; that of the charge where the file does not say."""
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
            "bad_number", f"{name} {text!r} is no number with at most 25 digits before the point and 40 behind"
        )
    return number


def _time(fields: Mapping[str, str], name: str) -> datetime:
    """Read a FOCUS time: UTC (the specification's Date/Time Format), with or without `Z`."""
    try:
        moment = datetime.fromisoformat(fields[name])
    except ValueError:
        raise _RowError("bad_time", f"{name} {fields[name]!r} is no time") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _billed_at(fields: Mapping[str, str]) -> datetime:
    """Return when the charge was, if that lies in the billing period; else the period's start.

    A correction of an earlier month and a fee in advance are for another time than that in which they were billed.
    """
    charged, start = _time(fields, "ChargePeriodStart"), _time(fields, "BillingPeriodStart")
    return charged if start <= charged < _time(fields, "BillingPeriodEnd") else start


def _not_after(now: datetime, moment: datetime) -> datetime:
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
            rejected.append(RejectedRow(row.file, row.line, "mixed_currency", message, row.raw))
    return kept, rejected
