"""The usage sources of sources.yaml: what each may send, when it is late, and every mistake in one line."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from fly_billing.usage.rules.declared_sources import NOTHING_DECLARED, DataField
from fly_billing.workspace.files import read_declared_sources, read_workspace
from fly_billing.workspace.reading import WorkspaceHasMistakes
from fly_billing.workspace.starter_files import STARTER

WHOLE = """
undeclared: reject
sources:
  - name: router
    meters: [requests, egress]
    cadence: hourly
    late_after: 90m
    owner: team:edge
    description: The routers of all regions
    data:
      region: {type: text, values: [ams, fra]}
      status: integer
      cached: {type: boolean, required: false, description: From the cache}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(STARTER, tmp_path / "workspace"))


def write(folder: Path, text: str) -> Path:
    (folder / "sources.yaml").write_text(text, encoding="utf-8")
    return folder


def mistakes(folder: Path, text: str) -> list[str]:
    with pytest.raises(WorkspaceHasMistakes) as refused:
        read_declared_sources(write(folder, text))
    return [line.removeprefix(f"{folder}: ") for line in refused.value.problems]


def test_a_source_has_meters_a_cadence_and_a_contract(folder: Path) -> None:
    declared = read_declared_sources(write(folder, WHOLE))
    (router,) = declared.sources
    assert declared.rejects_others
    assert (router.name, router.meters, router.cadence) == ("router", ("requests", "egress"), "hourly")
    assert (router.late_after, router.owner) == (timedelta(minutes=90), "team:edge")
    assert router.fields == (
        DataField("region", "text", True, ("ams", "fra")),
        DataField("status", "integer"),
        DataField("cached", "boolean", False, (), "From the cache"),
    )


def test_a_source_without_more_is_daily_and_late_after_two_days(folder: Path) -> None:
    declared = read_declared_sources(write(folder, "sources: [{name: api, meters: requests}]"))
    assert not declared.rejects_others
    assert (declared.sources[0].cadence, declared.sources[0].late_after) == ("daily", timedelta(days=2))


def test_without_a_workspace_or_sources_nothing_is_declared(folder: Path) -> None:
    assert read_declared_sources(None) == NOTHING_DECLARED
    (folder / "sources.yaml").unlink()
    assert read_declared_sources(folder) == NOTHING_DECLARED


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sources: [{name: api}]", "source api: meters is missing"),
        ("sources: [{name: api, meters: [requests], cadence: dayly}]", "(did you mean daily?)"),
        ("sources: [{name: api, meters: [requests], late_after: 2}]", "not a period: write it such as 90m, 3h or 2d"),
        ("sources: [{name: api, meters: [requests], owner: edge}]", "neither an e-mail address nor team:NAME"),
        ("sources: [{name: api, meters: [requests], data: {size: int}}]", "data: size: type 'int'"),
        ("sources: [{name: api, meters: [requests], data: {size: {typ: text}}}]", "(did you mean type?)"),
        ("sources: [{name: api, meters: [requests], data: {quantity: number}}]", "quantity is read by the meters"),
        ("sources: [{name: api, meters: [requests], data: [size]}]", "data has no fields"),
        ("sources: [{name: api, meters: [r]}, {name: api, meters: [r]}]", "source api is there twice"),
        ("sources: [{name: /api, meters: [r]}, {name: api, meters: [r]}]", "would have the same name as /api"),
        ("undeclared: rejected", "undeclared 'rejected' (did you mean reject?); known are accept, reject"),
    ],
)
def test_a_mistake_is_one_line_with_its_place(folder: Path, text: str, expected: str) -> None:
    (line,) = mistakes(folder, text)
    assert line.startswith("sources.yaml: ")
    assert expected in line


def test_a_folder_that_is_no_workspace_is_named(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceHasMistakes, match="is not a workspace: it has no"):
        read_declared_sources(tmp_path / "gone")


def test_a_plan_also_finds_meters_that_are_misspelt(folder: Path) -> None:
    with pytest.raises(WorkspaceHasMistakes, match=r"source api: no meter 'request' \(did you mean requests\?\)"):
        read_workspace(write(folder, "sources: [{name: api, meters: [request]}]"))
