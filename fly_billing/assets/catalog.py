"""The catalog entries of all assets in Dagster: owners, tags, tables with their columns, code and addresses.

Descriptions of columns come from the comments of the schema (`postgres.table_descriptions`). Add facts here that do not
depend on a run. Not here: the metadata of partitions (`partition_metadata`).
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from dagster import (
    AssetsDefinition,
    AssetSpec,
    CodeReferencesMetadataValue,
    LocalFileCodeReference,
    TableColumn,
    TableColumnConstraints,
    TableSchema,
)

from fly_billing.object_store.address import address_of
from fly_billing.postgres.connections import read_address
from fly_billing.postgres.connections.addresses import describe_address
from fly_billing.postgres.table_descriptions import TableDescription, described_tables
from fly_billing.settings import Settings, SettingsError, reveal
from fly_billing.usage.event_columns import usage_events_table

# The groups of the catalog, by the subject of an asset.
USAGE, BILLING, STRIPE, FINANCE = "usage", "billing", "stripe", "finance"
OWNERS = ["team:billing"]
# The effects of a run of the asset. A tag of the catalog, to find assets whose runs have effects elsewhere.
WRITES_FILES, WRITES_POSTGRES, WRITES_STRIPE = ({"writes": place} for place in ("files", "postgres", "stripe"))
READ_ONLY = {"writes": "nothing"}

# The schema of the tables, before their names.
SCHEMA = "public."

Definition = AssetsDefinition | AssetSpec


def billing_table(name: str) -> dict[str, Any]:
    """Return the metadata of an asset that is this table or view of the billing database, with its columns."""
    return {"dagster/table_name": f"{SCHEMA}{name}", **_columns(described_tables()[name])}


def usage_table() -> dict[str, Any]:
    """Return the metadata of the usage table, with its columns."""
    return {"dagster/table_name": "usage_events", **_columns(usage_events_table())}


def catalogued(definition: Definition, settings: Settings) -> Definition:
    """Return the asset with the addresses of its data and the place of its code."""
    code = _code_reference(definition) if isinstance(definition, AssetsDefinition) else {}

    def complete(spec: AssetSpec) -> AssetSpec:
        uri = _address(spec, settings)
        return spec.merge_attributes(metadata={**code, **({"dagster/uri": uri} if uri else {})})

    return complete(definition) if isinstance(definition, AssetSpec) else definition.map_asset_specs(complete)


def _columns(described: TableDescription) -> dict[str, Any]:
    columns = [
        TableColumn(
            column.name,
            column.type,
            description=column.text or None,
            constraints=TableColumnConstraints(nullable=column.is_nullable),
        )
        for column in described.columns
    ]
    return {"dagster/column_schema": TableSchema(columns=columns)}


def _code_reference(definition: AssetsDefinition) -> dict[str, Any]:
    """Return a reference to the body of the asset. Dagster's own would name the wrapper around it."""
    compute: Any = definition.op.compute_fn
    body = inspect.unwrap(compute.decorated_fn)
    reference = LocalFileCodeReference(
        file_path=str(Path(inspect.getfile(body)).resolve()), line_number=inspect.getsourcelines(body)[1]
    )
    return {"dagster/code_references": CodeReferencesMetadataValue(code_references=[reference])}


def _address(spec: AssetSpec, settings: Settings) -> str | None:
    """Return the address of the asset's data, without user and password; None if the settings do not name it."""
    places = {
        "usage_sources": address_of(settings.landing_dir),
        "usage_events": address_of(settings.lake_dir),
        "stripe_account": settings.stripe_api_base or "https://dashboard.stripe.com",
    }
    name = str(spec.metadata.get("dagster/table_name", ""))
    if not name.startswith(SCHEMA):
        return places.get(spec.key.to_user_string())
    try:
        database = read_address(reveal(settings.database_url) or "", "DATABASE_URL")
    except SettingsError:  # not set, or invalid: a run says so, and the catalog is still of use
        return None
    return f"postgresql://{describe_address(database)}?table={name.removeprefix(SCHEMA)}"
