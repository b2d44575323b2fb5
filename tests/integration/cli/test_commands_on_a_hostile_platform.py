"""Every command prints and writes the names of customers, sources and price books as plain text."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
import unicodedata
from html.parser import HTMLParser
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

from fly_billing.cli.main import app
from tests.support.builders import CLOSED, REQUESTS, Platform, event, write_jsonl
from tests.support.full_month import bill_full_month

COMMAND = Path(sys.executable).with_name("fly-billing")
RED, BACKWARDS = "\x1b[31m\x1b]0;title\x07", "\u202e\u2066\u200b"
EVIL = (
    f"=cmd|' /C calc'!A0 [red]acme[/] {RED}{BACKWARDS} | **b** [pay](http://example.com) <!channel>"
    " </script><script>alert(1)</script><img src=x onerror=alert(1)> $x^2$ {{ 7*7 }} %s\nWhat to do: pay"
)

# The arguments that each command is tried with; none changes the platform. `{page}` and `{csv}` are files to write.
TRIED = {
    "statement": (
        ["acme"],
        ["acme", "2026-09"],
        ["acme", "--json"],
        ["acme", "2026-09", "--html", "{page}"],
        ["acme", "2026-09", "--pdf", "{pdf}"],
    ),
    "totals": ([], ["acme"], ["--json"]),
    "explain": (["acme", "2026-09"], ["acme", "2026-09", "1", "--events", "--all"], ["acme", "2026-09", "1", "--json"]),
    "prices negotiated": ([], ["acme"], ["acme", "--json"], [EVIL]),
    "prices check": (["{book}"], [EVIL]),
    "prices show": ([], ["--book", "{book}"], ["--book", EVIL], ["--json"]),
    "prices diff": (["fly", "{book}"], ["{book}", "fly", "--json"], [EVIL, EVIL]),
    "prices quote": (
        ["requests", "12500"],
        [EVIL, EVIL],
        ["requests", EVIL, "--share", EVIL],
        ["requests", "5", "--json"],
    ),
    "prices books": ([], ["--json"]),
    "init": (["{shop}"],),
    "plan": (["{hostile}"], ["{hostile}", "--json"], [EVIL]),
    "read-platform": (["{hostile}", "--dry-run"], ["{hostile}", "--dry-run", "--json"], [EVIL]),
    "corrections": (["2026-09"], ["2026-09", "--json"]),
    "rebill": (["acme", "2026-09", "--dry-run"], ["acme", "2026-09", "--dry-run", "--json"]),
    "shadow": (["2026-09", "--price-book", "{book}", "--instead-of", "fly"],),
    "finance months": ([], ["--json"]),
    "finance revenue": (["2026-09"], ["2026-09", "--by", "organization"], ["2026-09", "--json"]),
    "finance taxes": (["2026-09"],),
    "finance receivables": ([], ["--csv", "{owed}"]),
    "finance credits": ([], ["acme"], ["--csv", "{credits}"]),
    "finance journal": (["2026-09"], ["2026-09", "--json"]),
    "finance recognized": ([],),
    "finance close-period": (["2026-08"],),
    "ledger": ([], ["acme"], ["acme", "2026-09", "--json"], [EVIL]),
    "compare": (["2026-09", "{past}", "--report", "{signed}", "--csv", "{compared}"], ["2026-09", "{past}", "--json"]),
    "history": (["acme", "2026-09"], [EVIL, "2026-09"]),
    "export-focus": (["2026-09", "--out", "{csv}"],),
    "land": (["--repair"],),
    "invalid-invoices": ([],),
    "rejected": ([], ["2026-10"], ["--list"], ["--json", "--list"], ["--csv", "{rows}"]),
    "status": ([], ["--json"]),
    "health": ([],),
    "waive": (
        ["--source", EVIL, "--reason", EVIL, "--by", EVIL, "--because", EVIL],
        ["--row", EVIL, "--by", EVIL, "--because", EVIL],
    ),
    "spend-alert add": (["acme", "250"], [EVIL, "250"], ["acme", "250", "--app", EVIL], ["acme", EVIL]),
    "spend-alert list": ([], ["acme"], [EVIL]),
    "spend-alert messages": ([], ["acme", "--given-up"], [EVIL]),
    "spend-alert replay": ([], ["acme", "--since", EVIL], [EVIL, "--sent"]),
    "spend-alert subscribe": (["acme"], [EVIL]),
    "spend-alert set-address": (["acme", "a@example.com"], ["acme", EVIL], [EVIL, "a@example.com"]),
    "spend-alert remove-address": (["acme"], [EVIL]),
    "spend-alert remove": (["acme", "250"], ["acme", "250", "--app", EVIL]),
    "spend-cap set": (["acme", "250"], [EVIL, "250"], ["acme", EVIL]),
    "spend-cap list": ([], ["acme"], [EVIL]),
    "spend-cap acknowledge": (["acme"], [EVIL]),
    "spend-cap remove": (["acme"], [EVIL]),
    "token issue": (
        ["acme", "--name", EVIL],
        ["acme", "--name", "site", "--scopes", EVIL],
        ["--role", EVIL, "--name", "x"],
    ),
    "page-link": (["acme"], ["acme", "--json"], [EVIL]),
    "revoke-page-link": ([EVIL],),
    "token list": ([], ["acme"], ["--json"], [EVIL]),
    "token revoke": ([EVIL],),
    "token rotate": ([EVIL],),
    "reserve": (["acme", EVIL, EVIL],),
    "org add": (["labs", EVIL, "--dry-run"],),
    "org list": ([], ["--closed", "--json"]),
    "org show": (["acme"], ["acme", "--json"], [EVIL]),
    "org rename": (["acme", EVIL, "--dry-run"],),
    "org change": (["acme", "--book", "fly", "--dry-run"],),
    "org close": (["acme", "--at", "2027-01-01", "--dry-run"],),
    "org reopen": (["acme", "--dry-run"],),
    "org details": (["acme", "--memo", EVIL, "--dry-run"],),
    "charge": (["acme", "5.00", EVIL, "--dry-run"],),
    "credit grant": (["acme", "5.00", EVIL, "--dry-run", "--why", EVIL],),
    "coupon give": (["acme", EVIL],),
    "commit": (["acme", "5.00", "--description", EVIL, "--dry-run"],),
    "tax add": (["acme", EVIL, "19", "--dry-run", "--json"],),
    "group list": ([], ["acme", "--past", "--json"], [EVIL]),
    "tax status": (["acme", "--kind", "business", "--dry-run"],),
    "approve-corrections": (["2026-09", "--total", "1.00", "--by", EVIL, "--why", EVIL],),
    "test": (["{case}", "--jobs", "1"], ["{case}", "--json"], [EVIL]),
    "apply": (["{hostile}", "--yes", "--by", EVIL, "--why", EVIL],),
}
# Commands that start servers or Dagster, which have their own tests, or that show no text written by others.
NOT_TRIED = {
    "demo": "the sample platform's own names", "dev": "starts the UI", "migrate": "names migrations",
    "seed": "the sample platform's own names", "load-prices": "counts of the shipped book",
    "import-focus": "test_focus_import", "bill": "prints what failed: test_failure_causes", "backfill": "as bill",
    "sync": "prints what failed, as bill", "approve": "names a month and a total", "reconcile": "test_reconciling",
    "repair": "test_repairing", "webhooks": "a server", "serve-usage": "a server", "api": "a server",
    "usage-token": "a token; refused as an argument otherwise", "credit-note": "test_credit_note_commands",
    "refund": "as credit-note", "approve-credit": "as credit-note", "send-credit": "as credit-note",
    "withdraw-credit": "as credit-note", "alert-test": "a fixed text",
    "stripe-sandbox fault": "breaks a server",
    "stripe-sandbox do": "changes a server", "stripe-sandbox actions": "names actions",
    "stripe-sandbox faults": "names effects", "stripe-sandbox clear": "a fixed text",
    "subscribe": "refused as coupon give", "change-plan": "as subscribe", "cancel": "as subscribe",
    "coupon add": "as coupon give", "link": "as coupon give", "price override": "as coupon give",
    "group join": "as coupon give", "group leave": "as coupon give",
    "finance report": "names a file", "prices schema": "a fixed text", "clean": "names folders",
}  # fmt: skip


class Tags(HTMLParser):
    """The elements of a page, with their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.handlers: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on")]


@pytest.fixture
def hostile(platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Platform:
    """September is final, and every name that others can choose is an attack."""
    bill_full_month(platform)
    day = CLOSED.date()
    write_jsonl(platform.landing_dir, [event(f"late {EVIL}", "7"), {"subject": EVIL}], day, "late")
    platform.land(day, now=CLOSED)
    for table in ("organizations", "meters"):
        platform.execute(f"alter table {table} disable trigger user")
        platform.execute(f"update {table} set name = :evil", evil=EVIL)  # noqa: S608 two constants
    for table in ("prices", "invoice_items", "credit_grants", "coupons", "one_off_items"):
        platform.execute(f"alter table {table} disable trigger user")
        platform.execute(f"update {table} set description = :evil", evil=EVIL)  # noqa: S608 constants
    url = platform.database.engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("DAGSTER_DATABASE_URL", url)
    monkeypatch.setenv("FLY_BILLING_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("FLY_BILLING_LINK_SECRET", "x" * 32)
    monkeypatch.setenv("FLY_BILLING_LAKE_DIR", str(platform.usage_table.path))
    monkeypatch.setenv("FLY_BILLING_LANDING_DIR", str(platform.landing_dir))
    return platform


def commands() -> set[str]:
    """List every command as it is typed, subcommands after the name of their group."""
    named = set()
    for name, command in vars(typer.main.get_command(app))["commands"].items():
        named |= {f"{name} {inner}" for inner in command.commands} if hasattr(command, "commands") else {name}
    return named


def test_every_command_is_tried_or_excluded_with_a_reason() -> None:
    assert commands() == TRIED.keys() | NOT_TRIED.keys()
    assert not TRIED.keys() & NOT_TRIED.keys()


# Words after `1` and a noun that end in s.
NO_PLURALS = {"adds", "as", "differs", "has", "is", "its", "less", "returns", "this", "waits", "was"}


def plurals_of_one(printed: str) -> list[str]:
    """Return each `1 invoices` of a text."""
    found = re.findall(r"(?<![\d.,:/-])1 (?:[a-z-]+ )?([a-z-]+s)\b", printed)
    return [word for word in found if word not in NO_PLURALS]


def test_a_plural_of_one_is_found() -> None:
    assert plurals_of_one("1 invoices, 1 open invoices, 11 rows, $0.1 cents, 1 row is bad, 1 invoice") == [
        "invoices",
        "invoices",
    ]


def output_of(arguments: list[str]) -> str:
    """Return everything that a command prints; if it refuses, as a separate process prints it."""
    done = CliRunner().invoke(app, arguments)
    if done.exception is None or isinstance(done.exception, SystemExit):
        return done.output
    process = subprocess.run(
        [COMMAND, *arguments], capture_output=True, text=True, timeout=600, check=False, encoding="utf-8"
    )
    assert "Traceback" not in process.stderr, process.stderr
    return process.stdout + process.stderr


def write_hostile_workspace(folder: Path) -> None:
    """Write a workspace that names acme otherwise, and charges it for an attack."""
    folder.mkdir()
    (folder / "fly_billing.yaml").write_text("{version: 1, name: hostile}", encoding="utf-8")
    (folder / "organizations.csv").write_text("id,name,currency,price_book\nacme,Acme,USD,fly\n", encoding="utf-8")
    charge = {"organization": "acme", "description": EVIL, "amount": "5", "occurred_at": "2026-10-01"}
    (folder / "terms.yaml").write_text(json.dumps({"charges": [charge]}), encoding="utf-8")


def write_hostile_case(folder: Path) -> None:
    """Write a billing test that charges for an attack, and expects another one."""
    folder.mkdir()
    charge = {"organization_id": "acme", "description": EVIL, "amount": "5", "currency": "USD"}
    item = [{"description": f"another {EVIL}", "cents": 5}]
    steps = [
        {"row": {"one_off_items": {**charge, "occurred_at": "2026-09-10T00:00:00Z"}}}, {"close": "2026-09"},
        {"items": {"acme": {"2026-09": item}, EVIL: {"2026-09": item}}}, {"sql": EVIL},
    ]  # fmt: skip
    (folder / "case.json").write_text(json.dumps({"steps": steps}), encoding="utf-8")


def test_no_command_prints_or_writes_control_characters_or_active_content(hostile: Platform, tmp_path: Path) -> None:
    files = {"{page}": tmp_path / "page.html", "{csv}": tmp_path / "focus.csv", "{book}": tmp_path / "book"}
    files["{pdf}"] = tmp_path / "invoice.pdf"
    files |= {f"{{{name}}}": tmp_path / f"{name}.csv" for name in ("rows", "owed", "credits", "compared")}
    files |= {"{signed}": tmp_path / "signed.html", "{past}": tmp_path / f"past{BACKWARDS}[red]acme[_].json"}
    files["{book}"].mkdir()
    old = {"id": "in_1", "number": EVIL, "currency": "usd", "created": 1_791_000_000, "total": 1, "status": "paid"}
    past = [
        {**old, "customer": EVIL},
        {**old, "id": "in_2", "customer": "cus", "metadata": {"organization": "acme"}},
        EVIL,
    ]
    files["{past}"].write_text(json.dumps(past), encoding="utf-8")
    data = json.dumps({"prices": [{**REQUESTS.to_data(), "description": EVIL}]})
    (files["{book}"] / "prices.yaml").write_text(data, encoding="utf-8")
    files |= {"{shop}": tmp_path / "shop", "{hostile}": tmp_path / "hostile", "{case}": tmp_path / "case"}
    write_hostile_case(files["{case}"])
    write_hostile_workspace(files["{hostile}"])
    seen: dict[str, bool] = {}
    for command, uses in TRIED.items():
        for arguments in uses:
            printed = output_of([*command.split(), *(str(files.get(argument, argument)) for argument in arguments)])
            acts = {
                character for character in printed if unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp")
            } - {"\n"}
            assert acts == set(), (command, arguments, printed)
            assert not any(line.strip(" │").startswith("What to do: pay") for line in printed.splitlines()), command
            assert plurals_of_one(printed) == [], (command, arguments, printed)
            seen[command] = seen.get(command, False) or "[red]acme[/]" in "".join(printed.split())
    shown = {command for command, was_run in seen.items() if was_run}
    assert shown >= {
        "statement",
        "explain",
        "compare",
        "spend-alert add",
        "reserve",
        "rejected",
        "status",
        "finance revenue",
    }  # it reached the output

    for page in ("{page}", "{signed}"):
        html = files[page].read_text(encoding="utf-8")
        tags = Tags(html)
        assert tags.handlers == []
        assert not {"img", "script"} & set(tags.found)
        assert "{{ 7*7 }}" in html
    pdf = files["{pdf}"].read_bytes()
    assert pdf.startswith(b"%PDF-")
    assert [active for active in (b"/JavaScript", b"/JS", b"/URI", b"/Launch") if active in pdf] == []
    for name in ("{csv}", "{rows}", "{owed}", "{credits}", "{compared}"):
        with files[name].open(encoding="utf-8", newline="") as exported:
            cells = [cell for row in csv.reader(exported) for cell in row]
        assert any("=cmd" in cell for cell in cells)
        assert not any(cell.startswith("=") for cell in cells)
