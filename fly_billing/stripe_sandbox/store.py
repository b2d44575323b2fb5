"""The sandbox's memory: one SQLite file (WAL) with Stripe objects as JSON, and the movable clock.

Knows how to keep and find objects; one connection, used from the event loop only, so that a transaction is never
interleaved. Survives `kill -9` of the server. Keep out: what an invoice is, what may be changed, HTTP.
"""

import json
import random
import sqlite3
import string
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fly_billing.stripe_sandbox.settings import SandboxSettings

Json = dict[str, Any]

SCHEMA = Path(__file__).with_name("schema.sql")
WIPE = (
    "delete from objects",
    "delete from idempotency_keys",
    "delete from calls",
    "delete from faults",
    "delete from settings",
    "delete from events",
    "delete from webhook_endpoints",
    "delete from webhook_deliveries",
    "delete from invoice_payments",
)
# What an event says of the request behind it where there was none.
BY_ITSELF: Json = {"id": None, "idempotency_key": None}
ALPHABET = string.ascii_letters + string.digits


def new_id(prefix: str, length: int = 24) -> str:
    """Return an id of Stripe's form, such as `in_1Q...`."""
    return f"{prefix}_1{''.join(random.choices(ALPHABET, k=length - 1))}"


class Store:
    """All state of one sandbox; every write happens inside `transaction()`."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.db = sqlite3.connect(self.path, isolation_level=None)
        self.db.row_factory = sqlite3.Row
        self.db.executescript("pragma journal_mode = wal; pragma synchronous = normal; pragma busy_timeout = 5000;")
        self.db.executescript(SCHEMA.read_text(encoding="utf-8"))
        self.clock_offset = int(self._setting("clock_offset", 0))
        self.settings = SandboxSettings().changed(self._setting("dials", {}))
        self.request: Json = dict(BY_ITSELF)

    def close(self) -> None:
        """Fold the write-ahead log into the file and let go of it."""
        self.db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Apply everything inside or nothing; what was committed survives a crash of the server."""
        self.db.execute("begin immediate")
        try:
            yield
        except BaseException:
            self.db.execute("rollback")
            raise
        self.db.execute("commit")

    @contextmanager
    def caused_by(self, request: Json) -> Iterator[None]:
        """Name the request behind the events written inside."""
        self.request = request
        try:
            yield
        finally:
            self.request = dict(BY_ITSELF)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo what is inside when it raises, and keep the transaction around it."""
        self.db.execute("savepoint attempt")
        try:
            yield
        except BaseException:
            self.db.execute("rollback to attempt")
            raise
        finally:
            self.db.execute("release attempt")

    def now(self) -> int:
        """Return the sandbox's time in seconds since 1970 (UTC), moved by `advance`."""
        return int(time.time()) + self.clock_offset

    def advance(self, seconds: int) -> None:
        """Move the clock; negative seconds move it back."""
        self.clock_offset += seconds
        self._put_setting("clock_offset", self.clock_offset)

    def turn(self, change: Json) -> None:
        """Change some of the dials, for good."""
        self.settings = self.settings.changed(change)
        self._put_setting("dials", self.settings.as_json())

    def _setting(self, name: str, default: Any) -> Any:
        row = self.db.execute("select value from settings where name = ?", (name,)).fetchone()
        return default if row is None else json.loads(row["value"])

    def _put_setting(self, name: str, value: Any) -> None:
        self.db.execute("insert or replace into settings (name, value) values (?, ?)", (name, json.dumps(value)))

    def insert(self, body: Json, position: int | None = None) -> None:
        """Keep a new object; `position` orders invoice items on their invoice."""
        self.db.execute(
            "insert into objects (id, object, position, body) values (?, ?, ?, ?)",
            (body["id"], body["object"], position, json.dumps(body)),
        )

    def insert_many(self, bodies: list[tuple[Json, int]]) -> None:
        """Keep many new objects with their positions."""
        self.db.executemany(
            "insert into objects (id, object, position, body) values (?, ?, ?, ?)",
            [(body["id"], body["object"], position, json.dumps(body)) for body, position in bodies],
        )

    def save(self, body: Json) -> None:
        """Replace an object by its new state."""
        self.db.execute("update objects set body = ? where id = ?", (json.dumps(body), body["id"]))

    def place(self, body: Json, position: int | None) -> None:
        """Replace an invoice item by its new state and move it."""
        self.db.execute(
            "update objects set body = ?, position = ? where id = ?", (json.dumps(body), position, body["id"])
        )

    def delete(self, id: str) -> bool:
        """Forget an object; say whether there was one."""
        return self.db.execute("delete from objects where id = ?", (id,)).rowcount > 0

    def delete_items(self, invoice: str) -> None:
        """Forget every item on an invoice."""
        self.db.execute("delete from objects where invoice = ?", (invoice,))

    def find(self, object: str, id: str) -> Json | None:
        """Return the object of that kind and id."""
        sql = "select body from objects where id = ? and object = ?"
        row = self.db.execute(sql, (id, object)).fetchone()
        return None if row is None else json.loads(row["body"])

    def bodies(self, sql: str, values: Any) -> list[Json]:
        """Return the objects a query over `body` finds."""
        return [json.loads(row[0]) for row in self.db.execute(sql, values)]

    def payments(self, invoice: str | None = None, status: str | None = None) -> list[Json]:
        """Return the payments kept, newest first."""
        sql = """
        select body from invoice_payments
        where (:invoice is null or invoice = :invoice) and (:status is null or body ->> '$.status' = :status)
        order by seq desc
        """
        return self.bodies(sql, {"invoice": invoice, "status": status})

    def payment_of(self, invoice: str) -> Json | None:
        """Return the payment kept for an invoice."""
        return next(iter(self.payments(invoice)), None)

    def keep_payment(self, body: Json) -> None:
        """Keep a payment, or its new state."""
        sql = "insert or replace into invoice_payments (invoice, body) values (?, ?)"
        self.db.execute(sql, (body["invoice"], json.dumps(body)))

    def wipe(self) -> None:
        """Forget everything: objects, keys, calls, faults, settings and the clock."""
        for statement in WIPE:
            self.db.execute(statement)
        self.clock_offset = 0
        self.settings = SandboxSettings()
