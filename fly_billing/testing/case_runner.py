"""Runs one case on a platform: its steps in order, until the platform refuses one.

A check that finds another value does not stop the case, so that all differences are shown. Not here: several cases
(`running`).
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fly_billing.errors import ActionableError, BillingError
from fly_billing.stripe_sandbox import SandboxServer
from fly_billing.testing.case_checks import CaseChecks
from fly_billing.testing.case_files import BillingCase
from fly_billing.testing.case_state import CaseState
from fly_billing.testing.case_steps import CaseSteps
from fly_billing.testing.platform import ThrowawayPlatform
from fly_billing.testing.rules.comparing import Mismatch
from fly_billing.testing.rules.steps import Step


@dataclass(frozen=True)
class CaseResult:
    """The outcome of a case.

    Attributes:
        name: The name of its folder.
        mismatches: Expected values that the platform does not have.
        refusal: Why the platform refused a step, with the step's place; None if it refused none.
        may_be_refused: A refusal counts as a pass.
        seconds: How long it took.
    """

    name: str
    folder: Path
    mismatches: tuple[Mismatch, ...] = ()
    refusal: str | None = None
    may_be_refused: bool = False
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        return not self.mismatches and (self.refusal is None or self.may_be_refused)


class CaseFailed(AssertionError):
    """A case has another result than it expects. The message names the steps, and shows both values."""


def run_case(case: BillingCase, platform: ThrowawayPlatform, start_stripe: Callable[[], SandboxServer]) -> CaseResult:
    """Run a case on an empty platform.

    Args:
        start_stripe: Returns an empty Stripe account. Called only if a step needs one.

    Returns:
        What differs. A step that the platform refuses ends the case, and is `refusal`.
    """
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fly_billing-steps-") as work:
        state = CaseState(case.folder, Path(work), platform, start_stripe)
        for name, currency in case.contents.organizations.items():
            platform.add_organization(name, currency, "2023-01-01")
        refusal = _run_steps(case, state)
    return CaseResult(
        case.name,
        case.folder,
        tuple(state.mismatches),
        refusal,
        case.contents.may_be_refused,
        time.monotonic() - begun,
    )


def _run_steps(case: BillingCase, state: CaseState) -> str | None:
    """Run the steps. Returns why the platform refused one, or None."""
    steps = CaseSteps(state)
    checks = CaseChecks(state, steps)
    for step in case.contents.steps:
        place = f"{case.file} line {step.line}: {step.verb}"
        try:
            found = method_of(step, steps, checks)(**step.arguments)
        except (ActionableError, BillingError) as refused:
            return f"{place}: {refused}"
        state.mismatches += [replace(mismatch, place=place) for mismatch in found or ()]
    return None


def method_of(step: Step, steps: CaseSteps, checks: CaseChecks) -> Callable[..., Any]:
    """Return the method that does a step. It has the verb's name, and the step's fields as parameters."""
    return getattr(checks if step.is_check else steps, step.verb)  # type: ignore[no-any-return]


def require(result: CaseResult) -> None:
    """Raise CaseFailed if the case did not pass, with a line for each difference. For tests in Python."""
    if result.passed:
        return
    lines = [f"{each.place}: {each.item}: expected {each.expected}, got {each.actual}" for each in result.mismatches]
    if result.refusal is not None:
        lines.append(f"refused: {result.refusal}")
    raise CaseFailed("\n".join([f"{result.name}:", *lines]))
