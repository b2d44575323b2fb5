"""Upgrades a store that an older version of the sandbox wrote, when it is opened.

To add one, make it safe to run on every file. Not here: the schema of a new file (`schema.sql`).
"""

import json
import sqlite3

# Files of the first version know three kinds of objects. SQLite documents this way to drop a check.
OLD_CHECK = "text not null check (object in ('customer', 'invoice', 'invoiceitem'))"
DROP_CHECK = "update sqlite_schema set sql = replace(sql, ?, 'text not null') where name = 'objects'"
INSERT = "insert into objects (id, object, body) values (?, ?, ?)"


def upgrade(db: sqlite3.Connection) -> None:
    """Bring a file up to date. A file that is up to date is not changed."""
    schema = dict(db.execute("select name, sql from sqlite_schema where type = 'table'").fetchall())
    if OLD_CHECK in schema["objects"]:
        db.execute("pragma writable_schema = on")
        db.execute(DROP_CHECK, (OLD_CHECK,))
        db.execute("pragma writable_schema = reset")
    if " body " not in schema["webhook_endpoints"]:
        db.execute("alter table webhook_endpoints add column body text not null default '{}'")
    if "invoice_payments" in schema:
        _move_payments(db)


def _move_payments(db: sqlite3.Connection) -> None:
    """Keep payments of invoices, and their PaymentIntents, as objects like all others."""
    bodies = [json.loads(row[0]) for row in db.execute("select body from invoice_payments order by seq").fetchall()]
    db.execute("begin immediate")
    for payment in bodies:
        intent = payment["payment"]["payment_intent"]
        payment["payment"]["payment_intent"] = intent["id"]
        for body in ({"latest_charge": None, **intent}, payment):
            db.execute(INSERT, (body["id"], body["object"], json.dumps(body)))
    db.execute("drop table invoice_payments")
    db.execute("commit")
