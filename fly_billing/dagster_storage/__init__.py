"""Dagster's own tables in Postgres."""
