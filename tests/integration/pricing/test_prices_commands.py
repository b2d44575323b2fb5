"""`fly-billing prices`: books are checked, shown, compared and tried, as folders and as they are loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from fly_billing.cli.main import app
from fly_billing.cli.price_books import BookNotNamed, NoSuchPrice
from fly_billing.corrections.price_loading import PriceBookNotLoaded, load_prices
from fly_billing.pricing.loaded_books import NoSuchPriceBook
from tests.support.builders import Platform
from tests.support.full_month import bill_full_month

BOOK = """\
meters: [{key: requests, name: Requests, unit: request}]
prices:
  - key: requests
    meter: requests
    product: Requests
    description: API requests
    unit: request
    model: graduated
    free_allowance: 1000
    tiers: [{up_to: 10000, unit_amount: 0.002}, {unit_amount: 0.001}]
    effective_from: 2026-01-01
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "prices.yaml").write_text(BOOK, encoding="utf-8")
    return folder


@pytest.fixture
def loaded(platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Platform:
    url = platform.database.engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("DAGSTER_DATABASE_URL", url)
    monkeypatch.setenv("FLY_BILLING_DATA_DIR", str(tmp_path / "data"))
    return platform


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["prices", *map(str, arguments)])


def data(*arguments: object) -> Any:
    return json.loads(run(*arguments, "--json").stdout)


def edit(folder: Path, before: str, after: str) -> None:
    text = (folder / "prices.yaml").read_text(encoding="utf-8")
    assert before in text
    (folder / "prices.yaml").write_text(text.replace(before, after), encoding="utf-8")


def test_a_right_book_passes_without_a_database(mine: Path) -> None:
    done = run("check", mine)
    assert done.exit_code == 0, done.output
    assert "no mistakes. 1 meter, 1 price version in USD" in " ".join(done.output.split())


def test_every_mistake_of_every_folder_is_a_line_with_its_place_and_a_suggestion(mine: Path, tmp_path: Path) -> None:
    edit(mine, "model: graduated", "model: graduate")
    edit(mine, "meters: [{key: requests", "meters: [{key: requests, aggregation: summ")
    done = run("check", mine, tmp_path)
    printed = " ".join(done.output.split())
    assert done.exit_code == 1
    assert "line 1: meter requests: aggregation 'summ' is none of sum, count" in printed
    assert "(did you mean sum?)" in printed
    assert "line 3: price mine/requests: model 'graduate' (did you mean graduated?)" in printed
    assert "2 mistakes" in printed
    assert "it has no .yaml file" in printed


def test_a_meter_of_another_book_is_a_note(mine: Path) -> None:
    edit(mine, "meters: [{key: requests, name: Requests, unit: request}]", "")
    done = run("check", mine)
    assert done.exit_code == 0
    assert "no meter 'requests' in this folder: load the book that has it first" in " ".join(done.output.split())


def test_a_price_of_an_unknown_meter_is_not_loaded_and_the_meter_that_was_meant_is_named(
    loaded: Platform, mine: Path
) -> None:
    edit(mine, "    meter: requests", "    meter: reqests")
    with pytest.raises(PriceBookNotLoaded, match=r"no meter 'reqests' \(did you mean requests\?\)"):
        load_prices(loaded.database, mine)
    assert loaded.query("select from prices where book = 'mine'") == []


def test_a_quote_shows_each_step_of_a_quantity(mine: Path) -> None:
    """12,500 requests: 1,000 free, 10,000 at 0.002 are 20, 1,500 at 0.001 are 1.50."""
    found = data("quote", "requests", "12500", "--book", mine)
    assert (found["amount"], found["allowance_used"], found["currency"]) == ("21.5", "1000", "USD")
    assert [(step["quantity"], step["amount"]) for step in found["steps"]] == [("10000", "20"), ("1500", "1.5")]
    printed = run("quote", "requests", "12500", "--book", mine).output
    assert "21.5 USD, before the invoice rounds its total" in printed


def test_a_quote_takes_a_share_of_the_allowance_and_a_time(mine: Path) -> None:
    """Half of the allowance: 500 free, 500 at 0.002."""
    assert data("quote", "requests", "1000", "--book", mine, "--share", "1/2")["amount"] == "1"
    early = run("quote", "requests", "1000", "--book", mine, "--at", "2025-12-31")
    assert isinstance(early.exception, NoSuchPrice)


@pytest.mark.parametrize("wrong", [["-5"], ["1e400"], ["many"], ["5", "--share", "1/0"], ["5", "--share", "half"]])
def test_a_quantity_that_can_not_be_rated_is_refused_in_a_sentence(mine: Path, wrong: list[str]) -> None:
    arguments = ["quote", "requests", "--book", mine, "--", *wrong] if wrong == ["-5"] else None
    done = run(*(arguments or ["quote", "requests", *wrong, "--book", mine]))
    assert "of requests can't be rated: " in str(done.exception)


def test_an_unknown_key_or_book_is_refused_with_a_suggestion(loaded: Platform, mine: Path) -> None:
    assert "(did you mean requests?)" in str(run("quote", "request", "5", "--book", mine).exception)
    done = run("quote", "requests", "5", "--book", "flyy")
    assert isinstance(done.exception, NoSuchPriceBook)
    assert "'flyy' is neither a folder nor a loaded price book (did you mean fly?); loaded are fly" in str(
        done.exception
    )


def test_a_quote_needs_no_name_of_a_book_if_only_one_has_the_price(loaded: Platform, mine: Path) -> None:
    """2,000 calls, of which 1,000 are free, cost 2 by the only book with calls. Then both books have support."""
    edit(mine, "key: requests\n    meter", "key: calls\n    meter")
    load_prices(loaded.database, mine)
    assert data("quote", "calls", "2000")["amount"] == "2"
    assert data("quote", "support", "1")["book"] == "fly"
    unknown = run("quote", "suppord", "1").exception
    assert str(unknown) == "none of the books fly, mine has a price suppord (did you mean support?)"
    edit(mine, "key: calls", "key: support")
    load_prices(loaded.database, mine)
    both = run("quote", "support", "1").exception
    assert isinstance(both, BookNotNamed)
    assert str(both) == "several books have a price support: name one with --book: fly, mine"
    assert str(run("show").exception) == "several books are loaded: name one with --book: fly, mine"


def test_the_prices_of_a_loaded_book_are_shown_by_word_and_time(loaded: Platform) -> None:
    assert {price["key"] for price in data("show")} >= {"requests", "support"}
    assert {price["key"] for price in data("show", "req")} == {"requests"}
    assert data("show", "--at", "2000-01-01") == []


def test_loaded_books_are_listed_with_their_organizations(loaded: Platform, mine: Path) -> None:
    edit(mine, "unit: request\n", "unit: request\n    currency: EUR\n")
    load_prices(loaded.database, mine)
    loaded.add_organization("beta", "EUR")
    loaded.execute("update organizations set price_book = 'mine' where id = 'beta'")
    found = {book["book"]: book for book in data("books")}
    assert found["mine"] == {
        "book": "mine", "currencies": ["EUR"], "keys": 1, "versions": 1, "in_force": 1, "organizations": 1,
    }  # fmt: skip
    assert found["fly"]["organizations"] == 1


def test_a_difference_names_fields_and_what_final_invoices_used(loaded: Platform, mine: Path) -> None:
    """September's final invoices used `requests` of the book fly, so the version can't be edited any more."""
    bill_full_month(loaded)
    done = run("diff", "fly", mine)
    assert done.exit_code == 1
    changes = {change["price"]: change for change in data("diff", "fly", mine)}
    assert (changes["requests"]["kind"], changes["requests"]["is_used"]) == ("changed", True)
    assert "final invoices used it" in " ".join(done.output.split())


def test_equal_books_have_no_difference(mine: Path) -> None:
    done = run("diff", mine, mine)
    assert (done.exit_code, done.output.strip()) == (0, "Both have the same prices.")


def test_the_schema_is_printed_for_editors() -> None:
    assert json.loads(run("schema").stdout)["$schema"] == "https://json-schema.org/draft/2020-12/schema"
