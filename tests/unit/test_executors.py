"""The executor of steps is a setting; an executor that can't work is refused with the reason before a run starts."""

import sys

import pytest
from dagster import in_process_executor

from fly_billing.definitions import build_defs
from fly_billing.executors import chosen_executor
from fly_billing.settings import Settings, SettingsError

REDIS = {
    "DAGSTER_CELERY_BROKER_URL": "redis://127.0.0.1:1/0",
    "DAGSTER_CELERY_BACKEND_URL": "redis://127.0.0.1:1/0",
}


def test_steps_execute_in_the_runs_process_by_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "dagster_celery", None)  # as if it were not installed
    assert chosen_executor(Settings.from_environment({})) is in_process_executor


@pytest.mark.parametrize("word", ["Celery", "k8s", "in-process"])
def test_an_unknown_executor_is_refused_with_the_known_ones(word: str) -> None:
    with pytest.raises(SettingsError, match=f"FLY_BILLING_EXECUTOR='{word}' must be one of: in_process, celery"):
        Settings.from_environment({"FLY_BILLING_EXECUTOR": word})


def test_celery_without_its_package_names_the_package_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dagster_celery", None)
    with pytest.raises(
        SettingsError, match=r"not installed \(module 'dagster_celery' is missing\).* requirements-engines.lock"
    ):
        chosen_executor(Settings.from_environment({"FLY_BILLING_EXECUTOR": "celery", **REDIS}))


@pytest.mark.parametrize("missing", list(REDIS))
def test_celery_without_an_address_names_both_settings(missing: str) -> None:
    given = {name: url for name, url in REDIS.items() if name != missing}
    with pytest.raises(SettingsError, match="DAGSTER_CELERY_BROKER_URL and DAGSTER_CELERY_BACKEND_URL"):
        chosen_executor(Settings.from_environment({"FLY_BILLING_EXECUTOR": "celery", **given}))


def test_the_code_location_does_not_load_with_an_executor_that_can_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLY_BILLING_EXECUTOR", "celery")
    with pytest.raises(SettingsError, match="DAGSTER_CELERY_BROKER_URL"):
        build_defs()
