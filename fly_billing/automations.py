"""Decorators of schedules and sensors that run by default. Their docstrings are their descriptions in Dagster.

Dagster itself shows no docstring of a schedule or sensor. Not here: the schedules (`jobs`) and `sensors`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from dagster import DefaultScheduleStatus, DefaultSensorStatus, ScheduleDefinition, SensorDefinition, schedule, sensor

Body = Callable[..., Any]


def described_schedule(job: Any, cron_schedule: str) -> Callable[[Body], ScheduleDefinition]:
    """Make a schedule of a job, in UTC, that runs by default."""

    def decorate(body: Body) -> ScheduleDefinition:
        return schedule(
            job=job,
            cron_schedule=cron_schedule,
            description=inspect.getdoc(body),
            default_status=DefaultScheduleStatus.RUNNING,
        )(body)

    return decorate


def described_sensor(seconds: int, job: Any = None) -> Callable[[Body], SensorDefinition]:
    """Make a sensor that runs by default, at most every so many seconds. It requests runs of `job`, if it is given."""

    def decorate(body: Body) -> SensorDefinition:
        return sensor(
            job=job,
            description=inspect.getdoc(body),
            minimum_interval_seconds=seconds,
            default_status=DefaultSensorStatus.RUNNING,
        )(body)

    return decorate
