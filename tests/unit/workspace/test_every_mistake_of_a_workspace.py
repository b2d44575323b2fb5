"""Every mistake of all files is reported at once: none hides another, and none causes a second line."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fly_billing.workspace.files import read_workspace
from fly_billing.workspace.reading import WorkspaceHasMistakes
from fly_billing.workspace.starter_files import STARTER

Parts = dict[str, list[dict[str, Any]]]

ORGANIZATIONS = [
    {"id": "acme", "name": "Acme", "currency": "USD", "price_book": "main", "country": "DE", "net_days": "30"},
    {"id": "labs", "name": "Labs", "currency": "USD", "price_book": "main", "country": "", "net_days": ""},
    {"id": "oslo", "name": "Oslo", "currency": "EUR", "price_book": "euro", "country": "", "net_days": ""},
]
FEE = {"product": "Support", "description": "Support", "unit": "month", "unit_amount": "29"}
# The price book `main`; `euro` has a price in euros.
PRICES: Parts = {
    "meters": [{"key": "requests", "name": "Requests", "unit": "request", "dimensions": ["region"]}],
    "prices": [
        {**FEE, "key": "support", "effective_from": "2026-01-01"},
        {**FEE, "key": "seats", "effective_from": "2026-01-01"},
        {**FEE, "key": "requests", "meter": "requests", "effective_from": "2026-01-01"},
    ],
}
TERMS: Parts = {
    "subscriptions": [
        {"organization": "acme", "price": "support", "started_at": "2026-01-01", "quantity": "2"},
        {"organization": "labs", "price": "seats", "started_at": "2026-01-01", "ended_at": "2026-05-01"},
    ],
    "coupons": [
        {"code": "TEN", "description": "Ten", "percent": "10"},
        {"code": "FIVE", "description": "Five", "amount": "5", "currency": "USD", "scope": {"price_keys": ["seats"]}},
    ],
    "discounts": [
        {"organization": "acme", "coupon": "TEN", "first_month": "2026-01"},
        {"organization": "labs", "coupon": "FIVE", "first_month": "2026-01", "last_month": "2026-03"},
    ],
    "credits": [{"organization": "acme", "description": "Gift", "amount": "5.00", "granted_at": "2026-01-01"}],
    "charges": [{"organization": "labs", "description": "Setup", "amount": "100", "occurred_at": "2026-01-15"}],
    "commitments": [
        {"organization": "acme", "description": "Least", "amount": "500", "first_month": "2026-01", "months": "3"},
    ],
    "taxes": [{"organization": "acme", "name": "VAT", "percent": "19", "first_month": "2026-01"}],
    "tax_customers": [{"organization": "acme", "first_month": "2026-01", "location": "DE"}],
    "links": [{"organization": "labs", "payer": "acme", "first_month": "2026-01"}],
    "negotiated": [
        {"book": "main", "key": "requests", "organization": "acme", "percent_off": "5", "effective_from": "2026-01-01"},
    ],
    "members": [{"group": "early", "organization": "labs", "effective_from": "2026-01-01"}],
}
SOURCES: Parts = {"sources": [{"name": "proxy", "meters": ["requests"], "cadence": "daily"}]}
PARTS: Parts = {"organizations": ORGANIZATIONS, **PRICES, **TERMS, **SOURCES}


@dataclass(frozen=True)
class Mistake:
    """Fields of an entry that are wrong (None: the field is missing), and the line that reports it."""

    part: str
    number: int
    fields: Mapping[str, Any]
    line: str

    def __str__(self) -> str:
        return f"{self.part} {self.number} {self.fields}"


# No two are about the same field.
MISTAKES = [
    Mistake("organizations", 0, {"net_days": "400"}, "organization acme: net_days 400 must be from 0 to 365"),
    Mistake("organizations", 0, {"country": "Germany"}, "organization acme: country 'Germany' is not an ISO 3166 code"),
    Mistake("organizations", 1, {"price_book": "mian"}, "organization labs: price_book 'mian' is neither a folder of"
            " price_book/ nor loaded (did you mean main?)"),
    Mistake("organizations", 1, {"name": ""}, "organization labs: name is missing"),
    Mistake("organizations", 2, {"currency": "eur"}, "organization oslo: currency 'eur' is not an ISO 4217 code"),
    Mistake("meters", 0, {"unit": None}, "meter requests: unit is missing"),
    Mistake("prices", 0, {"prise": "29"}, "price main/support: unknown field 'prise'"),
    Mistake("prices", 1, {"unit_amount": "0,0005"}, "price main/seats: unit_amount '0,0005' is not a number"),
    Mistake("prices", 2, {"meter": "request"}, "price requests: no meter 'request' (did you mean requests?)"),
    Mistake("prices", 2, {"description": None}, "price main/requests: description is missing"),
    Mistake("subscriptions", 0, {"price": "suport"}, "subscription acme/suport/2026-01-01: price 'suport' is not in"
            " price book main (did you mean support?)"),
    Mistake("subscriptions", 0, {"quantity": "0"}, "subscription acme/"),
    Mistake("subscriptions", 1, {"organization": "kivi"}, "organization 'kivi' is not in organizations.csv"),
    Mistake("subscriptions", 1, {"billed": "in_advnce"}, ": billed 'in_advnce' (did you mean in_advance?)"),
    Mistake("subscriptions", 1, {"ended_at": "2025-12-01"}, ": ended_at 2025-12-01 00:00 is not after started_at"),
    Mistake("coupons", 0, {"percent": "110"}, "coupon TEN: percent 110 must be above 0 and at most 100"),
    Mistake("coupons", 1, {"amount": "5.001"}, "coupon FIVE: amount 5.001 has too many decimals: USD has 2"),
    Mistake("coupons", 1, {"scope": {"price_keys": ["seat"]}}, "coupon FIVE: scope: price_keys seat: no price has that"
            " (did you mean seats?)"),
    Mistake("discounts", 0, {"coupon": "TENN"}, "discount acme/TENN/2026-01: there is no coupon 'TENN'"
            " (did you mean TEN?)"),
    Mistake("discounts", 1, {"organization": "lbas"}, "organization 'lbas' is not in organizations.csv"
            " (did you mean labs?)"),
    Mistake("discounts", 1, {"last_month": "2025-12"}, "it would end with 2025-12, before its first month 2026-01"),
    Mistake("credits", 0, {"amount": "x"}, "credit acme/Gift/2026-01-01: amount 'x' is not a number"),
    Mistake("credits", 0, {"currency": "EUR"}, "credit acme/Gift/2026-01-01 is in EUR, but acme is billed in USD"),
    Mistake("charges", 0, {"organization": "kiwi"}, "organization 'kiwi' is not in organizations.csv"),
    Mistake("charges", 0, {"occurred_at": "soon"}, ": occurred_at 'soon' is not a date"),
    Mistake("commitments", 0, {"moths": "3", "months": None}, "commitment acme/Least/2026-01: unknown field 'moths'"
            " (did you mean months?)"),
    Mistake("commitments", 0, {"amount": "-5"}, "commitment acme/Least/2026-01: amount -5 is below zero"),
    Mistake("taxes", 0, {"organization": "amce"}, "organization 'amce' is not in organizations.csv"),
    Mistake("taxes", 0, {"is_inclusive": "maybe"}, ": is_inclusive 'maybe' is not true or false"),
    Mistake("tax_customers", 0, {"location": "Berlin"}, "tax customer acme/2026-01: location 'Berlin' is not an ISO"),
    Mistake("links", 0, {"payer": "acm"}, "payer 'acm' is not in organizations.csv (did you mean acme?)"),
    Mistake("links", 0, {"first_month": "January"}, ": first_month 'January' is not a month"),
    Mistake("negotiated", 0, {"key": "reqests"}, "negotiated price main/reqests: the book has no such price"
            " (did you mean requests?)"),
    Mistake("negotiated", 0, {"percent_off": "110"}, ": percent_off 110 must be above 0 and at most 100"),
    Mistake("members", 0, {"organization": "lab"}, "group member early/lab/2026-01-01: organization 'lab' is not in"
            " organizations.csv (did you mean labs?)"),
    Mistake("sources", 0, {"meters": ["reqests"]}, "source proxy: no meter 'reqests' (did you mean requests?)"),
    Mistake("sources", 0, {"cadence": "dayly"}, "source proxy: cadence 'dayly' (did you mean daily?)"),
]  # fmt: skip


def yaml_of(parts: Parts) -> str:
    """Write a line for each entry. YAML reads it as Python writes it."""
    lines = []
    for part, entries in parts.items():
        listed = [{name: value for name, value in entry.items() if value is not None} for entry in entries]
        lines += [f"{part}:", *(f"  - {entry}" for entry in listed)]
    return "\n".join(lines) + "\n"


def write_workspace(folder: Path, parts: Parts) -> Path:
    """Write a workspace over the starter's."""
    shutil.copytree(STARTER, folder, dirs_exist_ok=True)
    with (folder / "organizations.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ORGANIZATIONS[0])
        writer.writeheader()
        writer.writerows(parts["organizations"])
    euro = {"prices": [{**FEE, "key": "hilfe", "currency": "EUR", "effective_from": "2026-01-01"}]}
    files = {"price_book/main/prices": PRICES, "price_book/euro/prices": euro, "terms": TERMS, "sources": SOURCES}
    for name, own in files.items():
        path = folder / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            yaml_of({part: parts.get(part, own[part]) if own is not euro else own[part] for part in own}), "utf-8"
        )
    return folder


def problems_of(folder: Path, planted: list[Mistake]) -> list[str]:
    parts = deepcopy(PARTS)
    for mistake in planted:
        parts[mistake.part][mistake.number] |= mistake.fields
    try:
        read_workspace(write_workspace(folder, parts))
    except WorkspaceHasMistakes as found:
        return list(found.problems)
    return []


def test_the_workspace_itself_has_no_mistakes(tmp_path: Path) -> None:
    assert problems_of(tmp_path, []) == []


@pytest.mark.parametrize("mistake", MISTAKES, ids=str)
def test_a_mistake_is_one_line_with_file_and_line(tmp_path: Path, mistake: Mistake) -> None:
    (problem,) = problems_of(tmp_path, [mistake])
    assert mistake.line in problem
    assert ": line " in problem.replace("organizations.csv", "")


@given(planted=st.lists(st.sampled_from(MISTAKES), unique_by=str))
def test_any_mistakes_together_are_all_reported_and_cause_no_others(
    tmp_path_factory: pytest.TempPathFactory, planted: list[Mistake]
) -> None:
    problems = problems_of(tmp_path_factory.mktemp("workspace"), planted)
    missing = [mistake.line for mistake in planted if not any(mistake.line in problem for problem in problems)]
    assert (missing, len(problems)) == ([], len(planted))


KIVI = Mistake("charges", 0, {"organization": "kivi"}, "organization 'kivi' is not in organizations.csv")


def problems_with(folder: Path, planted: list[Mistake], file: str, before: str, after: str) -> list[str]:
    """Return the problems after an edit of one file's text, beside the planted mistakes."""
    problems_of(folder, planted)
    path = folder / file
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after), encoding="utf-8")
    with pytest.raises(WorkspaceHasMistakes) as found:
        read_workspace(folder)
    return list(found.value.problems)


@pytest.mark.parametrize(
    ("file", "before", "after", "line"),
    [
        ("price_book/main/prices.yaml", "prices:", "prices: [", "price_book/main/prices.yaml: line "),
        ("price_book/main/prices.yaml", "{'key': 'requests', 'name'", "{'name'", "key is missing"),
        ("price_book/main/prices.yaml", "prices:", "price:", "unknown field 'price' in a price book's file"),
        ("terms.yaml", "coupons:", "coupon:", "unknown field 'coupon' in terms.yaml (did you mean coupons?)"),
        ("terms.yaml", "  - {'code': 'TEN', ", "  - TEN\n  - {'code': 'ELEVEN', ", "coupons must be a list of entries"),
        ("terms.yaml", "'code': 'TEN'", "'cood': 'TEN'", "unknown field 'cood' (did you mean code?)"),
        ("sources.yaml", "sources:", "sources: [", "sources.yaml: line "),
        ("fly_billing.yaml", "name: my-platform", "name: My Platform", "fly_billing.yaml: workspace My Platform: name"),
        ("organizations.csv", "currency,", "currencyy,", "line 1: unknown column 'currencyy' (did you mean currency?)"),
        ("organizations.csv", "price_book,", "pricebook,", "line 1: unknown column 'pricebook'"),
    ],
)
def test_a_file_that_can_t_be_read_in_full_hides_no_mistake_of_the_others(
    tmp_path: Path, file: str, before: str, after: str, line: str
) -> None:
    problems = problems_with(tmp_path, [KIVI], file, before, after)
    assert [problem for problem in problems if KIVI.line in problem] != []
    assert [problem for problem in problems if KIVI.line not in problem and line not in problem] == []


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        ("acme,Acme,USD", "acme,Acme", "organizations.csv: line 2: row 'acme,Acme,main,DE,30' has 5 fields"),
        ("acme,Acme", ",Acme", "organizations.csv: line 2: organization : id is missing"),
    ],
)
def test_an_organization_without_a_readable_id_may_be_any_that_terms_name(
    tmp_path: Path, before: str, after: str, line: str
) -> None:
    (problem,) = problems_with(tmp_path, [], "organizations.csv", before, after)
    assert problem.startswith(line)


def test_a_column_that_is_missing_is_one_line_for_all_rows(tmp_path: Path) -> None:
    problems_of(tmp_path, [])
    (tmp_path / "organizations.csv").write_text("id,currency,price_book\nacme,USD,main\nlabs,USD,main\n", "utf-8")
    with pytest.raises(WorkspaceHasMistakes) as found:
        read_workspace(tmp_path)
    assert found.value.problems == ("organizations.csv: line 1: column name is missing",)
