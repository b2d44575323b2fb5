"""Builders for tests: usage files, organizations, a small price book, and a platform that lands, rolls up and bills.

September 2026 is the month of most examples: 30 days, 2,592,000 seconds. Not here: expected results.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import text

from fly_billing.invoicing.bill_run import Billed, BilledInvoice
from fly_billing.invoicing.rules.inputs import FeeCharged
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, Row
from fly_billing.pricing.price_books import PriceBookFiles, load_price_book
from fly_billing.pricing.rules.meters import Meter
from fly_billing.pricing.rules.models import PerUnit
from fly_billing.pricing.rules.prices import Price
from fly_billing.testing import TERMS as TERMS
from fly_billing.testing import ThrowawayPlatform
from fly_billing.usage.landing_ledger import open_usage_table
from fly_billing.usage.landing_rows import LandedFile
from fly_billing.usage.rollups import RollupReport
from fly_billing.usage.usage_table import UsageTable, UsageTableVersion

FIRST_MONTH = BillingMonth(2023, 1)
SEPTEMBER = BillingMonth(2026, 9)
OCTOBER = BillingMonth(2026, 10)
DAY = date(2026, 9, 15)
NOW = datetime(2026, 9, 20, 12, tzinfo=UTC)
# The grace period of September ends on 4 October at 00:00; in this hour after it, the month is closed.
CLOSED = datetime(2026, 10, 4, 1, tzinfo=UTC)

METERS = (
    Meter("requests", "Requests", "request"),
    Meter("egress_gb", "Data transfer out", "GB", dimensions=("region",)),
    Meter("machine_seconds", "Machines", "second", dimensions=("preset", "region")),
)


def at(text: str) -> datetime:
    """Read `2026-09-15` or `2026-09-15T12:00:00` as a time in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def id_of(name: str) -> UUID:
    """Return the id of an object that a test names."""
    return uuid5(NAMESPACE_URL, f"fly_billing/tests/{name}")


def price(key: str, unit_amount: str, meter: str | None = None, **changes: Any) -> Price:
    """Return a per-unit price in force since 2026, in USD; `changes` are fields of Price."""
    plain = Price(
        book="fly",
        key=key,
        meter=meter,
        product=key.capitalize(),
        description=f"{key} as used",
        unit="unit",
        currency="USD",
        model=PerUnit(Decimal(unit_amount)),
        effective_from=at("2026-01-01"),
    )
    return replace(plain, **changes)


def fee_charged(amount: str | Decimal, month: BillingMonth = SEPTEMBER, **changes: Any) -> FeeCharged:
    """Return the advance charge on the previous month's invoice; `changes` are fields of FeeCharged."""
    return replace(FeeCharged(month.start, month.end, Decimal(amount), month.plus(-1)), **changes)


REQUESTS = price("requests", "0.10", "requests", unit="request")
EGRESS = price("egress", "0.02", "egress_gb", unit="GB", free_allowance=Decimal(100))
MACHINES = price(
    "machines", "1.94", "machine_seconds", unit="second", model=PerUnit(Decimal("1.94"), Decimal(2_592_000))
)
SUPPORT = price("support", "29.00", unit="month")
PRICES = (REQUESTS, EGRESS, MACHINES, SUPPORT)


def event(name: str = "e1", quantity: str = "1", **changes: Any) -> dict[str, Any]:
    """Return one request of acme on 15 September 2026. `quantity` is written unchanged; other names are dimensions."""
    plain = {
        "id": name,
        "source": "proxy",
        "type": "requests",
        "subject": "acme",
        "time": "2026-09-15T12:00:00Z",
        "quantity": quantity,
    }
    return {column: value for column, value in (plain | changes).items() if value is not None}


def json_line(usage: Mapping[str, Any]) -> str:
    """Write an event as CloudEvents JSON, with its quantity as a number with the same digits."""
    envelope = {name: usage[name] for name in ("id", "source", "type", "subject", "time") if name in usage}
    data = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in usage.items() if name not in _COLUMNS]
    if "quantity" in usage:
        data = [f'"quantity": {usage["quantity"]}', *data]
    return f'{json.dumps(envelope)[:-1]}, "data": {{{", ".join(data)}}}}}'


_COLUMNS = ("id", "source", "type", "subject", "time", "quantity")


def write_text(landing_dir: Path, day: date, name: str, content: str | bytes) -> Path:
    path = landing_dir / day.isoformat() / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def write_jsonl(landing_dir: Path, usage: Sequence[Mapping[str, Any]], day: date = DAY, name: str = "usage") -> Path:
    return write_text(landing_dir, day, f"{name}.jsonl", "".join(f"{json_line(event)}\n" for event in usage))


def write_csv(landing_dir: Path, usage: Sequence[Mapping[str, Any]], day: date = DAY, name: str = "usage") -> Path:
    path = write_text(landing_dir, day, f"{name}.csv", "")
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, _columns(usage), lineterminator="\n")
        writer.writeheader()
        writer.writerows(usage)
    return path


def write_parquet(landing_dir: Path, usage: Sequence[Mapping[str, Any]], day: date = DAY, name: str = "usage") -> Path:
    """Write a table of text columns."""
    columns = {name: pa.array([event.get(name) for event in usage], pa.string()) for name in _columns(usage)}
    return write_table(landing_dir, pa.table(columns), day, name)


def write_table(landing_dir: Path, table: pa.Table, day: date = DAY, name: str = "usage") -> Path:
    path = write_text(landing_dir, day, f"{name}.parquet", b"")
    pq.write_table(table, path)
    return path


def _columns(usage: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys([*_COLUMNS, *(name for event in usage for name in event)]))


Writer = Callable[[Path, Sequence[Mapping[str, Any]]], Path]
WRITERS: dict[str, Writer] = {"jsonl": write_jsonl, "csv": write_csv, "parquet": write_parquet}
# The line of the first event: below the header in CSV, the first line or row elsewhere.
FIRST_LINE = {"jsonl": 1, "csv": 2, "parquet": 1}


def items_of(database: BillingDatabase, invoice: BilledInvoice) -> list[Row]:
    """Read the invoice's items from Postgres, in order."""
    statement = "select * from invoice_items where invoice_id = :id order by position"
    with database.transaction() as connection:
        return [dict(row) for row in connection.execute(text(statement), {"id": invoice.id}).mappings()]


def days_of(first: date, last: date) -> list[date]:
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


# Every day on which usage of September 2026 may land and still be on its invoice.
LANDING_DAYS = days_of(date(2026, 9, 1), date(2026, 10, 3))


class Platform(ThrowawayPlatform):
    """A throw-away platform with the terms of many examples, in September 2026 unless a test says otherwise."""

    @classmethod
    def with_acme(cls, database: BillingDatabase, landing_dir: Path) -> Platform:
        """Return a platform with the small price book and one organization, acme."""
        platform = cls(database, UsageTable(landing_dir.parent / "usage_table"), landing_dir)
        platform.load(*PRICES)
        platform.add_organization("acme")
        return platform

    def load(self, *prices: Price) -> None:
        with self.database.transaction() as connection:
            load_price_book(connection, PriceBookFiles("fly", METERS, prices))

    def add_subscription(
        self, organization: str, price_key: str, started_at: datetime, ended_at: datetime | None = None, **terms: Any
    ) -> None:
        """Add a subscription; `terms` are columns of `subscriptions`: quantity, billed, proration."""
        self.insert(
            "subscriptions",
            id=id_of(f"{organization} {price_key} {started_at}"),
            organization_id=organization,
            price_key=price_key,
            started_at=started_at,
            ended_at=ended_at,
            **terms,
        )

    def add_one_off(
        self, organization: str, description: str, amount: str, occurred_at: datetime, currency: str = "USD"
    ) -> None:
        self.insert(
            "one_off_items",
            id=id_of(f"{organization} {description}"),
            organization_id=organization,
            description=description,
            amount=Decimal(amount),
            currency=currency,
            occurred_at=occurred_at,
        )

    def redeem(
        self,
        organization: str,
        coupon: str,
        first: BillingMonth = SEPTEMBER,
        last: BillingMonth | None = None,
        redeemed_at: datetime = NOW,
    ) -> None:
        self.insert(
            "discounts",
            id=id_of(f"{organization} {coupon} {first}"),
            organization_id=organization,
            coupon_code=coupon,
            first_month=first.first_day,
            last_month=last.first_day if last else None,
            redeemed_at=redeemed_at,
        )

    def commit(self, organization: str, kind: str, amount: str, **terms: Any) -> None:
        """Add a commitment from September 2026 on, in USD; `terms` are columns of `commitments`."""
        plain = {"description": f"at {'least' if kind == 'minimum' else 'most'} {amount}", "currency": "USD"}
        self.insert(
            "commitments",
            id=id_of(f"{organization} {kind} {amount}"),
            organization_id=organization,
            kind=kind,
            amount=Decimal(amount),
            **{**plain, "first_month": SEPTEMBER.first_day, **terms},
        )

    def grant(self, organization: str, name: str, amount: str, **terms: Any) -> None:
        """Grant credit in USD from the beginning of 2026 on; `terms` are columns of `credit_grants`."""
        self.insert(
            "credit_grants",
            id=id_of(f"{organization} {name}"),
            organization_id=organization,
            description=name,
            amount=Decimal(amount),
            **{"currency": "USD", "granted_at": at("2026-01-01"), **terms},
        )

    def add_tax(self, organization: str, name: str, percent: str, **terms: Any) -> None:
        """Add a tax rate from September 2026 on; `terms` are columns of `tax_rates`."""
        self.insert(
            "tax_rates",
            id=id_of(f"{organization} {name}"),
            organization_id=organization,
            name=name,
            percent=Decimal(percent),
            **{"first_month": SEPTEMBER.first_day, **terms},
        )

    def link(
        self, organization: str, payer: str, first: BillingMonth = SEPTEMBER, last: BillingMonth | None = None
    ) -> None:
        self.insert(
            "organization_links",
            organization_id=organization,
            payer_id=payer,
            first_month=first.first_day,
            last_month=last.first_day if last else None,
        )

    def land(self, *days: date, now: datetime = NOW) -> list[LandedFile]:
        return super().land(*(days or [DAY]), now=now)

    def table(self) -> UsageTableVersion:
        """Open the usage table as every reader does: compared with Postgres."""
        return open_usage_table(self.database, self.usage_table)

    def rejected(self) -> list[Row]:
        return self.query(
            "select path, line, reason, message, source, event_id, raw from rejected_usage"
            " order by landing_day, path, line"
        )

    def organizations(self) -> list[str]:
        return [row["id"] for row in self.query("select id from organizations order by id")]

    def roll_up(
        self, month: BillingMonth = SEPTEMBER, now: datetime = NOW, *, from_scratch: bool = False
    ) -> RollupReport:
        return super().roll_up(month, now, from_scratch=from_scratch)

    def bill(self, month: BillingMonth = SEPTEMBER, now: datetime = NOW, run_id: str = "manual") -> Billed:
        return super().bill(month, now, run_id)

    def use(self, *usage: Mapping[str, Any], day: date = DAY, name: str = "usage") -> None:
        """Land these events and roll September up, on 20 September."""
        write_jsonl(self.landing_dir, usage, day, name)
        self.land(day)
        self.roll_up()

    def close(self, month: BillingMonth = SEPTEMBER) -> Billed:
        return super().close(month)

    def compute(self, month: BillingMonth = SEPTEMBER) -> None:
        """Roll the month up and bill it while it is open: on the 20th."""
        now = month.start + timedelta(days=19, hours=12)
        self.roll_up(month, now)
        assert self.bill(month, now).failures == []

    def items(self, month: BillingMonth = SEPTEMBER, organization: str = "acme") -> list[tuple[str, str, Decimal]]:
        """Return kind, description and amount of the items on the organization's latest invoice."""
        found = self.query(
            "select t.kind, t.description, t.amount from invoice_items as t"
            " join invoices as i on i.id = t.invoice_id and i.status <> 'void'"
            " where i.organization_id = :organization and i.month = :month order by t.position",
            organization=organization,
            month=month.first_day,
        )
        return [(row["kind"], row["description"], row["amount"]) for row in found]

    def items_of(self, invoice: BilledInvoice) -> list[Row]:
        return items_of(self.database, invoice)

    def amounts(self, kind: str, month: BillingMonth = SEPTEMBER, organization: str = "acme") -> list[Decimal]:
        return [amount for kind_of_item, _, amount in self.items(month, organization) if kind_of_item == kind]

    def totals(self, organization: str = "acme") -> list[int]:
        """Return the cents of the organization's invoices by month, without void ones."""
        found = self.query(
            "select total_cents from invoices where organization_id = :organization and status <> 'void'"
            " order by month",
            organization=organization,
        )
        return [row["total_cents"] for row in found]
