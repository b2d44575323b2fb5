"""The steps of a case that prepare, bill and sync. Each method does one step; its parameters are the step's fields.

A step that the platform refuses raises an ActionableError or a BillingError. Not here: the checks (`case_checks`), and
the format of a step (`rules.steps`).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import UUID

from sqlalchemy.exc import DBAPIError

from fly_billing.corrections.correction import Actor
from fly_billing.corrections.correction_run import correct_month
from fly_billing.corrections.price_loading import load_prices
from fly_billing.corrections.reissue import reissue
from fly_billing.corrections.rules.guard import OFF
from fly_billing.customers.organizations import Groups
from fly_billing.focus.imports.importer import import_focus
from fly_billing.invoicing.bill_run import Billed
from fly_billing.money import counted, plain
from fly_billing.periods import BillingMonth
from fly_billing.postgres.isolation import reason_of
from fly_billing.stripe_sandbox import SandboxError
from fly_billing.stripe_sync.month_sync import sync_month
from fly_billing.testing.case_state import WHO, CaseState, StepRefused
from fly_billing.testing.platform import TERMS
from fly_billing.workspace.applying import apply_workspace, plan_workspace
from fly_billing.workspace.files import read_declared_sources

# The defaults of the settings.
GROUPS = Groups(most_own=200, shared=64)
# The price book of a `book` step: the one that an organization has by default.
BOOK = "fly"
# Tables whose key is no generated id.
_WITH_OWN_KEYS = ("coupons", "organization_links", "organizations")


@dataclass
class CaseSteps:
    """The steps of one case."""

    state: CaseState
    rows: int = 0
    events: int = 0
    folders: int = 0

    def workspace(
        self,
        folder: PurePosixPath,
        at: datetime | None = None,
        with_: Mapping[PurePosixPath, PurePosixPath] | None = None,
    ) -> None:
        """Apply a workspace, with some of its files replaced, at a time (default: the time of the last step)."""
        database = self.state.platform.database
        actor = Actor(WHO, self.state.at(at or self.state.now), "a step of a billing test")
        copied = self.copy_workspace(folder, with_ or {})
        planned = plan_workspace(database, copied, actor, GROUPS, is_tried=False)
        if planned.refusals:
            raise StepRefused("\n".join(planned.refusals))
        apply_workspace(database, planned.workspace, actor, GROUPS, may_close_many=True)
        self.state.platform = replace(self.state.platform, sources=read_declared_sources(copied))

    def copy_workspace(self, folder: PurePosixPath, replaced: Mapping[PurePosixPath, PurePosixPath]) -> Path:
        """Return a copy of the workspace's files, without folders that a workspace does not have."""
        source, copy = self.state.folder / folder, self._new_folder("workspace")
        for path in source.iterdir():
            if path.is_file():
                shutil.copy(path, copy)
        if (source / "price_book").is_dir():
            shutil.copytree(source / "price_book", copy / "price_book")
        for name, replacement in replaced.items():
            if not (copy / name).is_file():
                raise StepRefused(f"with: the workspace {folder} has no file {name}")
            shutil.copy(self.state.folder / replacement, copy / name)
        return copy

    def book(self, file: PurePosixPath) -> None:
        """Load a price book that consists of one file, and of the tables that it names."""
        load_prices(self.state.platform.database, self.copy_book(file))

    def copy_book(self, file: PurePosixPath) -> Path:
        """Return a folder with the book, whose name is that of the default book."""
        folder = self._new_folder("books") / BOOK
        folder.mkdir()
        for path in (self.state.folder / file, *self.state.folder.glob("*.csv")):
            shutil.copy(path, folder)
        return folder

    def row(self, rows: Mapping[str, Mapping[str, Any]]) -> None:
        """Insert a row into each of these tables."""
        for table, given in rows.items():
            self.rows += 1
            identity = {} if table in _WITH_OWN_KEYS else {"id": UUID(int=self.rows)}
            values = {name: json.dumps(one) if isinstance(one, dict) else one for name, one in given.items()}
            try:
                self.state.platform.insert(table, **{**identity, **values})
            except DBAPIError as problem:
                raise StepRefused(f"{table}: {reason_of(problem)}") from problem

    def sql(self, statement: str) -> None:
        """Run a SQL statement."""
        try:
            self.state.platform.execute(statement)
        except DBAPIError as problem:
            raise StepRefused(reason_of(problem)) from problem

    def file(self, day: date, from_: PurePosixPath, as_: PurePosixPath | None = None) -> None:
        """Put a usage file into the landing folder of a day; one of the same name is replaced."""
        target = self._landing_folder(day) / (as_ or from_.name)
        shutil.copy(self.state.folder / from_, target)

    def usage(
        self,
        organization: str,
        meter: str,
        time: datetime,
        quantity: Decimal,
        data: Mapping[str, str] | None = None,
        source: str = "case",
        id: str | None = None,
    ) -> None:
        """Put one usage event into the landing folder of its day."""
        self.events += 1
        event = {
            "specversion": "1.0", "id": id or f"event-{self.events}", "source": source, "type": meter,
            "subject": organization, "time": time.isoformat(), "data": {"quantity": plain(quantity), **(data or {})},
        }  # fmt: skip
        with (self._landing_folder(time.date()) / "case.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(event) + "\n")

    def _landing_folder(self, day: date) -> Path:
        folder = self.state.platform.landing_dir / day.isoformat()
        folder.mkdir(exist_ok=True)
        return folder

    def land(self, days: Sequence[date], now: datetime) -> None:
        """Land these days."""
        self.state.platform.land(*days, now=self.state.at(now))

    def roll_up(self, month: BillingMonth, now: datetime) -> None:
        """Roll the month's usage up."""
        self.state.platform.roll_up(month, self.state.at(now))

    def bill(self, month: BillingMonth, now: datetime) -> None:
        """Land, roll up and bill the month as it is at a time; it stays open until its grace period is over."""
        _refuse_failures(self.state.platform.bill_landed(month, self.state.at(now)))

    def close(self, month: BillingMonth) -> None:
        """Land, roll up, bill and finalize the month, an hour after its grace period."""
        _refuse_failures(self.close_with_failures(month))

    def close_with_failures(self, month: BillingMonth) -> Billed:
        """Close the month, and return also what could not be billed."""
        self.state.at(month.closes_at(TERMS.grace))
        return self.state.platform.close(month)

    def correct(self, month: BillingMonth, now: datetime) -> None:
        """Roll a final month up again and book its differences, those from changed terms, too."""
        platform = self.state.platform
        actor = Actor(WHO, self.state.at(now), "a step of a billing test")
        platform.roll_up(month, now)
        groups = platform.billing_groups()
        done = correct_month(platform.database, month, groups, platform.usage_table, actor, guard=OFF, with_terms=True)
        if done.failures:
            raise StepRefused("\n".join(f"{name}: {problem}" for name, problem in done.failures))

    def reissue(self, month: BillingMonth, now: datetime, organization: str) -> None:
        """Void the organization's final invoice and issue a new revision."""
        reissue(self.state.platform.database, organization, month, TERMS, self.state.at(now), WHO)

    def import_focus(self, file: PurePosixPath, now: datetime) -> None:
        """Import a FOCUS export."""
        import_focus(
            self.state.platform.database, self.state.platform.landing_dir, self.state.folder / file,
            max_org_partitions=GROUPS.most_own, shared_groups=GROUPS.shared, now=self.state.at(now),
        )  # fmt: skip

    def fault(self, effect: str, endpoint: str = "*", times: int = 1, **rule: Any) -> None:
        """Let the next calls of Stripe fail."""
        try:
            self.state.stripe.control.add_fault(effect, endpoint, times=times, **rule)
        except SandboxError as problem:
            raise StepRefused(str(problem.reason)) from problem

    def sync(self, month: BillingMonth) -> None:
        """Sync the month's final invoices to Stripe."""
        failed = self.failed_syncs(month)
        if failed:
            raise StepRefused("; ".join(f"{name}: {code}" for name, code in failed.items()))

    def failed_syncs(self, month: BillingMonth) -> dict[str, str]:
        """Sync the month, and return the code of each failure by organization."""
        report = sync_month(self.state.sync_tools(), month, self.state.platform.billing_groups())
        if month not in self.state.synced:
            self.state.synced.append(month)
        return {failed.invoice.organization_id: failed.failure.code for failed in report.failures}

    def _new_folder(self, name: str) -> Path:
        self.folders += 1
        folder = self.state.work / f"{name}-{self.folders}"
        folder.mkdir()
        return folder


def _refuse_failures(billed: Billed) -> None:
    if billed.failures:
        lines = [f"{failure.organization_id}: {failure.error}" for failure in billed.failures]
        raise StepRefused("\n".join([f"{counted(len(lines), 'organization')} can't be billed:", *lines]))
