"""A workspace folder with two organizations, and functions that plan and apply it at a given time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from fly_billing.corrections.correction import Actor
from fly_billing.customers.organizations import Groups
from fly_billing.embedded_postgres import PostgresServer
from fly_billing.embedded_postgres.roles import PIPELINE
from fly_billing.postgres.database import BillingDatabase
from fly_billing.workspace.applying import AppliedWorkspace, PlannedWorkspace, apply_workspace, plan_workspace
from tests.support.builders import NOW, Platform

GROUPS = Groups(200, 64)
SETTINGS = "version: 1\nname: shop\n"
ORGANIZATIONS = (
    "id,name,currency,created_at,email\nacme,Acme,USD,2026-01-10,\nlabs,Labs,USD,2026-01-10,a@labs.example\n"
)
TERMS = """
subscriptions:
  - {organization: acme, price: support, started_at: 2026-01-10}
  - {organization: labs, price: support, started_at: 2026-01-10, quantity: 2}
coupons:
  - {code: TEN, description: 10 % off, percent: 10, months: 3}
discounts:
  - {organization: labs, coupon: TEN, first_month: 2026-09}
taxes:
  - {organization: labs, name: VAT, percent: 19, first_month: 2026-01}
"""
BOOK = """
meters:
  - {key: requests, name: Requests, unit: request}
prices:
  - {key: requests, meter: requests, product: Requests, description: Requests, unit: request, unit_amount: 0.10,
     effective_from: 2026-01-01}
  - {key: support, product: Support, description: Support, unit: month, unit_amount: 29.00, effective_from: 2026-01-01}
"""


@dataclass
class Shop:
    """A workspace folder, and the database that it is applied to, with the rights of the pipeline."""

    folder: Path
    database: BillingDatabase

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.folder / name).read_text(encoding="utf-8")
        assert old in text
        self.write(name, text.replace(old, new))

    def plan(self, now: datetime = NOW, *, is_tried: bool = True) -> PlannedWorkspace:
        return plan_workspace(self.database, self.folder, Actor("ann", now), GROUPS, is_tried=is_tried)

    def apply(self, now: datetime = NOW, *, who: str = "ann", may_close_many: bool = False) -> AppliedWorkspace:
        actor = Actor(who, now, "the new contract")
        workspace = self.plan(now, is_tried=False).workspace
        return apply_workspace(self.database, workspace, actor, GROUPS, may_close_many=may_close_many)

    def changes(self, now: datetime = NOW) -> list[tuple[str, str, str]]:
        """Return action, kind and key of each change of the plan."""
        return [(change.action, change.kind, change.key) for change in self.plan(now, is_tried=False).plan.changes]


@pytest.fixture
def shop(platform: Platform, postgres: PostgresServer, tmp_path: Path) -> Shop:
    """Provide a workspace beside a platform that has the organization acme and the price book fly already."""
    url = postgres.url(str(platform.database.engine.url.database), role=PIPELINE)
    shop = Shop(tmp_path / "shop", BillingDatabase(url))
    shop.write("fly_billing.yaml", SETTINGS)
    shop.write("organizations.csv", ORGANIZATIONS)
    shop.write("terms.yaml", TERMS)
    shop.write("price_book/shop/prices.yaml", BOOK)
    return shop
