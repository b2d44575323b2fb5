"""The database of a platform, such as its Rails app's, and a workspace that reads it at a given time."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fly_billing.corrections.correction import Actor
from fly_billing.platform_database.recording import PlatformRead, read_platform_database
from fly_billing.workspace.files import read_declared_databases
from tests.integration.workspace.conftest import GROUPS, Shop
from tests.support.builders import NOW, Platform

VARIABLE = "APP_DATABASE_URL"
SOURCES = """
databases:
  - name: app
    url_variable: APP_DATABASE_URL
    naive_times: UTC
    organizations:
      query: select slug, name, currency, created_at, billing_email from accounts order by id
      columns: {slug: id, billing_email: email}
    subscriptions:
      query: |
        select s.id as key, a.slug as organization, s.plan as price, s.seats as quantity, s.started_at, s.ended_at
        from subscriptions s join accounts a on a.id = s.account_id order by s.id
      values:
        price: {basic: support, pro: gold}
    charges:
      query: |
        select c.id as key, a.slug as organization, c.title as description, c.cents as amount_cents, c.created_at
        from charges c join accounts a on a.id = c.account_id order by c.id
      columns: {created_at: occurred_at}
"""
BOOK = """
meters:
  - {key: requests, name: Requests, unit: request}
prices:
  - {key: requests, meter: requests, product: Requests, description: Requests, unit: request, unit_amount: 0.10,
     effective_from: 2026-01-01}
  - {key: support, product: Support, description: Support, unit: month, unit_amount: 30.00, effective_from: 2026-01-01}
  - {key: gold, product: Support, description: Gold, unit: month, unit_amount: 90.00, effective_from: 2026-01-01}
"""
TABLES = """
create table accounts (id integer, slug text, name text, currency text, created_at text, billing_email text);
create table subscriptions (
    id integer, account_id integer, plan text, seats integer, started_at text, ended_at text
);
create table charges (id integer, account_id integer, title text, cents integer, created_at text);
insert into accounts values
    (1, 'birch', 'Birch', 'USD', '2026-08-01 09:00:00', 'pay@birch.example'),
    (2, 'cedar', 'Cedar', 'USD', '2026-08-01 09:00:00', null);
insert into subscriptions values
    (17, 1, 'basic', 1, '2026-08-01 09:00:00', null), (18, 2, 'pro', 2, '2026-08-01', null);
insert into charges values (9, 1, 'Migration', 12345, '2026-09-02 10:00:00');
"""


@dataclass
class App:
    """A platform with the accounts birch and cedar, in SQLite, and the workspace `shop` that reads it."""

    shop: Shop
    path: Path

    def execute(self, statements: str) -> None:
        with sqlite3.connect(self.path) as connection:
            connection.executescript(statements)
        connection.close()

    def read(self, now: datetime = NOW, *, is_dry_run: bool = False, may_lose_many: bool = False) -> PlatformRead:
        declared = read_declared_databases(self.shop.folder)
        return read_platform_database(
            self.shop.database, declared, declared.databases[0], Actor("ann", now), GROUPS,
            is_dry_run=is_dry_run, may_lose_many=may_lose_many,
        )  # fmt: skip

    def changes(self, now: datetime = NOW) -> list[tuple[str, str, str]]:
        return [(change.action, change.kind, change.key) for change in self.read(now).changes]


def make_app(shop: Shop, path: Path) -> App:
    """Write a workspace without organizations, apply its price book, and make the platform's database."""
    shop.write("price_book/shop/prices.yaml", BOOK)
    shop.write("organizations.csv", "id,name,currency\n")
    shop.write("terms.yaml", "# everything is in the database app\n")
    shop.write("sources.yaml", SOURCES)
    shop.apply()
    app = App(shop, path)
    app.execute(TABLES)
    os.environ[VARIABLE] = f"sqlite:///{path}"
    return app


def table(platform: Platform, statement: str) -> list[tuple[object, ...]]:
    return [tuple(row.values()) for row in platform.query(statement)]
