"""Settings are read when they are needed, and an invalid setting is named."""

import ast
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from fly_billing.postgres.database import BillingDatabase
from fly_billing.resources.billing_terms import BillingTerms
from fly_billing.resources.clock import Clock
from fly_billing.resources.stripe_account import StripeAccount
from fly_billing.resources.usage_store import UsageStore
from fly_billing.settings import DatabaseLimits, Settings, SettingsError
from fly_billing.usage.usage_table import open_duckdb

PACKAGE = Path(__file__).parents[2] / "fly_billing"


def variables_read(tree: ast.AST) -> set[str]:
    """Return the names of environment variables that the code reads; a computed name as its source text."""

    def is_environment(node: ast.expr) -> bool:
        return ast.unparse(node) in ("os.environ", "environ", "os.environb", "environb")

    names: list[ast.expr] = []
    for node in ast.walk(tree):
        match node:
            case ast.Subscript(value=value, slice=name, ctx=ast.Load()) if is_environment(value):
                names.append(name)
            case ast.Call(func=ast.Attribute(value=value, attr="get" | "setdefault"), args=[name, *_]) if (
                is_environment(value)
            ):
                names.append(name)
            case ast.Call(func=function, args=[name, *_]) if ast.unparse(function) in ("os.getenv", "getenv"):
                names.append(name)
            case ast.Compare(left=name, ops=[ast.In() | ast.NotIn()], comparators=[value]) if is_environment(value):
                names.append(name)
    return {str(name.value) if isinstance(name, ast.Constant) else ast.unparse(name) for name in names}


def test_every_setting_except_databases_and_keys_has_a_default() -> None:
    settings = Settings.from_environment({})
    assert (settings.database_url, settings.stripe_api_key, settings.alert_webhook_url) == (None, None, None)
    assert (settings.grace, settings.due_days, settings.max_org_partitions) == (timedelta(hours=72), 14, 200)
    assert settings.update_minutes == 5
    assert not settings.production
    assert settings.landing_dir == settings.data_dir / "landing"


@pytest.mark.parametrize(
    ("setting", "amounts"),
    [
        ("", {"USD": Decimal(10)}),
        ("0", {"": Decimal(0)}),
        ("USD=25, JPY=1500", {"USD": Decimal(25), "JPY": Decimal(1500)}),
    ],
)
def test_the_first_alert_of_new_organizations_is_by_currency(setting: str, amounts: dict[str, Decimal]) -> None:
    assert Settings.from_environment({"FLY_BILLING_FIRST_ALERT": setting}).first_alert == amounts


def test_thresholds_of_late_payments_are_days_each_once_in_order() -> None:
    assert Settings.from_environment({}).past_due_days == (7, 14, 30)
    assert Settings.from_environment({"FLY_BILLING_PAST_DUE_DAYS": "30, 3,30"}).past_due_days == (3, 30)
    for wrong in ("7,soon", "0,7", "7,", "3651"):
        with pytest.raises(SettingsError, match=f"='{wrong}' must be whole days from 1 to 3650"):
            Settings.from_environment({"FLY_BILLING_PAST_DUE_DAYS": wrong})


def test_an_empty_setting_counts_as_not_set() -> None:
    assert Settings.from_environment({"FLY_BILLING_GRACE_HOURS": "", "DATABASE_URL": ""}) == Settings.from_environment(
        {}
    )


def test_a_setting_is_read_from_its_variable(tmp_path: Path) -> None:
    settings = Settings.from_environment(
        {"FLY_BILLING_GRACE_HOURS": "0", "FLY_BILLING_DATA_DIR": str(tmp_path), "FLY_BILLING_ENV": "production"}
    )
    assert (settings.grace, settings.production) == (timedelta(0), True)
    assert settings.lake_dir == tmp_path.resolve() / "usage_events"
    assert settings.reports_dir == tmp_path.resolve() / "reports"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FLY_BILLING_GRACE_HOURS", "-1"),
        ("FLY_BILLING_GRACE_HOURS", "three"),
        ("FLY_BILLING_DUE_DAYS", "1.5"),
        ("FLY_BILLING_UPDATE_MINUTES", "often"),
        ("FLY_BILLING_MAX_ORG_PARTITIONS", "0"),
        ("FLY_BILLING_SHARED_GROUPS", "0"),
        ("STRIPE_REQUESTS_PER_SECOND", "0"),
        ("STRIPE_WORKERS", "0"),
        ("FLY_BILLING_CELERY_REDELIVER_SECONDS", "0"),
        ("FLY_BILLING_HEALTH_HEARTBEAT_SECONDS", "0"),
        ("FLY_BILLING_HEALTH_LANDING_HOURS", "3h"),
        ("FLY_BILLING_HEALTH_CLOSE_DAYS", "0"),
        ("FLY_BILLING_HEALTH_RECONCILIATION_HOURS", "-1"),
    ],
)
def test_an_invalid_setting_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{name}='{value}' must be a whole number"):
        Settings.from_environment({name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FLY_BILLING_STATEMENT_SECONDS", "-1"),
        ("FLY_BILLING_LOCK_SECONDS", "5min"),
        ("FLY_BILLING_IDLE_TRANSACTION_SECONDS", "1.5"),
        ("FLY_BILLING_CONNECT_SECONDS", "0"),
        ("FLY_BILLING_SILENCE_SECONDS", "0"),
    ],
)
def test_an_invalid_limit_of_the_database_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{name}='{value}' must be a whole number"):
        DatabaseLimits.from_environment({name: value})


@pytest.mark.parametrize(("name", "field"), [("DAGSTER_URL", "dagster_url"), ("REPORTS_URL", "reports_url")])
def test_the_address_of_pages_is_one_that_an_alert_can_link_to(name: str, field: str) -> None:
    def read(address: str) -> str | None:
        found: str | None = getattr(Settings.from_environment({f"FLY_BILLING_{name}": address}), field)
        return found

    assert read("https://dagster.example.com/billing/") == "https://dagster.example.com/billing"
    assert read("http://127.0.0.1:3000") == "http://127.0.0.1:3000"
    assert read("") is None
    for wrong in ("dagster.example.com", "ftp://host", "https://", "https://ann:secret@host", "https://host/?a=b"):
        with pytest.raises(SettingsError, match=rf"FLY_BILLING_{name}=.* must be an address such as https://"):
            read(wrong)


@pytest.mark.parametrize("engine", ["spark", "Spark"])
def test_another_engine_than_duckdb_is_refused_with_what_replaces_it(engine: str) -> None:
    """Spark was an engine once: usage must not be rolled up elsewhere than a deployment thinks."""
    with pytest.raises(SettingsError, match=rf"FLY_BILLING_ROLLUP_ENGINE='{engine}'.*Remove the setting.*PROCESSES"):
        Settings.from_environment({"FLY_BILLING_ROLLUP_ENGINE": engine})
    for allowed in ("duckdb", ""):
        Settings.from_environment({"FLY_BILLING_ROLLUP_ENGINE": allowed})


@pytest.mark.parametrize(("value", "production"), [("production", True), ("development", False), ("", False)])
def test_the_environment_is_production_or_development(value: str, production: bool) -> None:
    assert Settings.from_environment({"FLY_BILLING_ENV": value}).production is production


def test_a_month_with_rejected_usage_closes_or_waits_and_another_word_is_refused() -> None:
    assert Settings.from_environment().unresolved_rejections == "close"
    with pytest.raises(SettingsError, match=r"FLY_BILLING_UNRESOLVED_REJECTIONS='yes' must be one of: close, wait"):
        Settings.from_environment({"FLY_BILLING_UNRESOLVED_REJECTIONS": "yes"})


@pytest.mark.parametrize(
    "value", ["prod", "Production", "PRODUCTION", "live", " production", "production\n", "staging"]
)
def test_an_unknown_environment_is_refused(value: str) -> None:
    with pytest.raises(SettingsError, match=r"FLY_BILLING_ENV=.* must be one of: development, production"):
        Settings.from_environment({"FLY_BILLING_ENV": value})


def test_all_invalid_settings_are_reported_at_once() -> None:
    wrong = {"FLY_BILLING_GRACE_HOURS": "three", "STRIPE_WORKERS": "0", "FLY_BILLING_ENV": "prod"}
    with pytest.raises(SettingsError) as refused:
        Settings.from_environment(wrong)
    assert sorted(str(refused.value).splitlines()) == [
        "FLY_BILLING_ENV='prod' must be one of: development, production",
        "FLY_BILLING_GRACE_HOURS='three' must be a whole number of at least 0",
        "STRIPE_WORKERS='0' must be a whole number of at least 1",
    ]


def test_a_resource_may_set_every_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLY_BILLING_GUARD_PERCENT", "50")
    monkeypatch.setenv("FLY_BILLING_ENV", "production")
    terms = BillingTerms(guard_percent=7, correction_guard_floor=9, grace_hours=0)
    assert terms.spending_guard_percent() == 7
    assert (terms.correction_guard().floor, terms.terms().grace) == (Decimal(9), timedelta(0))
    assert not terms.terms().waits_for_rejected_usage
    assert BillingTerms(unresolved_rejections="wait").terms().waits_for_rejected_usage
    database = BillingDatabase("postgresql://me@127.0.0.1/billing")
    account = StripeAccount(api_key="sk_test_1", environment="development", requests_per_second=3, workers=2)
    assert account.sync_tools(database, Clock(), "run").rules.workers == 2
    with pytest.raises(SettingsError, match="sk_live_"):
        StripeAccount(api_key="sk_test_1").sync_tools(database, Clock(), "run")


def test_a_resource_may_set_the_memory_limit_of_duckdb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLY_BILLING_MEMORY_MB", "256")
    assert UsageStore().usage_table().memory_mb == 256
    usage_table = UsageStore(memory_mb=128).usage_table()
    assert usage_table.memory_mb == 128
    with open_duckdb(usage_table.memory_mb) as duck:  # 128 million bytes
        assert duck.execute("select current_setting('memory_limit')").fetchall() == [("122.0 MiB",)]
    with pytest.raises(SettingsError, match="FLY_BILLING_MEMORY_MB='64' must be a whole number of at least 128"):
        UsageStore(memory_mb=64).usage_table()


def test_a_resource_may_select_stripes_live_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    """The link to a failed request leads to the mode of the resource, not of the environment."""
    database = BillingDatabase("postgresql://me@127.0.0.1/billing")
    monkeypatch.setenv("FLY_BILLING_ENV", "production")
    account = StripeAccount(api_key="sk_test_1", environment="development")
    assert not account.sync_tools(database, Clock(), "run").sender().livemode
    monkeypatch.setenv("FLY_BILLING_ENV", "development")
    account = StripeAccount(api_key="sk_live_1", environment="production")
    assert account.sync_tools(database, Clock(), "run").sender().livemode


def test_a_setting_counts_as_set_even_to_its_default() -> None:
    settings = Settings.from_environment({"STRIPE_REQUESTS_PER_ENDPOINT": "25", "STRIPE_REQUESTS_PER_SECOND": ""})
    assert settings.sets("STRIPE_REQUESTS_PER_ENDPOINT")
    assert not settings.sets("STRIPE_REQUESTS_PER_SECOND")


def test_only_the_settings_read_environment_variables() -> None:
    """Modules that start child processes pass on the whole environment; names are read only for the reasons below."""
    read = {
        (path.relative_to(PACKAGE).as_posix(), name)
        for path in sorted(PACKAGE.rglob("*.py"))
        for name in variables_read(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert read == {
        ("settings.py", "variable"),  # secrets of databases, whose variables a workspace names
        ("stripe_sandbox/server.py", "PYTHONPATH"),  # extended for the sandbox's own process
    }


def test_only_entry_points_read_the_settings() -> None:
    """Everything below gets values passed in, so that a resource can set them."""
    reads = {
        path.relative_to(PACKAGE).as_posix()
        for path in sorted(PACKAGE.rglob("*.py"))
        if path != PACKAGE / "settings.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "from_environment"
    }
    assert {name for name in reads if name.split("/")[0] not in ("cli", "resources")} == {
        "celery_workers.py",
        "dagster_storage/set_up.py",  # Dagster makes its storage itself, from dagster.yaml
        "dagster_storage/storage.py",
        "definitions.py",
        "postgres/database.py",  # the limits of sessions, if the caller gives none
    }


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("os.environ['A']", {"A"}),
        ("os.environ.get('A', '1')", {"A"}),
        ("os.getenv('A')", {"A"}),
        ("environ.setdefault('A', '1')", {"A"}),
        ("getenv(name)", {"name"}),
        ("os.environ[f'{prefix}_A']", {"f'{prefix}_A'"}),
        ("'A' in os.environ", {"A"}),
        ("os.environ['A'] = '1'; dict(os.environ); {**os.environ}; os.environ.pop(name)", set()),
    ],
)
def test_every_way_to_read_a_variable_is_found(source: str, names: set[str]) -> None:
    assert variables_read(ast.parse(source)) == names


def test_the_settings_show_no_secret() -> None:
    names = (
        "DATABASE_URL", "FLY_BILLING_MIGRATION_DATABASE_URL", "DAGSTER_DATABASE_URL",
        "STRIPE_API_KEY", "STRIPE_WEBHOOK_SECRET", "ALERT_WEBHOOK_URL",
        "SLACK_BOT_TOKEN", "SMTP_URL", "HEARTBEAT_URL", "DAGSTER_CELERY_BROKER_URL", "DAGSTER_CELERY_BACKEND_URL",
    )  # fmt: skip
    assert "very-secret" not in repr(Settings.from_environment(dict.fromkeys(names, "very-secret")))


def test_a_missing_database_url_names_the_fix_and_a_given_one_hides_its_password() -> None:
    with pytest.raises(SettingsError, match="DATABASE_URL is not set"):
        BillingDatabase(None)
    assert "secret" not in repr(BillingDatabase("postgresql://me:secret@127.0.0.1/billing"))


def test_the_limit_of_credit_notes_without_an_approval_can_be_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then every credit note needs one. Unless it is set, those above 100 do."""
    monkeypatch.delenv("FLY_BILLING_CREDIT_APPROVAL_ABOVE", raising=False)
    assert Settings.from_environment().credit_approval_above("USD") == Decimal(100)
    monkeypatch.setenv("FLY_BILLING_CREDIT_APPROVAL_ABOVE", "0")
    assert Settings.from_environment().credit_approval_above("USD") == Decimal(0)


@pytest.mark.parametrize(
    ("setting", "limits"),
    [
        ("100", {"USD": 100, "JPY": 100}),
        ("USD=100, JPY=15000", {"USD": 100, "JPY": 15000, "EUR": 0}),  # in any other currency, each needs an approval
        ("90,JPY=15000", {"USD": 90, "JPY": 15000}),
    ],
)
def test_the_limit_of_credit_notes_can_be_given_by_currency(setting: str, limits: dict[str, int]) -> None:
    settings = Settings.from_environment({"FLY_BILLING_CREDIT_APPROVAL_ABOVE": setting})
    assert {currency: settings.credit_approval_above(currency) for currency in limits} == limits


@pytest.mark.parametrize(
    "setting", ["USD=", "usd=5", "=5", "US=5", "USD=5.00", "USD=-5", "USD=5, USD=6", "5, 6", "USD=٥"]
)
def test_a_limit_of_credit_notes_that_can_not_be_read_is_refused(setting: str) -> None:
    with pytest.raises(SettingsError, match=r"one limit for each currency: USD=100, JPY=15000, EUR=90"):
        Settings.from_environment({"FLY_BILLING_CREDIT_APPROVAL_ABOVE": setting})
