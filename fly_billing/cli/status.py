"""Shows what needs a person, with the command that fixes it: `fly-billing status`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import groupby

from fly_billing.cli.heartbeats import daemon_problem
from fly_billing.cli.local_platform import local_platform
from fly_billing.cli.terminal import Terminal, joined, styled
from fly_billing.money import counted
from fly_billing.operations.facts_reader import list_attention
from fly_billing.operations.rules.attention import AttentionRow
from fly_billing.postgres.database import BillingDatabase


def show_status(console: Terminal, *, as_json: bool) -> bool:
    """Print what needs a person, by kind. Returns True if nothing does."""
    with local_platform() as settings:
        now = datetime.now(UTC)
        silence = daemon_problem(settings.health_heartbeat, now)
        rows = list_attention(BillingDatabase(settings.database_url), settings, now, silence)
    if as_json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
    else:
        _print(console, rows)
    return not rows


def _print(console: Terminal, rows: Sequence[AttentionRow]) -> None:
    """Print a line per row and a line with its command, unbroken, so that it can be copied."""
    if not rows:
        console.print("Nothing needs attention.")
        return
    for kind, of_kind in groupby(rows, lambda row: row.kind):
        console.print(styled(kind, "bold red"))
        for row in of_kind:
            console.print(joined("  ", styled(row.about, "bold"), f": {row.problem}"), soft_wrap=True)
            console.print(joined("    fix: ", styled(row.fix, "cyan")), soft_wrap=True)
    console.print(f"{counted(len(rows), 'thing')} to fix.")
