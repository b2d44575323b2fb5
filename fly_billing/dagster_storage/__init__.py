"""Dagster's instance: its configuration, and its tables in Postgres."""

from pathlib import Path

# This project's `dagster.yaml`. `fly-billing demo` and `fly-billing dev` copy it into DAGSTER_HOME.
INSTANCE_FILE = Path(__file__).with_name("dagster.yaml")
