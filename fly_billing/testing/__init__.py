"""Tests of billing: cases as folders of data, and throw-away platforms for tests in Python.

`fly-billing test DIR` runs cases; docs/billing_tests.md describes their format. In Python, each case is run by

    with throwaway_server() as server, CaseWorker(server) as worker:
        require(worker.run(read_case(Path("cases/october"))))

and `throwaway_platform(server)` is an empty platform for anything else. Nothing here needs pytest. Not here: the
functions that are tested.
"""

from fly_billing.testing.case_files import BillingCase, CasesHaveMistakes, read_case, read_cases
from fly_billing.testing.case_runner import CaseFailed, CaseResult, require, run_case
from fly_billing.testing.platform import TERMS, ThrowawayPlatform
from fly_billing.testing.rules.comparing import Mismatch
from fly_billing.testing.running import CaseWorker, default_jobs, run_cases
from fly_billing.testing.throwaway import (
    TEMPLATE,
    new_account,
    throwaway_database,
    throwaway_platform,
    throwaway_server,
    throwaway_stripe,
)

__all__ = [
    "TEMPLATE",
    "TERMS",
    "BillingCase",
    "CaseFailed",
    "CaseResult",
    "CaseWorker",
    "CasesHaveMistakes",
    "Mismatch",
    "ThrowawayPlatform",
    "default_jobs",
    "new_account",
    "read_case",
    "read_cases",
    "require",
    "run_case",
    "run_cases",
    "throwaway_database",
    "throwaway_platform",
    "throwaway_server",
    "throwaway_stripe",
]
