"""Runs the steps of a case of tests/cases on the test's platform.

A step has one verb. These prepare: `book` (load a price book), `row` (insert rows of terms), `sql` (change one), `file`
(copy a usage file into a landing day), `land`, `roll_up`, `close` (land the month's days, roll up, bill, finalize),
`correct` (re-bill a final month), `reissue`, `import_focus`, `sync` (to the Stripe sandbox). These check:
`book_is_refused`, `totals` (cents by organization and month), `sum` and `sum_of_all` (cents of all months), `taxes`,
`quantities`, `rejected` (rows), `stripe` (totals in Stripe by organization, in Stripe's units; both sides agree),
`owed` (cents, on the statement and in Stripe), `headline_lacks` (words).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from fly_billing.corrections.correction import Actor
from fly_billing.corrections.correction_run import correct_month
from fly_billing.corrections.reissue import reissue
from fly_billing.corrections.rules.guard import OFF
from fly_billing.focus.imports.importer import import_focus
from fly_billing.periods import BillingMonth
from fly_billing.pricing.price_books import load_price_book, read_price_book_files
from fly_billing.statements.statement_reader import read_statement
from fly_billing.stripe_sandbox import SandboxServer
from tests.support.builders import NOW, TERMS, Platform
from tests.support.stripe_builders import in_stripe, outcome, reconcile, sync, sync_tools

CASES = Path(__file__).parents[1] / "cases"


@dataclass
class CaseRunner:
    """One case on one platform. `run` raises AssertionError naming the step whose value is wrong."""

    folder: Path
    platform: Platform
    start_sandbox: Callable[[], SandboxServer]
    synced: list[BillingMonth] = field(default_factory=list)
    rows_of_a_kind: int = 0
    verbs: Mapping[str, Callable[[Any], None]] = field(init=False)

    def __post_init__(self) -> None:
        self.verbs = {name.removeprefix("_do_"): getattr(self, name) for name in dir(self) if name.startswith("_do_")}

    def run(self) -> None:
        case = json.loads((self.folder / "case.json").read_text(encoding="utf-8"))
        for organization in case.get("organizations", [{"id": "acme"}]):
            self.platform.add_organization(organization["id"], organization.get("currency", "USD"), "2023-01-01")
        for number, step in enumerate(case["steps"], start=1):
            ((verb, value),) = step.items()
            try:
                self.verbs[verb](value)
            except AssertionError as wrong:
                raise AssertionError(f"{self.folder.name}, step {number}, {verb}: {wrong}") from wrong

    def _do_book(self, name: str) -> None:
        book = read_price_book_files(self._book_folder(name))
        with self.platform.database.transaction() as connection:
            load_price_book(connection, book)

    def _do_book_is_refused(self, value: Mapping[str, Any]) -> None:
        folder = self._book_folder(value["book"])
        with pytest.raises(ValueError) as refused:
            read_price_book_files(folder)
        for word in ("fly", *value.get("says", ())):
            assert word in str(refused.value), f"{word!r} is not in: {refused.value}"

    def _book_folder(self, name: str) -> Path:
        """Write a book named `fly`, the default book of every organization."""
        folder = self.platform.landing_dir.parent / "books" / "fly"
        folder.mkdir(parents=True, exist_ok=True)
        for file in (self.folder / name, *self.folder.glob("prices*.csv")):
            shutil.copy(file, folder)
        return folder

    def _do_row(self, value: Mapping[str, Mapping[str, Any]]) -> None:
        for table, row in value.items():
            self.rows_of_a_kind += 1
            identity = {} if table in ("coupons", "organization_links") else {"id": UUID(int=self.rows_of_a_kind)}
            self.platform.insert(table, **identity, **row)

    def _do_sql(self, statement: str) -> None:
        self.platform.execute(statement)

    def _do_file(self, value: Mapping[str, str]) -> None:
        folder = self.platform.landing_dir / value["day"]
        folder.mkdir(exist_ok=True)
        shutil.copy(self.folder / value["from"], folder / value.get("as", value["from"]))

    def _do_land(self, value: Mapping[str, Any]) -> None:
        self.platform.land(*map(date.fromisoformat, value["days"]), now=_moment(value["now"]))

    def _do_roll_up(self, value: Mapping[str, str]) -> None:
        self.platform.roll_up(_month(value["month"]), _moment(value["now"]))

    def _do_close(self, month: str) -> None:
        assert self.platform.close(_month(month)).failures == []

    def _do_correct(self, value: Mapping[str, str]) -> None:
        month, now = _month(value["month"]), _moment(value["now"])
        self.platform.roll_up(month, now)
        names = self.platform.organizations()
        found = correct_month(
            self.platform.database,
            month,
            names,
            self.platform.usage_table,
            Actor("case", now, "case"),
            guard=OFF,
            with_terms=True,
        )
        assert not found.failures, found.failures

    def _do_reissue(self, value: Mapping[str, str]) -> None:
        month, now = _month(value["month"]), _moment(value["now"])
        reissue(self.platform.database, value["organization"], month, TERMS, now, "case")

    def _do_import_focus(self, value: Mapping[str, str]) -> None:
        import_focus(
            self.platform.database, self.platform.landing_dir, self.folder / value["file"],
            max_org_partitions=200, shared_groups=64, now=_moment(value["now"]),
        )  # fmt: skip

    @cached_property
    def _sandbox(self) -> SandboxServer:
        return self.start_sandbox()

    def _do_sync(self, month: str) -> None:
        _, failures = outcome(sync(sync_tools(self.platform.database, self._sandbox.url), _month(month)))
        assert failures == []
        self.synced.append(_month(month))

    def _do_stripe(self, value: Mapping[str, list[int]]) -> None:
        there = in_stripe(self._sandbox)
        found = {name: [total for payer, _, total, _ in there if payer == name] for name in value}
        assert found == value, f"{found} instead of {value}"
        for month in self.synced:
            assert reconcile(sync_tools(self.platform.database, self._sandbox.url), month).discrepancies == []

    def _do_owed(self, value: Mapping[str, Any]) -> None:
        owed = read_statement(self.platform.database, value["organization"], NOW).owed()
        assert owed == {"USD": value["cents"]}, f"the statement says {owed}"
        invoices = self._sandbox.control.invoices()
        there = [invoice["amount_remaining"] for invoice in invoices if invoice["status"] == "open"]
        assert sum(there) == value["cents"], f"Stripe asks for {there}"

    def _do_headline_lacks(self, value: Mapping[str, str]) -> None:
        headline = read_statement(self.platform.database, value["organization"], NOW).headline()
        assert value["words"] not in headline, headline

    def _do_totals(self, value: Mapping[str, Mapping[str, int]]) -> None:
        for organization, months in value.items():
            found = {month: self._cents(organization, month) for month in months}
            assert found == months, f"{organization}: {found} instead of {months}"

    def _do_sum(self, value: Mapping[str, int]) -> None:
        found = {organization: self._cents(organization) for organization in value}
        assert found == value, f"{found} instead of {value}"

    def _do_sum_of_all(self, cents: int) -> None:
        found = sum(self._cents(organization) for organization in self.platform.organizations())
        assert found == cents, f"{found} instead of {cents}"

    def _cents(self, organization: str, month: str | None = None) -> int:
        rows = self.platform.query(
            "select coalesce(sum(total_cents), 0)::bigint as cents from invoices"
            " where organization_id = :organization and status <> 'void'"
            " and (cast(:month as date) is null or month = :month)",
            organization=organization,
            month=_month(month).first_day if month else None,
        )
        return int(rows[0]["cents"])

    def _do_taxes(self, value: Mapping[str, Mapping[str, list[int]]]) -> None:
        for organization, months in value.items():
            for month, (net, tax) in months.items():
                rows = self.platform.query(
                    "select coalesce(sum(t.taxable_cents), 0)::bigint as net,"
                    " coalesce(sum(t.tax_cents), 0)::bigint as tax"
                    " from invoice_taxes as t join invoices as i on i.id = t.invoice_id and i.status <> 'void'"
                    " where i.organization_id = :organization and i.month = :month",
                    organization=organization,
                    month=_month(month).first_day,
                )
                assert (rows[0]["net"], rows[0]["tax"]) == (net, tax), f"{organization} {month}: {rows[0]}"

    def _do_quantities(self, value: Mapping[str, Mapping[str, str]]) -> None:
        for month, meters in value.items():
            rows = self.platform.query(
                "select r.meter, sum(r.quantity) as quantity from usage_rollups as r"
                " join usage_snapshots as s on s.id = r.snapshot_id and s.is_current where s.month = :month"
                " group by r.meter",
                month=_month(month).first_day,
            )
            found = {row["meter"]: row["quantity"] for row in rows}
            assert found == {meter: Decimal(text) for meter, text in meters.items()}, found

    def _do_rejected(self, rows: int) -> None:
        found = self.platform.rejected()
        assert len(found) == rows, f"{len(found)} rejected rows instead of {rows}: {found}"


def _month(text: str) -> BillingMonth:
    return BillingMonth.parse(text)


def _moment(day: str) -> datetime:
    return datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(hours=12)
