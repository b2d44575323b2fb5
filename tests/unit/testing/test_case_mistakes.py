"""Every mistake of a case is named with its file and line, all at once, and nothing is run."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fly_billing.periods import BillingMonth
from fly_billing.testing import CasesHaveMistakes, read_case, read_cases

CHECK = "  - totals: {acme: {2026-10: 3150}}\n"


def write(folder: Path, steps: str, head: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "case.yaml").write_text(f"{head}steps:\n{steps}", encoding="utf-8")
    return folder


def mistakes(*folders: Path) -> list[str]:
    """Return the mistakes of the cases, without the path of the folder above them."""
    with pytest.raises(CasesHaveMistakes) as found:
        read_cases(folders)
    return [problem.replace(f"{folders[0].parent}/", "") for problem in found.value.problems]


def mistakes_of(folder: Path, steps: str, head: str = "") -> list[str]:
    return mistakes(write(folder / "case", steps, head))


def test_every_mistake_of_a_case_is_named_at_once(tmp_path: Path) -> None:
    steps = """\
  - clos: 2026-10
  - close: October
  - file: {day: 2026-10-05, form: u.jsonl}
  - totals: {acme: {2026-10: 31.50, 2026-13: 1}, labs: {2026-10: }}
  - items: {acme: {2026-10: [{prise: requests}, {amount: ten}]}}
  - land: {days: 2026-10-05, now: 2026-10-06T12:00:00}
  - sync: 2026-10
    stripe: {acme: [3150]}
"""
    lines = mistakes_of(tmp_path, steps, "descripton: October\nmay_be_refused: maybe\n")
    assert [line.partition("known are")[0].rstrip(" ;") for line in lines] == [
        "case/case.yaml: unknown field 'descripton' (did you mean description?)",
        "case/case.yaml: may_be_refused: 'maybe' is not true or false",
        "case/case.yaml: line 4: step 1: unknown step 'clos' (did you mean close?)",
        "case/case.yaml: line 5: step 2: close: not a month: 'October'; write it as YYYY-MM, for example 2026-10",
        "case/case.yaml: line 6: step 3: file: unknown field 'form' (did you mean from?)",
        "case/case.yaml: line 6: step 3: file: from is missing",
        "case/case.yaml: line 7: step 4: totals: acme: 2026-10: '31.50' is not an amount in cents: write a whole"
        " number, such as 3175 for $31.75",
        "case/case.yaml: line 7: step 4: totals: acme: 2026-13: no such month: 2026-13",
        "case/case.yaml: line 7: step 4: totals: labs: 2026-10: an empty value is not an amount in cents: write a whole"
        " number, such as 3175 for $31.75",
        "case/case.yaml: line 8: step 5: items: acme: 2026-10: number 1: unknown field 'prise' (did you mean price?)",
        "case/case.yaml: line 8: step 5: items: acme: 2026-10: number 2: amount: value 'ten' is not a number: write"
        " digits, such as 0.15 or 2592000",
        "case/case.yaml: line 9: step 6: land: days: '2026-10-05' is not a list: write ['2026-10-05']",
        "case/case.yaml: line 9: step 6: land: now: '2026-10-06T12:00:00' is not a time: write a day, such as"
        " 2026-10-05 (midnight UTC), or 2026-10-05T12:00:00Z",
        "case/case.yaml: line 10: step 7: a step has one verb, not 2 (sync, stripe): begin each with `- `",
    ]


@pytest.mark.parametrize(
    ("steps", "mistake"),
    [
        ("  - taxes: {acme: {2026-10: [1900]}}\n", "is not a taxed amount with its tax: write both, such as"),
        ("  - file: {day: 5 October, from: u.jsonl}\n", "day: '5 October' is not a day: write it as 2026-10-05"),
        ("  - book: /etc/prices.yaml\n", "book: '/etc/prices.yaml' is an absolute path"),
        ("  - rejected: [1]\n", "rejected: ['1'] is not a whole number"),
        ("  - owed: {organization: acme, cents: yes}\n", "cents: 'yes' is not an amount in cents"),
        ("  - sum: 5\n", "sum: '5' has no fields: write `name: value`"),
        ("  - headline_lacks: {organization: '', words: owes}\n", "organization: '' is not text: write it in quotes"),
        (f"  - sum_of_all: 1{15 * '0'}1\n", "are more than an invoice can have"),
        ("  - close: 2026-10\n", "no step checks anything: add `totals`, `items` or another check"),
        ("  close: 2026-10\n", "steps is missing, or no list of steps"),
    ],
)
def test_a_value_that_a_step_can_not_have_is_named(tmp_path: Path, steps: str, mistake: str) -> None:
    assert mistake in "\n".join(mistakes_of(tmp_path, steps))


def test_a_key_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    (line,) = mistakes_of(tmp_path, "  - totals: {acme: {2026-10: 3150}, acme: {2026-10: 4150}}\n")
    assert line.startswith("case/case.yaml: line 2, column 37:")
    assert 'found duplicate key "acme"' in line


def test_an_organization_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    head = "organizations: [{id: acme}, {id: labs, currency: EUR}, {id: acme}]\n"
    assert mistakes_of(tmp_path, CHECK, head) == ["case/case.yaml: organizations: acme is there twice: keep one"]


def test_a_case_of_another_version_is_not_read_further(tmp_path: Path) -> None:
    (line,) = mistakes_of(tmp_path, "  - closing: 2026-10\n", "version: 2\n")
    assert line == "case/case.yaml: version '2': this fly-billing reads cases of version 1"


def test_a_missing_file_and_a_file_that_nothing_reads_are_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "case", f"  - file: {{day: 2026-10-05, from: usage.jsonl}}\n  - workspace: shop\n{CHECK}")
    (folder / "usgae.jsonl").write_text("{}", encoding="utf-8")
    assert mistakes(folder) == [
        "case/case.yaml: line 2: step 1: file: no file usage.jsonl (did you mean usgae.jsonl?)",
        "case/case.yaml: line 3: step 2: workspace: no folder shop",
        "case/case.yaml: nothing reads usgae.jsonl: name it in a step, or remove it",
    ]


def test_the_mistakes_of_all_cases_are_named_together(tmp_path: Path) -> None:
    write(tmp_path / "a", "  - close: 2026\n")
    write(tmp_path / "b", "  - totals: {}\n")
    (tmp_path / "b" / "case.json").write_text("{}", encoding="utf-8")
    (tmp_path / "none").mkdir()
    lines = mistakes(tmp_path / "none", tmp_path / "a", tmp_path / "b")
    assert [line.partition(":")[0] for line in lines] == ["none", "a/case.yaml", "b"]
    assert lines[0].endswith("none: no case here or below: a case is a folder with a case.yaml")
    assert lines[2] == "b: it has case.yaml and case.json: keep one"


def test_a_case_that_is_named_twice_is_run_once(tmp_path: Path) -> None:
    folder = write(tmp_path / "case", CHECK)
    assert [case.name for case in read_cases([folder, tmp_path, folder])] == ["case"]


def test_a_day_is_its_midnight_and_a_time_has_an_offset(tmp_path: Path) -> None:
    steps = """\
  - roll_up: {month: 2026-10, now: 2026-10-06}
  - bill: {month: 2026-10, now: 2026-10-06T12:00:00+02:00}
"""
    first, second, _ = read_case(write(tmp_path / "case", steps + CHECK)).contents.steps
    assert first.values == {"month": BillingMonth(2026, 10), "now": datetime(2026, 10, 6, tzinfo=UTC)}
    assert second.values["now"] == datetime(2026, 10, 6, 10, tzinfo=UTC)


def test_a_case_in_json_is_the_same_case(tmp_path: Path) -> None:
    in_yaml = read_case(write(tmp_path / "yaml", CHECK)).contents
    (tmp_path / "json").mkdir()
    data = {"version": 1, "steps": [{"totals": {"acme": {"2026-10": 3150}}}]}
    (tmp_path / "json" / "case.json").write_text(json.dumps(data, indent=1), encoding="utf-8")
    in_json = read_case(tmp_path / "json").contents
    assert [step.values for step in in_json.steps] == [step.values for step in in_yaml.steps]
    assert in_json.organizations == {"acme": "USD"}


def test_a_case_with_a_workspace_begins_without_organizations(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    folder = write(tmp_path / "case", f"  - workspace: ../shop\n{CHECK}")
    assert read_case(folder).contents.organizations == {}
