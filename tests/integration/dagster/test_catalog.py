"""Everything in Dagster's catalog has a description, owners, and links to its data and its code."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from dagster import AssetSpec, Definitions, TableSchema

from fly_billing.assets import usage_events
from fly_billing.assets.external import MOST_SOURCES, OTHERS, source_of
from fly_billing.definitions import build_defs
from tests.support.deployment import Deployment, machine_seconds

EXTERNAL = {"usage_sources", "platform_database", "organizations", "price_books", "stripe_account"}
GROUPS = {"usage", "billing", "stripe", "finance"}
# Systems of others, without a table of ours.
NO_TABLE = {"usage_table_files", "usage_sources", "platform_database", "stripe_account"}


@pytest.fixture(scope="module")
def definitions() -> Definitions:
    return build_defs()


@pytest.fixture(scope="module")
def specs(definitions: Definitions) -> dict[str, AssetSpec]:
    return {spec.key.to_user_string(): spec for spec in definitions.resolve_all_asset_specs()}


def test_every_asset_has_a_description_a_group_owners_tags_and_kinds(specs: dict[str, AssetSpec]) -> None:
    lacking = {
        name: [
            field
            for field, value in {
                "description": spec.description, "owners": spec.owners, "kinds": spec.kinds,
                "tags": [tag for tag in spec.tags if not tag.startswith("dagster/")],
                "group": spec.group_name in GROUPS,
            }.items()
            if not value
        ]
        for name, spec in specs.items()
    }  # fmt: skip
    assert {name: whats for name, whats in lacking.items() if whats} == {}
    assert len(specs) >= 9


def test_every_table_in_the_catalog_has_its_name_and_each_column_described(specs: dict[str, AssetSpec]) -> None:
    undescribed = []
    for name in specs.keys() - NO_TABLE:
        metadata: Any = specs[name].metadata
        schema = metadata["dagster/column_schema"]
        assert isinstance(schema, TableSchema)
        assert metadata["dagster/table_name"]
        assert schema.columns
        undescribed += [f"{name}.{column.name}" for column in schema.columns if not column.description]
    assert undescribed == []


def test_lineage_begins_with_usage_customers_and_prices_and_ends_with_stripe(definitions: Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    external = {key.to_user_string() for key in graph.external_asset_keys}
    roots = {key.to_user_string() for key in graph.get_all_asset_keys() if not graph.get(key).parent_keys}
    assert external == EXTERNAL
    assert roots == EXTERNAL - {"organizations", "stripe_account"}


def test_every_job_schedule_and_sensor_has_a_description(definitions: Definitions) -> None:
    repository = definitions.get_repository_def()
    described = {job.name: job.description for job in repository.get_all_jobs() if not job.name.startswith("__")}
    described |= {schedule.name: schedule.description for schedule in repository.schedule_defs}
    described |= {sensor.name: sensor.description for sensor in repository.sensor_defs}
    assert [name for name, text in described.items() if not text] == []
    assert len(described) >= 20


def test_an_asset_refers_to_its_own_code(specs: dict[str, AssetSpec]) -> None:
    references: Any = specs["usage_events"].metadata["dagster/code_references"]
    (reference,) = references.code_references
    assert Path(reference.file_path) == Path(str(usage_events.__file__)).resolve()
    lines = Path(reference.file_path).read_text(encoding="utf-8").splitlines()
    assert "def usage_events(" in "\n".join(lines[reference.line_number - 1 : reference.line_number + 60])


def test_addresses_of_data_have_no_user_and_password(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://ann:secret@db.example.com:6432/billing")
    monkeypatch.setenv("FLY_BILLING_DATA_DIR", str(tmp_path))
    found = {
        spec.key.to_user_string(): spec.metadata.get("dagster/uri") for spec in build_defs().resolve_all_asset_specs()
    }
    assert found["invoices"] == "postgresql://db.example.com:6432/billing?table=invoices"
    assert found["usage_events"] == (tmp_path.resolve() / "usage_events").as_uri()
    assert found["usage_sources"] == (tmp_path.resolve() / "landing").as_uri()


def test_freshness_is_watched_for_assets_that_run_every_day(specs: dict[str, AssetSpec]) -> None:
    watched = {name for name, spec in specs.items() if spec.freshness_policy}
    assert watched == {"usage_events", "stripe_reconciliation", "stripe_money"}


def test_each_landing_records_the_rows_of_each_usage_source(deployment: Deployment) -> None:
    """2 files of one source and 1 of another; the third event has no time zone, so it is rejected."""
    day = date(2026, 10, 9)
    used = [machine_seconds(number, "acme", datetime(2026, 10, 8, tzinfo=UTC), "60") for number in range(3)]
    deployment.load_prices()
    deployment.add_organization("acme")
    deployment.write_usage(day, used[:1], "usage-01.jsonl")
    deployment.write_usage(day, [used[1], {**used[2], "time": "2026-10-08T00:00:00"}], "usage-02.jsonl")
    deployment.write_usage(day, [], "volumes.jsonl")

    result = deployment.land(day, day)

    counts = ("files", "accepted", "rejected", "last landing day")
    assert {
        data.partition: tuple(data.metadata[name].value for name in counts)
        for event in result.all_events
        if event.event_type_value == "ASSET_OBSERVATION"
        if (data := event.asset_observation_data.asset_observation)
    } == {"usage-#.jsonl": (2, 2, 1, "2026-10-09"), "volumes.jsonl": (1, 0, 0, "2026-10-09")}
    assert set(deployment.instance.get_dynamic_partitions("usage_source")) == {"usage-#.jsonl", "volumes.jsonl"}


def test_sources_beyond_a_hundred_share_a_partition(deployment: Deployment) -> None:
    """Letters that number files make each file a source. Thousands of partitions would make Dagster slow."""
    day = date(2026, 10, 9)
    for number in range(MOST_SOURCES + 2):
        deployment.write_usage(day, [], f"{chr(97 + number // 26)}{chr(97 + number % 26)}.jsonl")
    deployment.land(day, day)
    found = deployment.instance.get_dynamic_partitions("usage_source")
    assert len(found) == MOST_SOURCES + 1
    assert OTHERS in found


def test_a_source_is_the_path_of_its_files_without_numbers() -> None:
    assert source_of("proxy/usage-2026-10-01T03.jsonl") == "proxy/usage-#-#-#T#.jsonl"
    assert source_of("a....b\n") == r"a..b\n"
    assert (MOST_SOURCES, OTHERS) == (100, "(others)")
