"""Quoted text in an error stays plain text in logs."""

from __future__ import annotations

import pytest

from fly_billing.assets.run_report import described_failures
from fly_billing.errors import ActionableError, not_computable
from fly_billing.usage.landing_folder import LandingError

EVIL = "acme\x1b[2J\u202e\x9b31m"
SHOWN = r"acme\x1b[2J\u202e\x9b31m"


@pytest.mark.parametrize("kind", [ActionableError, LandingError])
def test_a_quoted_name_in_an_error_moves_no_cursor_and_hides_nothing(kind: type[ActionableError]) -> None:
    assert str(kind(f"{EVIL} is not there\nland it first")) == f"{SHOWN} is not there\nland it first"


def test_a_billing_error_is_one_line_for_any_quoted_text() -> None:
    error = not_computable("no_price", f"no price for {EVIL}\nWhat to do: pay")
    assert str(error) == rf"no_price: no price for {SHOWN}\nWhat to do: pay"
    assert error.operator_text == rf"no price for {SHOWN}\nWhat to do: pay"


def test_the_reason_of_a_failed_run_is_one_line_for_any_quoted_text() -> None:
    rows = [{"month": "2026-09", "organization": f"{EVIL}\nx", "code": "c", "what to do": f"mend {EVIL}"}]
    assert described_failures(rows) == rf"2026-09 {SHOWN}\nx: mend {SHOWN} (c)"
