"""The report on mutants counts a change that survives, unless it only weakens a guard."""

import pytest

from tests.support.mutants import is_guard_only

ZIP = "    return dict(zip(rates, shares, strict=True))"


@pytest.mark.parametrize(
    ("after", "guard_only"),
    [
        ("    return dict(zip(rates, shares, strict=False))", True),
        ("    return dict(zip(rates, shares, strict=None))", True),
        ("    return dict(zip(rates, shares, ))", True),
        ("    return dict(zip(rates, None, strict=True))", False),
        ("    return dict(zip(shares, strict=True))", False),
        ("    return None", False),
    ],
)
def test_a_weaker_guard_is_listed_separately_and_every_other_change_is_counted(after: str, guard_only: bool) -> None:
    diff = f"--- rules.py\n+++ rules.py\n@@ -1,2 +1,2 @@\n def split(rates, shares):\n-{ZIP}\n+{after}"
    assert is_guard_only(diff) is guard_only


def test_a_change_of_a_line_without_a_guard_is_counted() -> None:
    assert not is_guard_only("--- rules.py\n+++ rules.py\n-    return (a, b)\n+    return (a, b,)")
