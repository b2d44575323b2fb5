"""Chooses the executor of a run's steps: the run's own process, or Celery workers (FLY_BILLING_EXECUTOR).

`celery_workers` has the workers. The run launcher in `dagster.yaml` decides where a run starts.
"""

from dagster import ExecutorDefinition, in_process_executor

from fly_billing.settings import Settings, SettingsError


def chosen_executor(settings: Settings) -> ExecutorDefinition:
    """Return the executor that the settings choose. Raises SettingsError if Celery is chosen but not set up."""
    # A run has few steps, one after the other. A process or a worker for each step would cost a second or more.
    return _celery_executor(settings) if settings.executor == "celery" else in_process_executor


def _celery_executor(settings: Settings) -> ExecutorDefinition:
    settings.celery_urls()
    try:
        from dagster_celery import celery_executor
    except ModuleNotFoundError as missing:
        raise SettingsError(
            f"FLY_BILLING_EXECUTOR=celery needs packages that are not installed (module {missing.name!r} is missing):"
            " install requirements-engines.lock, or 'fly-billing[engines]'"
        ) from missing
    # The names of the variables, not their values: an address may contain a password, and the UI shows this.
    chosen: ExecutorDefinition = celery_executor.configured(
        {"broker": {"env": "DAGSTER_CELERY_BROKER_URL"}, "backend": {"env": "DAGSTER_CELERY_BACKEND_URL"}},
        name="celery",
    )
    return chosen
