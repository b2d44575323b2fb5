"""A run never has more open connections than the startup check requires, counted in the server's log."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from fly_billing.embedded_postgres import throwaway
from fly_billing.postgres.connections import NEEDED
from fly_billing.postgres.connections.connection_budget import DAGSTERS
from tests.servers.whole_month import Databases, command

LOGGED = {"log_connections": "on", "log_disconnections": "on"}


def test_the_demo_never_has_more_open_connections_than_the_startup_check_requires(tmp_path: Path) -> None:
    with throwaway(("billing", "dagster"), LOGGED) as server:
        databases = Databases.on(server)
        found = command(Databases(databases.owner, databases.dagster, databases.owner), tmp_path, "demo")
        log = server.log_file.read_text(encoding="utf-8").splitlines()
    assert found.returncode == 0, found.stdout[-3000:] + found.stderr
    most = {name: max(open_at_once(log, name)) for name in ("billing", "dagster", "billing|dagster")}
    assert 1 < most["billing"] <= NEEDED - DAGSTERS
    assert most["dagster"] == DAGSTERS
    assert most["billing|dagster"] <= NEEDED


def open_at_once(log: Iterable[str], database: str) -> Iterator[int]:
    """Yield the number of open connections to the databases, after each that begins or ends."""
    number = 0
    for line in log:
        if re.search(rf"database=({database})\b", line):
            number += ("connection authorized:" in line) - ("disconnection:" in line)
            yield number
