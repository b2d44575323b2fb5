"""The sandbox's state: one SQLite file (WAL) with Stripe objects as JSON, and the movable clock.

One connection, used from the event loop only, so that transactions are never interleaved. Survives `kill -9` of the
server. Not here: the fields and rules of objects, HTTP.
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

from fly_billing.errors import ActionableError
from fly_billing.stripe_sandbox.errors import no_such
from fly_billing.stripe_sandbox.settings import SandboxSettings
from fly_billing.stripe_sandbox.upgrades import upgrade

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
)
# The request of an event that no request caused.
NO_REQUEST: Json = {"id": None, "idempotency_key": None}
ALPHABET = string.ascii_letters + string.digits


def new_id(prefix: str, length: int = 24) -> str:
    """Return an id of Stripe's form, such as `in_1Q...`."""
    return f"{prefix}_1{''.join(random.choices(ALPHABET, k=length - 1))}"


class StoreNotUsable(ActionableError):
    """The sandbox's file can't be opened, or is no SQLite file."""


class Store:
    """All state of one sandbox. Every write happens inside `transaction()`."""

    def __init__(self, path: Path | str) -> None:
        """Open the file, or make it with its parents. Raises StoreNotUsable."""
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.db = sqlite3.connect(self.path, isolation_level=None)
            self.db.executescript("pragma journal_mode = wal; pragma synchronous = normal; pragma busy_timeout = 5000;")
            self.db.executescript(SCHEMA.read_text(encoding="utf-8"))
            upgrade(self.db)
        except sqlite3.Error as problem:
            raise StoreNotUsable(
                f"{self.path} can't hold the sandbox's state: {problem}. Name another file with --store, or move this"
                " one away"
            ) from problem
        self.db.row_factory = sqlite3.Row
        self.clock_offset = int(self._setting("clock_offset", 0))
        self.settings = SandboxSettings().changed(self._setting("dials", {}))
        self.request: Json = dict(NO_REQUEST)

    def close(self) -> None:
        """Close the file, with the write-ahead log merged into it."""
        self.db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Apply everything inside, or nothing. Committed changes survive a crash of the server."""
        self.db.execute("begin immediate")
        try:
            yield
        except BaseException:
            self.db.execute("rollback")
            raise
        self.db.execute("commit")

    @contextmanager
    def caused_by(self, request: Json) -> Iterator[None]:
        """Set the request of the events that are recorded inside."""
        self.request = request
        try:
            yield
        finally:
            self.request = dict(NO_REQUEST)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Roll back the changes inside if they raise, but not the transaction around them."""
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

    def change_settings(self, change: Json) -> None:
        """Change settings, and store them."""
        self.settings = self.settings.changed(change)
        self._put_setting("dials", self.settings.as_json())

    def _setting(self, name: str, default: Any) -> Any:
        row = self.db.execute("select value from settings where name = ?", (name,)).fetchone()
        return default if row is None else json.loads(row["value"])

    def _put_setting(self, name: str, value: Any) -> None:
        self.db.execute("insert or replace into settings (name, value) values (?, ?)", (name, json.dumps(value)))

    def insert(self, body: Json, position: int | None = None) -> None:
        """Insert an object. `position` orders invoice items on their invoice."""
        self.db.execute(
            "insert into objects (id, object, position, body) values (?, ?, ?, ?)",
            (body["id"], body["object"], position, json.dumps(body)),
        )

    def insert_many(self, bodies: list[tuple[Json, int]]) -> None:
        """Insert many objects with their positions."""
        self.db.executemany(
            "insert into objects (id, object, position, body) values (?, ?, ?, ?)",
            [(body["id"], body["object"], position, json.dumps(body)) for body, position in bodies],
        )

    def save(self, body: Json) -> None:
        """Replace an object with its new state."""
        self.db.execute("update objects set body = ? where id = ?", (json.dumps(body), body["id"]))

    def place(self, body: Json, position: int | None) -> None:
        """Replace an invoice item with its new state, and set its position."""
        self.db.execute(
            "update objects set body = ?, position = ? where id = ?", (json.dumps(body), position, body["id"])
        )

    def delete(self, id: str) -> bool:
        """Delete an object; return True if it existed."""
        return self.db.execute("delete from objects where id = ?", (id,)).rowcount > 0

    def delete_items(self, invoice: str) -> None:
        """Delete all items of an invoice."""
        self.db.execute("delete from objects where invoice = ? and +object = 'invoiceitem'", (invoice,))

    def find(self, object: str, id: str) -> Json | None:
        """Return the object of that kind and id."""
        sql = "select body from objects where id = ? and object = ?"
        row = self.db.execute(sql, (id, object)).fetchone()
        return None if row is None else json.loads(row["body"])

    def known(self, object: str, id: str, *, param: str, name: str = "", status: int = 404) -> Json:
        """Return the object of that kind and id. Raises StripeError if it does not exist.

        Args:
            param: The parameter that names it.
            name: The kind in Stripe's words, if they differ from `object`.
            status: 404 if the path names it, 400 if a parameter does.
        """
        body = self.find(object, id)
        if body is None:
            raise no_such(name or object, id, param=param, status=status)
        return body

    def bodies(self, sql: str, values: Any) -> list[Json]:
        """Return the objects that a query for `body` finds."""
        return [json.loads(row[0]) for row in self.db.execute(sql, values)]

    def wipe(self) -> None:
        """Delete everything: objects, keys, calls, faults, settings and the clock."""
        for statement in WIPE:
            self.db.execute(statement)
        self.clock_offset = 0
        self.settings = SandboxSettings()
