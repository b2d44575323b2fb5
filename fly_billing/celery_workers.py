"""The Celery app that workers run: dagster-celery's own, at the broker and backend that the environment names.

    celery -A fly_billing.celery_workers worker --concurrency 1 -n one@%h

Keeps out: what a worker does, which is loading the code location and working off one step of a run.
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
    # A step is the broker's until it is done: if the worker's machine is gone, another worker gets it. Every step may
    # be done twice: what it changes is a transaction, or in the journal of what was sent to Stripe.
    task_acks_late=True,
    # But not at once and for ever: a step whose process was killed alone (out of memory, mostly) fails its run, which
    # tells people. Handed on, it would kill one worker after the other, and nobody would hear of it.
    task_reject_on_worker_lost=False,
    worker_prefetch_multiplier=1,
    broker_transport_options={
        **app.conf.broker_transport_options,
        "visibility_timeout": _settings.celery_redeliver_seconds,
        "unacked_restore_throttle": 1,  # look every 10 seconds, not every 100
    },
    broker_connection_retry_on_startup=True,
)


def _close_connections(**_: object) -> None:
    """Dagster's own connections of a step are closed when its instance is collected: dagster-celery never closes it."""
    gc.collect()


signals.task_postrun.connect(_close_connections, weak=False)
