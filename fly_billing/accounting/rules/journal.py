"""The lines of a journal, and the accounts of the general ledger that they are booked to. Pure.

The account mapping is a CSV file with the columns `account` (ours), `code` and `name` (the general ledger's). Several
of our accounts may have one code. Not here: reading the entries (`accounting.journal`).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fly_billing.errors import ActionableError
from fly_billing.foreign_text import visible
from fly_billing.ledger.rules.accounts import ACCOUNTS
from fly_billing.ledger.rules.events import EVENTS
from fly_billing.money import format_cents

HEADER = ["account", "code", "name"]
# The events of this room, in the words of `LedgerEvent.name`.
DEFERRED, RECOGNIZED = "revenue_deferred", "revenue_recognized"
_OWN_EVENTS = {
    DEFERRED: "an invoice charged for later months",
    RECOGNIZED: "the month supplied what an earlier invoice charged",
}


class AccountsNotMapped(ActionableError):
    """The account mapping is incomplete or invalid; the message lists every problem."""


class JournalNotBalanced(ActionableError):
    """Debits and credits differ, so that the journal must not be booked."""


@dataclass(frozen=True)
class GeneralAccount:
    """An account of the general ledger."""

    code: str
    name: str


@dataclass(frozen=True)
class JournalSum:
    """The sum of the debits (positive) or credits (negative) of an event in one of our accounts, in cents."""

    currency: str
    event: str
    account: str
    amount_cents: int


@dataclass(frozen=True)
class JournalLine:
    """A line of the journal. One of `debit_cents` and `credit_cents` is 0; the other one is positive."""

    currency: str
    event: str
    text: str
    account: str
    code: str
    name: str
    debit_cents: int
    credit_cents: int


OWN_ACCOUNTS = {key: GeneralAccount(key, account.name) for key, account in ACCOUNTS.items()}


def read_accounts(text: str) -> dict[str, GeneralAccount]:
    """Read an account mapping. Raises AccountsNotMapped, which lists every wrong line."""
    rows = list(csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline="")))
    if not rows or [cell.strip() for cell in rows[0]] != HEADER:
        raise AccountsNotMapped(f"the account mapping must begin with the line {','.join(HEADER)}")
    mapping: dict[str, GeneralAccount] = {}
    wrong = []
    for number, row in enumerate(rows[1:], start=2):
        cells = [cell.strip() for cell in row]
        if not any(cells):
            continue
        if problem := _problem(cells, mapping):
            wrong.append(f"line {number}: {problem}")
        else:
            mapping[cells[0]] = GeneralAccount(cells[1], cells[2])
    if wrong:
        raise AccountsNotMapped(f"the account mapping is wrong: {'; '.join(wrong)}")
    return mapping


def _problem(cells: list[str], before: Mapping[str, GeneralAccount]) -> str | None:
    if len(cells) != len(HEADER):
        return f"it must have {', '.join(HEADER)}, and nothing else"
    account, code, name = cells
    if account not in ACCOUNTS:
        return f"there is no account {visible(account)!r}; accounts are {', '.join(ACCOUNTS)}"
    if account in before:
        return f"{account} is mapped twice"
    if not code or not name or not (code + name).isprintable():
        return f"{account} needs a code and a name, in printable characters"
    return None


def journal_lines(sums: Iterable[JournalSum], mapping: Mapping[str, GeneralAccount]) -> list[JournalLine]:
    """Return the lines of a journal, in the order of currencies, events, accounts, and debits before credits.

    Raises:
        AccountsNotMapped: Lists all accounts of the journal that are not mapped.
        JournalNotBalanced: Debits and credits of a currency differ.
    """
    entries = sorted(sums, key=_order)
    if missing := [key for key in ACCOUNTS if key not in mapping and any(each.account == key for each in entries)]:
        raise AccountsNotMapped(f"no code of the general ledger for {', '.join(missing)}: add lines to the mapping")
    lines = [_line(each, mapping[each.account]) for each in entries]
    for currency in sorted({line.currency for line in lines}):
        debits = sum(line.debit_cents for line in lines if line.currency == currency)
        credits = sum(line.credit_cents for line in lines if line.currency == currency)
        if debits != credits:
            raise JournalNotBalanced(
                f"debits are {format_cents(debits, currency)}, but credits {format_cents(credits, currency)}: see"
                " `fly-billing finance report`, whose check names the entries"
            )
    return lines


_ACCOUNT_ORDER = {key: number for number, key in enumerate(ACCOUNTS)}
_EVENT_ORDER = {key: number for number, key in enumerate([*EVENTS, *_OWN_EVENTS])}


def _order(each: JournalSum) -> tuple[str, int, str, int, bool]:
    # An event that this version does not know, because a newer one posted it, comes last.
    number = _EVENT_ORDER.get(each.event, len(_EVENT_ORDER))
    return each.currency, number, each.event, _ACCOUNT_ORDER[each.account], each.amount_cents < 0


def _line(each: JournalSum, account: GeneralAccount) -> JournalLine:
    text = EVENTS[each.event].name if each.event in EVENTS else _OWN_EVENTS.get(each.event, each.event)
    return JournalLine(
        each.currency, each.event, text, each.account, account.code, account.name,
        max(each.amount_cents, 0), max(-each.amount_cents, 0),
    )  # fmt: skip
