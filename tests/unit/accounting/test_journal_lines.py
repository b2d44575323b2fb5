"""Journal lines by the general ledger's accounts, and the mapping that names them."""

from __future__ import annotations

import pytest

from fly_billing.accounting.rules.journal import (
    OWN_ACCOUNTS,
    AccountsNotMapped,
    GeneralAccount,
    JournalNotBalanced,
    JournalSum,
    journal_lines,
    read_accounts,
)
from fly_billing.ledger.rules.accounts import ACCOUNTS

MAPPING = "account,code,name\nreceivable,1200,Trade debtors\nrevenue,4000,Sales\n"
CHARGE = [
    JournalSum("USD", "invoice_finalized", "revenue", -1000),
    JournalSum("USD", "invoice_finalized", "receivable", 1000),
]


def test_a_mapping_names_code_and_name_of_each_account() -> None:
    expected = {"receivable": GeneralAccount("1200", "Trade debtors"), "revenue": GeneralAccount("4000", "Sales")}
    assert read_accounts(MAPPING) == expected
    assert read_accounts("\ufeff" + MAPPING.replace("\n", "\r\n") + ",,\r\n") == expected


def test_two_accounts_may_have_one_code() -> None:
    assert len(read_accounts("account,code,name\nrefunds,4000,Sales\nrevenue,4000,Sales\n")) == 2


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "must begin with the line account,code,name"),
        ("code,account,name\n", "must begin with the line account,code,name"),
        (MAPPING + "sales,1,Sales\n", "line 4: there is no account 'sales'; accounts are cash, receivable, "),
        (MAPPING + "revenue,1,Sales\n", "line 4: revenue is mapped twice"),
        (MAPPING + "cash,,Bank\n", "line 4: cash needs a code and a name"),
        (MAPPING + "cash,1\n", "line 4: it must have account, code, name, and nothing else"),
        (MAPPING + "cash,1,B\x1bank\ncash,2\n", "line 4: cash needs .*; line 5: it must have"),
    ],
)
def test_a_wrong_mapping_is_refused_with_every_line(text: str, problem: str) -> None:
    with pytest.raises(AccountsNotMapped, match=problem):
        read_accounts(text)


def test_lines_are_debits_before_credits_with_their_codes() -> None:
    debit, credit = journal_lines(CHARGE, read_accounts(MAPPING))
    assert (debit.code, debit.name, debit.debit_cents, debit.credit_cents) == ("1200", "Trade debtors", 1000, 0)
    assert (credit.code, credit.name, credit.debit_cents, credit.credit_cents) == ("4000", "Sales", 0, 1000)
    assert debit.text == "an invoice became final"


def test_all_accounts_without_a_code_are_named_at_once() -> None:
    more = [JournalSum("USD", "invoice_paid", "cash", 5), JournalSum("USD", "invoice_paid", "tax_payable", -5)]
    with pytest.raises(AccountsNotMapped, match="no code of the general ledger for cash, tax_payable: add lines"):
        journal_lines(CHARGE + more, read_accounts(MAPPING))


def test_a_journal_that_does_not_balance_is_refused() -> None:
    with pytest.raises(JournalNotBalanced, match=r"debits are \$10\.00, but credits \$9\.99"):
        journal_lines([CHARGE[1], JournalSum("USD", "invoice_finalized", "revenue", -999)], OWN_ACCOUNTS)


def test_two_currencies_are_balanced_by_themselves() -> None:
    euros = JournalSum("EUR", "invoice_finalized", "receivable", 1000)
    with pytest.raises(JournalNotBalanced, match=r"debits are EUR 10\.00, but credits EUR 0\.00"):
        journal_lines([euros, CHARGE[0]], OWN_ACCOUNTS)


def test_an_event_of_a_newer_version_comes_last() -> None:
    new = [JournalSum("USD", "moon_landed", "revenue", -5), JournalSum("USD", "moon_landed", "cash", 5)]
    assert [line.text for line in journal_lines([*new, *CHARGE], OWN_ACCOUNTS)][2:] == ["moon_landed"] * 2


def test_every_account_of_the_ledger_has_a_line_of_its_own_without_a_mapping() -> None:
    assert OWN_ACCOUNTS.keys() == ACCOUNTS.keys()
