"""Items of one month are taxed at different rates: from the records to Stripe, and back through corrections."""

from __future__ import annotations

import csv
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from fly_billing.corrections.correction import Actor
from fly_billing.corrections.correction_run import correct_month
from fly_billing.corrections.reissue import reissue
from fly_billing.corrections.rules.guard import OFF
from fly_billing.focus.exports import export_focus
from fly_billing.periods import BillingMonth
from fly_billing.pricing.price_books import PriceBookFiles, load_price_book
from fly_billing.pricing.rules.tax_books import BookTaxRate
from fly_billing.statements.explanation_reader import read_explanation
from fly_billing.statements.rules.statement import StatementTax
from fly_billing.statements.statement_reader import read_statement
from fly_billing.stripe_sandbox import SandboxServer
from tests.support.builders import (
    METERS,
    NOW,
    OCTOBER,
    PRICES,
    SEPTEMBER,
    TERMS,
    Platform,
    at,
    event,
    id_of,
    write_jsonl,
)
from tests.support.stripe_builders import in_stripe, invoice_in_stripe, kinds, outcome, sync, sync_tools

NOVEMBER = OCTOBER.next()
EXEMPT = {"category": "exempt", "legal_text": "Exempt: Art. 135(1)(a) VATD"}


@pytest.fixture
def three_rates(platform: Platform) -> Platform:
    """20 % on everything, 10 % on outbound traffic, one-off items are exempt; and a coupon of 30.00 in September."""
    platform.add_tax("acme", "VAT", "20", tax="VAT")
    platform.add_tax("acme", "Reduced VAT", "10", tax="VAT", category="reduced", scope='{"products": ["Egress"]}')
    platform.add_tax("acme", "No VAT", "0", tax="VAT", scope='{"kinds": ["one_off"]}', **EXEMPT)
    platform.insert("coupons", code="thirty", description="30 off", amount=30, currency="USD")
    platform.redeem("acme", "thirty", SEPTEMBER, SEPTEMBER)
    platform.add_one_off("acme", "insurance", "50", at("2026-09-10"))
    return platform


def use(platform: Platform, requests: int, egress: int) -> None:
    """Requests cost 0.10; of egress 100 GB are free, the others cost 0.02."""
    usage = [event("r", str(requests)), event("e", str(egress), type="egress_gb", region="ams")]
    write_jsonl(platform.landing_dir, [row for row in usage if row["quantity"] != "0"])


def correct(platform: Platform, now: str) -> None:
    platform.land(now=at(now))
    platform.roll_up(SEPTEMBER, at(now))
    actor = Actor("ann", at(now))
    done = correct_month(platform.database, SEPTEMBER, platform.organizations(), platform.usage_table, actor, guard=OFF)
    assert done.failures == []


def taxes(platform: Platform, month: BillingMonth) -> dict[str, tuple[int, int]]:
    found = platform.query(
        "select t.name, t.taxable_cents, t.tax_cents from invoice_taxes as t"
        " join invoices as i on i.id = t.invoice_id where i.month = :month and i.status <> 'void'",
        month=month.first_day,
    )
    return {row["name"]: (row["taxable_cents"], row["tax_cents"]) for row in found}


def close(platform: Platform, month: BillingMonth) -> None:
    assert platform.close(month).failures == []


def test_a_month_of_three_rates_is_in_stripe_to_the_cent_and_returns_the_tax_of_each_rate(
    three_rates: Platform, sandbox: SandboxServer
) -> None:
    """100.00 + 50.00 + 50.00 less 30.00 in proportion are 85.00, 42.50 and 42.50: 17.00 and 4.25 of tax, 191.25.

    Without the egress the coupon is 20.00 and 10.00: 80.00 and 40.00, so 5.00, 42.50 and 2.50 less. Without the
    requests it is all on the insurance: 20.00.
    """
    use(three_rates, 1000, 2600)
    close(three_rates, SEPTEMBER)
    assert taxes(three_rates, SEPTEMBER) == {"VAT": (8500, 1700), "Reduced VAT": (4250, 425), "No VAT": (4250, 0)}
    assert three_rates.totals() == [19125]
    tools = sync_tools(three_rates.database, sandbox.url)
    assert outcome(sync(tools, SEPTEMBER)) == ({"finalized": 1}, [])
    assert kinds(tools, SEPTEMBER) == []
    assert in_stripe(sandbox) == [("acme", "open", 19125, 4)]
    invoice = invoice_in_stripe(sandbox, "acme")
    found = sorted((tax["taxability_reason"], tax["taxable_amount"], tax["amount"]) for tax in invoice["total_taxes"])
    assert found == [("customer_exempt", 4250, 0), ("reduced_rated", 4250, 425), ("standard_rated", 8500, 1700)]
    assert "Exempt: Art. 135(1)(a) VATD" in invoice["footer"]

    close(three_rates, OCTOBER)
    use(three_rates, 1000, 0)
    correct(three_rates, "2026-11-10")
    close(three_rates, NOVEMBER)
    assert taxes(three_rates, NOVEMBER) == {"VAT": (-500, -100), "Reduced VAT": (-4250, -425), "No VAT": (-250, 0)}
    assert three_rates.totals() == [19125, 0, -5525]

    use(three_rates, 0, 0)
    correct(three_rates, "2026-12-10")
    december = NOVEMBER.next()
    close(three_rates, december)
    assert taxes(three_rates, december) == {"VAT": (-8000, -1600), "No VAT": (-2000, 0)}
    assert sum(three_rates.totals()) == 2000  # 50.00 of insurance less the coupon, exempt


def test_every_reader_shows_each_rate_with_its_base(three_rates: Platform, tmp_path: Path) -> None:
    """At list prices 100.00 of requests, 50.00 of egress and 50.00 of insurance: 20.00, 5.00 and 0.00 of tax."""
    use(three_rates, 1000, 2600)
    close(three_rates, SEPTEMBER)
    shown = read_statement(three_rates.database, "acme", NOW, SEPTEMBER).shown()
    assert shown is not None
    assert shown.taxes == (
        StatementTax("No VAT", "0", False, 4250, 0, "exempt", EXEMPT["legal_text"]),
        StatementTax("Reduced VAT", "10", False, 4250, 425, "reduced"),
        StatementTax("VAT", "20", False, 8500, 1700),
    )
    items = three_rates.query("select id from invoice_items")
    explanations = [read_explanation(three_rates.database, row["id"]).explanation for row in items]
    assert [explanation.problems for explanation in explanations] == [()] * 7
    file = tmp_path / "september.csv"
    export_focus(three_rates.database, SEPTEMBER, file, file_format="csv")
    with file.open(newline="", encoding="utf-8") as text:
        rows = [row for row in csv.DictReader(text) if row["ChargeCategory"] == "Tax"]
    assert {row["ChargeDescription"]: (Decimal(row["ListCost"]), Decimal(row["BilledCost"])) for row in rows} == {
        "VAT 20 %": (Decimal(20), Decimal(17)),
        "Reduced VAT 10 %": (Decimal(5), Decimal("4.25")),
        "No VAT 0 %: Exempt: Art. 135(1)(a) VATD": (Decimal(0), Decimal(0)),
    }


def test_a_closed_month_keeps_its_rates_after_a_later_agreement(three_rates: Platform) -> None:
    """A rate that is recorded late, for September too, applies from October on; September's usage returns 20 %."""
    use(three_rates, 1000, 0)
    close(three_rates, SEPTEMBER)
    three_rates.add_tax("acme", "Requests", "5", tax="VAT", scope='{"products": ["Requests"]}')
    use(three_rates, 500, 0)
    write_jsonl(three_rates.landing_dir, [event("o", "100", time="2026-10-15T12:00:00Z")], at("2026-10-15").date())
    correct(three_rates, "2026-10-10")
    close(three_rates, OCTOBER)
    # September: 80.00 and 40.00 were taxed; 50.00 and 50.00 less 30.00 are 35.00 and 35.00. October: 10.00 at 5 %.
    assert taxes(three_rates, OCTOBER) == {"VAT": (-4500, -900), "No VAT": (-500, 0), "Requests": (1000, 50)}


def test_a_voided_invoice_is_reissued_at_the_current_rates(three_rates: Platform) -> None:
    use(three_rates, 1000, 0)
    close(three_rates, SEPTEMBER)
    three_rates.add_tax("acme", "Requests", "5", tax="VAT", scope='{"products": ["Requests"]}')
    reissue(three_rates.database, "acme", SEPTEMBER, TERMS, at("2026-10-05"), "ann")
    assert taxes(three_rates, SEPTEMBER) == {"Requests": (8000, 400), "No VAT": (4000, 0)}


# --- A customer's place ---------------------------------------------------------------------------------------------


def test_a_customer_that_moves_is_taxed_in_its_place_of_each_month(platform: Platform) -> None:
    platform.add_tax("acme", "USt", "19", tax="VAT", locations=["DE"])
    platform.add_tax(
        "acme", "Reverse charge", "0", tax="VAT", locations=["FR"], customers=["business"],
        category="reverse_charge", legal_text="Art. 196 Directive 2006/112/EC",
    )  # fmt: skip
    platform.insert("tax_customers", organization_id="acme", first_month=at("2026-09-01").date(), location="DE")
    platform.insert(
        "tax_customers", organization_id="acme", first_month=at("2026-10-01").date(), location="FR", kind="business"
    )
    platform.add_subscription("acme", "support", at("2026-09-01"))
    close(platform, SEPTEMBER)
    close(platform, OCTOBER)
    assert taxes(platform, SEPTEMBER) == {"USt": (2900, 551)}
    assert taxes(platform, OCTOBER) == {"Reverse charge": (2900, 0)}


# --- Unchangeable rates ---------------------------------------------------------------------------------------------

CHANGES = (
    "scope = '{}'", "scope = '{\"kinds\": [\"usage\"]}'", "tax = 'GST'", "category = 'standard'", "percent = 7",
    "locations = '{DE}'", "customers = '{business}'", "legal_text = 'Art. 1'", "first_month = '2026-10-01'",
)  # fmt: skip


def test_a_rate_that_a_final_invoice_used_does_not_change(three_rates: Platform) -> None:
    """This includes a rate without a taxed item: it is the reason why none was taxed."""
    use(three_rates, 1000, 0)
    close(three_rates, SEPTEMBER)
    for change in CHANGES:
        with pytest.raises(IntegrityError, match=r"tax Reduced VAT was used by the final invoice number 1 of acme"):
            three_rates.execute(f"update tax_rates set {change} where name = 'Reduced VAT'")  # noqa: S608
    with pytest.raises(IntegrityError, match="it can not be deleted"):
        three_rates.execute("delete from tax_rates where name = 'Reduced VAT'")
    with pytest.raises(IntegrityError, match="last_month"):
        three_rates.execute("update tax_rates set last_month = '2026-08-01'")
    three_rates.execute("update tax_rates set last_month = '2026-09-01' where name = 'Reduced VAT'")
    three_rates.add_tax("acme", "Reduced VAT of October", "7", tax="VAT", first_month=OCTOBER.first_day)


@pytest.mark.parametrize(
    "row",
    [
        {"category": "exempt", "percent": "0"},
        {"category": "reverse_charge", "percent": "5", "legal_text": "Art. 196"},
        {"category": "zero", "percent": "0", "is_inclusive": True},
        {"category": "normal"},
        {"legal_text": "Art. 1", "is_inclusive": True},
        {"scope": '{"products": ["Books"]}'},
        {"locations": ["DE"]},
        {"customers": ["business"]},
        {"locations": [" DE"], "tax": "VAT"},
        {"tax": ""},
    ],
)
def test_an_invalid_rate_is_refused(platform: Platform, row: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError):
        platform.add_tax("acme", "VAT", row.pop("percent", "20"), **row)


def test_a_rate_with_an_unreadable_scope_fails_only_its_organization(platform: Platform) -> None:
    platform.add_organization("globex")
    platform.add_tax("acme", "VAT", "20", tax="VAT", scope='{"product": ["Books"]}')
    billed = platform.close()
    assert [(failure.organization_id, failure.error.code) for failure in billed.failures] == [
        ("acme", "unreadable_record")
    ]
    assert "unknown field 'product' in a scope" in billed.failures[0].error.operator_text
    assert [invoice.organization_id for invoice in billed.invoices] == ["globex"]


def test_one_off_items_are_taxed_by_their_product(platform: Platform) -> None:
    """200.00 of consulting at 20 %, a book of 50.00 at 10 %, 50.00 off both in proportion. With 250.00 more of requests
    only 5.00 are off the book; its later name does not matter."""
    platform.insert("coupons", code="fifty", description="50 off", amount=50, currency="USD")
    platform.redeem("acme", "fifty", SEPTEMBER, SEPTEMBER)
    platform.add_tax("acme", "VAT", "20", tax="VAT")
    platform.add_tax("acme", "Reduced VAT", "10", tax="VAT", scope='{"products": ["Books"]}')
    for product, amount in (("Books", 50), ("Consulting", 200)):
        platform.insert(
            "one_off_items", id=id_of(product), organization_id="acme", description=product, product=product,
            amount=amount, currency="USD", occurred_at=at("2026-09-10"),
        )  # fmt: skip
    close(platform, SEPTEMBER)
    assert taxes(platform, SEPTEMBER) == {"VAT": (16000, 3200), "Reduced VAT": (4000, 400)}
    platform.execute("update one_off_items set product = 'Toys'")
    write_jsonl(platform.landing_dir, [event("late", "2500")])
    correct(platform, "2026-10-10")
    close(platform, OCTOBER)
    assert taxes(platform, OCTOBER) == {"VAT": (24500, 4900), "Reduced VAT": (500, 50)}


# --- Rates of a price book ------------------------------------------------------------------------------------------


def load_taxes(platform: Platform, *taxes: dict[str, Any]) -> None:
    with platform.database.transaction() as connection:
        read = [BookTaxRate.from_data("fly", tax) for tax in taxes]
        load_price_book(connection, PriceBookFiles("fly", METERS, PRICES, taxes=read))


STANDARD = {"key": "standard", "tax": "VAT", "percent": "20", "first_month": "2026-01"}
LOW = {"key": "low", "tax": "VAT", "percent": "10", "first_month": "2026-01", "products": ["Egress"]}
GERMAN = {"key": "de", "tax": "VAT", "percent": "19", "first_month": "2026-01", "locations": ["DE"]}


def test_a_books_rates_apply_to_organizations_without_their_own_rates(platform: Platform) -> None:
    """acme has the book's 20 %, globex is in Germany, initech has a rate of its own, and labs another book."""
    load_taxes(platform, STANDARD, GERMAN, LOW | {"name": "Low VAT", "category": "reduced"})
    for name in ("globex", "initech", "labs"):
        platform.add_organization(name)
    platform.execute("update organizations set price_book = 'other' where id = 'labs'")
    platform.insert("tax_customers", organization_id="globex", first_month=at("2026-01-01").date(), location="DE-BE")
    platform.add_tax("initech", "Own", "7")
    for name in platform.organizations():
        platform.add_one_off(name, "setup", "100", at("2026-09-10"))
    close(platform, SEPTEMBER)
    found = platform.query(
        "select i.organization_id, t.percent from invoice_taxes as t join invoices as i on i.id = t.invoice_id"
    )
    assert {row["organization_id"]: row["percent"] for row in found} == {"acme": 20, "globex": 19, "initech": 7}


def test_a_later_version_of_a_books_rate_follows_the_earlier_one_and_a_used_one_does_not_change(
    platform: Platform,
) -> None:
    load_taxes(platform, STANDARD, {**STANDARD, "percent": "21", "first_month": "2026-10"})
    platform.add_subscription("acme", "support", at("2026-09-01"))
    close(platform, SEPTEMBER)
    load_taxes(platform, STANDARD)  # existing rates stay, and so does the version of October
    with pytest.raises(
        IntegrityError, match="tax VAT was used by the final invoice number 1 of acme for 2026-09: percent"
    ):
        load_taxes(platform, {**STANDARD, "percent": "25"})
    load_taxes(platform, {**STANDARD, "percent": "25", "first_month": "2026-08"})  # of a closed month: too late for it
    close(platform, OCTOBER)
    assert taxes(platform, SEPTEMBER) == {"VAT": (2900, 580)}
    assert taxes(platform, OCTOBER) == {"VAT": (2900, 609)}


def test_a_books_rate_does_not_apply_after_its_end(platform: Platform) -> None:
    load_taxes(platform, {**STANDARD, "last_month": "2026-09"})
    platform.add_subscription("acme", "support", at("2026-09-01"))
    close(platform, SEPTEMBER)
    close(platform, OCTOBER)
    assert taxes(platform, SEPTEMBER) == {"VAT": (2900, 580)}
    assert taxes(platform, OCTOBER) == {}
