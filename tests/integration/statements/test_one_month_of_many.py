"""A statement shows one month in detail. Other months, however many, change neither what it shows nor what it costs.

acme pays 0.10 for a request and 29.00 a month for support, plus 19 % VAT. globex joins it in October: acme pays for it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fly_billing.periods import BillingMonth
from fly_billing.statements.rules.spend import Change
from fly_billing.statements.rules.statement import Statement, StatementInvoice
from fly_billing.statements.shown_month import FEW_FILES, MOST_FILES
from fly_billing.statements.statement_reader import read_statement
from tests.support.builders import OCTOBER, SEPTEMBER, Platform, at, event, write_jsonl
from tests.support.statement_costs import database_cost
from tests.support.unguarded import damage

AUGUST, NOVEMBER = SEPTEMBER.plus(-1), OCTOBER.plus(1)
NOW = at("2026-12-20")
REQUESTS = {SEPTEMBER: "3", OCTOBER: "5", NOVEMBER: "20"}


def use(platform: Platform, month: BillingMonth, organization: str, requests: str) -> None:
    day = month.first_day.replace(day=10)
    used = event(f"{organization} {month}", requests, time=f"{day}T12:00:00Z", subject=organization)
    write_jsonl(platform.landing_dir, [used], day, organization)


def move_to(platform: Platform, city: str) -> None:
    platform.execute("update billing_details set city = :city where organization_id = 'acme'", city=city)


@pytest.fixture
def quarter(platform: Platform) -> Platform:
    """September and October are final, November is open. acme moves to Paris in October and to Rome in November."""
    platform.add_organization("globex")
    platform.add_subscription("acme", "support", at("2026-09-01"))
    platform.add_tax("acme", "VAT", "19")
    platform.link("globex", "acme", OCTOBER)
    platform.insert("billing_details", organization_id="acme", legal_name="Acme SE", city="Berlin", country="DE")
    for month, requests in REQUESTS.items():
        use(platform, month, "acme", requests)
        use(platform, month, "globex", "7")
    platform.close(SEPTEMBER)
    move_to(platform, "Paris")
    platform.close(OCTOBER)
    move_to(platform, "Rome")
    platform.land(NOVEMBER.first_day.replace(day=10), now=at("2026-11-20"))
    platform.compute(NOVEMBER)
    return platform


def statement(platform: Platform, month: BillingMonth | None = None, organization: str = "acme") -> Statement:
    found = read_statement(platform.database, organization, NOW, month)
    assert found.problems == ()
    return found


def shown(platform: Platform, month: BillingMonth, organization: str = "acme") -> StatementInvoice:
    found = statement(platform, month, organization).shown()
    assert found is not None and found.month == str(month)
    return found


def without_details(invoice: StatementInvoice) -> StatementInvoice:
    return replace(invoice, items=(), taxes=(), spend=None, compared=None, not_compared="")


def test_later_months_do_not_change_what_a_month_shows(platform: Platform) -> None:
    before: dict[BillingMonth, StatementInvoice] = {}
    platform.add_subscription("acme", "support", at("2026-09-01"))
    platform.add_tax("acme", "VAT", "19")
    for month, requests in REQUESTS.items():
        use(platform, month, "acme", requests)
        platform.close(month)
        before[month] = shown(platform, month)
    # 3, 5 and 20 x 0.10, with 29.00 of support and 19 % VAT.
    assert [invoice.total_cents for invoice in before.values()] == [3487, 3511, 3689]
    assert {month: shown(platform, month) for month in REQUESTS} == before


def test_every_month_is_listed_the_same_whichever_is_shown(quarter: Platform) -> None:
    for organization in ("acme", "globex"):
        found = {month: statement(quarter, month, organization) for month in REQUESTS}
        lists = [[without_details(invoice) for invoice in each.invoices] for each in found.values()]
        assert [invoice.month for invoice in lists[0]] == ["2026-11", "2026-10", "2026-09"]
        assert lists[0] == lists[1] == lists[2]
        assert len({each.headline() for each in found.values()}) == 1
        for month, each in found.items():
            assert [invoice.month for invoice in each.invoices if invoice.items] == [str(month)]


def test_the_newest_month_is_shown_by_default(quarter: Platform) -> None:
    assert statement(quarter) == statement(quarter, NOVEMBER)


def test_a_month_is_compared_with_the_amounts_that_the_month_before_shows(quarter: Platform) -> None:
    """October has 5 requests of acme and 7 of globex: 1.20; VAT on 30.20 is 5.74. September's VAT on 29.30 is 5.57."""
    assert shown(quarter, SEPTEMBER).compared is None
    compared = shown(quarter, OCTOBER).compared
    assert compared is not None and compared.month == "2026-09"
    assert compared.by_product == (
        Change("Requests", 30, 120, 90),
        Change("Taxes", 557, 574, 17),
        Change("Support", 2900, 2900, 0),
    )
    earlier = shown(quarter, SEPTEMBER).spend
    assert earlier is not None
    before = {change.label: change.before_cents for change in compared.by_product}
    assert before == {share.label: share.amount_cents for share in earlier.by_product}


def test_the_open_month_is_compared_with_the_same_days(quarter: Platform) -> None:
    """Three days of November are complete. The requests are of the 10th; the fee counts in full."""
    compared = shown(quarter, NOVEMBER).compared
    assert compared is not None
    assert (compared.month, compared.until_day) == ("2026-10", 3)
    assert compared.by_product == (Change("Support", 2900, 2900, 0),)


def test_an_organization_that_another_one_pays_for_is_compared_by_its_own_items(quarter: Platform) -> None:
    """globex used 7 requests a month. It paid for September itself, so October is compared with nothing."""
    october, november = shown(quarter, OCTOBER, "globex"), shown(quarter, NOVEMBER, "globex")
    assert (october.total_cents, october.compared) == (70, None)
    assert (november.compared, november.not_compared) == (
        None,
        "Not compared with the same days of the month before: they cost nothing in both months.",
    )
    assert november.spend is not None and november.spend.by_day.days[9].amount_cents == 70
    assert (november.taxes, november.in_stripe, november.due_on) == ((), None, None)


def test_a_final_invoice_keeps_the_customer_of_its_day_and_an_open_one_has_the_current_one(quarter: Platform) -> None:
    for month in REQUESTS:
        cities = {
            invoice.month: invoice.customer and invoice.customer.city for invoice in statement(quarter, month).invoices
        }
        assert cities == {"2026-09": "Berlin", "2026-10": "Paris", "2026-11": "Rome"}
    # Of an invoice that acme pays, globex sees acme's name and nothing else of its details.
    paid = shown(quarter, OCTOBER, "globex")
    assert paid.customer is not None and (paid.customer.name, paid.customer.city) == ("Acme", None)


def test_a_missing_amount_in_the_month_before_is_named_and_is_not_compared(quarter: Platform) -> None:
    quarter.execute("alter table invoice_items alter column amount_cents drop not null")
    damage(
        quarter.database,
        "update invoice_items set amount_cents = null where kind = 'usage'"
        " and invoice_id in (select id from invoices where month = '2026-09-01')",
    )
    found = read_statement(quarter.database, "acme", NOW, OCTOBER)
    october = found.shown()
    assert october is not None and october.spend is not None and october.compared is None
    (problem,) = found.problems
    assert problem.startswith("the month before 2026-10 can't be read")


# The cost of reading --------------------------------------------------------------------------------------------------


def test_a_statement_takes_as_many_database_statements_and_waits_after_a_year_as_in_its_first_month(
    platform: Platform, tmp_path: Path
) -> None:
    """The waits: for the transaction to begin, for each of two round trips, and for it to end."""
    use(platform, SEPTEMBER, "acme", "3")
    platform.close(SEPTEMBER)
    first = database_cost(platform, tmp_path)
    for number in range(1, 13):
        platform.compute(SEPTEMBER.plus(number))
    assert len(statement(platform).invoices) == 13
    assert database_cost(platform, tmp_path) == database_cost(platform, tmp_path, SEPTEMBER.plus(6)) == first
    assert first[1] == 4


FILES = """
insert into usage_files (landing_day, path, sha256, bytes, landed, accepted, duplicate, rejected)
select '2026-09-10', :prefix || case when :are_ids then translate(n::text, '0123456789', 'abcdefghij') else n::text end,
    '', 0, 0, 0, 0, 0
from generate_series(1, :number) as n
"""


@pytest.mark.parametrize("number", [3, FEW_FILES // 2 - 1, FEW_FILES // 2, 5000])
def test_files_that_differ_only_in_numbers_are_one_source_however_many(quarter: Platform, number: int) -> None:
    """A few, about as many as are read at once, and many more."""
    before = statement(quarter, SEPTEMBER).completeness
    assert before is not None and {source.name: source.days for source in before.sources} == {
        "acme.jsonl": 1,
        "globex.jsonl": 1,
    }
    for prefix in ("requests-", "volumes-"):
        quarter.execute(FILES, prefix=prefix, are_ids=False, number=number)
    found = statement(quarter, SEPTEMBER).completeness
    assert found is not None and {source.name: source.days for source in found.sources} == {
        "acme.jsonl": 1,
        "globex.jsonl": 1,
        "requests-#": 1,
        "volumes-#": 1,
    }
    assert found.until == before.until


def test_a_month_whose_files_are_named_by_ids_names_no_sources(quarter: Platform) -> None:
    before = statement(quarter, SEPTEMBER).completeness
    quarter.execute(FILES, prefix="", are_ids=True, number=MOST_FILES)
    found = statement(quarter, SEPTEMBER).completeness
    assert found is not None and before is not None
    assert (found.sources, found.until) == ((), before.until)
