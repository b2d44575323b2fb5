"""Organizations, subscriptions and charges come from the platform's own database. A bad row stops nobody else."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from fly_billing.errors import ActionableError
from fly_billing.platform_database.recording import PlatformReadRunning, PlatformRecordsLost
from fly_billing.platform_database.snapshot import PlatformDatabaseProblem
from tests.integration.workspace.conftest import Shop
from tests.integration.workspace.platforms import BOOK, SOURCES, VARIABLE, App, make_app, table
from tests.support.builders import CLOSED, NOW, OCTOBER, Platform, at


@pytest.fixture
def app(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> App:
    monkeypatch.setenv(VARIABLE, "set by make_app")
    return make_app(shop, tmp_path / "app.sqlite3")


HOUR = timedelta(hours=1)
SUBSCRIPTIONS = (
    "select organization_id, price_key, quantity::int, started_at at time zone 'UTC' as begins,"
    " ended_at at time zone 'UTC' as ends"
    " from subscriptions order by organization_id, started_at"
)


def test_the_platforms_customers_are_billed_without_a_file_that_names_them(app: App, platform: Platform) -> None:
    """birch: 30.00 and 123.45 is 153.45. cedar: 2 x 90.00 is 180.00."""
    read = app.read()
    assert [(change.action, change.kind, change.key) for change in read.changes] == [
        ("added", "organization", "birch"),
        ("added", "organization", "cedar"),
        ("added", "subscription", "birch/17"),
        ("added", "subscription", "cedar/18"),
        ("added", "charge", "birch/9"),
    ]
    assert (read.refused, read.read) == ([], {"organizations": 2, "subscriptions": 2, "charges": 1})
    assert platform.query("select email from billing_details") == [{"email": "pay@birch.example"}]
    assert platform.close().failures == []
    assert (platform.totals("birch"), platform.totals("cedar")) == ([15345], [18000])
    assert app.changes(CLOSED) == []


def test_another_plan_in_the_same_row_applies_from_the_read_on(app: App, platform: Platform) -> None:
    app.read()
    app.execute("update subscriptions set plan = 'pro', seats = 3 where id = 17")
    read = app.read(NOW + HOUR)
    assert [(change.action, change.key) for change in read.changes] == [
        ("ended", "birch/17@2026-08-01 09:00:00"), ("added", "birch/17"),
    ]  # fmt: skip
    assert table(platform, SUBSCRIPTIONS)[:2] == [
        ("birch", "support", 1, NOW.replace(tzinfo=None, month=8, day=1, hour=9), NOW.replace(tzinfo=None) + HOUR),
        ("birch", "gold", 3, NOW.replace(tzinfo=None) + HOUR, None),
    ]
    assert app.changes(NOW + 2 * HOUR) == []
    app.execute("update subscriptions set seats = 4 where id = 17")
    assert [key for _, _, key in app.changes(NOW + 3 * HOUR)] == ["birch/17@2026-09-20 13:00:00", "birch/17"]
    assert app.changes(NOW + 4 * HOUR) == []


def test_a_customer_who_changes_the_plan_is_charged_each_one_for_its_time(app: App, platform: Platform) -> None:
    """birch has support (30.00) until noon of September 16th, and gold (90.00) from then on: 15.5 and 14.5 of 30 days.

    15.50 + 43.50 + 123.45 is 182.45.
    """
    app.read()
    app.execute("update subscriptions set plan = 'pro' where id = 17")
    app.read(NOW.replace(day=16))
    assert platform.close().failures == []
    assert platform.totals("birch") == [18245]


def test_more_seats_after_a_final_invoice_leave_it_as_it_is(app: App, platform: Platform) -> None:
    app.read()
    assert platform.close().failures == []
    app.execute("update subscriptions set seats = 3 where id = 18")
    read = app.read(CLOSED)
    assert ([change.action for change in read.changes], read.refused) == (["ended", "added"], [])
    assert platform.totals("cedar") == [18000]
    assert app.changes(CLOSED + HOUR) == []


def test_a_row_that_is_gone_ends_its_subscription_and_a_billed_charge_stays(app: App, platform: Platform) -> None:
    app.read()
    assert platform.close().failures == []
    app.execute("delete from subscriptions where id = 17; delete from charges; insert into accounts values"
                " (3, 'elm', 'Elm', 'USD', '2026-10-01', null); insert into charges values"
                " (10, 3, 'Setup', 100, '2026-10-02')")  # fmt: skip
    read = app.read(CLOSED)
    assert [(change.action, change.key) for change in read.changes] == [
        ("added", "elm"), ("ended", "birch/17"), ("released", "birch/9"), ("added", "elm/10"),
    ]  # fmt: skip
    assert len(platform.query("select 1 from one_off_items")) == 2
    assert app.changes(CLOSED + HOUR) == []


def test_an_account_that_is_gone_is_closed_and_billed_to_its_end(app: App, platform: Platform) -> None:
    """cedar is a customer until noon of September 20th: 180.00 for 19.5 of 30 days is 117.00."""
    app.read()
    app.execute("delete from accounts where id = 2; delete from subscriptions where id = 18")
    read = app.read(NOW)
    assert [(change.action, change.key) for change in read.changes] == [("ended", "cedar"), ("ended", "cedar/18")]
    assert platform.close().failures == []
    assert platform.totals("cedar") == [11700]
    assert platform.query("select id from organizations where closed_at is not null") == [{"id": "cedar"}]
    assert app.changes(CLOSED) == []


def test_a_bad_row_keeps_its_own_organization_as_it_is_and_no_other(app: App, platform: Platform) -> None:
    app.read()
    app.execute("update accounts set name = 'Birch Ltd' where id = 1; update accounts set name = 'Cedar Ltd'"
                " where id = 2; update subscriptions set plan = 'golden' where id = 17; update subscriptions set seats"
                " = 5 where id = 18")  # fmt: skip
    read = app.read(NOW + HOUR)
    assert [row.sentence for row in read.refused] == [
        "subscriptions row 1 (key 17, organization birch): price 'golden' is not among its `values`: add it there"
    ]
    assert [change.key for change in read.changes] == ["cedar", "cedar/18@2026-08-01", "cedar/18"]
    assert table(platform, "select id, name from organizations where id in ('birch', 'cedar') order by 1") == [
        ("birch", "Birch"), ("cedar", "Cedar Ltd"),
    ]  # fmt: skip
    assert read.counts["refused"] == 1


BIRCH = "organizations row 1 (id birch): "
OF_17 = "subscriptions row 1 (key 17, organization birch): "
OF_9 = "charges row 1 (key 9, organization birch): "


BAD_ROWS = [
    ("update accounts set name = null where id = 1", BIRCH + "name is missing"),
    ("update accounts set currency = 'EUR' where id = 1",
     BIRCH + "organization birch: it is billed in EUR, but price book shop has no price in EUR"),
    ("update accounts set billing_email = 'birch' where id = 1",
     BIRCH + "email 'birch' is not an address, such as billing@example.com"),
    ("update accounts set created_at = '2026-09-01' where id = 1",
     OF_17 + "it begins 2026-08-01 09:00:00, but birch is a customer from 2026-09-01 on"),
    ("update accounts set slug = 'Birch Inc.' where id = 1", "organizations row 1 (id Birch Inc.): id 'Birch Inc.'"
     " must have 1 to 63 of a-z, 0-9 and hyphens inside, such as birch-inc"),
    ("insert into accounts values (3, 'birch', 'Birch', 'USD', '2026-08-01', null)",
     "organizations row 3 (id birch): organization birch is there twice, first in organizations row 1"),
    ("update subscriptions set started_at = 'soon' where id = 17", OF_17 + "started_at 'soon' is not a date"),
    ("update subscriptions set plan = null where id = 17", OF_17 + "price is missing"),
    ("update subscriptions set seats = -1 where id = 17", OF_17 + "quantity -1 must be above 0 and below 10^23"),
    ("update subscriptions set seats = 1.5 where id = 17", OF_17 + "quantity 1.5 is a float, which is not exact:"
     " cast it to numeric or text in the query"),
    ("update subscriptions set ended_at = '2026-07-01' where id = 17",
     OF_17 + "ended_at 2026-07-01 00:00 is not after started_at 2026-08-01 09:00"),
    ("update charges set cents = 12.5", OF_9 + "amount_cents 12.5 is a float, which is not exact: cast it to"
     " numeric or text in the query"),
    ("update charges set cents = 0", OF_9 + "amount is 0: it would change nothing"),
    ("update charges set cents = null", OF_9 + "give either an amount, or a unit_amount with its quantity"),
    ("update charges set title = '  '", OF_9 + "description is missing"),
]  # fmt: skip


def test_a_bad_row_is_named_by_its_number_its_key_and_what_is_wrong(app: App) -> None:
    good = app.path.read_bytes()
    for change, sentence in BAD_ROWS:
        app.path.write_bytes(good)
        app.execute(change)
        read = app.read(is_dry_run=True)
        assert read.refused[0].sentence.startswith(sentence)
        assert {change.organization for change in read.changes} == {"cedar"}


def test_while_a_row_can_be_of_anybody_nobody_is_closed(app: App, platform: Platform) -> None:
    app.read()
    app.execute("update accounts set slug = null, name = 'Bïrch' where id = 1;"
                " update accounts set name = 'Cedar Ltd' where id = 2")  # fmt: skip
    read = app.read(NOW + HOUR)
    assert read.refused[0].sentence == "organizations row 1: id is missing"
    assert [(change.action, change.key) for change in read.changes] == [("changed", "cedar")]
    assert platform.query("select 1 from organizations where closed_at is not null") == []


# Losses.

MANY = "".join(
    """insert into accounts values ({n}, 'org-{n}', 'Org {n}', 'USD', '2026-08-01', null);
    insert into subscriptions values ({n}, {n}, 'basic', 1, '2026-08-01', null);
    insert into charges values ({n}, {n}, 'Setup', 500, '2026-09-02');""".replace("{n}", str(n))
    for n in range(100, 160)
)


LOSSES = [
    ("delete from accounts where id < 108", "it would end 10 of 62 organizations, more than 10 %"),
    ("delete from accounts", "`organizations` returned no rows, but 62 organizations came from it"),
    ("delete from subscriptions where id < 106", "it would end 8 of 62 subscriptions, more than 10 %"),
    ("delete from subscriptions", "`subscriptions` returned no rows, but 62 subscriptions came from it"),
    ("delete from charges where id < 108", "it would end 9 of 61 charges, more than 10 %"),
    ("delete from charges", "`charges` returned no rows, but 61 charges came from it"),
]


def test_losing_more_than_a_share_is_refused_until_a_person_says_that_it_is_meant(app: App, platform: Platform) -> None:
    app.execute(MANY)
    app.read()
    before, good = table(platform, SUBSCRIPTIONS), app.path.read_bytes()
    for change, loss in LOSSES:
        app.path.write_bytes(good)
        app.execute(change)
        app.execute("update accounts set name = 'Renamed' where id = 159")
        assert app.read(NOW + HOUR, is_dry_run=True).loss == loss
        with pytest.raises(PlatformRecordsLost) as refused:
            app.read(NOW + HOUR)
        assert str(refused.value) == (
            f"app: {loss}. Nothing was written. If that is meant: `fly-billing read-platform --close-many`"
        )
    assert table(platform, SUBSCRIPTIONS) == before
    assert platform.query("select 1 from organizations where closed_at is not null or name = 'Renamed'") == []
    assert app.read(NOW + HOUR, may_lose_many=True).changes
    assert app.changes(NOW + 2 * HOUR) == []


def test_a_query_that_is_taken_out_of_the_file_ends_nothing_by_itself(app: App) -> None:
    app.read()
    text = (app.shop.folder / "sources.yaml").read_text(encoding="utf-8")
    app.shop.write("sources.yaml", text[: text.index("    subscriptions:")])
    with pytest.raises(PlatformRecordsLost, match="`subscriptions` returned no rows, but 2 subscriptions came from it"):
        app.read(NOW + HOUR)


def test_another_plan_for_everybody_is_no_loss(app: App) -> None:
    app.execute(MANY)
    app.read()
    app.execute("update subscriptions set plan = 'pro' where plan = 'basic'")
    assert app.read(NOW + HOUR).counts["ended"] == 61


# Who owns what.


def test_what_a_command_or_a_file_added_before_is_taken_over_or_refused(app: App, platform: Platform) -> None:
    platform.add_organization("birch", created_at="2026-08-01")
    platform.add_subscription("birch", "support", at("2026-08-01 09:00"))
    platform.execute("update organizations set price_book = 'shop'")
    app.shop.write("organizations.csv", "id,name,currency,created_at\ncedar,Cedar,USD,2026-08-01\n")
    app.shop.apply()
    read = app.read()
    assert [(change.action, change.key) for change in read.changes if change.kind != "charge"] == [
        ("changed", "birch"), ("taken over", "birch/17"),
    ]  # fmt: skip
    assert [row.sentence for row in read.refused] == [
        "organizations row 2 (id cedar): organization cedar: it belongs to shop: name it in one of them"
    ]
    assert len(platform.query("select 1 from subscriptions where organization_id = 'birch'")) == 1


def test_a_fee_that_a_file_charges_already_is_not_charged_twice(app: App) -> None:
    app.read()
    app.shop.write("terms.yaml", "subscriptions: [{organization: birch, price: gold, started_at: 2026-09-01}]\n")
    app.shop.apply()
    app.execute("update subscriptions set plan = 'pro' where id = 17")
    read = app.read(NOW + HOUR)
    assert (read.changes, [row.problem for row in read.refused]) == (
        [],
        ["subscription birch/17: birch has a subscription to gold from 2026-09-01 on already, which shop added: end one"
         " of them"],
    )  # fmt: skip


def test_terms_in_files_may_be_of_organizations_in_the_database(app: App, platform: Platform) -> None:
    """birch: 153.45 and 19 % of it, which is 29.1555: 182.6055, which is 182.61."""
    app.read()
    app.shop.write("terms.yaml", "taxes: [{organization: birch, name: VAT, percent: 19, first_month: 2026-09}]\n")
    app.shop.apply()
    assert app.shop.changes() == []
    assert app.changes(NOW + HOUR) == []
    assert platform.close().failures == []
    assert platform.totals("birch") == [18261]
    app.shop.write("terms.yaml", "# none\n")
    assert app.shop.changes(CLOSED) == [("ended", "tax", "birch/VAT/2026-09")]


def test_the_files_can_be_applied_after_an_organization_they_name_was_closed(app: App) -> None:
    app.read()
    app.shop.write("terms.yaml", "taxes: [{organization: birch, name: VAT, percent: 19, first_month: 2026-09}]\n")
    app.shop.apply()
    app.execute("delete from charges; delete from subscriptions where id = 17; delete from accounts where id = 1")
    app.read(NOW + HOUR, may_lose_many=True)
    assert app.shop.changes(NOW + 2 * HOUR) == []


# Changes of rows.


def test_a_subscription_that_runs_again_begins_again_now(app: App, platform: Platform) -> None:
    app.read()
    app.execute("update subscriptions set ended_at = '2026-09-10' where id = 17")
    assert [change.action for change in app.read(NOW).changes] == ["changed"]
    app.execute("update subscriptions set ended_at = null where id = 17")
    assert [change.action for change in app.read(NOW + HOUR).changes] == ["released", "added"]
    day = NOW.replace(tzinfo=None)
    assert table(platform, SUBSCRIPTIONS)[:2] == [
        ("birch", "support", 1, day.replace(month=8, day=1, hour=9), day.replace(day=10, hour=0)),
        ("birch", "support", 1, day + HOUR, None),
    ]
    assert app.changes(NOW + 2 * HOUR) == []


def test_another_start_or_text_replaces_the_record_unless_an_invoice_has_it(app: App, platform: Platform) -> None:
    app.read()
    app.execute("update subscriptions set started_at = '2026-08-05' where id = 17; update charges set title = 'Move'")
    assert [(change.action, change.kind) for change in app.read(NOW).changes] == [
        ("removed", "subscription"), ("added", "subscription"), ("removed", "charge"), ("added", "charge"),
    ]  # fmt: skip
    assert app.changes(NOW + HOUR) == []
    assert platform.close().failures == []
    app.execute("update subscriptions set started_at = '2026-08-09' where id = 17; update charges set title = 'Trip'")
    read = app.read(CLOSED)
    assert (read.changes, {row.query for row in read.refused}) == ([], {"subscriptions", "charges"})
    assert (
        "another start, text or organization than before, but final invoice number 1 of birch"
        in read.refused[0].problem
    )
    assert platform.totals("birch") == [15345]


def test_another_amount_of_a_billed_charge_is_refused_and_of_an_open_one_is_taken(app: App, platform: Platform) -> None:
    app.read()
    app.execute("update charges set cents = 20000")
    assert [change.action for change in app.read(NOW).changes] == ["changed"]
    assert platform.close().failures == []
    assert platform.totals("birch") == [23000]
    app.execute("update charges set cents = 10000")
    (row,) = app.read(CLOSED).refused
    assert row.problem.startswith("charge birch/9: amount can't change, as final invoice number 1 of birch for 2026-09")


def test_an_account_with_another_id_is_refused_and_both_stay_as_they_are(app: App, platform: Platform) -> None:
    app.read()
    app.execute(
        "update accounts set slug = 'birch-inc' where id = 1; update accounts set name = 'Cedar Ltd' where id = 2"
    )
    read = app.read(NOW + HOUR)
    assert [change.key for change in read.changes] == ["cedar"]
    assert {row.organization: row.problem for row in read.refused} == {
        "birch-inc": "it looks like birch with another id, and an id can't change: give it its id back",
        "birch": "it looks as if its id were birch-inc now, and an id can't change: give it its id back",
    }
    assert platform.query("select 1 from organizations where closed_at is not null") == []


def test_another_currency_is_refused_while_terms_need_the_present_one(app: App, platform: Platform) -> None:
    app.shop.write("price_book/shop/prices.yaml", BOOK + YEN)
    app.shop.apply()
    app.execute("delete from subscriptions where id = 17")
    app.read()
    app.execute("delete from charges; update accounts set currency = 'JPY' where id = 1")
    assert app.read(NOW + HOUR, may_lose_many=True).refused == []
    app.execute("update accounts set currency = 'JPY' where id = 2")
    (row,) = app.read(NOW + HOUR).refused
    assert row.problem == "subscription cedar/18: price 'gold' is in USD, but cedar in JPY"


def test_billing_begins_with_a_day_and_earlier_rows_count_from_then(app: App, platform: Platform) -> None:
    app.shop.edit("sources.yaml", "    naive_times: UTC\n", "    naive_times: UTC\n    billed_from: 2026-09-01\n")
    app.execute(
        "update subscriptions set started_at = '2019-03-02' where id = 17;"
        "update accounts set created_at = '2019-03-02';"
        "insert into subscriptions values (19, 2, 'basic', 1, '2019-01-01', '2020-01-01');"
        "update charges set created_at = '2026-08-31 23:59:59'"
    )
    assert app.read().refused == []
    assert [row[3] for row in table(platform, SUBSCRIPTIONS)] == [NOW.replace(tzinfo=None, day=1, hour=0)] * 2
    assert platform.query("select 1 from one_off_items") == []
    assert app.changes(NOW + HOUR) == []


def test_what_only_the_database_refuses_stops_one_organization(app: App, platform: Platform) -> None:
    """birch pays for acme, so its account can't close."""
    app.execute(MANY)
    app.read()
    platform.link("acme", "birch", OCTOBER)
    app.execute("delete from charges where id = 9; delete from subscriptions where id = 17; delete from accounts"
                " where id = 1; update accounts set name = 'Cedar Ltd' where id = 2")  # fmt: skip
    read = app.read(NOW + HOUR)
    assert [change.key for change in read.changes] == ["cedar"]
    (row,) = read.refused
    assert row.sentence.startswith("organizations (id birch): birch pays for acme after 2026-09: end these links first")


def test_reading_again_changes_nothing_and_the_history_says_who_and_why(app: App, platform: Platform) -> None:
    app.read()
    before = table(platform, "select * from customer_changes")
    app.read(NOW + HOUR)
    assert table(platform, "select * from customer_changes") == before
    assert {row["changed_by"] for row in platform.query("select changed_by from customer_changes")} == {"ann"}


def test_two_reads_at_once_are_refused_because_the_older_rows_could_be_written_last(app: App) -> None:
    running = app.shop.database.session_lock("platform database shop-app")
    with running, pytest.raises(PlatformReadRunning, match="app: another process reads it now"):
        app.read()
    assert len(app.read().changes) == 5


def test_a_dry_run_shows_everything_and_writes_nothing(app: App, platform: Platform) -> None:
    assert len(app.read(is_dry_run=True).changes) == 5
    assert platform.query("select 1 from organizations where id = 'birch'") == []
    assert len(app.read().changes) == 5


# The database that others own.


WRONG_QUERIES = [
    ("select slug, name,", "select id as plan, slug, name,", "app: organizations: no field 'plan': name the column's"
     " field in `columns`, or leave it out of the query; known are id, name, currency"),
    ("slug: id,", "handle: id,", "app: organizations: no field 'slug'"),
    ("currency, created_at, billing_email from", "currency, billing_email from", "app: organizations: no column for"
     " created_at: each row needs one"),
    ("select slug, name, currency, created_at, billing_email from accounts order by id",
     "insert into accounts (id) values (9) returning slug", "app: organizations: attempt to write a readonly database"),
    ("select slug, name, currency, created_at, billing_email from accounts order by id", "pragma query_only = off",
     "app: organizations: it returns no rows: write a select"),
    ("from accounts order by id", "from acounts", "app: organizations: no such table: acounts"),
]  # fmt: skip


def test_a_query_that_can_not_be_used_is_one_line_and_nothing_is_written(app: App, platform: Platform) -> None:
    for old, new, problem in WRONG_QUERIES:
        app.shop.write("sources.yaml", SOURCES)
        app.shop.edit("sources.yaml", old, new)
        with pytest.raises(PlatformDatabaseProblem) as refused:
            app.read()
        assert str(refused.value).startswith(problem)
    assert platform.query("select 1 from organizations where id = 'birch'") == []


WRONG_URLS = [
    ("", "APP_DATABASE_URL is not set: sources.yaml names it for the database app"),
    ("sqlite:////nowhere/hunter2.db", "app: unable to open database file"),
    ("postgresql://app:hunter2@127.0.0.1:1/app", "app: APP_DATABASE_URL (127.0.0.1:1/app) is not running there"),
    ("hunter2", "app: APP_DATABASE_URL is no SQLAlchemy URL: write such as"),
    ("nosuch://app:hunter2@host/app", "app: the driver nosuch of APP_DATABASE_URL is not installed"),
    ("mysql://app:hunter2@host/app", "app: the driver MySQLdb of APP_DATABASE_URL is not installed"),
    ("postgresql://app:hunter2@host:port/app", "APP_DATABASE_URL is not a database URL"),
]


def test_a_database_that_can_not_be_reached_is_one_line_without_its_password(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    for url, problem in WRONG_URLS:
        monkeypatch.setenv(VARIABLE, url)
        with pytest.raises(ActionableError) as refused:
            app.read()
        assert str(refused.value).startswith(problem)
        assert "hunter2" not in str(refused.value)
        assert "\n" not in str(refused.value)


def test_times_without_a_zone_are_refused_unless_the_file_says_that_they_are_utc(app: App) -> None:
    app.shop.edit("sources.yaml", "    naive_times: UTC\n", "")
    read = app.read()
    assert read.refused[0].sentence == (
        "organizations row 1 (id birch): created_at 2026-08-01 09:00:00 has no zone: write `created_at at time zone"
        " 'UTC'` in the query (Postgres), or `naive_times: UTC` if all such times are in UTC"
    )
    assert read.changes == []


def test_names_of_the_platform_can_not_act_on_a_terminal(app: App) -> None:
    app.execute("update accounts set currency = 'US' || char(27) || '[31mD' where id = 1")
    assert "\x1b" not in app.read().refused[0].sentence


# Postgres.

ACCOUNTS = "select slug as id, name, currency, inserted_at as created_at from app.accounts order by slug"
IN_POSTGRES = """
create schema app;
create table app.accounts (
    id uuid, slug text, name text, currency text, inserted_at timestamptz, plan int, fee numeric
);
insert into app.accounts values
    (gen_random_uuid(), 'kyoto', 'Kyoto', 'JPY', '2026-09-01 09:00:00+09', 1, 1500),
    (gen_random_uuid(), 'oslo', 'Oslo', 'USD', '2026-09-01 02:00:00+02', 0, 12.50),
    (gen_random_uuid(), 'lima', 'Lima', 'USD', '2026-09-01', 0, 12.345),
    (gen_random_uuid(), 'rome', 'Rome', 'USD', '2026-09-01', 7, 1);
"""
POSTGRES_SOURCES = """
databases:
  - name: app
    url_variable: APP_DATABASE_URL
    organizations:
      query: select slug as id, name, currency, inserted_at as created_at from app.accounts order by slug
    subscriptions:
      query: |
        select id as key, slug as organization, plan as price, inserted_at as started_at
        from app.accounts where currency = 'USD' and name not like '%:x' order by slug;
      values: {price: {0: support, 1: gold}}
    charges:
      query: |
        select id as key, slug as organization, 'Setup' as description, fee as amount, inserted_at as occurred_at
        from app.accounts order by slug
"""


@pytest.fixture
def postgres_app(app: App, platform: Platform, monkeypatch: pytest.MonkeyPatch) -> App:
    for statement in IN_POSTGRES.split(";")[:-1]:
        platform.execute(statement)
    app.shop.write("sources.yaml", POSTGRES_SOURCES)
    app.shop.write("price_book/shop/prices.yaml", BOOK + YEN)
    app.shop.apply()
    url = platform.database.engine.url.set(drivername="postgres").render_as_string(hide_password=False)
    monkeypatch.setenv(VARIABLE, url)
    return app


YEN = """  - {key: yen, product: Yen, description: Yen, unit: month, unit_amount: 900, currency: JPY,
     effective_from: 2026-01-01}
"""


def test_postgres_keeps_zones_decimals_and_currencies_as_they_are(postgres_app: App, platform: Platform) -> None:
    """Midnight in Kyoto on September 1st at 9:00 is midnight UTC. 12.345 US dollars is not an amount of cents."""
    read = postgres_app.read()
    assert [row.sentence.partition("): ")[2] for row in read.refused] == [
        "price '7' is not among its `values`: add it there",
        "charge of lima for 'Setup' on 2026-09-01: amount 12.345 has too many decimals: USD has 2",
    ]
    assert table(platform, "select organization_id, amount::text, currency, occurred_at at time zone 'UTC' from"
                           " one_off_items order by 1") == [
        ("kyoto", "1500", "JPY", NOW.replace(tzinfo=None, day=1, hour=0)),
        ("oslo", "12.50", "USD", NOW.replace(tzinfo=None, day=1, hour=0)),
    ]  # fmt: skip
    assert postgres_app.changes(NOW + HOUR) == []


WRITING_QUERIES = [
    "with gone as (delete from app.accounts returning *) select slug as id from gone",
    "select slug as id from app.accounts; commit; delete from app.accounts",
    "delete from app.accounts returning slug as id, name, currency, inserted_at as created_at",
    "select app.wipe() as id",
    "select pg_sleep(30)::text as id",
]


def test_a_query_that_writes_or_never_ends_is_refused_by_postgres(postgres_app: App, platform: Platform) -> None:
    platform.execute(
        "create function app.wipe() returns text language sql as $$ delete from app.accounts returning slug $$"
    )
    for query in WRITING_QUERIES:
        text = POSTGRES_SOURCES.replace(ACCOUNTS, f'"{query}"')
        postgres_app.shop.write("sources.yaml", text.replace("    organiz", "    statement_seconds: 1\n    organiz", 1))
        with pytest.raises(PlatformDatabaseProblem) as refused:
            postgres_app.read()
        assert str(refused.value).startswith("app: organizations: ")
        assert "\n" not in str(refused.value)
    assert len(platform.query("select 1 from app.accounts")) == 4


RAILS = """
create table accounts (id, slug, name, billing_email, discarded_at, created_at);
create table subscriptions (id, account_id, plan, seats, started_at, canceled_at);
create table line_items (id, account_id, title, amount_cents, created_at);
insert into accounts values
    (1, 'birch', 'Birch', 'pay@birch.example', null, '2019-04-01 10:00:00'),
    (2, 'gone', 'Gone', null, '2025-01-01 00:00:00', '2019-04-01 10:00:00');
insert into subscriptions values
    (5, 1, 2, 3, '2021-01-01 08:30:00', null), (6, 1, 0, 1, '2020-01-01', null), (7, 2, 1, 1, '2020-01-01', null);
insert into line_items values (8, 1, 'Training', 1500, '2026-10-05 12:00:00'), (9, 1, 'Old', 1500, '2026-09-05');
"""


def test_the_rails_app_of_the_documentation_is_read_as_it_stands(app: App, platform: Platform) -> None:
    page = (Path(__file__).parents[3] / "docs" / "platform_database.md").read_text(encoding="utf-8")
    app.shop.write("sources.yaml", page.split("```yaml\n")[1].split("```")[0])
    app.shop.write(
        "price_book/shop/prices.yaml", BOOK + BOOK.splitlines()[-1].replace("gold", "support-premium") + "\n"
    )
    app.shop.apply()
    app.path.unlink()
    app.execute(RAILS)
    read = app.read(CLOSED)
    assert read.refused == []
    assert [change.key for change in read.changes] == ["birch", "birch/5", "birch/8"]
    assert table(platform, SUBSCRIPTIONS) == [
        ("birch", "support-premium", 3, datetime(2026, 10, 1), None)  # noqa: DTZ001
    ]
    assert table(platform, "select amount::text from one_off_items") == [("15.00",)]
    assert app.changes(CLOSED + HOUR) == []
