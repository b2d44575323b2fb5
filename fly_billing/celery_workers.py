"""The Celery app of the workers: dagster-celery's own app, with the broker and backend from the settings.

    celery -A fly_billing.celery_workers worker --concurrency 1 -n one@%h

A worker loads the code location and executes one step of a run.
"""

import gc

from celery import signals
from dagster_celery.app import app, execute_job, execute_plan, resume_job

from fly_billing.settings import Settings

__all__ = ["app", "execute_job", "execute_plan", "resume_job"]

_settings = Settings.from_environment()
_broker, _backend = _settings.celery_urls()
app.conf.update(
    broker_url=_broker,
    result_backend=_backend,
    # The broker keeps a step until it is done: if the worker's machine is lost, another worker gets the step. Executing
    # a step twice is safe: it changes the database in a transaction, and a journal records each request to Stripe.
    task_acks_late=True,
    # If only the step's process was killed (mostly out of memory), the run fails and an alert goes out. Given to the
    # next worker, such a step would kill one worker after the other without an alert.
    task_reject_on_worker_lost=False,
    worker_prefetch_multiplier=1,
    broker_transport_options={
        **app.conf.broker_transport_options,
        "visibility_timeout": _settings.celery_redeliver_seconds,
        "unacked_restore_throttle": 1,  # check every 10 seconds, not every 100
    },
    broker_connection_retry_on_startup=True,
)


def _close_connections(**_: object) -> None:
    """Close Dagster's database connections of a step: dagster-celery leaves its instance to the garbage collector."""
    gc.collect()


signals.task_postrun.connect(_close_connections, weak=False)
