"""Where the steps of a run are worked off: in the run's own process, or by Celery workers (FLY_BILLING_EXECUTOR).

Keeps out: the workers themselves (`celery_workers`), and where runs are started (a run launcher, in `dagster.yaml`).
"""

from dagster import ExecutorDefinition, in_process_executor

from fly_billing.settings import Settings, SettingsError


def chosen_executor(settings: Settings) -> ExecutorDefinition:
    """Return the executor that the settings choose. Raises SettingsError where it can't work as they are."""
    # The steps of a run are few and follow one another: a process or a worker for each costs a second or more.
    return _celery_executor(settings) if settings.executor == "celery" else in_process_executor


def _celery_executor(settings: Settings) -> ExecutorDefinition:
    settings.celery_urls()
    try:
        from dagster_celery import celery_executor
    except ModuleNotFoundError as missing:
        raise SettingsError(
            f"FLY_BILLING_EXECUTOR=celery needs packages that are not installed (no module {missing.name!r}):"
            " install requirements-engines.lock, or 'fly-billing[engines]'"
        ) from missing
    # Named, not given: an address may hold a password, and definitions are looked at by people.
    chosen: ExecutorDefinition = celery_executor.configured(
        {"broker": {"env": "DAGSTER_CELERY_BROKER_URL"}, "backend": {"env": "DAGSTER_CELERY_BACKEND_URL"}},
        name="celery",
    )
    return chosen
