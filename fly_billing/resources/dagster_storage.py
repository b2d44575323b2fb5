"""Dagster's own storage in Postgres, with connections that stay open. `dagster.yaml` names it.

dagster-postgres opens a connection for each event, and two for each partition that a run plans: at 264 partitions that
was nine tenths of its bookkeeping (on a busy machine). Its hook for the webserver keeps one open instead; here every
process uses it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dagster_postgres import DagsterPostgresStorage
from dagster_postgres.utils import get_token_provider_from_config, pg_url_from_config
from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError

# One connection per process and kind of storage stays open; further ones, for threads, are closed after use.
MORE_AT_ONCE = 20
# Seconds. Proxies and firewalls close connections silently that are idle for long.
RECYCLED_AFTER = 600
# Milliseconds; 0 is no limit, as Postgres has it by itself. The webserver sets its own.
NO_TIMEOUT = 0


class PooledPostgresStorage(DagsterPostgresStorage):
    """DagsterPostgresStorage without a new connection for each event; takes the same configuration.

    A connection that the server has closed meanwhile (a restart, a failover) is noticed and opened anew.
    """

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Mapping[str, Any]) -> PooledPostgresStorage:
        """Make it as Dagster makes its own, and keep its connections open."""
        storage = cls(
            postgres_url=pg_url_from_config(config_value),
            should_autocreate_tables=config_value.get("should_autocreate_tables", True),
            inst_data=inst_data,
            token_provider=get_token_provider_from_config(config_value),
        )
        for part in (storage._event_log_storage, storage._run_storage, storage._schedule_storage):
            part.optimize_for_webserver(NO_TIMEOUT, RECYCLED_AFTER, MORE_AT_ONCE)
            event.listen(part._engine, "checkout", _refuse_closed)
        return storage


def _refuse_closed(connection: Any, record: object, proxy: object) -> None:
    """Tell SQLAlchemy's pool to open another connection in place of one that is dead."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("select 1")
    except connection.Error as problem:
        raise DisconnectionError from problem
