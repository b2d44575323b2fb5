"""Runs many cases, each on a platform of its own, in parallel processes on one throw-away Postgres.

Not here: one case (`case_runner`), and printing results (`cli.billing_tests`).
"""

from __future__ import annotations

import multiprocessing
import os
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import cached_property

from fly_billing.embedded_postgres import PostgresServer
from fly_billing.stripe_sandbox import SandboxServer
from fly_billing.testing.case_files import BillingCase
from fly_billing.testing.case_runner import CaseResult, run_case
from fly_billing.testing.throwaway import new_account, throwaway_platform, throwaway_server, throwaway_stripe

# More processes than this would wait for each other in Postgres.
MOST_JOBS = 16
# Starting a process takes as long as running this many cases.
CASES_PER_JOB = 4


def default_jobs(cases: int) -> int:
    """Return the number of processes for that many cases: one for each CPU, unless there are too few cases for that."""
    return max(1, min(os.cpu_count() or 1, cases // CASES_PER_JOB, MOST_JOBS))


def run_cases(cases: Sequence[BillingCase], jobs: int | None = None) -> Iterator[CaseResult]:
    """Run the cases, and yield their results in this order, each as soon as it is there.

    A case that breaks on an unexpected error is refused with that error; the others go on.

    Args:
        jobs: The number of processes; None: `default_jobs`. With 1, the cases run in this process. Otherwise the main
            module is imported again, so a script must call this under `if __name__ == "__main__":`.
    """
    jobs = default_jobs(len(cases)) if jobs is None else max(1, min(jobs, len(cases), MOST_JOBS))
    with throwaway_server() as server:
        if jobs == 1:
            with CaseWorker(server) as worker:
                yield from map(worker.run, cases)
            return
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(jobs, context, _start_worker, (server,)) as pool:
            try:
                yield from pool.map(_run_in_worker, cases)
            finally:
                pool.shutdown(wait=True, cancel_futures=True)


class CaseWorker:
    """Runs cases one after the other. The first case that needs Stripe starts a sandbox; each begins with it empty."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._stack = ExitStack()

    def __enter__(self) -> CaseWorker:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @cached_property
    def _sandbox(self) -> SandboxServer:
        return self._stack.enter_context(throwaway_stripe())

    def run(self, case: BillingCase) -> CaseResult:
        """Run a case on a new platform."""
        try:
            with throwaway_platform(self._server) as platform:
                return run_case(case, platform, lambda: new_account(self._sandbox))
        except Exception as problem:  # noqa: BLE001 - one broken case must not stop the others
            last = traceback.extract_tb(problem.__traceback__)[-1]
            error = f"{type(problem).__name__}: {problem} ({last.name}, {last.filename}:{last.lineno})"
            return CaseResult(case.name, case.folder, refusal=f"unexpected error: {error}")


_worker: CaseWorker | None = None


def _start_worker(server: PostgresServer) -> None:
    global _worker
    _worker = CaseWorker(server)


def _run_in_worker(case: BillingCase) -> CaseResult:
    assert _worker is not None
    return _worker.run(case)
