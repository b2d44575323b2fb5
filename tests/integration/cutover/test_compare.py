"""`fly-billing compare`: September 2026 as Stripe billed it, against September here.

Here acme is charged 58.43 (49.10 and 9.33 of VAT; its invoice includes beta), and gamma 1,200 yen.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
import stripe
from typer.testing import CliRunner, Result

from fly_billing.cli.main import app
from fly_billing.stripe_sandbox import SandboxServer
from tests.support.builders import Platform
from tests.support.full_month import bill_full_month
from tests.support.stripe_builders import API_KEY

HEADER = "id,Customer,Currency,Status,Subtotal,Tax,Total,Number,Date (UTC)\n"
ACME = "in_1,cus_acme,usd,Paid,49.10,9.33,58.43,A-1,2026-10-01 00:10\n"
GAMMA = "in_2,cus_gamma,jpy,Open,1200,,1200,G-1,2026-10-31 23:59\n"
CUSTOMERS = "customer,organization\ncus_acme,acme\ncus_gamma,gamma\n"


@pytest.fixture
def september(platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Platform:
    bill_full_month(platform)
    url = platform.database.engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("DAGSTER_DATABASE_URL", url)
    monkeypatch.setenv("FLY_BILLING_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "customers.csv").write_text(CUSTOMERS, encoding="utf-8")
    return platform


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["compare", "2026-09", *map(str, arguments)], catch_exceptions=False)


def compare(folder: Path, export: str, *options: object, name: str = "export.csv") -> Result:
    (folder / name).write_text(export, encoding="utf-8")
    return run(folder / name, "--customers", folder / "customers.csv", *options)


def data_of(done: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_equal_invoices_agree_and_the_command_succeeds(september: Platform, tmp_path: Path) -> None:
    done = compare(tmp_path, HEADER + ACME + GAMMA)
    assert done.exit_code == 0, done.output
    assert "USD: 1 of 1 organization agree; $58.43 in Stripe, $58.43 here" in done.output
    assert "JPY: 1 of 1 organization agree; JPY 1,200 in Stripe, JPY 1,200 here" in done.output
    assert "Both sides charge the same." in done.output


def test_a_difference_is_shown_with_its_cause_and_the_command_fails(september: Platform, tmp_path: Path) -> None:
    """Stripe charged 50.00 and 9.50 of tax: 59.50."""
    done = compare(tmp_path, HEADER + ACME.replace("49.10,9.33,58.43", "50.00,9.50,59.50") + GAMMA, "--json")
    assert done.exit_code == 1
    acme = data_of(done)["organizations"][1]
    assert (acme["organization_id"], acme["stripe_cents"], acme["our_cents"]) == ("acme", 5950, 5843)
    assert [(cause["kind"], cause["cents"]) for cause in acme["causes"]] == [("charges", -90), ("tax", -17)]


def test_what_stripe_billed_a_linked_organization_is_compared_with_its_payers_invoice(
    september: Platform, tmp_path: Path
) -> None:
    """Beta had its own invoice of 0.24 in Stripe; here acme pays for it."""
    (tmp_path / "customers.csv").write_text(CUSTOMERS + "cus_beta,beta\n", encoding="utf-8")
    beta = "in_3,cus_beta,usd,Paid,0.20,0.04,0.24,B-1,2026-10-01 00:10\n"
    done = compare(tmp_path, HEADER + ACME.replace("49.10,9.33,58.43", "48.90,9.29,58.19") + beta + GAMMA)
    assert done.exit_code == 0, done.output


def test_invoices_created_on_other_days_bill_other_months(september: Platform, tmp_path: Path) -> None:
    before = ACME.replace("in_1", "in_0").replace("2026-10-01 00:10", "2026-09-30 23:59")
    after = ACME.replace("in_1", "in_9").replace("2026-10-01 00:10", "2026-11-01 00:00")
    done = compare(tmp_path, HEADER + before + ACME + after + GAMMA, "--json")
    assert (done.exit_code, data_of(done)["created_on_other_days"]) == (0, 2)
    moved = compare(tmp_path, HEADER + before + GAMMA, "--created-from", "2026-09-30", "--json")
    assert moved.exit_code == 0
    refused = run("--created-from", "2026-11-01")
    assert (refused.exit_code, "no day is from 2026-11-01 and before 2026-11-01" in refused.output) == (2, True)


def test_a_customer_without_an_organization_is_named(september: Platform, tmp_path: Path) -> None:
    stranger = "in_4,cus_stranger,usd,Paid,7.00,,7.00,S-1,2026-10-02 00:00\n"
    done = compare(tmp_path, HEADER + ACME + GAMMA + stranger)
    assert done.exit_code == 1
    assert "S-1 of cus_stranger, $7.00: its customer belongs to no organization" in done.output
    assert "name their customers with --customers FILE" in done.output


def test_a_customer_of_an_earlier_sync_needs_no_file(september: Platform, tmp_path: Path) -> None:
    september.execute("update organizations set stripe_customer_id = 'cus_' || id")
    (tmp_path / "export.csv").write_text(HEADER + ACME + GAMMA, encoding="utf-8")
    assert run(tmp_path / "export.csv").exit_code == 0


def test_one_unreadable_invoice_does_not_stop_the_others_and_never_counts_as_equal(
    september: Platform, tmp_path: Path
) -> None:
    done = compare(tmp_path, HEADER + ACME + 'in_5,cus_acme,usd,Paid,,,"1,234.50",X,2026-10-01\n' + GAMMA)
    assert done.exit_code == 1
    assert "row 3: Total is '1,234.50': write at most 2 decimals" in done.output
    assert "$58.43 in Stripe, $58.43 here" in done.output


def invoice(**fields: Any) -> dict[str, Any]:
    lines = [{"id": "il", "amount": 4_910, "description": "Everything"}]
    return {
        "id": "in_1", "object": "invoice", "number": "A-1", "customer": "cus_acme", "currency": "usd",
        "created": 1_790_812_800, "status": "paid", "total": 5_843,
        "total_taxes": [{"amount": 933, "tax_behavior": "exclusive"}],
        "lines": {"data": lines, "has_more": False}, **fields,
    }  # fmt: skip


GAMMAS = invoice(id="in_2", customer="cus_gamma", currency="jpy", total=1_200, total_taxes=[], lines=None)


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"object": "list", "data": [invoice(), GAMMAS], "has_more": False}),
        json.dumps([invoice(), GAMMAS], indent=2),
        f"{json.dumps(invoice())}\n{json.dumps(GAMMAS)}\n",
    ],
    ids=["list of the API", "array", "JSON Lines"],
)
def test_json_of_the_api_is_read_in_each_form(september: Platform, tmp_path: Path, text: str) -> None:
    done = compare(tmp_path, text, name="export.json")
    assert done.exit_code == 0, done.output


def test_the_same_invoice_in_two_files_is_compared_once_and_with_its_lines(september: Platform, tmp_path: Path) -> None:
    """The JSON has lines, and the CSV none: the causes name Stripe's product."""
    (tmp_path / "lines.json").write_text(json.dumps(invoice(total=6_843)), encoding="utf-8")
    done = compare(tmp_path, HEADER + ACME.replace("58.43", "68.43") + GAMMA, tmp_path / "lines.json", "--json")
    acme = data_of(done)["organizations"][1]
    assert acme["stripe_cents"] == 6843
    assert "Only in Stripe: Everything, $49.10" in [cause["text"] for cause in acme["causes"]]


def test_an_invoice_that_was_voided_after_the_first_export_is_not_counted(september: Platform, tmp_path: Path) -> None:
    """20.00 were open in October's export and are void in November's: Stripe never collected them."""
    wrong = "in_9,cus_acme,usd,Open,20.00,,20.00,A-2,2026-10-02 00:00\n"
    (tmp_path / "november.csv").write_text(HEADER + wrong.replace("Open", "Void"), encoding="utf-8")
    for files in [("october.csv", "november.csv"), ("november.csv", "october.csv")]:
        (tmp_path / "october.csv").write_text(HEADER + ACME + GAMMA + wrong, encoding="utf-8")
        done = run(*(tmp_path / file for file in files), "--customers", tmp_path / "customers.csv")
        assert done.exit_code == 0, done.output


def test_a_line_separator_in_a_customers_name_does_not_end_its_row(september: Platform, tmp_path: Path) -> None:
    done = compare(tmp_path, HEADER + ACME.replace("A-1", "A\u20281") + GAMMA)
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "id,Customer\nin_1,cus_1\n", "has no column currency, status, total, date (utc)"),
        ("a.csv", "", "is empty"),
        ("a.csv", HEADER.replace("Subtotal", "Total") + ACME, "has the column total twice"),
        ("a.csv", (HEADER + ACME).replace(",", ";"), "has semicolons between its columns"),
        ("a.csv", (HEADER + ACME).replace(",", "\t"), "has tabs between its columns"),
        (
            "a.csv",
            HEADER + ACME + ACME.replace("58.43", "99.00"),
            "in_1 is $99.00 of cus_acme, but $58.43 of cus_acme in an earlier row or file",
        ),
        ("a.json", '{"object": "list", "data": [], "has_more": true}', "one page of a longer list"),
        ("a.json", '{"id": 1}\nnonsense\n', "line 2 is not JSON"),
    ],
)
def test_a_file_that_is_no_export_is_refused_in_a_sentence(
    september: Platform, tmp_path: Path, name: str, text: str, message: str
) -> None:
    done = CliRunner().invoke(app, ["compare", "2026-09", str(_written(tmp_path / name, text))])
    assert message in str(done.exception)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("customer,org\ncus_1,acme\n", "needs the header customer,organization"),
        ("customer,organization\ncus_1,\n", "row 2: write a customer and a organization"),
        ("customer,organization\ncus_1,acme\ncus_1,beta\n", "row 3: cus_1 is acme in an earlier row"),
        ("customer,organization\ncus_1,nobody\n", "organizations that don't exist: nobody"),
    ],
)
def test_a_wrong_file_of_customers_is_refused_in_a_sentence(
    september: Platform, tmp_path: Path, text: str, message: str
) -> None:
    export = _written(tmp_path / "export.csv", HEADER + ACME)
    arguments = ["compare", "2026-09", str(export), "--customers", str(_written(tmp_path / "c.csv", text))]
    assert message in str(CliRunner().invoke(app, arguments).exception)


def _written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_the_report_and_the_csv_name_every_source_and_escape_text_of_others(
    september: Platform, tmp_path: Path
) -> None:
    september.execute("update organizations set name = '=1+1<script>' where id = 'acme'")
    page, table = tmp_path / "report.html", tmp_path / "all.csv"
    done = compare(tmp_path, HEADER + ACME.replace("58.43", "60.43") + GAMMA, "--report", page, "--csv", table)
    assert done.exit_code == 1
    html = page.read_text(encoding="utf-8")
    assert "1 of 2 organizations differ" in html
    assert "=1+1&lt;script&gt;" in html
    assert "SHA-256" in html
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["organization"], row["name"], row["difference_cents"], row["agrees"]) for row in rows] == [
        ("gamma", "Gamma", "0", "yes"),
        ("acme", "'=1+1<script>", "-200", "no"),
    ]
    again = CliRunner().invoke(app, ["compare", "2026-09", str(tmp_path / "export.csv"), "--csv", str(table)])
    assert "exists already" in str(again.exception)


def test_an_export_may_come_through_a_pipe_and_its_sha_is_that_of_what_was_read(
    september: Platform, tmp_path: Path
) -> None:
    export = (HEADER + ACME + GAMMA).encode()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(export,))
    writer.start()
    done = run(pipe, "--customers", tmp_path / "customers.csv", "--json")
    writer.join()
    assert done.exit_code == 0, done.output
    assert data_of(done)["sources"][0] == {"name": "pipe", "sha256": hashlib.sha256(export).hexdigest()}


def test_without_a_file_stripe_is_read_with_all_lines(
    september: Platform, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twelve lines of 5.00: more than Stripe sends with an invoice. Here: 49.10 and tax."""
    client = stripe.StripeClient(API_KEY, base_addresses={"api": sandbox.url})
    customer = client.v1.customers.create({"metadata": {"organization": "acme"}}).id
    created = client.v1.invoices.create({"customer": customer, "currency": "usd", "auto_advance": False})
    lines: Any = [{"amount": 500, "description": f"Machine {number}"} for number in range(12)]
    client.v1.invoices.add_lines(str(created.id), {"lines": lines})
    client.v1.invoices.finalize_invoice(str(created.id))
    monkeypatch.setenv("STRIPE_API_KEY", API_KEY)
    monkeypatch.setenv("STRIPE_API_BASE", sandbox.url)

    day = "2026-01-01"
    done = run("--created-from", day, "--created-before", "2100-01-01", "--json")
    acme = next(each for each in data_of(done)["organizations"] if each["organization_id"] == "acme")
    assert (done.exit_code, acme["stripe_cents"], acme["our_cents"]) == (1, 6_000, 5_843)
    assert sum("Only in Stripe: Machine" in cause["text"] for cause in acme["causes"]) == 12
