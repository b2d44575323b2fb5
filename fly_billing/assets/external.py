"""The assets that others own: where usage, customers and prices come from, and where invoices go.

Dagster does not materialize them. They make the lineage begin and end in the real world.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from dagster import AssetDep, AssetExecutionContext, AssetObservation, AssetSpec, DynamicPartitionsDefinition

from fly_billing.assets.catalog import BILLING, OWNERS, READ_ONLY, STRIPE, USAGE, billing_table
from fly_billing.foreign_text import visible
from fly_billing.usage.landing_rows import LandedFile

sources = DynamicPartitionsDefinition(name="usage_source")
# A source that numbers its files by letters would be a new one with each file. Later ones share a partition.
MOST_SOURCES = 100
OTHERS = "(others)"

usage_sources = AssetSpec(
    "usage_sources",
    description="The systems that write usage files into the landing folder. A partition is a source: the path of its"
    " files below a landing day's folder, with `#` for each number. Each landing records what it found of each source;"
    " a source without recent observations is silent: ask its owner.",
    partitions_def=sources,
    kinds={"file"},
    group_name=USAGE,
    owners=OWNERS,
    tags=READ_ONLY,
)
platform_database = AssetSpec(
    "platform_database",
    description="The platform's own database, such as that of its Rails or Phoenix app, which the workspace's"
    " sources.yaml names. `platform_records` reads organizations and their terms from it, before each landing.",
    kinds={"sql"},
    group_name=BILLING,
    owners=OWNERS,
    tags=READ_ONLY,
)
organizations = AssetSpec(
    "organizations",
    deps=["platform_records"],
    description="The customers, with their currency, price book and billing group. `platform_records`, a workspace of"
    " files, commands, or the platform itself add them to the table `organizations`; `register_new_organizations` gives"
    " each new billing group its partition.",
    kinds={"postgres", "table"},
    group_name=BILLING,
    owners=OWNERS,
    tags=READ_ONLY,
    metadata=billing_table("organizations"),
)
price_books = AssetSpec(
    "price_books",
    description="The list prices that quantities are rated with. `fly-billing load-prices` reads a price book's files"
    " into the table `prices`; a price that was billed never changes, a new version replaces it.",
    kinds={"yaml", "postgres"},
    group_name=BILLING,
    owners=OWNERS,
    tags=READ_ONLY,
    metadata=billing_table("prices"),
)


def stripe_account_of(synced: AssetDep) -> AssetSpec:
    """Return the Stripe account, to which the asset `synced` sends invoices."""
    return AssetSpec(
        "stripe_account",
        deps=[synced],
        description="Our account at Stripe, which collects the payments. `stripe_invoices` sends invoices to it, and"
        " `stripe_reconciliation` reads them again, because people can change them in Stripe's dashboard.",
        kinds={"stripe"},
        group_name=STRIPE,
        owners=OWNERS,
        tags=READ_ONLY,
    )


def observe_sources(context: AssetExecutionContext, files: Sequence[LandedFile]) -> None:
    """Record what a landing found of each usage source."""
    known = set(context.instance.get_dynamic_partitions(str(sources.name)))
    found: dict[str, list[LandedFile]] = {}
    for file in files:
        source = source_of(file.path)
        room = len(known | found.keys()) < MOST_SOURCES
        found.setdefault(source if room or source in known or source in found else OTHERS, []).append(file)
    if new := [source for source in found if source not in known]:
        context.instance.add_dynamic_partitions(str(sources.name), new)
    for source, its in found.items():
        metadata: dict[str, Any] = {
            "files": len(its),
            "landed": sum(file.landed for file in its),
            "accepted": sum(file.accepted for file in its),
            "duplicate": sum(file.duplicate for file in its),
            "rejected": sum(file.rejected for file in its),
            "bytes": sum(file.bytes for file in its),
            "last landing day": max(file.day for file in its).isoformat(),
        }
        context.log_event(AssetObservation("usage_sources", partition=source, metadata=metadata))


def source_of(path: str) -> str:
    """Return the source of a file: its path with `#` for each number, as rejected usage names it."""
    # Dagster refuses three dots in a partition key.
    return re.sub(r"\.{3,}", "..", visible(re.sub(r"[0-9]+", "#", path)))
