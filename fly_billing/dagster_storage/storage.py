"""Dagster's storage in Postgres, with connections that stay open. `dagster.yaml` names it.

dagster-postgres opens a connection for each event, and two for each partition that a run plans. With 264 partitions on
a busy machine, that took nine tenths of the time of its bookkeeping. For the webserver, dagster-postgres can keep a
connection open; here every process does so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
from dagster_postgres import DagsterPostgresStorage
from dagster_postgres.utils import get_token_provider_from_config, pg_url_from_config
from sqlalchemy import URL, event
from sqlalchemy.exc import DBAPIError, DisconnectionError

from fly_billing.dagster_storage.set_up import set_up
from fly_billing.postgres.connections import DatabaseAddress, DatabaseProblem, describe, read_address, tcp_limits
from fly_billing.postgres.connections.engines import refuse_pooler_of
from fly_billing.settings import DatabaseLimits

SETTING = "DAGSTER_DATABASE_URL"

# One connection per process and kind of storage stays open. More connections, for threads, are closed after use.
MORE_AT_ONCE = 20
# Seconds. Proxies and firewalls silently close connections that are idle for a long time.
RECYCLED_AFTER = 600
# Milliseconds; 0 is no limit, which is Postgres' default. The webserver sets its own limit.
NO_TIMEOUT = 0


class PooledPostgresStorage(DagsterPostgresStorage):
    """A DagsterPostgresStorage that does not connect for each event. It takes the same configuration.

    A connection that the server has closed (a restart, a failover) is detected and replaced.
    """

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Mapping[str, Any]) -> PooledPostgresStorage:
        """Create the storage as Dagster does, and keep its connections open.

        Raises:
            SettingsError, DatabaseProblem: The database can't be used. The message is one line.
        """
        tokens = get_token_provider_from_config(config_value)
        # dagster-postgres needs psycopg 2, but a bare postgresql:// means psycopg 3 in SQLAlchemy 2.1.
        url = read_address(pg_url_from_config(config_value), SETTING, driver="psycopg2")
        limits = DatabaseLimits.from_environment()
        if config_value.get("should_autocreate_tables", True) and tokens is None:
            _set_up(url, limits)
        url = _bounded(url, limits)
        storage = cls(
            postgres_url=url.render_as_string(hide_password=False),
            should_autocreate_tables=config_value.get("should_autocreate_tables", True) and tokens is not None,
            inst_data=inst_data,
            token_provider=tokens,
        )
        for part in (storage._event_log_storage, storage._run_storage, storage._schedule_storage):
            part.optimize_for_webserver(NO_TIMEOUT, RECYCLED_AFTER, MORE_AT_ONCE)
            event.listen(part._engine, "checkout", _refuse_closed)
        return storage


def _bounded(url: URL, limits: DatabaseLimits) -> URL:
    """Add the TCP limits that detect a lost machine to the URL, because dagster-postgres takes nothing but a URL."""
    wanted = {name: str(value) for name, value in tcp_limits(limits).items() if name not in url.query}
    return url.update_query_dict(wanted)


def _set_up(url: URL, limits: DatabaseLimits) -> None:
    """Create Dagster's tables. Refuse poolers with which the lock on their creation would not work."""
    try:
        refuse_pooler_of(url, SETTING, limits)
        set_up(url, SETTING)
    except (DBAPIError, psycopg.Error) as problem:
        line = describe(problem, DatabaseAddress.of(SETTING, url))
        if line is None:
            raise
        raise DatabaseProblem(line) from problem


def _refuse_closed(connection: Any, record: object, proxy: object) -> None:
    """Make SQLAlchemy's pool replace a dead connection."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("select 1")
    except connection.Error as problem:
        raise DisconnectionError from problem
