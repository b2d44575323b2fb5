"""Negotiated prices from the files of a price book to the invoice, its explanation, its corrections and its FOCUS rows.

The list: a request costs 0.10, a GB 0.02 after 100 free ones, support 29.00 a month. September 2026.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError
from typer.testing import CliRunner, Result

from fly_billing.cli.main import app
from fly_billing.corrections.changed_terms import undecided_changes
from fly_billing.corrections.correction import Actor
from fly_billing.corrections.correction_run import correct_month
from fly_billing.corrections.recalculation import find_corrections
from fly_billing.corrections.rules.causes import PRICE_VERSION
from fly_billing.corrections.rules.guard import OFF
from fly_billing.corrections.shadow_billing import shadow_bill
from fly_billing.errors import ActionableError
from fly_billing.focus.exports import export_focus
from fly_billing.pricing.price_books import PriceBookFiles, load_price_book, read_price_book_files
from fly_billing.pricing.rules.models import PerUnit
from fly_billing.statements.explanation_reader import read_explanation
from fly_billing.statements.statement_reader import read_statement
from tests.support.builders import METERS, REQUESTS, SEPTEMBER, Platform, at, event, id_of, write_jsonl
from tests.support.calculator import printed, redo
from tests.support.focus_rules import violations


def load(platform: Platform, text: str, **tables: str) -> None:
    """Load a file of the book `fly`, and tables beside it."""
    folder = platform.landing_dir.parent / "books" / "fly"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "negotiated.yaml").write_text(text, encoding="utf-8")
    for name, table in tables.items():
        (folder / f"{name}.csv").write_text(table, encoding="utf-8")
    book = read_price_book_files(folder)
    with platform.database.transaction() as connection:
        load_price_book(connection, book)


def land(platform: Platform, *quantities: tuple[str, str, str], name: str = "usage") -> None:
    """(organization, day, requests), each an event."""
    events = [
        event(f"{name} {number}", quantity, subject=organization, time=f"{day}T12:00:00Z")
        for number, (organization, day, quantity) in enumerate(quantities)
    ]
    write_jsonl(platform.landing_dir, events, at("2026-09-30").date(), name)


ACME = """
negotiated:
  - {key: requests, organization: acme, unit_amount: 0.07, effective_from: 2026-09-16}
"""


def test_a_negotiated_price_cuts_the_usage_of_its_organization_only(platform: Platform) -> None:
    platform.add_organization("labs")
    load(platform, ACME)
    land(
        platform,
        *((organization, day, "10") for organization in ("acme", "labs") for day in ("2026-09-10", "2026-09-20")),
    )
    platform.close()
    assert sorted(platform.amounts("usage")) == [Decimal("0.70"), Decimal("1.00")]
    assert platform.amounts("usage", organization="labs") == [Decimal("2.00")]
    cuts = platform.query(
        "select s.organization_id as name, count(*) as rollups from usage_rollups as r"
        " join usage_snapshots as s on s.id = r.snapshot_id group by 1 order by 1"
    )
    assert cuts == [{"name": "acme", "rollups": 2}, {"name": "labs", "rollups": 1}]


def test_all_mistakes_of_the_files_are_named_together_with_file_line_and_key(tmp_path: Path) -> None:
    folder = tmp_path / "fly"
    folder.mkdir()
    (folder / "a.yaml").write_text(
        "negotiated:\n"
        "  - {key: requests, organization: acme, effective_from: 2026-09-16}\n"
        "  - key: support\n"
        "    group: startups\n"
        "    percent_off: 110\n"
        "    effective_from: 2026-09-16\n"
        "prices:\n"
        "  - {key: typo, unit_amont: 1, product: P, description: D, unit: u, effective_from: 2026-09-16}\n"
        "members_csv: {file: members.csv, each: {group: startups, organization: '{who}', effective_from: '{from}'}}\n",
        encoding="utf-8",
    )
    (folder / "b.yaml").write_text("negotiated: {}\n", encoding="utf-8")
    (folder / "members.csv").write_text("# who\nwho,from\nacme,2026-09-01\nlabs,soon\n", encoding="utf-8")
    with pytest.raises(ValueError) as refused:
        read_price_book_files(folder)
    first, second, third, fourth, fifth = str(refused.value).splitlines()
    assert first.startswith(f"{folder}/a.yaml: line 8: price fly/typo: unknown field 'unit_amont'")
    assert second.startswith(f"{folder}/a.yaml: line 2: negotiated price fly/requests of acme: give either percent_off")
    assert third.startswith(f"{folder}/a.yaml: line 3: negotiated price fly/support of startups: percent_off 110 must")
    place = f"{folder}/a.yaml: members.csv: line 4"
    assert fourth == f"{place}: member labs of group startups: effective_from 'soon' is not a date (column from)"
    assert fifth == f"{folder}/b.yaml: negotiated must be a list of entries with fields"


def test_all_names_unknown_to_the_billing_database_are_listed_together_and_nothing_is_loaded(
    platform: Platform,
) -> None:
    with pytest.raises(ValueError) as refused:
        load(
            platform,
            "negotiated:\n"
            "  - {key: request, organization: acme, percent_off: 5, effective_from: 2026-09-01}\n"
            "  - {key: requests, organization: acne, percent_off: 5, effective_from: 2026-09-01}\n"
            "  - {key: requests, group: early, unit_amount: 1, currency: EUR, effective_from: 2026-09-01}\n"
            "  - {key: requests, organization: acme, percent_off: 5, effective_from: 2026-09-01}\n",
        )
    lines = [line.partition("negotiated.yaml: ")[2] for line in str(refused.value).splitlines()]
    assert lines == [
        "line 2: negotiated price fly/request of acme from 2026-09-01 00:00: price book fly has no price 'request'",
        "line 4: negotiated price fly/requests of group early from 2026-09-01 00:00: it is in EUR, but the list price"
        " is in USD",
        "line 3: negotiated price fly/requests of acne from 2026-09-01 00:00: there is no organization 'acne'",
    ]
    assert platform.query("select * from negotiated_prices") == []


def test_two_groups_with_prices_for_the_same_key_and_time_are_refused_when_loaded(platform: Platform) -> None:
    text = (
        "negotiated:\n"
        "  - {key: requests, group: early, percent_off: 5, effective_from: 2026-09-01}\n"
        "  - {key: requests, group: schools, percent_off: 50, effective_from: 2026-09-16}\n"
        "members:\n"
        "  - {group: early, organization: acme, effective_from: 2026-01-01, effective_until: %s}\n"
        "  - {group: schools, organization: acme, effective_from: 2026-01-01}\n"
    )
    with pytest.raises(
        ValueError, match=r"acme is in two groups with a price for requests at the same time: .*early.*schools"
    ):
        load(platform, text % "2026-09-17")
    load(platform, text % "2026-09-16")


def test_loading_again_changes_nothing_and_a_billed_price_can_only_be_ended(platform: Platform) -> None:
    load(platform, ACME)
    land(platform, ("acme", "2026-09-20", "10"))
    platform.close()
    load(platform, ACME)
    with pytest.raises(DBAPIError, match=r"the negotiated price requests of acme .* was used by a finalized invoice"):
        load(platform, ACME.replace("0.07", "0.06"))
    load(platform, ACME.replace("}", ", effective_until: 2026-11-01}"))
    assert platform.query("select effective_until from negotiated_prices") == [{"effective_until": at("2026-11-01")}]


THREE = """
negotiated:
  - {key: requests, group: startups, percent_off: 25, effective_from: 2026-09-16}
  - key: egress
    organization: acme
    model: graduated
    tiers: [{up_to: 100, unit_amount: 0.01}, {unit_amount: 0.005}]
    effective_from: 2026-01-01
  - {key: support, organization: acme, unit_amount: 20.00, effective_from: 2026-09-01, effective_until: 2026-10-01}
negotiated_csv:
  file: contracts.csv
  each: {key: "{price}", organization: "{who}", percent_off: "{off}", effective_from: "{from}"}
members:
  - {group: startups, organization: acme, effective_from: 2026-02-01}
"""


def a_month_with_three_negotiated_prices(platform: Platform) -> None:
    """10 and 20 requests in the halves of September, 150 GB, support.

    Charged: 1.00 + 20 x 0.10 - 25 % = 2.50 for requests, 100 x 0.01 + 50 x 0.005 = 1.25 for 150 GB, 20.00 for support.
    """
    load(platform, THREE, contracts="price,who,off,from\nmachines,acme,50,2026-09-01\n")
    platform.add_subscription("acme", "support", at("2026-08-01"))
    land(platform, ("acme", "2026-09-10", "10"), ("acme", "2026-09-20", "20"))
    gigabytes = event("gb", "150", type="egress_gb", region="ams", time="2026-09-20T12:00:00Z")
    write_jsonl(platform.landing_dir, [gigabytes], at("2026-09-30").date(), "egress")
    assert platform.close().failures == []


def test_a_month_is_billed_explained_stated_and_exported_by_negotiated_prices(
    platform: Platform, tmp_path: Path
) -> None:
    a_month_with_three_negotiated_prices(platform)
    assert platform.totals() == [2375]
    explained = {}
    for row in platform.query("select id, price_key, amount from invoice_items where negotiated_price_id is not null"):
        explanation = read_explanation(platform.database, row["id"]).explanation
        assert explanation.problems == ()
        explained[row["price_key"]] = (
            row["amount"],
            explanation.sums[-1].title,
            explanation.sums[-1].total,
            dict(explanation.facts),
        )
    # At the list price: 20 x 0.10; 50 x 0.02 past 100 free GB; 29.00.
    titles = {title for _, title, _, _ in explained.values()}
    assert titles == {"At the list price"}
    assert {key: (amount, total) for key, (amount, _, total, _) in explained.items()} == {
        "requests": (Decimal("1.5"), Decimal(2)),
        "egress": (Decimal("1.25"), Decimal(1)),
        "support": (Decimal(20), Decimal(29)),
    }
    facts = explained["requests"][3]
    assert facts["Negotiated"] == "25 % off the list price, agreed with group startups, in effect from 2026-09-16"
    assert facts["List price"] == "per_unit: unit_amount 0.10"
    assert facts["Charged by"] == "per_unit: unit_amount 0.075"
    assert (
        explained["support"][3]["Negotiated"]
        == "own price, agreed with acme, in effect from 2026-09-01 until 2026-10-01"
    )

    (month,) = [
        invoice
        for invoice in read_statement(platform.database, "acme", at("2026-10-05"), SEPTEMBER).invoices
        if invoice.items
    ]
    workings = {item.working for item in month.items}
    assert "20 requests x 0.075; 25 % off the list price since 2026-09-16 (2 at the list price)" in workings
    assert "1 month x 20; your negotiated price since 2026-09-01 (29 at the list price)" in workings

    with (tmp_path / "focus.csv").open("w+", newline="", encoding="utf-8") as file:
        export_focus(platform.database, SEPTEMBER, Path(file.name), overwrite=True)
    with (tmp_path / "focus.csv").open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
        assert violations(reader.fieldnames or [], rows) == []
    priced = ("SkuPriceId", "ContractedUnitPrice", "ListUnitPrice", "PricingQuantity", "ContractedCost", "ListCost")
    assert sorted([row[name] for name in priced] for row in rows) == [
        # 1.00 at the list price for 150 GB is 0.006666666667 a GB on average, as the list has no such tiers.
        ["egress|0 to 100", "0.01", "0.006666666667", "100", "1", "0.6666666667"],
        ["egress|above 100", "0.005", "0.006666666667", "50", "0.25", "0.33333333335"],
        ["requests", "0.075", "0.1", "20", "1.5", "2"],
        ["requests", "0.1", "0.1", "10", "1", "1"],
        ["support", "20", "29", "1", "20", "29"],
    ]
    assert sum(Decimal(row["BilledCost"]) for row in rows) == Decimal("23.75")


def test_rebilling_an_unchanged_month_books_nothing(platform: Platform) -> None:
    a_month_with_three_negotiated_prices(platform)
    platform.roll_up(now=at("2026-10-10"))
    with platform.database.transaction() as connection:
        found = find_corrections(connection, SEPTEMBER, ["acme"], platform.usage_table)
    assert (found.failures, found.needed) == ([], [])


def test_a_price_negotiated_for_a_closed_month_needs_a_decision_for_its_organization_only(platform: Platform) -> None:
    """September is final: 20 requests of acme and of labs at 0.10. Then acme gets 25 % off since 1 September."""
    platform.add_organization("labs")
    land(platform, ("acme", "2026-09-20", "20"), ("labs", "2026-09-20", "20"))
    platform.close()
    load(
        platform, "negotiated:\n  - {key: requests, organization: acme, percent_off: 25, effective_from: 2026-09-01}\n"
    )
    (asked,) = undecided_changes(platform.database)
    assert (asked.organization_id, asked.what) == ("acme", "negotiated price requests of acme was added")
    platform.roll_up(now=at("2026-10-10"))
    with platform.database.transaction() as connection:
        found = find_corrections(connection, SEPTEMBER, platform.organizations(), platform.usage_table)
    (correction,) = found.needed
    (difference,) = correction.differences
    assert (correction.payer.organization_id, difference.amount) == ("acme", Decimal("-0.50"))
    assert difference.causes == (PRICE_VERSION,)


def test_a_groups_price_or_late_membership_for_a_closed_month_needs_a_decision_for_each_member(
    platform: Platform,
) -> None:
    for name in ("labs", "shop"):
        platform.add_organization(name)
    land(platform, *((name, "2026-09-20", "20") for name in ("acme", "labs", "shop")))
    platform.close()
    members = (
        "members:\n"
        "  - {group: early, organization: acme, effective_from: 2026-09-01}\n"
        "  - {group: early, organization: labs, effective_from: 2026-10-01}\n"
    )
    load(platform, members)
    load(
        platform,
        "negotiated:\n  - {key: requests, group: early, percent_off: 5, effective_from: 2026-01-01}\n" + members,
    )
    assert [(row.about, row.what) for row in undecided_changes(platform.database)] == [
        ("acme", "membership in group early was added"),
        ("acme", "negotiated price requests of group early was added"),
    ]


def test_late_usage_of_a_closed_month_is_corrected_at_the_price_negotiated_for_it(platform: Platform) -> None:
    """25 % off until October, and 50 % since: 10 more requests of September cost 0.75."""
    load(
        platform,
        "negotiated:\n"
        "  - {key: requests, organization: acme, percent_off: 25, effective_from: 2026-01-01}\n"
        "  - {key: requests, organization: acme, percent_off: 50, effective_from: 2026-10-01}\n",
    )
    land(platform, ("acme", "2026-09-20", "20"))
    platform.close()
    land(platform, ("acme", "2026-09-21", "10"), name="late")
    platform.land(at("2026-09-30").date(), now=at("2026-10-10"))
    platform.roll_up(now=at("2026-10-10"))
    actor = Actor("ann", at("2026-10-10"))
    corrected = correct_month(platform.database, SEPTEMBER, ["acme"], platform.usage_table, actor, guard=OFF)
    assert [difference.amount for correction in corrected.booked for difference in correction.differences] == [
        Decimal("0.75")
    ]


def test_negotiated_prices_are_listed_and_a_bad_record_fails_only_its_organization(platform: Platform) -> None:
    platform.add_organization("labs")
    land(platform, ("acme", "2026-09-20", "20"), ("labs", "2026-09-20", "20"))
    platform.insert(
        "negotiated_prices", id=id_of("bad"), book="fly", key="requests", organization_id="labs",
        charges='{"percent_off": "ten"}', effective_from=at("2026-01-01"),
    )  # fmt: skip
    (failure,) = platform.close().failures
    assert (failure.organization_id, failure.error.code) == ("labs", "unreadable_price")
    assert "percent_off 'ten' is not a number" in failure.error.operator_text
    assert platform.totals() == [200]


@pytest.fixture
def command(platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run `fly-billing` on the platform."""
    url = platform.database.engine.url.render_as_string(hide_password=False)
    for name in ("DATABASE_URL", "DAGSTER_DATABASE_URL"):
        monkeypatch.setenv(name, url)
    monkeypatch.setenv("FLY_BILLING_DATA_DIR", str(tmp_path / "data"))
    return lambda *arguments: CliRunner().invoke(app, [*map(str, arguments)])


def test_the_commands_load_a_folder_and_show_each_organizations_prices(
    platform: Platform, tmp_path: Path, command: Callable[..., Result]
) -> None:
    platform.add_organization("labs")
    folder = tmp_path / "fly"
    folder.mkdir()
    (folder / "contracts.yaml").write_text(THREE.replace("negotiated_csv:", "x:").partition("x:")[0], encoding="utf-8")
    members = "members:\n  - {group: startups, organization: labs, effective_from: 2026-10-01}\n"
    (folder / "members.yaml").write_text(members, encoding="utf-8")
    assert "Also 3 negotiated prices and 1 group member" in " ".join(command("load-prices", folder).output.split())

    shown = json.loads(command("prices", "negotiated", "--json").output)["prices"]
    assert [
        (price["organization"], price["price"], price["from"][:10], price["of"], price["charges"]) for price in shown
    ] == [
        ("acme", "egress", "2026-01-01", "acme", "graduated: tiers up_to 100 unit_amount 0.01; unit_amount 0.005"),
        ("acme", "support", "2026-09-01", "acme", "per_unit: unit_amount 20.00"),
        ("labs", "requests", "2026-10-01", "group startups", "25 % off: per_unit: unit_amount 0.075"),
    ]
    assert {price["list_price"] for price in shown if price["price"] == "requests"} == {"per_unit: unit_amount 0.10"}
    at_the_end = json.loads(command("prices", "negotiated", "acme", "--at", "2026-10-01", "--json").output)["prices"]
    assert [price["price"] for price in at_the_end] == ["egress"]
    table = command("prices", "negotiated", "labs").output
    assert "group startups" in table
    assert "acme" not in table


def test_a_folder_with_mistakes_is_not_loaded_and_all_of_them_are_listed(
    platform: Platform, tmp_path: Path, command: Callable[..., Result]
) -> None:
    folder = tmp_path / "fly"
    folder.mkdir()
    text = ACME.replace("requests", "request") + ACME.partition(":")[2].replace("acme", "acne")
    (folder / "a.yaml").write_text(text, encoding="utf-8")
    refused = command("load-prices", folder)
    assert refused.exit_code == 1
    assert isinstance(refused.exception, ActionableError)
    assert str(refused.exception).splitlines()[0] == "nothing was loaded:"
    assert [word in str(refused.exception) for word in ("'request'", "'acne'", "line 3", "line 5")] == [True] * 4
    assert platform.query("select * from negotiated_prices") == []
    empty = command("load-prices", tmp_path / "nowhere")
    assert "nowhere has nothing to load" in str(empty.exception)


def test_a_late_price_for_the_middle_of_a_closed_month_splits_and_corrects_only_its_organization(
    platform: Platform,
) -> None:
    """10 requests in each half of September at 0.10, final. Then acme has 0.07 since the 16th: 0.30 less."""
    platform.add_organization("labs")
    land(
        platform,
        *((organization, day, "10") for organization in ("acme", "labs") for day in ("2026-09-10", "2026-09-20")),
    )
    platform.close()
    load(platform, ACME)
    actor = Actor("ann", at("2026-10-10"))
    rolled_up = platform.roll_up(now=actor.at)
    assert rolled_up.changed == 1
    by_itself = correct_month(
        platform.database, SEPTEMBER, platform.organizations(), platform.usage_table, actor, guard=OFF
    )
    assert [correction.differences for correction in by_itself.booked] == []
    assert [correction.payer.organization_id for correction in by_itself.undecided] == ["acme"]
    by_hand = correct_month(
        platform.database, SEPTEMBER, platform.organizations(), platform.usage_table, actor, guard=OFF, with_terms=True
    )
    found = [
        (correction.payer.organization_id, difference.amount)
        for correction in by_hand.booked
        for difference in correction.differences
    ]
    assert found == [("acme", Decimal("-0.30"))]
    again = correct_month(
        platform.database, SEPTEMBER, platform.organizations(), platform.usage_table, actor, guard=OFF, with_terms=True
    )
    assert again.needed == []


def test_a_payers_invoice_has_each_organization_at_its_own_prices(platform: Platform) -> None:
    """labs is paid for by acme: 10 requests of acme at the list's 0.10, 10 of labs at its own 0.04."""
    platform.add_organization("labs")
    platform.link("labs", "acme")
    load(platform, ACME.replace("acme", "labs").replace("0.07", "0.04").replace("2026-09-16", "2026-09-01"))
    land(platform, ("acme", "2026-09-20", "10"), ("labs", "2026-09-20", "10"))
    platform.close()
    assert sorted(platform.amounts("usage")) == [Decimal("0.40"), Decimal(1)]


def test_an_organization_that_changed_its_price_book_keeps_the_prices_negotiated_over_the_old_book(
    platform: Platform,
) -> None:
    """acme leaves `fly` for a book in which a request costs 1.00, from October on; late usage of September is cut and
    priced at its negotiated prices over `fly`: 10 at 0.10 and 10 + 10 at 0.07."""
    load(platform, ACME)
    dear = replace(REQUESTS, book="dear", model=PerUnit(Decimal(1)))
    with platform.database.transaction() as connection:
        load_price_book(connection, PriceBookFiles("dear", METERS, [dear]))
    land(platform, ("acme", "2026-09-10", "10"), ("acme", "2026-09-20", "10"))
    platform.close()
    platform.execute("update organizations set price_book = 'dear' where id = 'acme'")
    land(platform, ("acme", "2026-09-21", "10"), name="late")
    platform.land(at("2026-09-30").date(), now=at("2026-10-10"))
    platform.roll_up(now=at("2026-10-10"))
    actor = Actor("ann", at("2026-10-10"))
    corrected = correct_month(platform.database, SEPTEMBER, ["acme"], platform.usage_table, actor, guard=OFF)
    assert (
        corrected.failures,
        [difference.amount for correction in corrected.booked for difference in correction.differences],
    ) == (
        [],
        [Decimal("0.70")],
    )


def test_shadow_billing_keeps_percentages_and_takes_them_off_the_other_book(platform: Platform) -> None:
    """25 % off 20 requests: 1.50 at the list's 0.10, and 3.00 at the 0.20 of the other book."""
    load(
        platform, "negotiated:\n  - {key: requests, organization: acme, percent_off: 25, effective_from: 2026-01-01}\n"
    )
    land(platform, ("acme", "2026-09-20", "20"))
    platform.close()
    other = PriceBookFiles("fly", METERS, [replace(REQUESTS, model=PerUnit(Decimal("0.20")))])
    (difference,) = shadow_bill(platform.database, SEPTEMBER, other).differences
    assert (difference.billed_cents, difference.recalculated_cents, difference.shadow_cents) == (150, 150, 300)


@pytest.mark.parametrize("price", ["unit_amount: 0.07, minimum: 5", "percent_off: 33.3", "model: flat, flat_amount: 3"])
def test_a_calculator_gives_the_amount_and_the_amount_at_the_list_price(platform: Platform, price: str) -> None:
    load(platform, f"negotiated:\n  - {{key: requests, organization: acme, {price}, effective_from: 2026-01-01}}\n")
    land(platform, ("acme", "2026-09-20", "50"))
    platform.close()
    (row,) = platform.query("select id, amount from invoice_items where negotiated_price_id is not null")
    redone = redo(printed(read_explanation(platform.database, row["id"]).explanation))
    assert redone["Amount"].total == Fraction(row["amount"])
    assert redone["At the list price"].total == 5  # 50 x 0.10
