"""Declared usage sources are assets upstream of usage: owner, contract, freshness, and an alert when one is late."""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from dagster import AssetKey, AssetSpec, Definitions, ExecuteInProcessResult, TableSchema, build_sensor_context

from fly_billing.definitions import build_defs
from fly_billing.partitions import FROM_SCRATCH
from fly_billing.resources.alerts import Alerts
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.resources.clock import Clock
from fly_billing.resources.workspace_folder import WorkspaceFolder
from fly_billing.sensors.alert_on_late_source import alert_on_late_source
from tests.support.deployment import Deployment, machine_seconds

ROUTER = AssetKey(["usage_source", "router_eu"])
SOURCES = """
sources:
  - name: router/eu
    meters: [machine_seconds]
    cadence: hourly
    owner: team:edge
    description: The routers in Europe.
    data: {region: {values: [ams, fra], description: Where it ran}, app: {required: false}}
  - {name: proxy, meters: [machine_seconds]}
"""
DAY = date(2026, 10, 9)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace that declares the source router/eu, hourly, and proxy."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "fly_billing.yaml").write_text("version: 1\nname: shop\n", encoding="utf-8")
    (folder / "sources.yaml").write_text(SOURCES, encoding="utf-8")
    monkeypatch.setenv("FLY_BILLING_WORKSPACE", str(folder))
    return folder


@pytest.fixture
def billed(deployment: Deployment, shop: Path) -> Deployment:
    deployment.load_prices()
    deployment.add_organization("acme")
    return deployment


def sent(number: int, hour: int, **changes: Any) -> dict[str, Any]:
    """Usage of router/eu on 9 October at this hour."""
    usage = machine_seconds(number, "acme", datetime(2026, 10, 9, hour, tzinfo=UTC), "60")
    return {**usage, "source": "router/eu", **changes}


def land(deployment: Deployment, now: datetime, *usage: dict[str, Any]) -> ExecuteInProcessResult:
    deployment.now = now
    deployment.write_usage(DAY, usage, f"router-{now:%H}.jsonl")
    return deployment.land(DAY, DAY)


def records(result: ExecuteInProcessResult) -> list[tuple[str, dict[str, Any]]]:
    """Return what a landing recorded of router/eu: the kind of event, and its metadata."""
    found: list[tuple[str, dict[str, Any]]] = []
    for event in result.all_events:
        if event.asset_key == ROUTER and event.event_type_value == "ASSET_MATERIALIZATION":
            metadata = event.step_materialization_data.materialization.metadata
            found.append(("materialization", {name: value.value for name, value in metadata.items()}))
        elif event.asset_key == ROUTER and event.event_type_value == "ASSET_OBSERVATION":
            metadata = event.asset_observation_data.asset_observation.metadata
            found.append(("observation", {name: value.value for name, value in metadata.items()}))
    return found


def specs(definitions: Definitions) -> dict[AssetKey, AssetSpec]:
    return {spec.key: spec for spec in definitions.resolve_all_asset_specs()}


def test_a_declared_source_is_an_asset_upstream_of_the_usage_events(shop: Path) -> None:
    definitions = build_defs()
    router = specs(definitions)[ROUTER]
    graph = definitions.resolve_asset_graph()
    assert graph.get(AssetKey("usage_sources")).parent_keys == {ROUTER, AssetKey(["usage_source", "proxy"])}
    assert AssetKey("usage_sources") in graph.get(AssetKey("usage_events")).parent_keys
    assert ROUTER in graph.external_asset_keys
    assert (router.owners, router.group_name, router.kinds) == (["team:edge"], "usage", {"file"})
    assert router.freshness_policy is not None
    assert router.freshness_policy.fail_window.to_timedelta() == timedelta(hours=3)  # type: ignore[attr-defined]
    assert router.description == (
        "The routers in Europe. Events with the source `router/eu`, declared in the workspace's sources.yaml. It sends"
        " machine_seconds (hourly), and is late 3 hours after its last event. Events that break its contract are"
        " rejected: `fly-billing rejected --source 'router/eu'` lists them."
    )


def test_the_contract_of_a_source_is_in_the_catalog(shop: Path) -> None:
    schema: Any = specs(build_defs())[ROUTER].metadata["dagster/column_schema"]
    assert isinstance(schema, TableSchema)
    region, app = schema.columns
    assert (region.name, region.type, region.description) == ("region", "text", "Where it ran")
    assert (region.constraints.nullable, app.constraints.nullable) == (False, True)


def test_without_a_workspace_no_source_is_an_asset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLY_BILLING_WORKSPACE", raising=False)
    assert not [key for key in specs(build_defs()) if key.path[0] == "usage_source"]


def test_a_workspace_with_a_mistake_leaves_all_other_assets_and_says_so_in_one_line(
    shop: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (shop / "sources.yaml").write_text("sources: [{name: api}]\n", encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        found = specs(build_defs())
    assert AssetKey("usage_events") in found
    assert not [key for key in found if key.path[0] == "usage_source"]
    (line,) = [record.getMessage() for record in caplog.records if "usage sources" in record.getMessage()]
    assert line.splitlines() == [line]
    assert "sources.yaml: line 1: source api: meters is missing" in line


def test_a_landing_waits_for_a_sources_file_that_can_be_read(billed: Deployment, shop: Path) -> None:
    """Without the contract, it could accept what the contract refuses."""
    (shop / "sources.yaml").write_text("sources: [{name: api}]\n", encoding="utf-8")
    billed.write_usage(DAY, [sent(1, 10)])
    result = billed.run("land_usage", {}, DAY.isoformat(), fails=True)
    (failure,) = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert failure.user_failure_data is not None
    assert "source api: meters is missing" in str(failure.user_failure_data.description)
    assert billed.execute("select 1 from usage_files") == []
    (shop / "sources.yaml").write_text(SOURCES, encoding="utf-8")
    billed.land(DAY, DAY)
    assert billed.execute("select accepted from usage_files") == [{"accepted": 1}]


def test_newer_usage_materializes_a_source_and_the_same_read_again_is_observed(billed: Deployment) -> None:
    """The first landing has 2 events, of which one breaks the contract. The second has a copy and a newer event."""
    noon = datetime(2026, 10, 9, 12, tzinfo=UTC)
    broken = sent(2, 11)
    broken["data"] = {**broken["data"], "region": "nrt"}
    first = records(land(billed, noon, sent(1, 10), broken))
    counts = {"files": 1, "landed": 2, "accepted": 1, "duplicate": 0, "rejected": 1}
    at_ten = datetime(2026, 10, 9, 10, tzinfo=UTC).timestamp()
    assert first == [("materialization", counts | {"last_event_at": at_ten})]

    assert records(billed.land(DAY, DAY)) == []
    assert records(billed.land(DAY, DAY, {FROM_SCRATCH: "true"})) == [("observation", counts)]

    second = records(land(billed, noon + timedelta(hours=1), sent(1, 10), sent(3, 12)))
    ((kind, metadata),) = second
    assert (kind, metadata["accepted"], metadata["duplicate"]) == ("materialization", 2, 1)
    assert metadata["last_event_at"] == datetime(2026, 10, 9, 12, tzinfo=UTC).timestamp()


def tick(deployment: Deployment, now: datetime, cursor: str | None) -> tuple[str | None, str]:
    """Return the new cursor and what the sensor did."""
    resources = {
        "billing_postgres": BillingPostgres(url=deployment.database_url),
        "workspace_folder": WorkspaceFolder(),
        "alerts": Alerts(alert_webhook_url="https://chat.example/1"),
        "clock": Clock(fixed_at=now.isoformat()),
    }
    with build_sensor_context(instance=deployment.instance, cursor=cursor, resources=resources) as context:
        done = alert_on_late_source.evaluate_tick(context)
    return done.cursor, str(done.skip_message)


def subjects(deployment: Deployment) -> list[str]:
    return [row["subject"] for row in deployment.execute("select subject from alerts order by id")]


def test_a_late_source_is_alerted_once_and_once_more_when_it_recovers(billed: Deployment) -> None:
    ten = datetime(2026, 10, 9, 10, tzinfo=UTC)
    assert tick(billed, ten, None)[1] == "nothing new"  # no source sent anything yet
    land(billed, ten + timedelta(minutes=30), sent(1, 10))
    cursor, done = tick(billed, ten + timedelta(hours=3), None)
    assert done == "nothing new"
    cursor, done = tick(billed, ten + timedelta(hours=3, minutes=1), cursor)
    assert done == "1 alert queued"
    assert tick(billed, ten + timedelta(hours=5), cursor)[1] == "nothing new"
    tick(billed, ten + timedelta(hours=5), None)  # a lost cursor repeats nothing
    (alert,) = billed.execute("select subject, body from alerts")
    assert alert["subject"] == "1 declared usage source late: router/eu"
    assert alert["body"].splitlines()[0] == (
        "- router/eu: no usage since 2026-10-09 10:00 UTC; it sends hourly, and is late after 3 hours. Owner: team:edge"
    )

    land(billed, ten + timedelta(hours=6), sent(2, 15))
    cursor, done = tick(billed, ten + timedelta(hours=6), cursor)
    assert (cursor, done) == ("{}", "1 alert queued")
    assert subjects(billed)[1:] == ["Usage source router/eu is no longer late"]
    assert tick(billed, ten + timedelta(hours=10), cursor)[1] == "1 alert queued"


def test_landing_old_files_again_does_not_make_a_late_source_fresh(billed: Deployment) -> None:
    ten = datetime(2026, 10, 9, 10, tzinfo=UTC)
    land(billed, ten, sent(1, 10))
    land(billed, ten + timedelta(hours=4), machine_seconds(9, "acme", ten + timedelta(hours=4), "60"))
    assert tick(billed, ten + timedelta(hours=4), None)[1] == "1 alert queued"


def test_a_source_that_nobody_declares_any_more_is_forgotten(billed: Deployment, shop: Path) -> None:
    ten = datetime(2026, 10, 9, 10, tzinfo=UTC)
    land(billed, ten, sent(1, 10))
    cursor, _ = tick(billed, ten + timedelta(hours=4), None)
    (shop / "sources.yaml").write_text("sources: []\n", encoding="utf-8")
    assert tick(billed, ten + timedelta(hours=5), cursor) == ("{}", "nothing new")


def test_a_tick_fails_while_the_sources_have_a_mistake(deployment: Deployment, shop: Path) -> None:
    (shop / "sources.yaml").write_text("sources: [{name: api}]\n", encoding="utf-8")
    with pytest.raises(Exception) as failed:
        tick(deployment, datetime(2026, 10, 9, tzinfo=UTC), None)
    assert "source api: meters is missing" in f"{failed.value} {failed.value.__cause__}"
