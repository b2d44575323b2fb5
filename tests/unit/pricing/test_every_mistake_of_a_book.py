"""Every mistake of a price book's files is reported at once: none hides another, and none causes a second line."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fly_billing.pricing.book_reading import read_book

Book = dict[str, list[dict[str, Any]]]


def usage(key: str, meter: str, **fields: Any) -> dict[str, Any]:
    return fee(key, meter=meter, **fields)


def fee(key: str, **fields: Any) -> dict[str, Any]:
    fields = {"unit_amount": "1.50", "effective_from": "2026-01-01", **fields}
    return {"key": key, "product": "Product", "description": key, "unit": "unit", **fields}


BOOK: Book = {
    "meters": [
        {"key": "requests", "name": "Requests", "unit": "request", "dimensions": ["region"]},
        {"key": "egress", "name": "Egress", "unit": "GB"},
    ],
    "prices": [
        usage("requests", "requests"),
        usage("requests", "requests", effective_from="2026-05-01"),
        usage("requests-ams", "requests", match={"region": ["ams"]}),
        usage("transfer", "egress", effective_until="2026-03-01"),
        usage("egress", "egress", effective_from="2026-03-01", free_allowance="10", allowance_with="support"),
        fee("support"),
        fee("support", effective_from="2026-06-01"),
        fee("yearly", interval="year"),
        fee("yearly", interval="year", effective_from="2026-07-01"),
        fee("seats", minimum="10", maximum="20", model="graduated", tiers=[{"unit_amount": "5"}], unit_amount=None),
    ],
    "taxes": [{"key": "vat", "tax": "VAT", "percent": "19", "first_month": "2026-01", "price_keys": ["support"]}],
    "reservations": [
        {
            "key": "block", "description": "Block", "upfront_amount": "100", "monthly_credit": "10", "months": "12",
            "meter": "requests", "bound_to": "region", "effective_from": "2026-01-01",
        },
    ],
    "negotiated": [
        {"key": "requests", "organization": "acme", "percent_off": "5", "effective_from": "2026-01-01"},
        {"key": "support", "group": "early", "unit_amount": "1", "effective_from": "2026-01-01"},
    ],
    "members": [{"group": "early", "organization": "acme", "effective_from": "2026-01-01"}],
}  # fmt: skip


@dataclass(frozen=True)
class Mistake:
    """Fields of an entry that are wrong (None: the field is missing), and the line that reports it."""

    part: str
    number: int
    fields: Mapping[str, Any]
    line: str

    def plant(self, book: Book) -> None:
        book[self.part][self.number] |= self.fields

    def __str__(self) -> str:
        return f"{self.part} {self.number} {self.fields}"


# No two are about the same field.
MISTAKES = [
    Mistake("meters", 0, {"unit": None}, "meter requests: unit is missing"),
    Mistake("meters", 1, {"agregation": "sum"}, "meter egress: unknown field 'agregation' in a meter"
            " (did you mean aggregation?)"),
    Mistake("prices", 0, {"unit_amount": "0,15"}, "price fly/requests: unit_amount '0,15' is not a number"),
    Mistake("prices", 0, {"description": None}, "price fly/requests: description is missing"),
    Mistake("prices", 1, {"effective_from": "2026-01-01"}, "price requests from 2026-01-01 00:00 is there twice"),
    Mistake("prices", 2, {"match": {"regoin": ["ams"]}}, "price requests-ams: match names regoin, which is not a"
            " dimension of meter requests, so it would never apply (did you mean region?)"),
    Mistake("prices", 2, {"per": "0"}, "price fly/requests-ams: per must be above 0"),
    Mistake("prices", 3, {"effective_until": None}, "prices egress and transfer fit the same egress from 2026-03-01"),
    Mistake("prices", 4, {"allowance_with": "suport"}, "price egress: allowance_with 'suport' is not a fee of the book"
            " (did you mean support?)"),
    Mistake("prices", 4, {"unit_amount": None, "unit_amuont": "1"}, "price fly/egress: unknown field 'unit_amuont'"
            " in a per_unit price (did you mean unit_amount?)"),
    Mistake("prices", 5, {"unit_amount": None}, "price fly/support: unit_amount is missing"),
    Mistake("prices", 6, {"currency": "EUR"}, "price support: its versions are in EUR and USD"),
    Mistake("prices", 7, {"at_zero": "itme"}, "price fly/yearly: at_zero 'itme' (did you mean item?)"),
    Mistake("prices", 8, {"interval": "quarter"}, "price yearly: the versions of price 'yearly' are by the quarter"),
    Mistake("prices", 9, {"minimum": "30"}, "price fly/seats: minimum 30 is above maximum 20"),
    Mistake("prices", 9, {"tiers": [{"up_to": "3", "unit_amount": "5"}]}, "price fly/seats: "),
    Mistake("taxes", 0, {"price_keys": ["suport"]}, "tax rate vat: price_keys suport: no price has that"
            " (did you mean support?)"),
    Mistake("taxes", 0, {"percent": "all"}, "tax rate fly/vat: percent 'all' is not a number"),
    Mistake("reservations", 0, {"months": "x"}, "reservation fly/block: months 'x' is not a whole number"),
    Mistake("reservations", 0, {"bound_to": "regoin"}, "reservation block: match names regoin"),
    Mistake("negotiated", 0, {"percent_off": "110"}, "negotiated price fly/requests of acme: percent_off 110 must be"),
    Mistake("negotiated", 0, {"effective_from": "soon"}, "price fly/requests of acme: effective_from 'soon'"),
    Mistake("negotiated", 1, {"unit_amount": "x"}, "negotiated price fly/support of early: unit_amount 'x'"),
    Mistake("members", 0, {"effective_from": "soon"}, "member acme of group early: effective_from 'soon' is not a"),
]  # fmt: skip
# The line of a file that an entry of a book is on.
LINES = {
    (part, number): line
    for line, (part, number) in enumerate(
        ((part, number) for part, entries in BOOK.items() for number in range(-1, len(entries))), start=1
    )
}


def text_of(book: Book) -> str:
    """Write a line for each entry. YAML reads it as Python writes it."""
    lines = []
    for part, entries in book.items():
        lines.append(f"{part}:")
        for entry in entries:
            lines.append(f"  - { ({name: value for name, value in entry.items() if value is not None}) }")
    return "\n".join(lines)


def problems_of(folder: Path, planted: list[Mistake]) -> list[str]:
    book = deepcopy(BOOK)
    for mistake in planted:
        mistake.plant(book)
    path = folder / "fly" / "book.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text_of(book), encoding="utf-8")
    return [problem.removeprefix(f"{path}: ") for problem in read_book(path.parent).problems]


def test_the_book_itself_has_no_mistakes(tmp_path: Path) -> None:
    assert problems_of(tmp_path, []) == []


@pytest.mark.parametrize("mistake", MISTAKES, ids=str)
def test_a_mistake_is_one_line_with_the_line_of_its_entry(tmp_path: Path, mistake: Mistake) -> None:
    (problem,) = problems_of(tmp_path, [mistake])
    assert problem.startswith(f"line {LINES[mistake.part, mistake.number]}: ") or "the other is in" in problem
    assert mistake.line in problem


@given(planted=st.lists(st.sampled_from(MISTAKES), unique_by=str))
def test_any_mistakes_together_are_all_reported_and_cause_no_others(
    tmp_path_factory: pytest.TempPathFactory, planted: list[Mistake]
) -> None:
    problems = problems_of(tmp_path_factory.mktemp("book"), planted)
    missing = [mistake.line for mistake in planted if not any(mistake.line in problem for problem in problems)]
    assert (missing, len(problems)) == ([], len(planted))


def test_an_unreadable_file_hides_no_mistake_of_the_others_and_names_in_it_may_exist(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("prices: [\n", encoding="utf-8")
    (tmp_path / "b.yaml").write_text(
        "meters: [{key: requests, name: Requests, unit: request}]\nprices:\n"
        f"  - {usage('requests', 'requests', free_allowance='10', allowance_with='plan', unit_amount='x')}\n"
        f"  - {usage('calls', 'requests')}\n",
        encoding="utf-8",
    )
    first, second, third = read_book(tmp_path).problems
    assert first.startswith(f"{tmp_path / 'a.yaml'}: line 2, column 1: ")
    assert "unit_amount 'x' is not a number" in second
    assert "prices calls and requests fit the same requests" in third
