"""The format of a step and the method that does it agree, and docs/billing_tests.md names all of them."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from fly_billing.testing.case_checks import CaseChecks
from fly_billing.testing.case_steps import CaseSteps
from fly_billing.testing.rules.steps import ITEM_FIELDS, VERBS, parameter

DOCUMENT = (Path(__file__).parents[3] / "docs" / "billing_tests.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", VERBS)
def test_a_step_has_the_fields_that_its_method_takes(name: str) -> None:
    verb = VERBS[name]
    given = inspect.signature(getattr(CaseChecks if verb.is_check else CaseSteps, name)).parameters.values()
    named = {one.name: one for one in given if one.name != "self" and one.kind is not one.VAR_KEYWORD}
    required = [one.name for one in named.values() if one.default is one.empty]
    assert sorted(required) == sorted(map(parameter, verb.required))
    others = {parameter(field) for field in verb.optional} - named.keys()
    assert not others or any(one.kind is one.VAR_KEYWORD for one in given)


@pytest.mark.parametrize("name", VERBS)
def test_the_document_names_every_step_and_its_fields(name: str) -> None:
    assert f"`{name}:" in DOCUMENT
    verb = VERBS[name]
    if verb.alone is None and name != "fault":
        rows = "\n".join(line for line in DOCUMENT.splitlines() if line.startswith("|") and f"`{name}:" in line)
        assert [field for field in verb.fields if field not in rows] == []


def test_the_document_names_every_field_of_an_item() -> None:
    (row,) = [line for line in DOCUMENT.splitlines() if line.startswith("| `items:")]
    assert [field for field in ITEM_FIELDS if f"`{field}`" not in row] == []
