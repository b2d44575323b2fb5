"""Rows of a declared source that break its contract are rejected at landing, with their reason; all others land."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fly_billing.cli.main import app
from fly_billing.periods import FIRST_MONTH
from fly_billing.usage.landing import land_days
from fly_billing.usage.rejections import list_rows, list_unresolved
from fly_billing.usage.repair import reland_damaged_days
from fly_billing.usage.rules.declared_sources import DataField, DeclaredSource, DeclaredSources
from fly_billing.usage.source_contracts import LandedSource, SourceContracts
from tests.support.builders import DAY, NOW, WRITERS, Platform, event, write_csv, write_jsonl

ROUTER = DeclaredSource(
    "router", ("requests",), "hourly", timedelta(hours=3), "team:edge", "", (
        DataField("region", values=("ams", "fra")),
        DataField("status", "integer"),
        DataField("share", "number", is_required=False),
        DataField("cached", "boolean", is_required=False),
    ),
)  # fmt: skip
DECLARED = DeclaredSources((ROUTER,))


def sent(name: str, **data: str) -> dict[str, str]:
    """A request of the router with valid data, apart from the given fields."""
    return event(name, source="router", **{"region": "ams", "status": "200"} | data)


def land(platform: Platform, declared: DeclaredSources = DECLARED) -> dict[str, LandedSource]:
    contracts = SourceContracts(declared)
    land_days(
        platform.database, platform.usage_table, platform.landing_dir, [DAY], FIRST_MONTH, NOW, contracts=contracts
    )
    return contracts.landed


def reasons(platform: Platform) -> dict[str, tuple[str, str]]:
    return {row["event_id"]: (row["reason"], row["message"]) for row in platform.rejected()}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_field_that_breaks_the_contract_rejects_its_row_alone(platform: Platform, kind: str) -> None:
    """In each format, in which numbers and flags may be texts."""
    rows = [
        sent("good"), sent("more", share="0.25", cached="true"), sent("empty", share=""),
        sent("region", region="nrt"), sent("status", status="ok"), sent("share", share="half"),
        sent("cached", cached="yes"), event("missing", source="router", status="200", region=None),
    ]  # fmt: skip
    WRITERS[kind](platform.landing_dir, rows)
    land(platform)
    fix = ": correct the event, or sources.yaml and run `fly-billing land --rejected`"
    found = reasons(platform)
    assert {reason for reason, _ in found.values()} == {"broken_contract"}
    problems = {name: message.removeprefix("source router: ") for name, (_, message) in found.items()}
    assert {name: problem.removesuffix(fix) for name, problem in problems.items()} == {
        "region": 'data.region nrt is none of ams, fra', "status": 'data.status ok is not an integer',
        "share": 'data.share half is not a number', "cached": 'data.cached yes is not a boolean',
        "missing": "data.region is missing",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({"region": True, "status": 200}, "data.region true is not text"),
        ({"region": 5, "status": 200}, "data.region 5 is none of ams, fra"),
        ({"region": {"name": "ams"}, "status": 200}, "data.region an object is not text"),
        ({"region": "ams", "status": 2.5}, "data.status 2.5 is not an integer"),
        ({"region": "ams", "status": True}, "data.status true is not an integer"),
        ({"region": "ams", "status": None}, "data.status is missing"),
        ({"region": "ams", "status": 200, "share": [1]}, "data.share a list is not a number"),
        ({"region": "ams", "status": 200, "cached": 1}, "data.cached 1 is not a boolean"),
        ({"region": "ams", "status": 200, "share": 1e-3, "cached": False}, None),
        ({"region": "ams", "status": -1, "share": 12, "other": {"a": [1]}}, None),
    ],
)
def test_json_values_have_the_types_of_the_contract(
    platform: Platform, data: dict[str, object], problem: str | None
) -> None:
    usage = event("e1", source="router")
    written = {name: value for name, value in usage.items() if name != "quantity"} | {"data": {"quantity": 1, **data}}
    folder = platform.landing_dir / DAY.isoformat()
    folder.mkdir(parents=True)
    (folder / "router.jsonl").write_text(json.dumps(written) + "\n", encoding="utf-8")
    land(platform)
    fix = ": correct the event, or sources.yaml and run `fly-billing land --rejected`"
    expected = {} if problem is None else {"e1": ("broken_contract", f"source router: {problem}{fix}")}
    assert reasons(platform) == expected


def test_a_source_may_send_its_own_meters_only(platform: Platform) -> None:
    declared = DeclaredSources((DeclaredSource("proxy", ("egress",)),))
    write_jsonl(platform.landing_dir, [event("e1"), event("e2", type="request"), event("e3", source="other")])
    land(platform, declared)
    found = reasons(platform)
    assert found["e1"] == (
        "undeclared_meter",
        "source proxy may not send requests: add the meter in sources.yaml, then run `fly-billing land --rejected`",
    )
    assert found["e2"][0] == "unknown_meter"
    assert "e3" not in found


def test_events_of_other_sources_land_unless_they_are_to_be_rejected(platform: Platform) -> None:
    write_jsonl(platform.landing_dir, [event("e1", source="other"), sent("e2")])
    land(platform)
    assert platform.rejected() == []
    land(platform, DeclaredSources((ROUTER,), rejects_others=True))
    assert reasons(platform) == {
        "e1": (
            "undeclared_source",
            "source other is not declared: add it to sources.yaml, then run `fly-billing land --rejected`",
        )
    }
    land(platform, DeclaredSources((), rejects_others=True))
    assert {reason for reason, _ in reasons(platform).values()} == {"undeclared_source"}


def test_a_row_that_is_wrong_without_a_contract_keeps_its_reason(platform: Platform) -> None:
    write_jsonl(platform.landing_dir, [sent("e1", region="nrt", time="soon"), sent("e2", region="nrt", subject="labs")])
    land(platform)
    assert {name: reason for name, (reason, _) in reasons(platform).items()} == {
        "e1": "bad_time", "e2": "unknown_organization",
    }  # fmt: skip


def test_each_source_has_its_own_counts_of_a_landing(platform: Platform) -> None:
    """The router: 4 rows in 2 files, of which 1 is a copy and 1 broken. proxy sends nothing of its own.

    Landing the same files again brings nothing.
    """
    late = "2026-09-15T14:30:00Z"
    write_jsonl(platform.landing_dir, [sent("e1"), event("p1"), sent("e2", time=late)], name="a")
    write_jsonl(platform.landing_dir, [sent("e1"), sent("e3", status="x", time="2026-09-15T15:00:00Z")], name="b")
    found = land(platform)
    last = datetime(2026, 9, 15, 14, 30, tzinfo=UTC)
    assert found == {"router": LandedSource("router", 2, 4, 2, 1, 1, last)}
    assert land(platform) == {}


def test_nothing_is_counted_and_nothing_is_rejected_if_nothing_is_declared(platform: Platform) -> None:
    write_jsonl(platform.landing_dir, [sent("e1", region="nrt"), event("e2")])
    assert land(platform, DeclaredSources()) == {}
    assert platform.rejected() == []


def test_a_corrected_contract_accepts_the_rows_when_their_day_lands_again(platform: Platform) -> None:
    write_jsonl(platform.landing_dir, [sent("e1", region="nrt")])
    land(platform)
    assert reasons(platform).keys() == {"e1"}
    land(platform, DeclaredSources((DeclaredSource("router", ("requests",)),)))
    assert platform.rejected() == []


def test_a_source_may_send_a_type_that_one_of_its_meters_reads(platform: Platform) -> None:
    """An event of ai.completion counts for two meters; the source needs to name one of them."""
    for key in ("tokens_in", "tokens_out"):
        platform.insert(
            "meters", key=key, name=key, unit="token", dimensions=[], aggregation="sum", event_type="ai.completion",
            quantity_of=key,
        )  # fmt: skip
    used = event("e1", source="ai", type="ai.completion", tokens_in="5", tokens_out="7", model="small")
    write_csv(platform.landing_dir, [{name: value for name, value in used.items() if name != "quantity"}])
    contract = (DataField("model", values=("large",)),)
    land(platform, DeclaredSources((DeclaredSource("ai", ("tokens_in",), fields=contract),)))
    assert reasons(platform)["e1"][0] == "broken_contract"
    land(platform, DeclaredSources((DeclaredSource("ai", ("tokens_in",)),)))
    assert platform.rejected() == []
    land(platform, DeclaredSources((DeclaredSource("ai", ("requests",)),)))
    assert reasons(platform)["e1"][0] == "undeclared_meter"


def test_a_repair_of_the_usage_table_keeps_to_the_contracts(platform: Platform) -> None:
    write_jsonl(platform.landing_dir, [sent("e1"), sent("e2", region="nrt")])
    land(platform)
    folder = platform.usage_table.path
    assert isinstance(folder, Path)
    (data_file,) = folder.rglob("*.parquet")
    data_file.unlink()
    contracts = SourceContracts(DECLARED)
    reland_damaged_days(
        platform.database, platform.usage_table, platform.landing_dir, FIRST_MONTH, NOW, contracts=contracts
    )
    assert reasons(platform).keys() == {"e2"}
    assert contracts.landed["router"].accepted == 1


def test_rejected_rows_are_listed_by_the_source_of_their_events(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_jsonl(platform.landing_dir, [sent("e1", region="nrt"), event("e2", type="request")])
    land(platform)
    (group,) = list_unresolved(platform.database, source="router")
    assert (group.reason, group.rows) == ("broken_contract", 1)
    assert [row.event_id for row in list_rows(platform.database, source="proxy")] == ["e2"]
    assert len(list_rows(platform.database, source="usage.jsonl")) == len(list_rows(platform.database)) == 2
    url = platform.database.engine.url.render_as_string(hide_password=False)
    for name in ("DATABASE_URL", "DAGSTER_DATABASE_URL"):
        monkeypatch.setenv(name, url)
    monkeypatch.setenv("FLY_BILLING_DATA_DIR", str(tmp_path / "data"))
    listed = CliRunner().invoke(app, ["rejected", "--source", "router", "--list"]).output
    assert "broken_contract" in listed
    assert "unknown_meter" not in listed
    assert "No rejected usage of api is unresolved." in CliRunner().invoke(app, ["rejected", "--source", "api"]).output
