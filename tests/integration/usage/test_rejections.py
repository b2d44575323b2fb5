"""Rejected usage stays listed, with the money at stake, until it is fixed or a person waives it with a reason."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from fly_billing.cli.rejected import as_data, write_csv_file
from fly_billing.embedded_postgres import PostgresServer, create_database, drop_database
from fly_billing.errors import ActionableError
from fly_billing.pricing.price_books import PriceBookFiles, load_price_book
from fly_billing.pricing.rules.aggregations import Aggregation
from fly_billing.pricing.rules.meters import Meter
from fly_billing.statements.page import statement_page
from fly_billing.statements.statement_reader import read_statement
from fly_billing.usage.rejections import (
    NothingToWaive,
    RejectedGroup,
    RowPlace,
    list_rows,
    list_unresolved,
    waive,
)
from tests.support.builders import (
    CLOSED,
    DAY,
    EGRESS,
    METERS,
    NOW,
    OCTOBER,
    PRICES,
    REQUESTS,
    SEPTEMBER,
    WRITERS,
    Platform,
    event,
    price,
    write_csv,
    write_jsonl,
    write_text,
)

NEXT_DAY = date(2026, 9, 16)
NAIVE = "2026-09-15T12:00:00"


def unresolved(platform: Platform) -> dict[tuple[str, str], RejectedGroup]:
    return {(group.source, group.reason): group for group in list_unresolved(platform.database)}


def money(platform: Platform) -> dict[tuple[str, str], str]:
    return {key: group.estimate.in_words() for key, group in unresolved(platform).items()}


@pytest.mark.parametrize("form", WRITERS)
def test_the_money_at_stake_is_calculated_at_the_organizations_prices(platform: Platform, form: str) -> None:
    """3 requests at $0.10 and 10 GB at $0.02: the 100 free GB may already be used."""
    usage = [
        event("e1", "5"),
        event("e2", "3", time=NAIVE),
        event("e3", "10", type="egress_gb"),
        event("e4", "-1"),
        event("e1", "7"),
    ]
    WRITERS[form](platform.landing_dir, usage)
    platform.land()
    source = f"usage.{form}"
    assert money(platform) == {
        (source, "bad_time"): "$0.30",
        (source, "missing_dimension"): "$0.20",
        (source, "negative_quantity"): "unknown",
        (source, "conflicting_duplicate"): "$0.70",
    }
    assert {group.organizations for group in unresolved(platform).values()} == {("acme",)}


def test_rows_whose_organization_can_not_be_read_are_counted_and_their_money_is_unknown(platform: Platform) -> None:
    """The source and the reason are those of acme's row, so they share a group: only acme's $0.30 is known."""
    usage = [event("e1", "3", time=NAIVE), event("e2", "4", subject=None), event("e3", "5", subject="nobody")]
    write_text(platform.landing_dir, DAY, "broken.jsonl", "{\n")
    write_jsonl(platform.landing_dir, usage)
    platform.land()
    groups = unresolved(platform)
    assert money(platform) == {
        ("broken.jsonl", "bad_json"): "unknown",
        ("usage.jsonl", "bad_time"): "$0.30",
        ("usage.jsonl", "missing_field"): "unknown",
        ("usage.jsonl", "unknown_organization"): "unknown",
    }
    assert groups["broken.jsonl", "bad_json"].unnamed_rows == 1
    assert groups["usage.jsonl", "missing_field"].unnamed_rows == 1
    assert groups["usage.jsonl", "unknown_organization"].organizations == ("nobody",)


def test_known_and_unknown_money_of_one_reason_are_shown_together(platform: Platform) -> None:
    write_jsonl(platform.landing_dir, [event("e1", "3", time=NAIVE), event("e2", "-1", time=NAIVE)])
    platform.land()
    assert money(platform) == {("usage.jsonl", "bad_time"): "$0.30 (unknown for 1 row)"}


def test_two_sources_with_the_same_reason_are_two_groups_and_a_daily_file_is_one_source(platform: Platform) -> None:
    platform.add_organization("labs")
    write_jsonl(platform.landing_dir, [event("e1", "1", time=NAIVE)], name="proxy-0915")
    write_jsonl(platform.landing_dir, [event("e2", "2", time=NAIVE, subject="labs")], NEXT_DAY, "proxy-0916")
    write_csv(platform.landing_dir, [event("e3", "4", time=NAIVE)], name="edge")
    platform.land(DAY, NEXT_DAY)
    proxy, edge = unresolved(platform)["proxy-#.jsonl", "bad_time"], unresolved(platform)["edge.csv", "bad_time"]
    assert (proxy.rows, proxy.organizations, proxy.first_day, proxy.last_day) == (2, ("acme", "labs"), DAY, NEXT_DAY)
    assert (edge.rows, edge.organizations, edge.first_day, edge.last_day) == (1, ("acme",), DAY, DAY)
    assert (proxy.estimate.in_words(), edge.estimate.in_words()) == ("$0.30", "$0.40")


def test_usage_of_a_meter_that_is_no_sum_has_no_estimate_and_a_count_counts_rows(platform: Platform) -> None:
    """Two pings at $0.50 are $1.00 with any quantity. A peak of 9 is not 9 more."""
    meters = (
        *METERS,
        Meter("pings", "Pings", "ping", Aggregation("count")),
        Meter("peak", "Peak", "user", Aggregation("max")),
    )
    prices = (*PRICES, price("pings", "0.50", "pings"), price("peak", "1.00", "peak"))
    with platform.database.transaction() as connection:
        load_price_book(connection, PriceBookFiles("fly", meters, prices))
    pings = [event(name, "9", type="pings", time=NAIVE) for name in ("e1", "e2")]
    write_jsonl(platform.landing_dir, pings, name="pings")
    write_jsonl(platform.landing_dir, [event("e3", "9", type="peak", time=NAIVE)], name="peaks")
    platform.land()
    assert money(platform) == {("pings.jsonl", "bad_time"): "$1.00", ("peaks.jsonl", "bad_time"): "unknown"}


def test_a_fixed_file_that_lands_again_resolves_its_rows(platform: Platform) -> None:
    write_jsonl(platform.landing_dir, [event("e1", "3", time=NAIVE)])
    platform.land()
    assert money(platform) == {("usage.jsonl", "bad_time"): "$0.30"}
    write_jsonl(platform.landing_dir, [event("e1", "3")])
    platform.land()
    assert money(platform) == {}


def test_a_waiver_resolves_the_rows_of_one_source_and_reason_and_records_its_author_and_reason(
    platform: Platform,
) -> None:
    write_jsonl(platform.landing_dir, [event("e1", "3", time=NAIVE), event("e2", "-1")])
    write_csv(platform.landing_dir, [event("e3", "4", time=NAIVE)], name="edge")
    platform.land()
    waived = waive(platform.database, "ann", "a test of the proxy", NOW, source="usage.jsonl", reason="bad_time")
    assert waived == 1
    assert money(platform) == {("edge.csv", "bad_time"): "$0.40", ("usage.jsonl", "negative_quantity"): "unknown"}
    assert platform.query("select path, line, reason, waived_by, waived_at, because from rejected_usage_waivers") == [
        {
            "path": "usage.jsonl",
            "line": 1,
            "reason": "bad_time",
            "waived_by": "ann",
            "waived_at": NOW,
            "because": "a test of the proxy",
        }
    ]
    assert len(platform.rejected()) == 3  # the rows are kept


def test_a_waiver_does_not_cover_rows_that_land_later(platform: Platform) -> None:
    """The same source and reason the next day, and another row in place of a waived one, need new decisions."""
    write_jsonl(platform.landing_dir, [event("e1", "3", time=NAIVE)], name="proxy-15")
    platform.land()
    waive(platform.database, "ann", "a test", NOW, source="proxy-#.jsonl", reason="bad_time")
    write_jsonl(platform.landing_dir, [event("e2", "5", time=NAIVE)], NEXT_DAY, "proxy-16")
    platform.land(NEXT_DAY)
    assert money(platform) == {("proxy-#.jsonl", "bad_time"): "$0.50"}
    write_jsonl(platform.landing_dir, [event("e1", "8", time=NAIVE)], name="proxy-15")
    platform.land()
    assert money(platform) == {("proxy-#.jsonl", "bad_time"): "$1.30"}


def test_a_waived_row_stays_waived_when_its_day_lands_again_unchanged(platform: Platform) -> None:
    write_jsonl(platform.landing_dir, [event("e1", "3", time=NAIVE)])
    platform.land()
    waive(platform.database, "ann", "a test", NOW, row=RowPlace.parse(f"{DAY}/usage.jsonl:1"))
    write_csv(platform.landing_dir, [event("e2", "1")], name="another")
    platform.land()
    assert money(platform) == {}


def test_a_waiver_of_a_file_that_can_not_be_read_covers_this_content_only(platform: Platform) -> None:
    write_text(platform.landing_dir, DAY, "usage.parquet", b"no parquet")
    platform.land()
    place = RowPlace(DAY, "usage.parquet", 0)
    assert waive(platform.database, "ann", "a truncated copy", NOW, row=place) == 1
    assert money(platform) == {}
    write_text(platform.landing_dir, DAY, "usage.parquet", b"no parquet either")
    platform.land()
    assert [group.rows for group in unresolved(platform).values()] == [1]


def test_a_waiver_needs_a_person_and_a_reason_and_rows_to_waive(platform: Platform) -> None:
    write_jsonl(platform.landing_dir, [event("e1", "3", time=NAIVE)])
    platform.land()
    place = RowPlace(DAY, "usage.jsonl", 1)
    with pytest.raises(ActionableError, match="needs a person and a reason"):
        waive(platform.database, "ann", "  ", NOW, row=place)
    with pytest.raises(ActionableError, match="needs a person and a reason"):
        waive(platform.database, "", "a test", NOW, row=place)
    with pytest.raises(ActionableError, match="name the rows to waive"):
        waive(platform.database, "ann", "a test", NOW, source="usage.jsonl")
    with pytest.raises(NothingToWaive):
        waive(platform.database, "ann", "a test", NOW, source="usage.jsonl", reason="bad_quantity")
    assert waive(platform.database, "ann", "a test", NOW, row=place) == 1
    with pytest.raises(NothingToWaive):
        waive(platform.database, "ann", "a test", NOW, row=place)


def test_rejected_usage_belongs_to_the_month_of_its_time_or_else_of_its_landing_day(platform: Platform) -> None:
    """2 of September landed in October. A row without a credible time belongs to the month of its landing day."""
    late = event("e1", "2", type="egress_gb", time="2026-09-30T23:59:59Z")
    write_jsonl(platform.landing_dir, [late, event("e2", "5", time=NAIVE)], CLOSED.date())
    platform.land(CLOSED.date(), now=CLOSED)
    september, october = (
        [(group.reason, group.estimate.in_words()) for group in list_unresolved(platform.database, month)]
        for month in (SEPTEMBER, OCTOBER)
    )
    assert september == [("missing_dimension", "$0.04")]
    assert october == [("bad_time", "$0.50")]
    assert waive(
        platform.database, "ann", "a test", NOW, source="usage.jsonl", reason="bad_time", month=OCTOBER
    ) == 1  # fmt: skip


def test_times_and_quantities_that_postgres_can_not_store_are_rejected_like_others(platform: Platform) -> None:
    """The row is recorded with any numbers, and the others land."""
    usage = [
        event("e1", "1"),
        event("e2", "1", time="0001-01-01T00:00:00Z"),
        event("e3", "1", time="9999-12-31T23:59:59Z"),
        event("e4", "100000000000000000000"),
        event("e5", "1", type="egress_gb", time=NAIVE, region="a\u0000b"),
    ]
    write_jsonl(platform.landing_dir, usage)
    (file,) = platform.land()
    assert (file.accepted, file.rejected) == (1, 4)
    assert [row.quantity for row in list_rows(platform.database)] == [Decimal(1), Decimal(1), None, Decimal(1)]


def test_a_negotiated_discount_lowers_the_money_at_stake(platform: Platform) -> None:
    """Half off $0.10, for 4 requests."""
    platform.insert(
        "negotiated_prices", id="00000000-0000-0000-0000-000000000001", book="fly", key="requests",
        organization_id="acme", charges='{"percent_off": "50"}', effective_from=NOW.replace(month=1),
    )  # fmt: skip
    write_jsonl(platform.landing_dir, [event("e1", "4", time=NAIVE)])
    platform.land()
    assert money(platform) == {("usage.jsonl", "bad_time"): "$0.20"}


def test_an_export_has_every_row_and_escapes_formulas(platform: Platform, tmp_path: Path) -> None:
    write_jsonl(platform.landing_dir, [event("=cmd|' /C calc'!A0", "3", time=NAIVE), event("e2", "-1")])
    platform.land()
    write_csv_file(tmp_path / "rows.csv", list_rows(platform.database))
    with (tmp_path / "rows.csv").open(encoding="utf-8", newline="") as file:
        exported = list(csv.DictReader(file))
    assert [(row["event_id"], row["reason"], row["quantity"], row["time"]) for row in exported] == [
        ("'=cmd|' /C calc'!A0", "bad_time", "3", ""),
        ("e2", "negative_quantity", "", "2026-09-15T12:00:00Z"),
    ]


def test_the_json_document_has_exact_amounts_and_quantities_as_text(platform: Platform) -> None:
    """3.0000001 requests at $0.10 are $0.30000001; the quantity of one row can't be read."""
    usage = [event("e1", "3.0000001", time=NAIVE), event("e2", "-1", time=NAIVE)]
    write_jsonl(platform.landing_dir, usage)
    platform.land()
    groups, rows = list_unresolved(platform.database, SEPTEMBER), list_rows(platform.database, SEPTEMBER)

    data = json.loads(json.dumps(as_data(SEPTEMBER, groups, rows)))

    (by_time,) = [group for group in data["groups"] if group["reason"] == "bad_time"]
    assert by_time == {
        "source": "usage.jsonl",
        "reason": "bad_time",
        "organizations": ["acme"],
        "rows_without_organization": 0,
        "rows": 2,
        "first_landing_day": "2026-09-15",
        "last_landing_day": "2026-09-15",
        "estimate": {"amounts": {"USD": "0.30000001"}, "unknown_rows": 1},
    }
    (first, second) = data["rows"]
    assert (first["file"], first["line"], first["quantity"], first["organization"]) == (
        "usage.jsonl", 1, "3.0000001", "acme",
    )  # fmt: skip
    assert second["quantity"] is None
    assert "rows" not in as_data(None, groups, None)


def test_prices_with_a_minimum_are_estimated_without_it(platform: Platform) -> None:
    platform.load(replace(REQUESTS, minimum=Decimal(50)), EGRESS)
    write_jsonl(platform.landing_dir, [event("e1", "3", time=NAIVE)])
    platform.land()
    assert money(platform) == {("usage.jsonl", "bad_time"): "$0.30"}


# The statement, and the commands ------------------------------------------------------------------------------------

UNREAD = "Some of your usage of 2026-09 could not be read yet and is not included."


def notice(platform: Platform, organization: str) -> str:
    return read_statement(platform.database, organization, NOW).unread_usage_in_words()


def test_a_statement_says_that_the_organizations_own_usage_of_the_month_could_not_be_read(platform: Platform) -> None:
    """acme's row is rejected. The rows of labs and of no organization are left out."""
    platform.add_organization("labs")
    usage = [event("e1", "3", time=NAIVE), event("e2", "1", subject=None), event("e3", "1", subject="nobody")]
    write_jsonl(platform.landing_dir, [*usage, event("e4", "2", subject="labs")])
    platform.land()
    platform.roll_up()
    platform.bill()
    assert (notice(platform, "acme"), notice(platform, "labs")) == (UNREAD, "")
    statement = read_statement(platform.database, "acme", NOW)
    assert f"<p>{UNREAD}</p>" in statement_page(statement)
    assert statement.as_data()["has_unread_usage"] is True
    waive(platform.database, "ann", "a test", NOW, row=RowPlace(DAY, "usage.jsonl", 1))
    assert notice(platform, "acme") == ""


def test_rejected_usage_of_another_month_is_not_on_the_statement(platform: Platform) -> None:
    write_jsonl(platform.landing_dir, [event("e1", "5", time=NAIVE)], CLOSED.date())
    platform.land(CLOSED.date(), now=CLOSED)  # a row of October
    platform.roll_up()
    platform.bill()
    assert notice(platform, "acme") == ""


@pytest.fixture
def environment(postgres: PostgresServer, platform: Platform, tmp_path: Path) -> Iterator[dict[str, str]]:
    create_database(postgres, "rejections_dagster")
    yield {
        **os.environ,
        "COLUMNS": "132",
        "FLY_BILLING_DATA_DIR": str(tmp_path / "data"),
        "FLY_BILLING_LAKE_DIR": str(platform.usage_table.path),
        "FLY_BILLING_LANDING_DIR": str(platform.landing_dir),
        "DATABASE_URL": platform.database.engine.url.render_as_string(hide_password=False),
        "DAGSTER_DATABASE_URL": postgres.url("rejections_dagster", "postgresql+psycopg2"),
    }
    drop_database(postgres, "rejections_dagster")


def test_landing_and_billing_print_rejected_usage(platform: Platform, environment: dict[str, str]) -> None:
    """Two requests are accepted, one of them twice; 3 requests at $0.10 have no offset."""

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [Path(sys.executable).with_name("fly-billing"), *arguments],
            env=environment, capture_output=True, encoding="utf-8", timeout=600, check=False,
        )  # fmt: skip
        return done.stdout + done.stderr

    usage = [event("e1", "1"), event("e2", "1"), event("e2", "1"), event("e3", "3", time=NAIVE)]
    write_jsonl(platform.landing_dir, usage)
    landed = run("land")
    assert "rows: 2 accepted, 1 duplicate, 1 rejected\n  bad_time: 1 row, for example: 2026-09-15T12:00:00 is" in landed
    billed = run("bill", "2026-09")
    assert "rejected usage of 2026-09: usage.jsonl, bad_time: 1 row of acme; estimate $0.30" in billed
