"""Every setting, read from the environment in one place, when asked and never at import.

`.env.example` lists them for people. Keeps out: defaults that depend on a running server (see `local_platform`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from fly_billing.errors import ToBeMended


class SettingsError(ToBeMended):
    """A setting is missing or can't be right; the message names it and says what to do."""


@dataclass(frozen=True)
class DatabaseLimits:
    """How long a session on the billing database may take over what, in seconds. 0 in the first three: no limit."""

    statement_seconds: int = 3600
    lock_seconds: int = 300
    idle_transaction_seconds: int = 900
    connect_seconds: int = 10
    silence_seconds: int = 60

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> DatabaseLimits:
        """Read the limits. Raises SettingsError naming the variable that can't be read."""
        env = os.environ if environ is None else environ
        return cls(
            statement_seconds=_whole(env, "FLY_BILLING_STATEMENT_SECONDS", cls.statement_seconds),
            lock_seconds=_whole(env, "FLY_BILLING_LOCK_SECONDS", cls.lock_seconds),
            idle_transaction_seconds=_whole(env, "FLY_BILLING_IDLE_TRANSACTION_SECONDS", cls.idle_transaction_seconds),
            connect_seconds=_whole(env, "FLY_BILLING_CONNECT_SECONDS", cls.connect_seconds, least=2),
            silence_seconds=_whole(env, "FLY_BILLING_SILENCE_SECONDS", cls.silence_seconds, least=1),
        )


@dataclass(frozen=True)
class Settings:
    """What the environment says. Times are UTC, rates per second."""

    data_dir: Path
    database_url: str | None = field(repr=False)
    migration_database_url: str | None = field(repr=False)
    dagster_database_url: str | None = field(repr=False)
    stripe_api_key: str | None = field(repr=False)
    stripe_api_base: str | None
    production: bool
    executor: str
    celery_broker_url: str | None = field(repr=False)
    celery_backend_url: str | None = field(repr=False)
    celery_redeliver_seconds: int
    landing_dir: Path
    lake_dir: Path
    memory_mb: int
    grace: timedelta
    due_days: int
    max_org_partitions: int
    shared_groups: int
    guard_percent: int
    correction_guard_percent: int
    correction_guard_organization_percent: int
    correction_guard_floor: Decimal
    rollup_engine: str
    spark_master: str
    stripe_requests_per_second: int
    stripe_requests_per_endpoint: int
    stripe_workers: int
    stripe_webhook_secret: str | None = field(repr=False)
    alert_webhook_url: str | None = field(repr=False)
    slack_bot_token: str | None = field(repr=False)
    slack_channel: str | None
    slack_api_base: str | None
    smtp_url: str | None = field(repr=False)
    alert_email_from: str | None
    alert_email_to: str | None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read the settings. Raises SettingsError naming the variable that can't be read."""
        env = os.environ if environ is None else environ
        production = _one_of(env, "FLY_BILLING_ENV", ("development", "production")) == "production"
        data_dir = Path(env.get("FLY_BILLING_DATA_DIR") or ".data").resolve()
        return cls(
            data_dir=data_dir,
            database_url=env.get("DATABASE_URL") or None,
            migration_database_url=env.get("FLY_BILLING_MIGRATION_DATABASE_URL") or None,
            dagster_database_url=env.get("DAGSTER_DATABASE_URL") or None,
            stripe_api_key=env.get("STRIPE_API_KEY") or None,
            stripe_api_base=env.get("STRIPE_API_BASE") or None,
            production=production,
            executor=_one_of(env, "FLY_BILLING_EXECUTOR", ("in_process", "celery")),
            celery_broker_url=env.get("DAGSTER_CELERY_BROKER_URL") or None,
            celery_backend_url=env.get("DAGSTER_CELERY_BACKEND_URL") or None,
            celery_redeliver_seconds=_whole(env, "FLY_BILLING_CELERY_REDELIVER_SECONDS", 3600, least=1),
            landing_dir=Path(env.get("FLY_BILLING_LANDING_DIR") or data_dir / "landing"),
            lake_dir=Path(env.get("FLY_BILLING_LAKE_DIR") or data_dir / "usage_events"),
            memory_mb=_whole(env, "FLY_BILLING_MEMORY_MB", 1500, least=128),
            grace=timedelta(hours=_whole(env, "FLY_BILLING_GRACE_HOURS", 72)),
            due_days=_whole(env, "FLY_BILLING_DUE_DAYS", 14),
            max_org_partitions=_whole(env, "FLY_BILLING_MAX_ORG_PARTITIONS", 200, least=1),
            shared_groups=_whole(env, "FLY_BILLING_SHARED_GROUPS", 64, least=1),
            guard_percent=_whole(env, "FLY_BILLING_GUARD_PERCENT", 50),
            correction_guard_percent=_whole(env, "FLY_BILLING_CORRECTION_GUARD_PERCENT", 5),
            correction_guard_organization_percent=_whole(env, "FLY_BILLING_CORRECTION_GUARD_ORGANIZATION_PERCENT", 50),
            correction_guard_floor=Decimal(_whole(env, "FLY_BILLING_CORRECTION_GUARD_FLOOR", 1)),
            rollup_engine=_one_of(env, "FLY_BILLING_ROLLUP_ENGINE", ("duckdb", "spark")),
            spark_master=env.get("SPARK_MASTER") or "local[*]",
            stripe_requests_per_second=_whole(env, "STRIPE_REQUESTS_PER_SECOND", 100 if production else 25, least=1),
            stripe_requests_per_endpoint=_whole(env, "STRIPE_REQUESTS_PER_ENDPOINT", 25, least=1),
            stripe_workers=_whole(env, "STRIPE_WORKERS", 40, least=1),
            stripe_webhook_secret=env.get("STRIPE_WEBHOOK_SECRET") or None,
            alert_webhook_url=env.get("ALERT_WEBHOOK_URL") or None,
            slack_bot_token=env.get("SLACK_BOT_TOKEN") or None,
            slack_channel=env.get("SLACK_CHANNEL") or None,
            slack_api_base=env.get("SLACK_API_BASE") or None,
            smtp_url=env.get("SMTP_URL") or None,
            alert_email_from=env.get("ALERT_EMAIL_FROM") or None,
            alert_email_to=env.get("ALERT_EMAIL_TO") or None,
        )

    def celery_urls(self) -> tuple[str, str]:
        """Return the addresses of Celery's broker and backend. Raises SettingsError where one is not set."""
        if self.celery_broker_url is None or self.celery_backend_url is None:
            raise SettingsError(
                "Celery needs DAGSTER_CELERY_BROKER_URL and DAGSTER_CELERY_BACKEND_URL, such as redis://host:6379/0:"
                " set both, for the workers and for whatever starts runs"
            )
        return self.celery_broker_url, self.celery_backend_url


def _whole(env: Mapping[str, str], name: str, default: int, least: int = 0) -> int:
    text = env.get(name) or str(default)
    if not text.isdecimal() or int(text) < least:
        raise SettingsError(f"{name}={text!r} must be a whole number of at least {least}")
    return int(text)


def _one_of(env: Mapping[str, str], name: str, words: Sequence[str]) -> str:
    """Read one of these words; the first is the default."""
    word = env.get(name) or words[0]
    if word not in words:
        raise SettingsError(f"{name}={word!r} must be one of: {', '.join(words)}")
    return word
