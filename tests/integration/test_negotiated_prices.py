"""Negotiated prices from the files of a price book to the invoice, its explanation, its corrections and its FOCUS rows.

The list: a request costs 0.10, a GB 0.02 after 100 free ones, support 29.00 a month. September 2026.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError

from fly_billing.resources.price_books import load_price_book, read_price_book_files
from tests.builders import Platform, at, event, write_jsonl


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
        event(f"{name} {number}", quantity, subject=who, time=f"{day}T12:00:00Z")
        for number, (who, day, quantity) in enumerate(quantities)
    ]
    write_jsonl(platform.landing_dir, events, at("2026-09-30").date(), name)


ACME = """
negotiated:
  - {key: requests, organization: acme, unit_amount: 0.07, effective_from: 2026-09-16}
"""


def test_a_negotiated_price_cuts_the_usage_of_its_organization_only(platform: Platform) -> None:
    platform.add_organization("labs")
    load(platform, ACME)
    land(platform, *((who, day, "10") for who in ("acme", "labs") for day in ("2026-09-10", "2026-09-20")))
    platform.close()
    assert sorted(platform.amounts("usage")) == [Decimal("0.70"), Decimal("1.00")]
    assert platform.amounts("usage", organization="labs") == [Decimal("2.00")]
    cuts = platform.query(
        "select s.organization_id as name, count(*) as rollups from usage_rollups as r"
        " join usage_snapshots as s on s.id = r.snapshot_id group by 1 order by 1"
    )
    assert cuts == [{"name": "acme", "rollups": 2}, {"name": "labs", "rollups": 1}]


def test_every_mistake_of_the_files_is_named_at_once_with_file_line_and_key(tmp_path: Path) -> None:
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
        "  - {key: typo, unit_amont: 1}\n"
        "members_csv: {file: members.csv, each: {group: startups, organization: '{who}', effective_from: '{from}'}}\n",
        encoding="utf-8",
    )
    (folder / "b.yaml").write_text("negotiated: {}\n", encoding="utf-8")
    (folder / "members.csv").write_text("# who\nwho,from\nacme,2026-09-01\nlabs,soon\n", encoding="utf-8")
    with pytest.raises(ValueError) as refused:
        read_price_book_files(folder)
    first, second, third, fourth, fifth = str(refused.value).splitlines()
    assert first.startswith(f"{folder}/a.yaml: line 8: price fly/typo: unknown fields ['unit_amont']")
    assert second.startswith(f"{folder}/a.yaml: line 2: negotiated price fly/requests of acme: give either percent_off")
    assert third.startswith(f"{folder}/a.yaml: line 3: negotiated price fly/support of startups: percent_off 110 must")
    assert (
        fourth
        == f"{folder}/a.yaml: members.csv: line 4: member labs of group startups: effective_from 'soon' is no date"
    )
    assert fifth == f"{folder}/b.yaml: negotiated must be a list of entries with fields"


def test_what_the_billing_database_does_not_know_is_named_at_once_and_nothing_is_loaded(platform: Platform) -> None:
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
        "line 4: negotiated price fly/requests of group early from 2026-09-01 00:00: it is in EUR, the list price in"
        " USD",
        "line 3: negotiated price fly/requests of acne from 2026-09-01 00:00: there is no organization 'acne'",
    ]
    assert platform.query("select * from negotiated_prices") == []


def test_two_groups_with_a_price_for_one_key_at_a_time_are_refused_when_they_are_loaded(platform: Platform) -> None:
    text = (
        "negotiated:\n"
        "  - {key: requests, group: early, percent_off: 5, effective_from: 2026-09-01}\n"
        "  - {key: requests, group: schools, percent_off: 50, effective_from: 2026-09-16}\n"
        "members:\n"
        "  - {group: early, organization: acme, effective_from: 2026-01-01, effective_until: %s}\n"
        "  - {group: schools, organization: acme, effective_from: 2026-01-01}\n"
    )
    with pytest.raises(
        ValueError, match=r"acme is in two groups with a price for requests at a time: .*early.*schools"
    ):
        load(platform, text % "2026-09-17")
    load(platform, text % "2026-09-16")


def test_loading_again_changes_nothing_and_what_a_final_invoice_used_is_only_ended(platform: Platform) -> None:
    load(platform, ACME)
    land(platform, ("acme", "2026-09-20", "10"))
    platform.close()
    load(platform, ACME)
    with pytest.raises(DBAPIError, match=r"the negotiated price requests of acme .* was used by a finalized invoice"):
        load(platform, ACME.replace("0.07", "0.06"))
    load(platform, ACME.replace("}", ", effective_until: 2026-11-01}"))
    assert platform.query("select effective_until from negotiated_prices") == [{"effective_until": at("2026-11-01")}]
