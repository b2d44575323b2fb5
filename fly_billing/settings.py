"""Reads every setting from the environment: in this module only, and never at import.

`.env.example` documents the settings. All invalid settings are reported in one error. Not here: defaults that depend on
a running server (see `cli.local_platform`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    SecretStr,
    ValidationError,
)

from fly_billing.errors import ActionableError
from fly_billing.object_store.address import Place, StoreAccess, StoreFolder, hide_user, parse_place

# DuckDB's default memory limit in MB; FLY_BILLING_MEMORY_MB overrides it.
DUCKDB_MEMORY_MB = 700
# Links that a shorter secret signs could be forged by guessing it.
LEAST_SECRET_LETTERS = 32
# The most days past due that a threshold can have.
MOST_DAYS = 3650


class SettingsError(ActionableError):
    """A setting is missing or invalid. The message names it and says what to do."""


def _whole(least: int) -> Callable[[Any], Any]:
    """Return a validator for whole numbers that are written as digits and are at least `least`."""

    def read(value: Any) -> Any:
        if isinstance(value, str):
            if not value.isdecimal() or int(value) < least:
                raise ValueError(f"must be a whole number of at least {least}")
            return int(value)
        return value

    return read


def _one_of(words: Any) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if value not in get_args(words):
            raise ValueError(f"must be one of: {', '.join(get_args(words))}")
        return value

    return read


def _hours(value: Any) -> Any:
    return timedelta(hours=_whole(0)(value)) if isinstance(value, str) else value


def _seconds(value: Any) -> Any:
    return timedelta(seconds=_whole(1)(value)) if isinstance(value, str) else value


def _days(value: Any) -> Any:
    return timedelta(days=_whole(1)(value)) if isinstance(value, str) else value


def _days_list(value: Any) -> Any:
    """Read `7,14,30` as a tuple of days, each once, in order."""
    if not isinstance(value, str):
        return value
    days = [part.strip() for part in value.split(",")]
    if not all(day.isascii() and day.isdecimal() and 1 <= int(day) <= MOST_DAYS for day in days):
        raise ValueError(f"must be whole days from 1 to {MOST_DAYS}, such as 7,14,30")
    return tuple(sorted({int(day) for day in days}))


def _limits(value: Any) -> Any:
    """Read `100`, or `USD=100, JPY=15000, EUR=90`, as limits by currency. One without a currency has the key ``""``."""
    if not isinstance(value, str):
        return value
    found: dict[str, Decimal] = {}
    for part in value.split(","):
        code, equals, amount = (text.strip() for text in part.rpartition("="))
        named = code.isascii() and code.isalpha() and code.isupper() and len(code) == 3
        if not (amount.isascii() and amount.isdecimal()) or (equals and not named) or code in found:
            raise ValueError(
                "must be whole units of each invoice's currency, such as 100, or one limit for each currency:"
                " USD=100, JPY=15000, EUR=90"
            )
        found[code] = Decimal(amount)
    return found


def _place(value: Any) -> Any:
    return parse_place(value) if isinstance(value, str) else value


def _page(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        parts = urlsplit(value)
        is_page = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        is_page = False
    if not is_page or "@" in value or "?" in value or "#" in value or not value.isascii() or not value.isprintable():
        raise ValueError("must be an address such as https://pages.example.com, without user and password")
    return value.rstrip("/")


Whole = Annotated[int, BeforeValidator(_whole(0))]
Positive = Annotated[int, BeforeValidator(_whole(1))]
Hours = Annotated[timedelta, BeforeValidator(_hours)]
Seconds = Annotated[timedelta, BeforeValidator(_seconds)]
Days = Annotated[timedelta, BeforeValidator(_days)]
Units = Annotated[Decimal, BeforeValidator(_whole(0))]
Folder = Annotated[InstanceOf[Path] | InstanceOf[StoreFolder] | None, BeforeValidator(_place)]
Environments = Literal["development", "production"]
Executors = Literal["in_process", "celery"]
UnresolvedRejections = Literal["close", "wait"]


class _FromEnvironment(BaseModel):
    """Has each field from the variable that its alias names. An empty variable counts as not set.

    Not pydantic-settings: loading it takes a quarter of the time of `fly-billing statement`.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read the settings. Values in `environ` override the process's environment.

        Raises:
            SettingsError: The message has one line for each invalid variable.
        """
        given = {name: value for name, value in (environ or {}).items() if value}
        variables = {**os.environ, **given}
        try:
            return cls.model_validate({name: value for name in cls._names() if (value := variables.get(name))})
        except ValidationError as problem:
            raise SettingsError("\n".join(_line(error) for error in problem.errors())) from None

    @classmethod
    def _names(cls) -> Iterator[str]:
        """Yield the variables of all fields."""
        for field in cls.model_fields.values():
            alias = field.validation_alias or field.alias
            yield from map(str, alias.choices if isinstance(alias, AliasChoices) else [alias])


def _line(error: Any) -> str:
    name = ".".join(str(part) for part in error["loc"])
    reason = error.get("ctx", {}).get("error") or error["msg"]
    return f"{name}={hide_user(repr(error['input']))} {reason}"


class DatabaseLimits(_FromEnvironment):
    """Time limits of a session on the billing database, in seconds. In the first three, 0 means no limit."""

    statement_seconds: Whole = Field(3600, alias="FLY_BILLING_STATEMENT_SECONDS")
    lock_seconds: Whole = Field(300, alias="FLY_BILLING_LOCK_SECONDS")
    idle_transaction_seconds: Whole = Field(900, alias="FLY_BILLING_IDLE_TRANSACTION_SECONDS")
    connect_seconds: Annotated[int, BeforeValidator(_whole(2))] = Field(10, alias="FLY_BILLING_CONNECT_SECONDS")
    silence_seconds: Positive = Field(60, alias="FLY_BILLING_SILENCE_SECONDS")


class Settings(_FromEnvironment):
    """All settings except the limits of database sessions.

    Attributes:
        update_minutes: How often open months are updated with what changed; 0: hourly landing, nightly billing only.
        unresolved_rejections: `wait`: a month does not close while it has unresolved rejected usage.
        correction_guard_floor: An amount in the currency's major unit.
        credit_approvals_above: The largest credit note without an approval, by currency, in its major unit. The key
            ``""`` is for all other currencies; without it, they always need an approval.
        first_alert: The spend of a month, as above, at which a new organization is alerted. 0: none.
        processes: The most processes that land new days, roll up a large month, or calculate its invoices, at once.
        runs_per_month: The runs among which the schedules divide a month's billing groups.
        stripe_requests_per_endpoint: Requests per second, as in `stripe_requests_per_second`.
    """

    environment: Annotated[Environments, BeforeValidator(_one_of(Environments))] = Field(
        "development", alias="FLY_BILLING_ENV"
    )
    data_dir_as_given: Path = Field(Path(".data"), alias="FLY_BILLING_DATA_DIR")
    landing_dir_as_given: Folder = Field(None, alias="FLY_BILLING_LANDING_DIR")
    usage_tokens: SecretStr | None = Field(None, alias="FLY_BILLING_USAGE_TOKENS")
    usage_tokens_file: Path | None = Field(None, alias="FLY_BILLING_USAGE_TOKENS_FILE")
    workspace_dir: Path | None = Field(None, alias="FLY_BILLING_WORKSPACE")
    lake_dir_as_given: Folder = Field(None, alias="FLY_BILLING_LAKE_DIR")
    copies_dir_as_given: Path | None = Field(None, alias="FLY_BILLING_COPIES_DIR")
    copies_mb: Positive = Field(20_000, alias="FLY_BILLING_COPIES_MB")
    # The stores' own variables. Their libraries read credentials themselves, except Azure's key.
    s3_endpoint: str | None = Field(None, validation_alias=AliasChoices("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"))
    s3_region: str | None = Field(None, validation_alias=AliasChoices("AWS_REGION", "AWS_DEFAULT_REGION"))
    azure_account: str | None = Field(None, alias="AZURE_STORAGE_ACCOUNT_NAME")
    azure_key: SecretStr | None = Field(None, alias="AZURE_STORAGE_ACCOUNT_KEY")
    reports_dir_as_given: Path | None = Field(None, alias="FLY_BILLING_REPORTS_DIR")
    reports_url: Annotated[str | None, BeforeValidator(_page)] = Field(None, alias="FLY_BILLING_REPORTS_URL")
    database_url: SecretStr | None = Field(None, alias="DATABASE_URL")
    migration_database_url: SecretStr | None = Field(None, alias="FLY_BILLING_MIGRATION_DATABASE_URL")
    api_database_url: SecretStr | None = Field(None, alias="FLY_BILLING_API_DATABASE_URL")
    api_requests_per_second: Positive = Field(10, alias="FLY_BILLING_API_REQUESTS_PER_SECOND")
    link_secret: SecretStr | None = Field(None, alias="FLY_BILLING_LINK_SECRET")
    page_url: Annotated[str | None, BeforeValidator(_page)] = Field(None, alias="FLY_BILLING_PAGE_URL")
    dagster_database_url: SecretStr | None = Field(None, alias="DAGSTER_DATABASE_URL")
    dagster_event_batch_size: Whole = Field(1000, alias="DAGSTER_EVENT_BATCH_SIZE")
    executor: Annotated[Executors, BeforeValidator(_one_of(Executors))] = Field(
        "in_process", alias="FLY_BILLING_EXECUTOR"
    )
    dagster_url: Annotated[str | None, BeforeValidator(_page)] = Field(None, alias="FLY_BILLING_DAGSTER_URL")
    celery_broker_url: SecretStr | None = Field(None, alias="DAGSTER_CELERY_BROKER_URL")
    celery_backend_url: SecretStr | None = Field(None, alias="DAGSTER_CELERY_BACKEND_URL")
    celery_redeliver_seconds: Positive = Field(3600, alias="FLY_BILLING_CELERY_REDELIVER_SECONDS")
    memory_mb: Annotated[int, BeforeValidator(_whole(128))] = Field(DUCKDB_MEMORY_MB, alias="FLY_BILLING_MEMORY_MB")
    grace: Hours = Field(timedelta(hours=72), alias="FLY_BILLING_GRACE_HOURS")
    due_days: Whole = Field(14, alias="FLY_BILLING_DUE_DAYS")
    update_minutes: Whole = Field(5, alias="FLY_BILLING_UPDATE_MINUTES")
    seller_as_given: str | None = Field(None, alias="FLY_BILLING_SELLER")
    pdf_fonts_as_given: str | None = Field(None, alias="FLY_BILLING_PDF_FONTS")
    unresolved_rejections: Annotated[UnresolvedRejections, BeforeValidator(_one_of(UnresolvedRejections))] = Field(
        "close", alias="FLY_BILLING_UNRESOLVED_REJECTIONS"
    )
    max_org_partitions: Positive = Field(200, alias="FLY_BILLING_MAX_ORG_PARTITIONS")
    shared_groups: Positive = Field(64, alias="FLY_BILLING_SHARED_GROUPS")
    guard_percent: Whole = Field(50, alias="FLY_BILLING_GUARD_PERCENT")
    correction_guard_percent: Whole = Field(5, alias="FLY_BILLING_CORRECTION_GUARD_PERCENT")
    correction_guard_organization_percent: Whole = Field(50, alias="FLY_BILLING_CORRECTION_GUARD_ORGANIZATION_PERCENT")
    correction_guard_floor: Units = Field(Decimal(1), alias="FLY_BILLING_CORRECTION_GUARD_FLOOR")
    credit_approvals_above: Annotated[dict[str, Decimal], BeforeValidator(_limits)] = Field(
        {"": Decimal(100)}, alias="FLY_BILLING_CREDIT_APPROVAL_ABOVE"
    )
    stripe_api_key: SecretStr | None = Field(None, alias="STRIPE_API_KEY")
    stripe_api_base: str | None = Field(None, alias="STRIPE_API_BASE")
    stripe_requests_per_second_as_given: Positive | None = Field(None, alias="STRIPE_REQUESTS_PER_SECOND")
    stripe_requests_per_endpoint: Positive = Field(25, alias="STRIPE_REQUESTS_PER_ENDPOINT")
    stripe_workers: Positive = Field(40, alias="STRIPE_WORKERS")
    processes: Positive = Field(2, alias="FLY_BILLING_PROCESSES")
    runs_per_month: Positive = Field(1, alias="FLY_BILLING_RUNS_PER_MONTH")
    stripe_webhook_secret: SecretStr | None = Field(None, alias="STRIPE_WEBHOOK_SECRET")
    alert_webhook_url: SecretStr | None = Field(None, alias="ALERT_WEBHOOK_URL")
    slack_bot_token: SecretStr | None = Field(None, alias="SLACK_BOT_TOKEN")
    slack_channel: str | None = Field(None, alias="SLACK_CHANNEL")
    slack_api_base: str | None = Field(None, alias="SLACK_API_BASE")
    smtp_url: SecretStr | None = Field(None, alias="SMTP_URL")
    alert_email_from: str | None = Field(None, alias="ALERT_EMAIL_FROM")
    alert_email_to: str | None = Field(None, alias="ALERT_EMAIL_TO")
    past_due_webhook_url: SecretStr | None = Field(None, alias="PAST_DUE_WEBHOOK_URL")
    past_due_webhook_secret: SecretStr | None = Field(None, alias="PAST_DUE_WEBHOOK_SECRET")
    past_due_days: Annotated[tuple[int, ...], BeforeValidator(_days_list)] = Field(
        (7, 14, 30), alias="FLY_BILLING_PAST_DUE_DAYS"
    )
    first_alert: Annotated[dict[str, Decimal], BeforeValidator(_limits)] = Field(
        {"USD": Decimal(10)}, alias="FLY_BILLING_FIRST_ALERT"
    )
    customer_email_from: str | None = Field(None, alias="FLY_BILLING_CUSTOMER_EMAIL_FROM")
    customer_webhook_url: SecretStr | None = Field(None, alias="FLY_BILLING_CUSTOMER_WEBHOOK_URL")
    customer_webhook_secret: SecretStr | None = Field(None, alias="FLY_BILLING_CUSTOMER_WEBHOOK_SECRET")
    cap_hook_url: SecretStr | None = Field(None, alias="FLY_BILLING_CAP_HOOK_URL")
    cap_hook_secret: SecretStr | None = Field(None, alias="FLY_BILLING_CAP_HOOK_SECRET")
    heartbeat_url: SecretStr | None = Field(None, alias="HEARTBEAT_URL")
    health_heartbeat: Seconds = Field(timedelta(minutes=5), alias="FLY_BILLING_HEALTH_HEARTBEAT_SECONDS")
    health_landing: Hours = Field(timedelta(hours=3), alias="FLY_BILLING_HEALTH_LANDING_HOURS")
    health_close: Days = Field(timedelta(days=35), alias="FLY_BILLING_HEALTH_CLOSE_DAYS")
    health_reconciliation: Hours = Field(timedelta(hours=36), alias="FLY_BILLING_HEALTH_RECONCILIATION_HOURS")

    def sets(self, variable: str) -> bool:
        """Return True if the variable is set, even if it is set to its default."""
        return any(
            field.alias == variable and name in self.model_fields_set for name, field in type(self).model_fields.items()
        )

    def credit_approval_above(self, currency: str) -> Decimal:
        """Return the largest credit note in a currency that needs no approval, in its major unit."""
        limits = self.credit_approvals_above
        return limits.get(currency, limits.get("", Decimal(0)))

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read the settings, as every class of settings does. Raises SettingsError, also for one that was removed."""
        engine = {**os.environ, **(environ or {})}.get("FLY_BILLING_ROLLUP_ENGINE") or "duckdb"
        if engine != "duckdb":
            raise SettingsError(
                f"FLY_BILLING_ROLLUP_ENGINE={engine!r}: only DuckDB rolls usage up now. Remove the setting."
                " FLY_BILLING_PROCESSES divides a large month among processes, FLY_BILLING_RUNS_PER_MONTH among runs"
            )
        return super().from_environment(environ)

    @property
    def production(self) -> bool:
        return self.environment == "production"

    @property
    def data_dir(self) -> Path:
        return self.data_dir_as_given.resolve()

    @property
    def landing_dir(self) -> Place:
        return self._with_access(self.landing_dir_as_given or self.data_dir / "landing")

    @property
    def lake_dir(self) -> Place:
        return self._with_access(self.lake_dir_as_given or self.data_dir / "usage_events")

    @property
    def copies_dir(self) -> Path:
        return (self.copies_dir_as_given or self.data_dir / "local_copies").resolve()

    def local_landing_dir(self, reason: str) -> Path:
        """Return the landing folder for a command that writes into it. Raises SettingsError for an object store.

        Args:
            reason: Why the command can't write there, such as "sample usage is written to a disk".
        """
        if isinstance(place := self.landing_dir, StoreFolder):
            raise SettingsError(
                f"FLY_BILLING_LANDING_DIR={place} is an object store, {reason}: set a local folder for this command,"
                " and copy its day folders to the object store"
            )
        return place

    def _with_access(self, place: Place) -> Place:
        if isinstance(place, Path):
            return place
        if place.scheme == "az" and self.azure_account is None:
            raise SettingsError(f"{place} needs AZURE_STORAGE_ACCOUNT_NAME, the account of its container: set it")
        return replace(place, access=StoreAccess(self.s3_endpoint, self.s3_region, self.azure_account, self.azure_key))

    @property
    def reports_dir(self) -> Path:
        return (self.reports_dir_as_given or self.data_dir / "reports").resolve()

    @property
    def stripe_requests_per_second(self) -> int:
        """The setting, or Stripe's own limit: 100 in production, 25 in a test account."""
        return self.stripe_requests_per_second_as_given or (100 if self.production else 25)

    @property
    def seller(self) -> tuple[str, ...]:
        """The lines about the seller on statements and invoices: name, address, tax ids."""
        return tuple(line.strip() for line in (self.seller_as_given or "").split(";") if line.strip())

    @property
    def link_secrets(self) -> tuple[str, ...]:
        """The secrets of links to the customer page: the one that signs, and the one before it during a rotation.

        Raises SettingsError, without the secret, if one is too short or there are more than two.
        """
        secrets = [part.strip() for part in (reveal(self.link_secret) or "").split(",")]
        if secrets == [""]:
            return ()
        if len(secrets) > 2 or any(len(secret) < LEAST_SECRET_LETTERS for secret in secrets):
            raise SettingsError(
                f"FLY_BILLING_LINK_SECRET must be a random text of at least {LEAST_SECRET_LETTERS} characters (openssl"
                " rand -base64 32), or the new one and the one before it with a comma between them"
            )
        return tuple(secrets)

    @property
    def pdf_fonts(self) -> tuple[Path, ...]:
        """Fonts of PDF invoices besides Noto Sans."""
        return tuple(Path(path) for path in (self.pdf_fonts_as_given or "").split(os.pathsep) if path)

    def celery_urls(self) -> tuple[str, str]:
        """Return the addresses of Celery's broker and backend. Raises SettingsError if one is not set."""
        if self.celery_broker_url is None or self.celery_backend_url is None:
            raise SettingsError(
                "Celery needs DAGSTER_CELERY_BROKER_URL and DAGSTER_CELERY_BACKEND_URL, such as redis://host:6379/0:"
                " set both, for the workers and for the process that starts runs"
            )
        return self.celery_broker_url.get_secret_value(), self.celery_backend_url.get_secret_value()


def secret_from_environment(variable: str, reason: str) -> SecretStr:
    """Read a secret from a variable that a workspace names. Raises SettingsError, with the reason, if it is not set."""
    if not (text := os.environ.get(variable, "").strip()):
        raise SettingsError(f"{variable} is not set: {reason}")
    return SecretStr(text)


@contextmanager
def without_settings() -> Iterator[None]:
    """Remove all settings, and variables of Postgres, Dagster and object stores, from the environment in the block.

    For throw-away platforms: a user's server, key or PGSERVICE must neither reach them nor break them. Child processes
    that start in the block do not get the variables either.
    """
    with _without(is_setting):
        yield


@contextmanager
def without_postgres_variables() -> Iterator[None]:
    """Remove the variables of Postgres' client from the environment in the block.

    For the embedded server: libpq reads PGSERVICE before any parameter of a connection.
    """
    with _without(lambda name: name.startswith("PG")):
        yield


@contextmanager
def _without(is_removed: Callable[[str], bool]) -> Iterator[None]:
    removed = {name: value for name, value in os.environ.items() if is_removed(name)}
    for name in removed:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(removed)


def is_setting(variable: str) -> bool:
    """Return True if fly_billing, Postgres' client, Dagster or an object store's library reads the variable."""
    return variable in _VARIABLES or variable.startswith(_PREFIXES)


def refuse_missing_address(url: str | None, setting: str) -> str:
    """Return a database's URL. Raises SettingsError if there is none."""
    if not url:
        raise SettingsError(f"{setting} is not set: set it to your server's URL, or run `make dev` for a local one")
    return url


def reveal(secret: SecretStr | None) -> str | None:
    """Return a secret as text. Call it only where a connection is made."""
    return secret.get_secret_value() if secret else None


_PREFIXES = (
    "ALERT_", "AWS_", "AZURE_", "DAGSTER_", "FLY_BILLING_", "GOOGLE_", "HEARTBEAT_", "PAST_DUE_", "PG", "SLACK_",
    "SMTP_", "STRIPE_",
)  # fmt: skip
_VARIABLES = frozenset({"DATABASE_URL"})
