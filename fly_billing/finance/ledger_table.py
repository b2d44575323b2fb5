"""The ledger as a table for people: a trial balance. Not here: reading the balances (`ledger.balances`)."""

from __future__ import annotations

from dataclasses import asdict

from sqlalchemy import Connection

from fly_billing.finance.rules.tables import Column, FinanceTable
from fly_billing.finance.tables_reader import CURRENCY, Read
from fly_billing.ledger.balances import read_balances
from fly_billing.ledger.rules.accounts import ACCOUNTS
from fly_billing.periods import BillingMonth

LEDGER = (
    CURRENCY,
    Column("account", "Account"),
    Column("name", "Name"),
    Column("opening_cents", "Before", "cents"),
    Column("debit_cents", "Debits", "cents"),
    Column("credit_cents", "Credits", "cents"),
    Column("balance_cents", "Balance", "cents"),
)
_ORDER = {key: number for number, key in enumerate(ACCOUNTS)}


def ledger(organization_id: str | None = None, month: BillingMonth | None = None) -> Read:
    """Return a reader of the accounts, in the order of `ACCOUNTS`. It raises NoSuchOrganization."""

    def read(connection: Connection) -> FinanceTable:
        balances = read_balances(connection, organization_id, month)
        balances.sort(key=lambda balance: (balance.currency, _ORDER[balance.account]))
        rows = [{**asdict(balance), "name": ACCOUNTS[balance.account].name} for balance in balances]
        when = f" at the end of {month}" if month else ""
        title = f"Ledger of {organization_id or 'all organizations'}{when}; debits are positive"
        return FinanceTable(title, LEDGER, rows, "balance_cents")

    return read
