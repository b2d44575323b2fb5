"""Makes the changes of one command about customers in one transaction, and prints them.

Not here: the rules and the writing (`customers`).
"""

from __future__ import annotations

import getpass
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection

from fly_billing.cli.change_options import ChangeOptions
from fly_billing.cli.local_platform import local_platform
from fly_billing.cli.terminal import Terminal, joined, styled
from fly_billing.corrections.correction import Actor
from fly_billing.customers.writing import CustomerRefused, Effect, Written, changing, closed_months_changed
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.settings import Settings

VERBS = {
    Effect.NEW: ("added", "green"), Effect.CHANGED: ("changed", "green"), Effect.UNCHANGED: ("unchanged", ""),
    Effect.WITHDRAWN: ("withdrawn", "yellow"),
}  # fmt: skip


@dataclass
class Work:
    """A change that is being made: its connection, its author, and what people should know besides its outcome."""

    connection: Connection
    actor: Actor
    settings: Settings
    notices: list[str]

    @property
    def month(self) -> BillingMonth:
        return BillingMonth.containing(self.actor.at)

    @property
    def today(self) -> datetime:
        return self.actor.at.replace(hour=0, minute=0, second=0, microsecond=0)


Act = Callable[[Work], Sequence[Written]]


def make(console: Terminal, options: ChangeOptions, act: Act) -> None:
    """Make the changes of one command in one transaction, and print them. Raises CustomerRefused."""
    actor = Actor(getpass.getuser(), datetime.now(UTC).replace(microsecond=0), options.why)
    with local_platform() as settings:
        database = BillingDatabase(settings.database_url)
        with changing(database, is_dry_run=options.is_dry_run) as connection:
            work = Work(connection, actor, settings, [])
            try:
                written = act(work)
            except ValueError as problem:  # a field that its record refuses
                raise CustomerRefused([str(problem)]) from problem
            notices = work.notices + [change.notice for change in closed_months_changed(connection, actor)]
    _print(console, options, written, list(dict.fromkeys(notices)))


def _print(console: Terminal, options: ChangeOptions, written: Sequence[Written], notices: Sequence[str]) -> None:
    if options.as_json:
        changes = [done.as_data() for done in written]
        print(json.dumps({"dry_run": options.is_dry_run, "changes": changes, "notices": list(notices)}, indent=2))
        return
    for done in written:
        verb, style = VERBS[done.effect]
        console.print(joined(styled(verb, style), f" {'; '.join([done.what, *done.changes])}"), soft_wrap=True)
    for notice in notices:
        console.print(joined(styled("note", "yellow"), f" {notice}"), soft_wrap=True)
    if options.is_dry_run:
        console.print("Dry run: nothing was written.")
