"""Two concurrent runs of the same month, and their pace."""

import threading
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path

from fly_billing.postgres.connections.connection_budget import HOLDING_LOCKS, POOLED
from fly_billing.postgres.database import BillingDatabase
from fly_billing.stripe_sandbox import SandboxServer
from fly_billing.stripe_sync.month_sync import SyncReport, sync_month
from fly_billing.stripe_sync.rate_limiter import RateLimiter
from tests.support.stripe_builders import (
    JULY,
    JUNE,
    add_organization,
    bill_june,
    charge,
    close_month,
    groups_of,
    in_stripe,
    kinds,
    mutations,
    sent,
    sync,
    sync_tools,
)


def at_once(*runs: Callable[[], SyncReport]) -> list[SyncReport]:
    """Start all runs at the same moment; return their reports."""
    barrier = threading.Barrier(len(runs))
    reports: list[SyncReport] = []

    def start(run: Callable[[], SyncReport]) -> None:
        barrier.wait(timeout=300)
        reports.append(run())

    threads = [threading.Thread(target=start, args=(run,)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=300)
    assert len(reports) == len(runs)
    return reports


def test_two_syncs_of_a_month_at_once_send_nothing_twice(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path
) -> None:
    bill_june(billing_database, tmp_path, **{f"org-{n}": [f"{n}.00"] for n in range(1, 9)})
    sandbox.control.settings(latency_seconds=0.02)
    both = [sync_tools(billing_database, sandbox.url, workers=4) for _ in range(2)]
    reports = at_once(*[partial(sync_month, tools, JUNE, groups_of(billing_database)) for tools in both])
    assert [failed for report in reports for failed in report.failures] == []
    assert mutations(sandbox) == {"invoices.create": 8, "invoices.add_lines": 8, "invoices.finalize": 8}
    assert in_stripe(sandbox) == [(f"org-{n}", "open", n * 100, 1) for n in range(1, 9)]
    assert kinds(sync_tools(billing_database, sandbox.url)) == []


def test_two_months_of_one_organization_at_once_share_its_one_customer(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path
) -> None:
    add_organization(billing_database, "acme")
    charge(billing_database, "acme", "12.00")
    charge(billing_database, "acme", "23.45", month=JULY)
    close_month(billing_database, tmp_path)
    close_month(billing_database, tmp_path, JULY)
    sandbox.control.settings(latency_seconds=0.05)
    tools = [sync_tools(billing_database, sandbox.url) for _ in range(2)]
    at_once(
        *[
            partial(sync_month, process_tools, month, ["acme"])
            for process_tools, month in zip(tools, (JUNE, JULY), strict=True)
        ]
    )
    assert len(sandbox.control.objects("customer")) == 1
    assert in_stripe(sandbox) == [("acme", "open", 1200, 1), ("acme", "open", 2345, 1)]


def test_an_invoice_that_another_run_is_working_on_is_skipped(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path
) -> None:
    bill_june(billing_database, tmp_path, acme=["12.00"])
    tools = sync_tools(billing_database, sandbox.url)
    (invoice,) = tools.journal.invoices_to_sync(JUNE, ["acme"])
    with billing_database.session_lock(f"sync {invoice}") as is_ours:
        assert is_ours
        assert sync_month(tools, JUNE, ["acme"]).states == {"locked_by_another_run": 1}
    assert sent(sandbox) == []
    assert sync(tools).states == {"finalized": 1}


def test_many_workers_keep_one_change_at_a_time_per_customer_and_invoice(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path
) -> None:
    bill_june(billing_database, tmp_path, **{f"org-{n}": ["1.00"] * 101 for n in range(1, 7)})
    sandbox.control.settings(object_locks=True, latency_seconds=0.02)
    report = sync(sync_tools(billing_database, sandbox.url, workers=6))
    assert (report.states, report.failures) == ({"finalized": 6}, [])
    assert sandbox.control.calls(status=429) == []


def test_the_pace_of_each_endpoint_is_kept(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path
) -> None:
    bill_june(billing_database, tmp_path, **{f"org-{n:02d}": ["1.00"] for n in range(25)})
    limiter = RateLimiter(billing_database, per_second=1000, per_endpoint=10)
    began = time.time()
    sync(sync_tools(billing_database, sandbox.url, workers=8, limiter=limiter))
    for endpoint in ("customers.create", "invoices.create", "invoices.add_lines", "invoices.finalize"):
        assert_no_faster(sandbox, 10, began, endpoint)
    assert len(in_stripe(sandbox)) == 25


def test_the_pace_of_the_account_is_kept(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path
) -> None:
    bill_june(billing_database, tmp_path, **{f"org-{n:02d}": ["1.00"] for n in range(12)})
    limiter = RateLimiter(billing_database, per_second=20, per_endpoint=1000)
    began = time.time()
    sync(sync_tools(billing_database, sandbox.url, workers=8, limiter=limiter))
    assert_no_faster(sandbox, 20, began)
    assert len(in_stripe(sandbox)) == 12


def test_both_paces_are_kept_together(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path
) -> None:
    bill_june(billing_database, tmp_path, **{f"org-{n:02d}": ["1.00"] for n in range(15)})
    limiter = RateLimiter(billing_database, per_second=25, per_endpoint=25)
    began = time.time()
    report = sync(sync_tools(billing_database, sandbox.url, workers=8, limiter=limiter))
    assert (report.states, report.failures) == ({"finalized": 15}, [])
    assert_no_faster(sandbox, 25, began)


def test_a_sync_over_the_rate_limit_still_completes(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path
) -> None:
    bill_june(billing_database, tmp_path, **{f"org-{n:02d}": ["1.00"] for n in range(12)})
    sandbox.control.settings(global_per_second=10)
    tools = sync_tools(billing_database, sandbox.url, workers=8)
    for _ in range(60):
        if not sync(tools).failures:
            break
    assert in_stripe(sandbox) == [(f"org-{n:02d}", "open", 100, 1) for n in range(12)]
    sandbox.control.settings(global_per_second=None)
    assert kinds(tools) == []


def assert_no_faster(sandbox: SandboxServer, per_second: float, began: float, endpoint: str | None = None) -> None:
    """Check that the calls since `began` (a POSIX time) took the time that they take at this pace, or more.

    Not the count of the busiest second: a busy machine can delay some and deliver them together. That no
    second is booked too full is tested where requests are booked (test_pacing.py).
    """
    wanted = {"endpoint": endpoint} if endpoint else {}
    moments = [datetime.fromisoformat(call["at"]).timestamp() for call in sandbox.control.calls(**wanted)]
    assert len(moments) >= 12
    assert max(moments) - began >= (len(moments) - 1) / per_second


def test_many_workers_share_the_connections_that_the_startup_check_requires(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path
) -> None:
    """Forty workers at sixty invoices; the server refuses one connection more than the pool's and the locks'."""
    bill_june(billing_database, tmp_path, **{f"org-{n}": ["1.00"] for n in range(60)})
    with billing_database.transaction() as connection:
        connection.exec_driver_sql(
            f"alter database {billing_database.engine.url.database} connection limit {POOLED + HOLDING_LOCKS}"
        )
    sandbox.control.settings(latency_seconds=0.02)
    report = sync(sync_tools(billing_database, sandbox.url, workers=40))
    assert report.failures == []
    assert in_stripe(sandbox) == sorted((f"org-{n}", "open", 100, 1) for n in range(60))
