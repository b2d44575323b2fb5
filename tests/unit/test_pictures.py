"""The pictures in docs/ show the current project; `make pictures` makes all of them again."""

import json
import re
from importlib.resources import files
from pathlib import Path

import pytest

from fly_billing.finance import tables_reader
from tests.pictures.facts import asset_graph, labels_of, shown_by, shows

DOCS = Path(__file__).parents[2] / "docs"
PLOTS = {"bench_month": None, "soak": "months", "sync_pace": None, "chaos": None, "soak_continuous": None}
AGAIN = "is out of date: run `make pictures`"


def test_the_asset_graph_has_the_current_assets_checks_and_kinds() -> None:
    assert shown_by(DOCS / "asset_graph.png") == asset_graph(), f"asset_graph.png {AGAIN}"


@pytest.mark.parametrize("name", ["statement.png", "page.png"])
def test_the_statement_has_the_current_headings_and_labels(name: str) -> None:
    folder = files("fly_billing.statements.page")
    template = "".join(
        folder.joinpath(f"{part}.html.jinja").read_text(encoding="utf-8") for part in ("statement", "explorer")
    )
    fixed = [label for label in shown_by(DOCS / name)["labels"] if not re.search(r"\d{4}|\d [A-Z][a-z]{2}$", label)]

    missing = [label for label in fixed if label not in template]

    assert len(fixed) > 10
    assert not missing, f"{name} {AGAIN}"


def test_the_finance_report_has_the_headings_and_labels_of_today() -> None:
    labels = shown_by(DOCS / "finance_report.png")["labels"]
    columns = (*tables_reader.RECEIVABLES, *tables_reader.TAXES)
    assert {"Revenue", "Tax", "Not paid yet", *(column.heading for column in columns)} - {"Currency"} <= {
        *labels, "Currency"
    }, f"finance_report.png {AGAIN}"  # fmt: skip


@pytest.mark.parametrize("name", PLOTS)
def test_a_plot_shows_the_numbers_beside_it(name: str) -> None:
    data = json.loads((DOCS / f"{name}.json").read_text(encoding="utf-8"))
    part = PLOTS[name]

    assert shown_by(DOCS / f"{name}.png") == json.loads(shows(data[part] if part else data)["fly_billing"]), (
        f"{name}.png {AGAIN}"
    )


def test_every_picture_in_the_documents_is_checked() -> None:
    assert {path.stem for path in DOCS.glob("*.png")} == {
        "asset_graph", "statement", "page", "finance_report", *PLOTS,
    }  # fmt: skip


def test_labels_are_headings_and_column_titles_and_not_amounts() -> None:
    page = "<h2>Taxes</h2><table><thead><tr><th>Rate</th></tr></thead><tr><th>VAT 19 %</th><td>$1.00</td></tr></table>"

    assert labels_of(page) == ["Taxes", "Rate"]
