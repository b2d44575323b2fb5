"""`fly-billing org`, `subscribe`, `charge` and their like, run in this process."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fly_billing.cli.main import app
from fly_billing.customers.writing import CustomerRefused
from fly_billing.periods import BillingMonth
from fly_billing.pricing.price_books import PriceBookFiles, load_price_book
from tests.support.builders import METERS, OCTOBER, SEPTEMBER, Platform, event, price

ROWS = (
    "organizations", "subscriptions", "one_off_items", "credit_grants", "coupons", "discounts", "commitments",
    "tax_rates", "tax_customers", "organization_links", "negotiated_prices", "billing_details", "customer_changes",
)  # fmt: skip


# A person's typing mistakes, each with a part of the line that they read.
REFUSED = (
    ("org add acme Other", "organization acme exists already, as 'Acme' with price book fly in USD"),
    ("org add Acme!", "id 'Acme!' must have 1 to 63 of a-z, 0-9 and hyphens inside, such as acme"),
    ("org add labs --currency EUR", "price book fly has no prices in EUR, only in USD"),
    ("org add labs --book fyl", "no price book 'fyl' (did you mean fly?)"),
    ("org rename acne Acme", "no organization 'acne' (did you mean acme?)"),
    ("org show acne", "no organization 'acne' (did you mean acme?)"),
    ("subscribe acme suport --from 2026-09-01", "price book fly has no price 'suport' (did you mean support?)"),
    ("subscribe acme requests --from 2026-09-01", "requests charges usage, not a fee"),
    ("subscribe acme support --from 2026-10-02 --until 2026-10-01", "ended_at 2026-10-01 00:00 is not after"),
    ("subscribe acme support --billed advance", "billed 'advance' (did you mean in_advance?)"),
    ("subscribe acme support --quantity -1", "must be a finite number of at least 0"),
    ("subscribe acme support --from tomorrow", "not a time: 'tomorrow'; write it as 2026-10-01"),
    ("cancel acme support", "acme has no subscription to 'support'"),
    ("change-plan acme support gold", "acme has no subscription to 'support'"),
    ("charge acme 5 Setup", "5 has no cents: write 5.00 if you mean $5.00"),
    ("charge acme 5.001 Setup", "5.001 has 3 decimals, but USD has 2"),
    ("charge acme 5.00 Setup --on 2025-01-01", "it begins 2025-01-01, but acme is a customer from 2026-01-10 on"),
    ("credit grant acme 5.00 Outage --from 2026-10-01 --expires 2026-09-01", "expires_at 2026-09-01 00:00 is not"),
    ("coupon give acme ten", "no coupon 'ten'"),
    ("coupon add ten Ten --percent 101", "percent 101 must be above 0 and at most 100"),
    ("coupon add ten Ten", "coupon ten: give either a percent or an amount"),
    (
        "commit acme 50.00 --from 2026-10 --until 2026-09",
        "it would end with 2026-09, before its first month 2026-10",
    ),
    ("tax add acme VAT 190", "percent 190 is above 100"),
    ("link acme acme", "acme can't be its own payer"),
    ("link acme labs", "no organization 'labs'"),
    (
        "price override acme request --percent-off 10 --from 2026-09-01",
        "price book fly has no price 'request' (did you mean requests?)",
    ),
    ("price override acme requests", "give either percent_off, or the charge"),
    (
        "price override acme requests --percent-off 10 --match region",
        "'region' is not a dimension: write it as region=ams",
    ),
)


# Commands with a month or a day; 9998-12 is none that the database can hold, and in 0001-01 nobody was a customer.
DATED = (
    "commit acme 5.00 --from {month}",
    "coupon give acme ten --from {month} --until {month}",
    "tax add acme VAT 19 --from {month}",
    "tax status acme --location DE --from {month}",
    "link acme labs --from {month}",
    "org add beta --since {month}-01",
    "org close acme --at {month}-01",
    "subscribe acme support --from {month}-01",
    "change-plan acme support support --at {month}-01",
    "cancel acme support --at {month}-01 --month-end",
    "charge acme 5.00 Setup --on {month}-01",
    "credit grant acme 5.00 Outage --from {month}-01",
    "price override acme requests --percent-off 10 --from {month}-01",
    "group join acme early --from {month}-01",
    "group leave acme early --at {month}-01",
)


@pytest.fixture
def installed(customers: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Platform:
    """The commands' platform: acme, and the price books fly and eu."""
    url = customers.database.engine.url.render_as_string(hide_password=False)
    for name in ("DATABASE_URL", "DAGSTER_DATABASE_URL"):
        monkeypatch.setenv(name, url)
    monkeypatch.setenv("FLY_BILLING_DATA_DIR", str(tmp_path / "data"))
    return customers


def run(*words: str) -> str:
    """Run a command, which has to succeed; return what it prints."""
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def run_json(*words: str) -> dict[str, Any]:
    return dict(json.loads(run(*words, "--json")))


def refusal(*words: str) -> str:
    """Run a command that is refused; return its one line."""
    done = CliRunner().invoke(app, words)
    if isinstance(done.exception, CustomerRefused):
        (line,) = str(done.exception).splitlines()
        return line
    assert isinstance(done.exception, SystemExit), repr(done.exception)  # a parameter
    return " ".join(done.output.replace("│", " ").split())


def test_a_new_organization_is_billed_for_its_plan_with_coupon_and_tax(installed: Platform) -> None:
    """labs: support 29.00; 10 requests at 0.05 instead of 0.10: 0.50; setup 150.00. Together 179.50.

    The coupon takes 10 % off: 161.55. 20.00 of credit pay a part: 141.55. VAT of 20 %: 28.31. Total 169.86.
    """
    run("org", "add", "labs", "Labs Ltd", "--since", "2026-09-01")
    run("subscribe", "labs", "support", "--from", "2026-09-01")
    run("price", "override", "labs", "requests", "--percent-off", "50", "--from", "2026-09-01")
    run("tax", "add", "labs", "VAT", "20", "--from", "2026-09")
    run("coupon", "add", "ten", "10 % off", "--percent", "10", "--months", "2")
    run("coupon", "give", "labs", "ten", "--from", "2026-09")
    run("charge", "labs", "150.00", "Setup", "--on", "2026-09-12")
    run("credit", "grant", "labs", "20.00", "Welcome", "--from", "2026-09-01")
    (kept,) = installed.query("select what from customer_changes where on_table = 'one_off_items'")
    assert kept == {"what": "charge of labs for 'Setup' on 2026-09-12: 150.00 USD"}
    installed.use(event("e1", "10", subject="labs"))
    installed.close()
    assert installed.items(SEPTEMBER, "labs") == [
        ("usage", "requests as used", Decimal("0.50")),
        ("subscription", "support as used", Decimal("29.00")),
        ("one_off", "Setup", Decimal("150.00")),
        ("discount", "10 % off", Decimal("-17.95")),
        ("credit", "Welcome", Decimal("-20.00")),
        ("tax", "VAT 20 %", Decimal("28.31")),
    ]
    assert installed.totals("labs") == [16986]


def test_a_dry_run_shows_what_the_command_would_do_and_writes_nothing(installed: Platform) -> None:
    before = {table: installed.query(f"select count(*) from {table}") for table in ROWS}  # noqa: S608 constants
    assert run("org", "add", "labs", "--dry-run").splitlines() == [
        "added organization labs (labs)",
        "Dry run: nothing was written.",
    ]
    for words in (
        ["subscribe", "acme", "support", "--from", "2026-09-01"],
        ["charge", "acme", "5.00", "Setup", "--on", "2026-09-01"],
        ["credit", "grant", "acme", "5.00", "Outage", "--from", "2026-09-01"],
        ["coupon", "add", "ten", "10 % off", "--percent", "10"],
        ["commit", "acme", "50.00", "--from", "2026-09"],
        ["tax", "add", "acme", "VAT", "19", "--from", "2026-09"],
        ["tax", "status", "acme", "--location", "DE"],
        ["price", "override", "acme", "requests", "--unit-amount", "0.08", "--from", "2026-09-01"],
        ["org", "details", "acme", "--email", "bills@acme.example"],
        ["org", "rename", "acme", "Acme Inc"],
        ["org", "close", "acme", "--at", "2026-09-30"],
    ):
        assert run_json(*words, "--dry-run")["dry_run"] is True
    assert {table: installed.query(f"select count(*) from {table}") for table in ROWS} == before  # noqa: S608


def test_every_change_is_printed_as_json_with_its_effect(installed: Platform) -> None:
    words = ("subscribe", "acme", "support", "--from", "2026-09-01", "--quantity", "3")
    change = {
        "effect": "new", "table": "subscriptions", "organization": "acme",
        "what": "subscription of acme to support from 2026-09-01: 3 units", "changes": [],
    }  # fmt: skip
    assert run_json(*words) == {"dry_run": False, "changes": [change], "notices": []}
    assert run_json(*words)["changes"] == [change | {"effect": "unchanged"}]
    done = run_json("cancel", "acme", "support", "--at", "2026-09-10", "--month-end", "--why", "moved away")
    assert done["changes"][0]["changes"] == ["ended_at: none -> 2026-10-01"]
    (kept,) = installed.query("select what, why from customer_changes where action = 'changed'")
    assert kept["why"] == "moved away"


def test_a_plan_changes_and_seats_are_added(installed: Platform) -> None:
    run("subscribe", "acme", "support", "--from", "2026-09-01")
    run("change-plan", "acme", "support", "support/premium", "--at", "2026-10-16T12:00")
    run("change-plan", "acme", "support/premium", "support/premium", "--at", "2026-10-20", "--quantity", "4")
    found = installed.query("select price_key, quantity, ended_at::date::text as last from subscriptions order by 3, 1")
    assert [(row["price_key"], int(row["quantity"]), row["last"]) for row in found] == [
        ("support", 1, "2026-10-16"),
        ("support/premium", 1, "2026-10-20"),
        ("support/premium", 4, None),
    ]


def test_a_fee_for_a_closed_month_says_that_a_decision_waits(installed: Platform) -> None:
    run("subscribe", "acme", "support", "--from", "2026-09-01")
    installed.close()
    printed = run("charge", "acme", "7.00", "Forgotten", "--on", "2026-09-12")
    assert "the invoice for 2026-09 is final, so it goes on the next one" in printed
    printed = run("cancel", "acme", "support", "--at", "2026-09-20")
    assert (
        "final invoices from 2026-09 on stay as they are until somebody decides: `fly-billing corrections`" in printed
    )
    assert installed.totals() == [2900]


def test_bad_input_is_one_clear_line(installed: Platform) -> None:
    for words, line in REFUSED:
        printed = refusal(*words.split())
        assert line in printed, (words, printed)
    assert installed.query("select from customer_changes") == []


def test_a_time_that_nothing_can_begin_at_is_one_clear_line(installed: Platform) -> None:
    installed.add_organization("labs")
    run("coupon", "add", "ten", "10 % off", "--percent", "10")
    run("subscribe", "acme", "support", "--from", "2026-09-01")
    changes = len(installed.query("select from customer_changes"))
    for words in DATED:
        for month in ("9998-12", "0001-01"):
            printed = refusal(*words.format(month=month).split())
            assert "constraint" not in printed, (words, printed)
    assert len(installed.query("select from customer_changes")) == changes


def test_a_coupon_in_another_currency_is_refused_when_it_is_given(installed: Platform) -> None:
    run("coupon", "add", "five", "5 off", "--amount", "5.00", "--currency", "eur")
    assert "it is in EUR, but acme is billed in USD" in refusal("coupon", "give", "acme", "five", "--from", "2026-09")


def test_organizations_are_listed_and_shown_with_their_terms(installed: Platform) -> None:
    run("org", "add", "labs", "Labs Ltd", "--since", "2026-09-01")
    run("link", "labs", "acme", "--from", "2026-10")
    run("subscribe", "labs", "support", "--from", "2026-09-01", "--quantity", "2")
    assert [line for line in run("org", "list", "lab").splitlines() if "Labs Ltd" in line]
    shown = run_json("org", "show", "labs")
    assert (shown["name"], [term["kind"] for term in shown["terms"]]) == ("Labs Ltd", ["subscription", "payer"])
    assert shown["terms"][0]["quantity"] == "2"
    assert "price_key: support" in run("org", "show", "labs")
    run("link", "labs", "acme", "--until", "2026-11")
    (link,) = installed.query("select first_month, last_month from organization_links")
    assert link == {"first_month": OCTOBER.first_day, "last_month": BillingMonth(2026, 11).first_day}


def test_cancel_never_makes_a_subscription_longer(installed: Platform) -> None:
    """One month of support is 29.00, whatever is cancelled afterwards."""
    run("subscribe", "acme", "support", "--from", "2026-09-01", "--until", "2026-10-01")
    for choice in ([], ["--started", "2026-09-01"], ["--reference", ""]):
        line = refusal("cancel", "acme", "support", "--at", "2026-12-01", *choice)
        assert line == "the subscription of acme to support ended on 2026-10-01 already"
    run("cancel", "acme", "support", "--started", "2026-09-01", "--at", "2026-09-16")
    installed.close()
    installed.close(OCTOBER)
    assert installed.totals() == [1450, 0]


def test_of_two_equal_fees_the_reference_chooses_one(installed: Platform) -> None:
    """In October (31 days), the cancelled one costs nothing and the other 29.00; in September, both 58.00."""
    for name in ("north", "south"):
        run("subscribe", "acme", "support", "--from", "2026-09-01", "--reference", name)
    printed = refusal("cancel", "acme", "support", "--at", "2026-10-01")
    assert printed.endswith("choose one with --started or --reference")
    run("cancel", "acme", "support", "--at", "2026-10-01", "--reference", "south")
    installed.close()
    installed.close(OCTOBER)
    assert installed.totals() == [5800, 2900]


def test_two_equal_fees_are_replaced_one_after_the_other(installed: Platform) -> None:
    for name in ("north", "south"):
        run("subscribe", "acme", "support", "--from", "2026-09-01", "--reference", name)
    words = ("change-plan", "acme", "support", "support/premium", "--at", "2026-10-01", "--reference")
    for name in ("north", "south", "north"):
        changes = run_json(*words, name)["changes"]
    assert [change["effect"] for change in changes] == ["unchanged", "unchanged"]
    found = installed.query("select price_key, ended_at is null as runs from subscriptions order by 1")
    assert [(row["price_key"], row["runs"]) for row in found] == [
        *[("support", False)] * 2, *[("support/premium", True)] * 2,
    ]  # fmt: skip


def load_yen(platform: Platform) -> None:
    with platform.database.transaction() as connection:
        fee = price("support", "3000", unit="month", book="jp", currency="JPY")
        load_price_book(connection, PriceBookFiles("jp", METERS, [fee]))


def test_a_late_charge_is_in_the_currency_of_the_invoice_that_has_it(installed: Platform) -> None:
    """September is final in dollars, so 500 is yen, on October's invoice. In dollars, nothing could bill October."""
    load_yen(installed)
    installed.close()
    run("org", "change", "acme", "--currency", "JPY", "--book", "jp")
    assert "JPY has none" in refusal("charge", "acme", "5.00", "Late", "--on", "2026-09-03")
    assert "added charge of acme for 'Late' on 2026-09-03: 500 JPY" in run(
        "charge", "acme", "500", "Late", "--on", "2026-09-03"
    )
    assert installed.close(OCTOBER).failures == []
    assert installed.totals() == [0, 500]


def test_before_another_currency_begins_a_charge_is_in_the_present_one(installed: Platform) -> None:
    """Euros begin in October. A minimum in euros from September could not be billed, so it has to begin later."""
    run("org", "change", "acme", "--currency", "EUR", "--book", "eu", "--from", "2026-10")
    assert "5.00 USD" in run("charge", "acme", "5.00", "Setup", "--on", "2026-09-03")
    assert refusal("commit", "acme", "50.00", "--from", "2026-09").endswith(
        "acme is billed in USD in 2026-09, and in EUR later: let it begin then"
    )
    run("commit", "acme", "50.00", "--from", "2026-10")
    assert installed.close().failures == []
    assert installed.close(OCTOBER).failures == []
    assert installed.totals() == [500, 5000]


def test_a_charge_that_is_billed_already_goes_on_no_other_invoice(installed: Platform) -> None:
    words = ("charge", "acme", "7.00", "Setup", "--on", "2026-09-12")
    run(*words)
    installed.close()
    again = run_json(*words)
    assert (again["changes"][0]["effect"], again["notices"]) == ("unchanged", [])


def test_a_second_minimum_is_refused_unless_it_has_a_reference(installed: Platform) -> None:
    """60.00 instead of 50.00 was meant; both together would be 110.00. Ending the first one makes room for it."""
    run("commit", "acme", "50.00", "--from", "2026-09")
    assert refusal("commit", "acme", "60.00", "--from", "2026-10").endswith(
        "it has a minimum of 50.00 USD from 2026-09 on, and both would apply: end that one with --until, or give this"
        " one a reference"
    )
    run("commit", "acme", "50.00", "--from", "2026-09", "--until", "2026-09")
    run("commit", "acme", "60.00", "--from", "2026-10")
    run("commit", "acme", "5.00", "--from", "2026-10", "--reference", "second site")
    run("commit", "acme", "80.00", "--from", "2026-10", "--maximum")
    installed.close()
    installed.close(OCTOBER)
    assert installed.totals() == [5000, 6500]


def test_a_tax_status_keeps_what_is_not_given(installed: Platform) -> None:
    def statuses() -> list[tuple[Any, ...]]:
        found = installed.query("select first_month, location, kind from tax_customers order by first_month")
        return [(row["first_month"].month, row["location"], row["kind"]) for row in found]

    run("tax", "status", "acme", "--location", "DE", "--from", "2026-09")
    run("tax", "status", "acme", "--kind", "business", "--from", "2026-10")
    run("tax", "status", "acme", "--location", "FR", "--from", "2026-10")
    assert statuses() == [(9, "DE", None), (10, "FR", "business")]
    run("tax", "status", "acme", "--kind", "", "--from", "2026-10")
    assert statuses()[1] == (10, "FR", None)
    assert refusal("tax", "status", "acme") == "give a --location, a --kind or both"


def test_adding_an_organization_that_exists_is_refused_if_it_would_change_it(installed: Platform) -> None:
    run("org", "add", "labs", "Labs", "--since", "2026-09-01")
    assert "unchanged" in run("org", "add", "labs", "Labs", "--since", "2026-09-01")
    assert refusal("org", "add", "labs", "Labs", "--since", "2026-08-01", "--stripe-customer", "cus_9") == (
        "organization labs exists already, with created_at 2026-09-01, stripe_customer_id none: a command can't change"
        " that"
    )
    run("org", "close", "labs", "--at", "2026-10-01")
    assert "closed its account: `fly-billing org reopen labs`" in refusal("org", "add", "labs", "Labs")


def test_another_month_for_a_price_book_is_refused_and_not_unchanged(installed: Platform) -> None:
    words = ("org", "change", "acme", "--book", "eu", "--currency", "EUR", "--from")
    run(*words, "2026-10")
    assert "unchanged" in run(*words, "2026-10")
    assert refusal(*words, "2026-11").endswith(
        "is billed in EUR by price book eu since 2026-10: for another month, change it back first"
    )
    assert refusal("org", "change", "acme") == "give a --currency, a --book or both"


def test_an_account_that_closes_later_is_not_shown_as_closed(installed: Platform) -> None:
    run("org", "close", "acme", "--at", "2199-01-01")
    for shown in (run("org", "list"), run("org", "show", "acme")):
        assert "closes 2199-01-01" in shown
    (listed,) = json.loads(run("org", "list", "--json"))
    assert listed["closed_at"] == run_json("org", "show", "acme")["closed_at"] == "2199-01-01T00:00:00+00:00"


def test_amounts_have_the_decimals_of_the_currency(installed: Platform) -> None:
    load_yen(installed)
    run("org", "add", "tokyo", "--currency", "JPY", "--book", "jp", "--since", "2026-09-01")
    for words in (
        ["charge", "tokyo", "500.00", "Setup"],
        ["credit", "grant", "tokyo", "500.5", "Outage"],
        ["commit", "tokyo", "500.00"],
        ["coupon", "add", "yen", "Yen", "--amount", "5.00", "--currency", "JPY"],
    ):
        assert "but JPY has none" in refusal(*words)
    assert "but KWD has 3: write 5.000" in refusal("coupon", "add", "k", "K", "--amount", "5.00", "--currency", "KWD")
    run("charge", "tokyo", "501", "Hours", "--quantity", "2.5", "--unit", "hour", "--on", "2026-09-02")
    installed.close()
    assert installed.totals("tokyo") == [1253]  # 1252.5


def test_a_name_with_markup_and_a_reason_are_printed_as_they_are(installed: Platform) -> None:
    name = "[red]Acme[/red] <b>"
    assert name in run("org", "rename", "acme", name, "--why", "[bold]merger[/bold]")
    for printed in (run("org", "list"), run("org", "show", "acme")):
        assert name in printed
    month = f"{BillingMonth.containing(datetime.now(UTC))}"
    assert "[bold]merger[/bold]" in run("history", "acme", month)


def test_the_same_notice_is_printed_once(installed: Platform) -> None:
    run("subscribe", "acme", "support", "--from", "2026-09-01")
    run("subscribe", "acme", "support", "--from", "2026-09-01", "--reference", "second")
    installed.close()
    assert len(run_json("org", "close", "acme", "--at", "2026-09-10")["notices"]) == 1
    run("org", "reopen", "acme", "--why", "a mistake")
    (kept,) = installed.query("select what, why from customer_changes where what ~ 'closed_at: 2026'")
    assert kept == {"what": "organization acme (Acme); closed_at: 2026-09-10 -> none", "why": "a mistake"}


# A term in dollars, and the line that refuses euros for an organization that has it.
IN_DOLLARS = (
    ("charge acme 5.00 Setup --on 2026-10-12", "the charge 'Setup' in USD, which is not billed yet"),
    ("charge acme 5.00 Late --on 2026-09-12", "the charge 'Late' in USD, which is not billed yet"),
    ("commit acme 50.00 --from 2026-09", "the minimum 'At least 50.00 USD a month' in USD"),
    ("coupon give acme five --from 2026-09", "the coupon five in USD"),
    ("link acme labs --from 2026-10", "a link to labs, which is billed in USD"),
    ("link labs acme --from 2026-10", "a link to labs, which is billed in USD"),
    ("subscribe acme support/premium --from 2026-10-01", "price book eu has no price 'support/premium'"),
)


@pytest.mark.parametrize(("words", "term"), IN_DOLLARS)
def test_another_currency_is_refused_while_terms_need_the_present_one(
    installed: Platform, words: str, term: str
) -> None:
    """September is final. With euros from October on, no invoice of acme could be built any more."""
    run("org", "add", "labs", "--since", "2026-09-01")
    run("coupon", "add", "five", "5 off", "--amount", "5.00")
    installed.close()
    run(*words.split())
    changes = len(installed.query("select from customer_changes"))
    euros = ("org", "change", "acme", "--currency", "EUR", "--book", "eu")
    assert term in refusal(*euros)
    assert len(installed.query("select from customer_changes")) == changes


def test_another_currency_begins_after_the_terms_that_need_the_present_one(installed: Platform) -> None:
    """October: a charge of 5.00 dollars and the minimum of 50.00, so 50.00. November: support for 25.00 euros."""
    run("subscribe", "acme", "support", "--from", "2026-11-01")
    run("charge", "acme", "5.00", "Setup", "--on", "2026-10-12")
    run("commit", "acme", "50.00", "--from", "2026-10", "--until", "2026-10")
    run("org", "change", "acme", "--currency", "EUR", "--book", "eu", "--from", "2026-11")
    for month in (SEPTEMBER, OCTOBER, BillingMonth(2026, 11)):
        assert installed.close(month).failures == []
    assert installed.totals() == [0, 5000, 2500]


def complete(monkeypatch: pytest.MonkeyPatch, line: str) -> list[str]:
    """Press Tab after this line in bash."""
    monkeypatch.setenv("_FLY_BILLING_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split()) - 1))
    return CliRunner().invoke(app, [], prog_name="fly-billing").output.split()


def test_a_shell_completes_organizations_and_price_keys(installed: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    assert complete(monkeypatch, "fly-billing subscribe ac") == ["acme"]
    assert complete(monkeypatch, "fly-billing subscribe acme s") == ["support", "support/premium"]
    assert complete(monkeypatch, "fly-billing price override acme re") == ["requests"]
    assert complete(monkeypatch, "fly-billing statement ac") == ["acme"]


def test_completion_without_a_platform_offers_nothing_and_makes_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLY_BILLING_DATA_DIR", str(tmp_path / "data"))
    assert complete(monkeypatch, "fly-billing subscribe ac") == []
    assert list(tmp_path.iterdir()) == []
