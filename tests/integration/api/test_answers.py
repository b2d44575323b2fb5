"""The API says what the statement says: to the cent, in the same words, and to the same people."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from fly_billing.api.rules.access import ACKNOWLEDGE, ADDRESS, ISSUER, SCOPES
from fly_billing.customer_alerts.thresholds import add_threshold
from fly_billing.embedded_postgres import PostgresServer
from fly_billing.statements.month_end import read_month_end
from fly_billing.statements.rules.estimate import MonthEndEstimate
from fly_billing.statements.statement_reader import read_statement
from tests.integration.api.conftest import NOW
from tests.support.api import ApiClient, customer_token, serving_api
from tests.support.builders import OCTOBER, SEPTEMBER, Platform, at, event, write_jsonl
from tests.support.paid_months import add_paid_months


def usd(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "USD"}


@pytest.fixture
def token(billed: Platform) -> str:
    return customer_token(billed.database, "acme", NOW - timedelta(days=1)).secret


def in_cents(money: Any) -> int:
    return int(money["amount"].replace(".", ""))


def test_the_statement_has_the_amounts_of_the_ledger_and_of_the_command(
    api: ApiClient, billed: Platform, token: str
) -> None:
    got = api.of("acme", "statement?month=2026-09", token)
    assert (got.status, got.headers["content-type"]) == (200, "application/json")
    data = got.data
    assert (data["as_of"], data["month"], data["is_complete"]) == ("2026-10-05T12:00:00Z", "2026-09", True)
    assert data["invoice"]["total"] == usd("0.31")
    assert [(item["quantity"], item["exact_amount"], item["amount"]) for item in data["invoice"]["items"]] == [
        ("100.5", "0.01", usd("0.01")),
        ("3", "0.3", usd("0.30")),
    ]
    assert data["owed"]["balances"][0]["owed"] == data["owed"]["balances"][0]["total"] == usd("0.31")
    assert [(month["month"], month["total"]) for month in data["months"]] == [
        ("2026-10", usd("0.50")),
        ("2026-09", usd("0.31")),
    ]

    command = read_statement(billed.database, "acme", NOW, SEPTEMBER).as_data()
    assert data["owed"]["in_words"] == read_statement(billed.database, "acme", NOW, SEPTEMBER).headline()
    assert data["owed"]["caveats"] == command["caveats"]
    assert {each["currency"]: in_cents(each["owed"]) for each in data["owed"]["balances"]} == command["owed_cents"]
    shown = next(invoice for invoice in command["invoices"] if invoice["month"] == "2026-09")
    assert [in_cents(item["amount"]) for item in data["invoice"]["items"]] == [
        item["amount_cents"] for item in shown["items"]
    ]
    assert [in_cents(day["cost"]) for day in data["cost"]["by_day"]] == [
        day["amount_cents"] for day in shown["spend"]["by_day"]["days"]
    ]
    ledger = billed.query(
        "select sum(amount_cents) as cents from ledger_entries"
        " where organization_id = 'acme' and account = 'receivable'"
    )
    assert [row["cents"] for row in ledger] == [31]


def test_the_upcoming_invoice_is_the_open_month_so_far(api: ApiClient, token: str) -> None:
    data = api.of("acme", "upcoming-invoice", token).data
    assert data["totals"] == [usd("0.50")]
    assert [(invoice["month"], invoice["status_in_words"]) for invoice in data["invoices"]] == [
        ("2026-10", "open (so far)")
    ]
    assert [item["quantity"] for item in data["invoices"][0]["items"]] == ["5"]


def test_a_first_month_without_complete_days_has_no_estimate(api: ApiClient, billed: Platform) -> None:
    billed.add_organization("fresh", created_at="2026-10-01")
    used = event("f1", "5", time="2026-10-03T09:30:00Z", subject="fresh")
    write_jsonl(billed.landing_dir, [used], date(2026, 10, 3), "fresh")
    billed.land(date(2026, 10, 3), now=at("2026-10-03T12:00:00"))
    billed.roll_up(OCTOBER, at("2026-10-03T12:00:00"))
    token = customer_token(billed.database, "fresh", NOW - timedelta(days=1)).secret

    data = api.of("fresh", "estimate", token).data
    assert (data["month"], data["no_estimate"], data["method"]) == ("2026-10", "too_early", [])
    assert [data[name] for name in ("low", "likely", "high")] == [None, None, None]
    assert data["in_words"] == (
        "No estimate for the end of 2026-10: it is too early: there is usage of 0 complete days so far, and an estimate"
        " needs 3."
    )


def test_the_estimate_is_apart_from_what_is_owed(api: ApiClient, billed: Platform, token: str) -> None:
    before = api.of("acme", "balance", token).data
    for day in range(1, 5):  # 10 requests a day: 5 more on the 2nd
        used = event(f"o{day}", "5" if day == 2 else "10", time=f"2026-10-0{day}T09:30:00Z")
        write_jsonl(billed.landing_dir, [used], date(2026, 10, day), "october")
        billed.land(date(2026, 10, day), now=at(f"2026-10-0{day + 1}T00:30:00"))
    billed.roll_up(OCTOBER, at("2026-10-05"))

    data = api.of("acme", "estimate", token).data
    assert (data["complete_days"], data["days"], data["no_estimate"]) == (4, 31, None)
    found = read_month_end(billed.database, "acme", NOW)
    assert isinstance(found, MonthEndEstimate)
    assert [in_cents(data[name]) for name in ("low", "likely", "high")] == [*found.range_cents]
    # September had 3 requests. 40 so far, and recent days count more than the 30 before.
    assert 400 < found.likely_cents < 3100
    assert data["method"][0] == "This is an estimate. It is not owed, and it is in no other amount."
    assert api.of("acme", "balance", token).data == before


def test_a_statement_lists_a_year_and_counts_the_months_before(api: ApiClient, billed: Platform, token: str) -> None:
    """October and September of 2026, and twenty months before them: those up to September 2025 are only counted."""
    before = api.of("acme", "balance", token).data
    add_paid_months(billed, 20)
    short = api.of("acme", "statement", token).data
    assert (len(short["months"]), short["earlier_months"]) == (13, {"count": 9, "first_month": "2025-01"})
    full = api.of("acme", "statement?months=all", token).data
    assert (len(full["months"]), full["earlier_months"]) == (22, None)
    assert short["owed"] == full["owed"] == before["owed"] | {"balances": full["owed"]["balances"]}
    assert api.of("acme", "statement?months=some", token).status == 422
    assert api.of("acme", "balance", token).data == before


def test_invoices_of_all_months_come_in_pages_and_by_id(api: ApiClient, billed: Platform, token: str) -> None:
    add_paid_months(billed, 20)
    listed: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = api.of("acme", f"invoices?limit=10{cursor and f'&cursor={cursor}'}", token).data
        listed += page["invoices"]
        cursor = page["next_cursor"]
    assert (len(listed), listed[-1]["month"]) == (22, "2025-01")
    oldest = api.of("acme", f"invoices/{listed[-1]['id']}", token).data
    assert oldest["invoice"]["total"] == usd("10.00")
    labs = customer_token(billed.database, "labs", NOW - timedelta(days=1)).secret
    assert api.of("labs", f"invoices/{listed[-1]['id']}", labs).status == 404


def test_invoices_come_in_pages_and_each_with_its_items(api: ApiClient, token: str) -> None:
    first = api.of("acme", "invoices?limit=1", token).data
    second = api.of("acme", f"invoices?limit=1&cursor={first['next_cursor']}", token).data
    assert [page["invoices"][0]["month"] for page in (first, second)] == ["2026-10", "2026-09"]
    assert second["next_cursor"] is None
    assert api.of("acme", "invoices?cursor=bm9uZQ", token).status == 422

    invoice_id = second["invoices"][0]["id"]
    data = api.of("acme", f"invoices/{invoice_id}", token).data
    assert (data["invoice"]["id"], data["invoice"]["total"], len(data["invoice"]["items"])) == (
        invoice_id,
        usd("0.31"),
        2,
    )
    assert data["invoice"]["sums"][-1] == {"text": "Amount due", "amount": usd("0.31")}


def test_the_usage_of_a_month_comes_in_pages_of_items(api: ApiClient, token: str) -> None:
    whole = api.of("acme", "usage?month=2026-09", token).data
    first = api.of("acme", "usage?month=2026-09&limit=1", token).data
    second = api.of("acme", f"usage?month=2026-09&limit=1&cursor={first['next_cursor']}", token).data
    assert [*first["items"], *second["items"]] == whole["items"]
    assert (len(whole["items"]), second["next_cursor"], whole["next_cursor"]) == (2, None, None)
    assert first["cost"] == second["cost"] == whole["cost"]  # of the whole month
    assert api.of("acme", "usage?month=2026-09&cursor=bm9uZQ", token).status == 422


def test_an_item_is_explained_as_a_sum_to_redo(api: ApiClient, token: str) -> None:
    """100.5 GB less the free 100 GB is 0.5 GB, at 0.02 a GB."""
    item = api.of("acme", "statement?month=2026-09", token).data["invoice"]["items"][0]
    data = api.of("acme", f"items/{item['id']}/explanation", token).data
    assert (data["exact_amount"], data["amount"], data["is_reproduced"]) == ("0.01", usd("0.01"), True)
    assert data["sums"][-1]["lines"][-1] | {"label": ""} == {
        "label": "", "quantity": "0.5", "unit_amount": "0.02", "per": "1", "amount": "0.01",
    }  # fmt: skip
    assert "nothing to round" in data["rounding"]


def test_usage_and_cost_come_by_day_app_region_and_product_and_add_up(api: ApiClient, token: str) -> None:
    data = api.of("acme", "usage?month=2026-09", token).data
    assert data["total"] == usd("0.31")
    for by in ("by_product", "by_app", "by_region", "by_day"):
        assert sum(in_cents(row["cost"]) for row in data["cost"][by]) == 31, by
    assert {row["label"]: row["cost"] for row in data["cost"]["by_region"]} == {"ams": usd("0.01"), None: usd("0.30")}
    requests = next(item for item in data["items"] if item["unit"] == "request")
    assert requests["by_day"] == [{"day": "2026-09-15", "quantity": "2"}, {"day": "2026-09-16", "quantity": "1"}]
    traffic = next(item for item in data["items"] if item["unit"] == "GB")
    assert traffic["by_place"] == [{"app": None, "region": "ams", "quantity": "100.5"}]


def test_a_hundred_regions_are_listed_and_the_others_are_counted_and_added_up(
    postgres: PostgresServer, platform: Platform
) -> None:
    """103 regions with 2, 3, ... 104 GB, 5,459 in all: 5,359 at 0.02 are $107.18. The three smallest have 9 GB."""
    usage = [
        event(f"e{number}", str(number + 2), type="egress_gb", region=f"region-{number:03}") for number in range(103)
    ]
    write_jsonl(platform.landing_dir, usage)
    platform.close()
    secret = customer_token(platform.database, "acme", NOW - timedelta(days=1)).secret
    with serving_api(postgres, platform.database, lambda: NOW) as api:
        data = api.of("acme", "usage?month=2026-09", secret).data
    cost, (item,) = data["cost"], data["items"]
    listed, others = cost["by_region"], cost["other_regions"]
    assert (data["total"], len(listed), others["count"]) == (usd("107.18"), 100, 3)
    assert sum(in_cents(row["cost"]) for row in (*listed, others)) == 10718
    assert 15 <= in_cents(others["cost"]) <= 18  # 9 of 5,459 GB, in whole cents of each region
    assert ([row["label"] for row in cost["by_app"]], cost["other_apps"]) == ([None], None)
    assert item["by_place"][0] == {"app": None, "region": "region-102", "quantity": "104"}
    assert item["by_place"][-1] == {"app": None, "region": "region-003", "quantity": "5"}
    assert (len(item["by_place"]), item["other_places"]) == (100, {"count": 3, "quantity": "9"})


def test_balance_credits_and_alerts_are_those_of_the_organization(api: ApiClient, billed: Platform, token: str) -> None:
    billed.grant("acme", "Deposit", "10", pays="gross")
    add_threshold(billed.database, "acme", "250.00")
    balance = api.of("acme", "balance", token).data
    assert balance["owed"]["balances"][0]["total"] == usd("0.31")
    assert balance["upcoming"] == [usd("0.50")]
    (credit,) = api.of("acme", "credits", token).data["credits"]
    assert (credit["remaining"], credit["in_words"]) == (usd("10.00"), "Deposit: $10.00 remaining; also pays taxes")
    alerts = api.of("acme", "alerts", token).data
    (alert,) = alerts["alerts"]
    assert (alert["kind"], alert["amount"], alert["percent"]) == ("amount", usd("250.00"), None)
    assert (alert["is_first"], alert["last_reached_in"], alerts["cap_call"]) == (False, None, None)


def test_an_unchanged_answer_is_not_sent_twice(api: ApiClient, billed: Platform, token: str) -> None:
    """The time of reading is not part of the ETag; a payment is."""
    got = api.of("acme", "balance", token)
    tag = got.headers["etag"]
    again = api.of("acme", "balance", token, If_None_Match=f'"other", {tag}')
    assert (again.status, again.text, again.headers["etag"]) == (304, "", tag)
    billed.execute("update invoices set status = 'paid', paid_at = :at where month = '2026-09-01'", at=at("2026-10-05"))
    changed = api.of("acme", "balance", token, If_None_Match=tag)
    assert changed.status == 200
    assert changed.headers["etag"] != tag


def test_a_member_sees_its_own_lines_and_nothing_of_the_payers_total(api: ApiClient, billed: Platform) -> None:
    """From October on, acme pays for labs: 5 requests of acme and 9 of labs are $1.40 on acme's invoice."""
    billed.link("labs", "acme", first=SEPTEMBER.next())
    billed.bill(SEPTEMBER.next(), at("2026-10-05T06:00:00"))
    labs = customer_token(billed.database, "labs", NOW - timedelta(days=1)).secret
    got = api.of("labs", "statement", labs)
    assert got.data["invoice"]["total"] == usd("0.90")
    assert got.data["invoice"]["payer"] == {"id": "acme", "name": "Acme Confidential"}
    assert [item["organization_id"] for item in got.data["invoice"]["items"]] == ["labs"]
    item = got.data["invoice"]["items"][0]["id"]
    explained = api.of("labs", f"items/{item}/explanation", labs)
    assert explained.data["amount"] == usd("0.90")
    assert "1.40" not in got.text + explained.text
    invoice = api.of("labs", f"invoices/{got.data['invoice']['id']}", labs).data
    assert (invoice["customer"], len(invoice["invoice"]["items"])) == (None, 1)


def test_the_document_has_an_example_for_each_answer_and_needs_no_token(api: ApiClient) -> None:
    document = api.get("/openapi.json").data
    assert document["openapi"] == "3.1.0"
    assert len(document["paths"]) == 17
    (scheme,) = document["components"]["securitySchemes"]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            ((needed,),) = [each[scheme] for each in operation["security"]]
            assert needed in (*SCOPES, ISSUER, ACKNOWLEDGE, ADDRESS), path
            for status, answer in operation["responses"].items():
                for content in answer.get("content", {}).values():
                    assert content["example"], (path, status)
