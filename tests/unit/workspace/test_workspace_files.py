"""A workspace's files are read as a whole: every mistake is one line, and a folder with a mistake gives nothing."""

from __future__ import annotations

import shutil
from decimal import Decimal
from pathlib import Path

import pytest

from fly_billing.pricing.rules.book_problems import BookPrices
from fly_billing.workspace.files import KnownPrices, Workspace, read_workspace
from fly_billing.workspace.reading import WorkspaceHasMistakes
from fly_billing.workspace.starter_files import STARTER

HEADER = "id,name,currency\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(STARTER, tmp_path / "workspace"))


def mistakes(folder: Path) -> list[str]:
    with pytest.raises(WorkspaceHasMistakes) as refused:
        read_workspace(folder)
    return str(refused.value).splitlines()


def read_terms(folder: Path, terms: str, organizations: str = "acme,Acme,USD\n") -> Workspace:
    (folder / "organizations.csv").write_text(HEADER + organizations, encoding="utf-8")
    (folder / "terms.yaml").write_text(terms, encoding="utf-8")
    return read_workspace(folder)


def term_mistakes(folder: Path, terms: str, organizations: str = "acme,Acme,USD\n") -> list[str]:
    with pytest.raises(WorkspaceHasMistakes) as refused:
        read_terms(folder, terms, organizations)
    return str(refused.value).splitlines()


def organization_mistakes(folder: Path, content: str | bytes) -> list[str]:
    path = folder / "organizations.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return mistakes(folder)


def test_the_starter_has_no_mistakes(folder: Path) -> None:
    workspace = read_workspace(folder)
    assert [(record.kind, record.key) for record in workspace.records] == [
        ("meter", "requests"),
        ("organization", "acme"),
        ("subscription", "acme/support/2026-01-01"),
        ("price", "main/requests/2026-01-01"),
        ("price", "main/support/2026-01-01"),
    ]
    assert [source.name for source in workspace.sources] == ["proxy"]


def test_every_commented_example_of_the_starter_can_be_used(folder: Path) -> None:
    path = folder / "terms.yaml"
    lines = path.read_text(encoding="utf-8").splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("# coupons"))
    path.write_text("\n".join(line.removeprefix("# ") for line in lines[first:]), encoding="utf-8")
    kinds = {record.kind for record in read_workspace(folder).records}
    assert kinds >= {"coupon", "discount", "tax", "credit", "charge", "commitment"}


def test_a_byte_order_mark_is_no_mistake(folder: Path) -> None:
    (folder / "organizations.csv").write_bytes(b"\xef\xbb\xbf" + HEADER.encode() + b"acme,Acme,USD\n")
    assert read_workspace(folder).organizations["acme"].name == "Acme"


def test_a_first_line_in_which_excel_names_the_comma_is_no_mistake(folder: Path) -> None:
    (folder / "organizations.csv").write_text(f"sep=,\n{HEADER}acme,Acme,USD\n", encoding="utf-8")
    assert read_workspace(folder).organizations["acme"].name == "Acme"


def test_windows_line_ends_and_a_byte_order_mark_in_yaml_are_no_mistakes(folder: Path) -> None:
    for name in ("terms.yaml", "organizations.csv", "price_book/main/prices.yaml"):
        content = (folder / name).read_bytes().replace(b"\n", b"\r\n")
        (folder / name).write_bytes(b"\xef\xbb\xbf" + content)
    assert len(read_workspace(folder).records) == 5


def test_a_row_without_a_price_book_has_the_only_one_and_its_amounts_the_organization_s_currency(folder: Path) -> None:
    workspace = read_terms(
        folder, "credits:\n  - {organization: acme, description: Launch, amount: 050.50, granted_at: 2026-01-01}\n"
    )
    (organization,) = (record for record in workspace.records if record.kind == "organization")
    (credit,) = (record for record in workspace.records if record.kind == "credit")
    assert organization.values == {"name": "Acme", "currency": "USD", "price_book": "main"}
    assert (credit.values["amount"], credit.values["currency"]) == ("50.5", "USD")
    assert workspace.terms["credit", credit.key].amount == Decimal("50.50")


def test_a_folder_that_is_no_workspace_is_refused_in_one_line(tmp_path: Path) -> None:
    assert mistakes(tmp_path) == [
        f"{tmp_path} is not a workspace: it has no fly_billing.yaml. `fly-billing init {tmp_path}` writes one"
    ]


def test_a_workspace_of_another_version_is_refused_in_one_line(folder: Path) -> None:
    (folder / "fly_billing.yaml").write_text("version: 2\nname: x\nnew_field: 1\n", encoding="utf-8")
    (folder / "terms.yaml").write_text("subscriptions: [{}]\n", encoding="utf-8")
    assert mistakes(folder) == [
        "fly_billing.yaml: line 1: this workspace is of version 2, but this fly-billing reads version 1: install a"
        " newer fly-billing, or, if it is a typing mistake, set `version: 1`"
    ]
    (folder / "fly_billing.yaml").write_text("name: x\n# Ours\nversion: 0.1\n", encoding="utf-8")
    assert mistakes(folder) == [
        "fly_billing.yaml: line 3: this workspace is of version 0.1, but this fly-billing reads version 1:"
        " set `version: 1`"
    ]
    (folder / "fly_billing.yaml").write_text("name: x\n", encoding="utf-8")
    assert mistakes(folder) == [
        "fly_billing.yaml: this workspace has no version, but this fly-billing reads version 1: add `version: 1`"
    ]


def test_mistakes_of_all_files_come_together_a_line_each(folder: Path) -> None:
    (folder / "fly_billing.yaml").write_text("version: 1\nname: My Platform\n", encoding="utf-8")
    (folder / "price_book/main/prices.yaml").write_text(
        "meters: [{key: requests, name: Requests, unit: request, agregation: sum}]\n"
        "prices:\n"
        "  - {key: support, product: Support, description: Support, unit: month, effective_from: 2026-01-01}\n",
        encoding="utf-8",
    )
    (folder / "organizations.csv").write_text(HEADER + "acme,Acme,usd\nACME,,USD\n", encoding="utf-8")
    (folder / "terms.yaml").write_text(
        "subscriptions:\n  - {organisation: acme, price: support, started_at: yesterday, quantity: x}\n",
        encoding="utf-8",
    )
    (folder / "sources.yaml").write_text("sources: [{name: proxy, meters: [request], cadence: dayly}]\n", "utf-8")
    found = mistakes(folder)
    beginnings = [line.partition(" ")[0] for line in found]
    assert beginnings == [
        "fly_billing.yaml:",
        "organizations.csv:",
        "organizations.csv:",
        "organizations.csv:",
        "terms.yaml:",
        "terms.yaml:",
        "terms.yaml:",
        "price_book/main/prices.yaml:",
        "price_book/main/prices.yaml:",
        "sources.yaml:",
        "sources.yaml:",
    ]
    assert "organizations.csv: line 3: organization ACME: name is missing" in found
    assert "terms.yaml: line 2: subscription support/yesterday: started_at 'yesterday' is not a date" in found
    assert any("unknown field 'organisation' (did you mean organization?)" in line for line in found)
    assert any("cadence 'dayly' (did you mean daily?)" in line for line in found)
    assert "organizations.csv: line 2: organization acme: currency 'usd' is not an ISO 4217 code" in found[1]
    assert "sources.yaml: line 1: source proxy: no meter 'request' (did you mean requests?)" in found


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("", "organizations.csv: it is empty: was it lost? A comment is enough"),
        ("\n \n", "organizations.csv: it is empty: was it lost? A comment is enough"),
        (
            "id;name;currency\nacme;Acme;USD\n",
            "organizations.csv: line 1: its columns are separated by semicolons: separate them by commas",
        ),
        (
            "sep=;\nid;name;currency\nacme;Acme;USD\n",
            "organizations.csv: line 1: its columns are separated by semicolons: separate them by commas",
        ),
        (
            "id\tname\tcurrency\nacme\tAcme\tUSD\n",
            "organizations.csv: line 1: its columns are separated by tabs: separate them by commas",
        ),
        (
            HEADER.encode() + "acme,Café,USD\n".encode("latin-1"),
            "organizations.csv: line 2: it is not UTF-8 (byte 0xe9): save it as UTF-8",
        ),
        (
            HEADER + "acme,Acme,USD,DE\n",
            "organizations.csv: line 2: row 'acme,Acme,USD,DE' has 4 fields, but the header has 3",
        ),
        ("id,name,currency,id\n", "organizations.csv: its header has 'id' more than once: keep one"),
    ],
)
def test_an_organizations_file_that_can_t_be_read_is_one_line(folder: Path, content: str | bytes, line: str) -> None:
    (folder / "terms.yaml").write_text("# none\n", encoding="utf-8")
    assert organization_mistakes(folder, content) == [line]


def test_a_terms_file_says_nothing_about_organizations_that_could_not_be_read(folder: Path) -> None:
    found = organization_mistakes(folder, "id;name;currency\nacme;Acme;USD\n")
    assert found == ["organizations.csv: line 1: its columns are separated by semicolons: separate them by commas"]


def test_an_unknown_column_is_named_with_the_one_that_was_meant(folder: Path) -> None:
    (line,) = organization_mistakes(folder, "id,name,currency,e-mail\nacme,Acme,USD,a@b.example\n")
    assert line.startswith("organizations.csv: line 1: unknown column 'e-mail' (did you mean email?); known are city, ")


def test_a_duplicate_id_names_both_lines(folder: Path) -> None:
    assert organization_mistakes(folder, HEADER + "acme,Acme,USD\nlabs,Labs,USD\nacme,Acme again,USD\n") == [
        "organizations.csv: line 4: organization acme is there twice, first in organizations.csv: line 2"
    ]


@pytest.mark.parametrize(
    ("terms", "line"),
    [
        (
            "subscriptions: [{organization: acme, price: suport, started_at: 2026-01-01}]",
            "subscription acme/suport/2026-01-01: price 'suport' is not in price book main (did you mean support?)",
        ),
        (
            "subscriptions: [{organization: acme, price: requests, started_at: 2026-01-01}]",
            "subscription acme/requests/2026-01-01: price 'requests' of book main is for usage: only a price without a"
            " meter is a fee",
        ),
        (
            "subscriptions: [{organization: acme, price: support, started_at: 2025-12-31}]",
            "subscription acme/support/2025-12-31: price 'support' has no version in force on 2025-12-31, from which"
            " the fee is charged",
        ),
        (
            "subscriptions: [{organization: amce, price: support, started_at: 2026-01-01}]",
            "subscription amce/support/2026-01-01: organization 'amce' is not in organizations.csv"
            " (did you mean acme?)",
        ),
        (
            "subscriptions: [{organization: acme, price: support, started_at: 2026-02-01, ended_at: 2026-01-01}]",
            "subscription acme/support/2026-02-01: ended_at 2026-01-01 00:00 is not after started_at 2026-02-01 00:00",
        ),
        (
            "subscriptions: [{organization: acme, price: support, started_at: 2026-01-01T10:00:00}]",
            "subscription acme/support/2026-01-01T10:00:00: started_at 2026-01-01 10:00:00 has no offset",
        ),
        (
            "subscriptions: [{organization: acme, price: support, started_at: 2026-01-01, billed: in_advnce}]",
            "subscription acme/support/2026-01-01: billed 'in_advnce' (did you mean in_advance?); known are in_arrears,"
            " in_advance",
        ),
        (
            "discounts: [{organization: acme, coupon: TEN, first_month: 2026-02, last_month: 2026-01}]\n"
            "coupons: [{code: TEN, description: Ten, percent: 10}]",
            "discount acme/TEN/2026-02: it would end with 2026-01, before its first month 2026-02",
        ),
        (
            "discounts: [{organization: acme, coupon: FIVE, first_month: 2026-01}]\n"
            "coupons: [{code: FIVE, description: Five, amount: 5.00, currency: EUR}]",
            "discount acme/FIVE/2026-01: coupon FIVE is in EUR, but acme is billed in USD",
        ),
        (
            "discounts: [{organization: acme, coupon: TENN, first_month: 2026-01}]\n"
            "coupons: [{code: TEN, description: Ten, percent: 10}]",
            "discount acme/TENN/2026-01: there is no coupon 'TENN' (did you mean TEN?)",
        ),
        (
            "credits: [{organization: acme, description: Gift, amount: 5.00, currency: EUR, granted_at: 2026-01-01}]",
            "credit acme/Gift/2026-01-01 is in EUR, but acme is billed in USD",
        ),
        (
            "charges: [{organization: acme, description: Setup, amount: 1_0, occurred_at: 2026-01-01}]",
            "charge acme/Setup/2026-01-01: amount '1_0' is not a number: write digits, such as 0.15 or 2592000",
        ),
        (
            "charges: [{organization: acme, description: Setup, occurred_at: 2026-01-01}]",
            "charge acme/Setup/2026-01-01: give either an amount, or a unit_amount with its quantity",
        ),
        (
            "links: [{organization: acme, payer: acme, first_month: 2026-01}]",
            "link acme/2026-01: acme can't be its own payer: it pays for itself without a link",
        ),
        (
            "negotiated: [{key: requests, organization: acme, percent_off: 110, effective_from: 2026-01-01}]",
            "negotiated price main/requests of acme: percent_off 110 must be above 0 and at most 100",
        ),
    ],
)  # fmt: skip
def test_a_wrong_term_is_one_line_with_file_line_key_and_field(folder: Path, terms: str, line: str) -> None:
    assert term_mistakes(folder, terms) == [f"terms.yaml: line 1: {line}"]


def test_the_same_term_twice_names_both_lines(folder: Path) -> None:
    entry = "  - {organization: acme, price: support, started_at: 2026-01-01}\n"
    assert term_mistakes(folder, f"subscriptions:\n{entry}{entry}") == [
        "terms.yaml: line 3: subscription acme/support/2026-01-01 is there twice, first in terms.yaml: line 2"
    ]
    named = entry.replace("}", ", key: second}")
    keys = [record.key for record in read_terms(folder, f"subscriptions:\n{entry}{named}").records]
    assert "acme/support/2026-01-01/second" in keys


def test_two_payers_of_one_organization_in_a_month_are_refused(folder: Path) -> None:
    links = (
        "links:\n"
        "  - {organization: labs, payer: acme, first_month: 2026-01, last_month: 2026-03}\n"
        "  - {organization: labs, payer: finch, first_month: 2026-03}\n"
        "  - {organization: finch, payer: labs, first_month: 2026-04}\n"
    )
    found = term_mistakes(folder, links, "acme,Acme,USD\nlabs,Labs,USD\nfinch,Finch,USD\n")
    assert found == [
        "terms.yaml: line 3: link labs/2026-03: labs has another payer then: labs/2026-01",
        "terms.yaml: line 3: link labs/2026-03: its payer is linked to labs then",
        "terms.yaml: line 4: link finch/2026-04: its payer is linked to finch then",
    ]


def test_a_misspelt_part_of_the_terms_is_named(folder: Path) -> None:
    (line,) = term_mistakes(folder, "subscription: []\n")
    assert line.startswith("terms.yaml: unknown field 'subscription' in terms.yaml (did you mean subscriptions?)")


def test_a_misspelt_or_missing_file_is_refused_because_all_that_it_named_would_end(folder: Path) -> None:
    (folder / "terms.yaml").rename(folder / "term.yml")
    assert mistakes(folder) == [
        "terms.yaml: there is no such file: without it, everything that it named would end",
        "term.yml: nothing reads this file (did you mean terms.yaml?)",
    ]


def test_yaml_that_is_none_names_its_line(folder: Path) -> None:
    (folder / "terms.yaml").write_text("subscriptions:\n  - {organization: acme\n", encoding="utf-8")
    (line,) = mistakes(folder)
    assert line.startswith("terms.yaml: line 3, column 1: ")


def test_an_organization_s_price_book_must_be_in_the_files_or_loaded(folder: Path) -> None:
    (folder / "terms.yaml").write_text("# none\n", encoding="utf-8")
    found = organization_mistakes(folder, "id,name,currency,price_book\nacme,Acme,USD,mian\nlabs,Labs,EUR,main\n")
    assert found == [
        "organizations.csv: line 2: organization acme: price_book 'mian' is neither a folder of price_book/ nor loaded"
        " (did you mean main?)",
        "organizations.csv: line 3: organization labs: it is billed in EUR, but price book main has no price in EUR",
    ]
    read_workspace_with = KnownPrices({"mian": BookPrices([])})
    (folder / "organizations.csv").write_text("id,name,currency,price_book\nacme,Acme,USD,mian\n", encoding="utf-8")
    assert read_workspace(folder, read_workspace_with).organizations["acme"].price_book == "mian"


def test_with_several_price_books_every_organization_names_its_own(folder: Path) -> None:
    (folder / "terms.yaml").write_text("# none\n", encoding="utf-8")
    shutil.copytree(folder / "price_book/main", folder / "price_book/second")
    assert organization_mistakes(folder, HEADER + "acme,Acme,USD\n") == [
        "organizations.csv: line 2: organization acme: price_book is missing: there is not just one in price_book/"
    ]
    shutil.copy(folder / "price_book/main/prices.yaml", folder / "price_book/prices.yaml")
    assert "price_book/prices.yaml: move it into a folder of price_book/, whose name is the book's" in mistakes(folder)


def test_with_several_price_books_a_negotiated_price_names_its_own(folder: Path) -> None:
    shutil.copytree(folder / "price_book/main", folder / "price_book/eu")
    (folder / "organizations.csv").write_text("id,name,currency,price_book\nacme,Acme,USD,main\n", encoding="utf-8")
    price = "organization: acme, effective_from: 2026-01-01, percent_off: 10"
    (folder / "terms.yaml").write_text(
        f"negotiated:\n  - {{key: requests, {price}}}\n  - {{key: requests, book: , {price}}}\n"
        f"  - {{key: , book: mian, {price}}}\n  - {{key: requests, book: [eu], {price}}}\n",
        encoding="utf-8",
    )
    assert mistakes(folder) == [
        "terms.yaml: line 2: negotiated price requests: book is missing: name the price book, one of eu, main",
        "terms.yaml: line 3: negotiated price requests: book is missing: name the price book, one of eu, main",
        "terms.yaml: line 4: negotiated price ?: book 'mian' is not in price_book/ (did you mean main?);"
        " known are eu, main",
        "terms.yaml: line 5: negotiated price requests: book ['eu'] is not in price_book/; known are eu, main",
    ]


def test_a_negotiated_price_of_a_workspace_without_price_books_has_no_book_to_name(folder: Path) -> None:
    shutil.rmtree(folder / "price_book")
    negotiated = "{key: requests, organization: acme, effective_from: 2026-01-01, percent_off: 10}"
    (folder / "terms.yaml").write_text(f"negotiated: [{negotiated}]\n", encoding="utf-8")
    assert "terms.yaml: line 1: negotiated price requests: there is no price book in price_book/" in mistakes(folder)


def test_an_amount_with_a_comma_is_one_mistake_that_shows_the_amount_to_write(folder: Path) -> None:
    (folder / "price_book/main/more.yaml").write_text(
        "prices:\n  - {key: addon, product: Add-ons, description: Add-on, unit: month, unit_amount: 0,0005,"
        " effective_from: 2026-01-01}\n",
        encoding="utf-8",
    )
    (folder / "terms.yaml").write_text(
        "charges:\n  - {organization: acme, description: Setup, amount: 0,50, occurred_at: 2026-01-15}\n"
        "negotiated:\n  - {key: requests, organization: acme, effective_from: 2026-01-01, unit_amount: 1,5}\n",
        encoding="utf-8",
    )
    assert sorted(mistakes(folder)) == [
        "price_book/main/more.yaml: line 2: price main/addon: unit_amount 0,0005: write a decimal point: 0.0005",
        "terms.yaml: line 2: charge acme/Setup/2026-01-15: amount 0,50: write a decimal point: 0.50",
        "terms.yaml: line 4: negotiated price main/requests of acme: unit_amount 1,5: write a decimal point: 1.5",
    ]


def test_books_share_a_meter_but_not_two_that_differ(folder: Path) -> None:
    shutil.copytree(folder / "price_book/main", folder / "price_book/second")
    (folder / "organizations.csv").write_text("id,name,currency,price_book\nacme,Acme,USD,main\n", encoding="utf-8")
    assert [record.key for record in read_workspace(folder).records if record.kind == "meter"] == ["requests"]
    path = folder / "price_book/second/prices.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("unit: request}", "unit: call}"), encoding="utf-8")
    assert mistakes(folder) == [
        "price_book/second/prices.yaml: line 5: meter requests differs from that of another book"
    ]


def test_a_price_of_an_unknown_meter_is_named_with_the_one_that_was_meant(folder: Path) -> None:
    path = folder / "price_book/main/prices.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("meter: requests", "meter: request"), encoding="utf-8")
    assert mistakes(folder) == [
        "price_book/main/prices.yaml: line 10: price requests: no meter 'request' (did you mean requests?)"
    ]


@pytest.mark.parametrize(
    ("terms", "named"),
    [
        ("coupons: [{code: TEN, description: Ten off, percent: 10, scope: {price_keys: [suport]}}]", "coupon TEN"),
        ("credits: [{organization: acme, description: Gift, amount: 5, granted_at: 2026-09-01,"
         " scope: {price_keys: [suport]}}]",
         "credit acme/Gift/2026-09-01"),
        ("taxes: [{organization: acme, name: VAT, tax: VAT, percent: 19, first_month: 2026-09,"
         " scope: {price_keys: [suport]}}]",
         "tax acme/VAT/2026-09"),
        ("commitments: [{organization: acme, kind: minimum, description: At least 50, amount: 50, first_month: 2026-09,"
         " scope: {price_keys: [suport]}}]", "commitment acme/minimum/At least 50/2026-09"),
    ],
)  # fmt: skip
def test_a_term_for_a_price_that_does_not_exist_is_refused(folder: Path, terms: str, named: str) -> None:
    """It would never apply: nobody would get the coupon or the credit, or pay the tax."""
    (mistake,) = term_mistakes(folder, terms)
    assert mistake == (
        f"terms.yaml: line 1: {named}: scope: price_keys suport: no price has that (did you mean support?)"
    )


def test_a_source_of_a_meter_in_a_book_with_mistakes_is_no_mistake(folder: Path) -> None:
    prices = folder / "price_book" / "main" / "prices.yaml"
    prices.write_text(prices.read_text(encoding="utf-8").replace("unit_amount", "unit_amuont"), encoding="utf-8")
    assert [mistake for mistake in mistakes(folder) if not mistake.startswith("price_book/main/")] == []


def test_an_address_without_a_country_is_refused(folder: Path) -> None:
    (folder / "terms.yaml").write_text("# none\n", encoding="utf-8")
    assert organization_mistakes(folder, "id,name,currency,city,country\nacme,Acme,USD,Berlin,\n") == [
        "organizations.csv: line 2: organization acme: an address needs its country"
    ]


def test_a_mistake_shows_invisible_characters(folder: Path) -> None:
    (line,) = term_mistakes(
        folder, 'subscriptions: [{organization: "ac\\u202eme", price: support, started_at: 2026-01-01}]'
    )
    assert "\u202e" not in line
