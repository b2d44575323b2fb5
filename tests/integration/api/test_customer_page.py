"""A link opens the page of one organization; every other link shows the same plain page, and reveals nothing."""

from __future__ import annotations

import gzip
import logging
import re
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from typer.testing import CliRunner

from fly_billing.api import ApiLimits, build_api
from fly_billing.api.page_links import PAGE_PATH, PageLinks, revoke_link, revoke_link_with_token
from fly_billing.api.token_store import revoke
from fly_billing.cli.main import app
from fly_billing.embedded_postgres import PostgresServer
from fly_billing.postgres.database import BillingDatabase
from tests.integration.api.conftest import NOW, Clock
from tests.support.api import (
    LINK_SECRET,
    LINKS,
    ApiClient,
    Got,
    bearer,
    customer_token,
    operator_token,
    page_path,
    reading,
    serving,
    serving_api,
)
from tests.support.builders import Platform
from tests.support.paid_months import add_paid_months

DAY = timedelta(days=1)
# What no page of acme may have: labs' id, name, and totals.
FOREIGN = ("labs", "Labs", "0.70", "0.90")
# A link to acme's page until 12 October 2026, as it was made before links had ids.
WITHOUT_ID = PAGE_PATH + "AQBqzMvAYWNtZT4P4GpHMEugFhBVNUw7QQnICOGzyhlOjgh42vgY4q3G"
NOT_HERE = "This link has expired or is incomplete."


def text_of(html: str) -> str:
    """Return the text of a page without its tags and style sheet."""
    return " ".join(re.sub(r"<style>.*?</style>|<[^>]*>", " ", html, flags=re.DOTALL).split())


def test_the_page_shows_the_open_month_by_day_and_its_total_adds_up(api: ApiClient, billed: Platform) -> None:
    """October: 5 requests at $0.10 on the 2nd. September: $0.30 of requests and $0.01 of traffic."""
    got = api.get(page_path("acme", NOW))
    assert (got.status, got.headers["content-type"]) == (200, "text/html; charset=utf-8")
    text = text_of(got.text)
    assert "This month so far $0.50 Acme Confidential owes $0.31" in text
    assert "2 Oct 2026: $0.50 Requests: $0.50" in text
    assert "Usage in the bars $0.50 Total so far $0.50" in text
    september = text_of(api.get(page_path("acme", NOW) + "?month=2026-09&by=region").text)
    assert "15 Sep 2026: $0.21 No region: $0.20 ams: $0.01" in september
    assert "16 Sep 2026: $0.10 No region: $0.10" in september
    for html in (got.text, september):
        assert not [foreign for foreign in FOREIGN if foreign in html]


def test_every_month_and_split_is_a_link_that_works(api: ApiClient, billed: Platform) -> None:
    """acme's traffic of September has regions, its requests have none, and nothing has apps."""
    page = page_path("acme", NOW)

    def links(query: str) -> set[str]:
        return set(re.findall(r'href="(\?[^"]*)"', api.get(page + query).text.replace("&amp;", "&")))

    months = {"?month=2026-09&by=product", "?month=2026-10&by=product"}
    assert links("") == months | {"?month=2026-09"}
    september = links("?month=2026-09")
    assert september == months | {"?month=2026-10", "?month=2026-09&by=region"}
    assert {api.get(page + link).status for link in september} == {200}
    assert api.get(page + "?by=nothing").text == api.get(page).text


def test_a_link_shows_the_months_before_the_last_year(api: ApiClient, billed: Platform) -> None:
    """Without a script: it is an address of the page. The split and the month stay as they are."""
    add_paid_months(billed, 20)
    page = page_path("acme", NOW)
    short = api.get(page + "?month=2026-09&by=region").text
    assert "Show 9 more months since January 2025, with nothing due" in text_of(short)
    (link,) = re.findall(r'href="(\?[^"#]*months=all)#months"', short.replace("&amp;", "&"))
    assert link == "?month=2026-09&by=region&months=all"
    full = api.get(page + link).text
    assert short.count('<th scope="row" class="keep month">') == 13 and "Jan 2025" not in short
    assert full.count('<th scope="row" class="keep month">') == 22 and "Jan 2025" in full
    assert api.get(page + "?month=2025-01").status == 200
    assert api.get(page + "?months=none").text == api.get(page).text


def test_every_link_that_does_not_work_shows_the_same_page(api: ApiClient, billed: Platform, clock: Clock) -> None:
    works = page_path("acme", NOW)
    foreign = page_path("acme", NOW, links=PageLinks(("another secret, which is long enough",)))
    refused = [
        api.get(path)
        for path in (
            foreign, works[:-1], works + "A", works.replace(PAGE_PATH, PAGE_PATH + "A"), works + "/", works + "/x",
            PAGE_PATH, PAGE_PATH + "acme", PAGE_PATH + "%00", page_path("nobody", NOW), works + "?month=2020-01",
            works + "?month=2026-13", works + "?month=%00", foreign + "?month=2026-09",
        )
    ]  # fmt: skip
    clock.time = NOW + 7 * DAY
    refused.append(api.get(works))
    assert {(got.status, got.text) for got in refused} == {(404, refused[0].text)}
    assert NOT_HERE in refused[0].text
    assert {frozenset(private(got)) for got in refused} == {frozenset(private(refused[0]))}


def private(got: Got) -> set[tuple[str, str]]:
    """Return the headers without those that every response has."""
    return {(name, value) for name, value in got.headers.items() if name not in ("date", "content-length")}


def test_a_browser_may_run_load_keep_frame_and_pass_on_nothing(api: ApiClient, billed: Platform) -> None:
    for got in (api.get(page_path("acme", NOW)), api.get(PAGE_PATH + "x")):
        policy = got.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert "unsafe" not in policy
        assert policy.endswith("frame-ancestors 'none'")
        assert {name: got.headers[name] for name in ("cache-control", "referrer-policy", "x-content-type-options")} == {
            "cache-control": "no-store", "referrer-policy": "no-referrer", "x-content-type-options": "nosniff",
        }  # fmt: skip
        assert got.headers["x-robots-tag"].startswith("noindex")
        assert not re.search(r'<script|<link|<img|<iframe|\bsrc=|style="|https?://', got.text)


def test_names_that_others_wrote_are_text_on_the_page(api: ApiClient, billed: Platform) -> None:
    """An organization and a product are named as markup that turns the text around."""
    evil = "</svg></title><script>alert(1)</script>\u202e\u0007&quot;"
    billed.execute("update organizations set name = :evil where id = 'acme'", evil=evil)
    html = api.get(page_path("acme", NOW)).text
    assert "<script" not in html
    assert "\u202e" not in html
    assert "&lt;/svg&gt;&lt;/title&gt;&lt;script&gt;alert(1)&lt;/script&gt;\\u202e\\x07&amp;quot;" in html


def test_a_page_is_compressed_for_a_browser_that_takes_it(api: ApiClient, billed: Platform) -> None:
    path = page_path("acme", NOW)
    plain = api.get(path).text
    with closing(HTTPConnection("127.0.0.1", api.port, timeout=60)) as connection:
        connection.request("GET", path, headers={"Accept-Encoding": "gzip, br"})
        answer = connection.getresponse()
        content = answer.read()
    assert answer.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(content).decode() == plain
    assert len(content) * 3 < len(plain)


def test_pages_of_an_organization_that_are_asked_for_too_often_wait_and_others_do_not(
    postgres: PostgresServer, billed: Platform, clock: Clock
) -> None:
    with serving_api(postgres, billed.database, clock, ApiLimits(per_second=0.001, burst=2)) as api:
        paths = [page_path("acme", NOW, days) for days in (1, 2, 3, 4)]
        got = [api.get(path) for path in paths]
        assert [each.status for each in got] == [200, 200, 429, 429]
        assert 900 < int(got[-1].headers["retry-after"]) <= 1000
        assert api.get(page_path("labs", NOW)).status == 200
        assert api.get(PAGE_PATH + "x").status == 404


def test_neither_a_link_nor_an_organization_is_in_the_log_or_the_metrics(
    api: ApiClient, billed: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    path = page_path("acme", NOW)
    with caplog.at_level(logging.DEBUG):
        api.get(path)
        api.get(path[:-2])
    assert "link GET /statement/{link} 200 ms=" in caplog.text
    metrics = api.get("/metrics").text
    for text in (path.removeprefix(PAGE_PATH)[:20], "acme"):
        assert text not in caplog.text
        assert text not in metrics


def test_a_database_that_is_down_is_a_page_that_names_neither_server_nor_password() -> None:
    database = BillingDatabase("postgresql://me:very-secret@127.0.0.1:1/billing")
    with serving(build_api(database, now=lambda: NOW, links=LINKS)) as api:
        got = api.get(page_path("acme", NOW))
    assert (got.status, got.headers["cache-control"]) == (503, "no-store")
    assert "can’t be read right now" in got.text
    assert not [text for text in ("127.0.0.1", "very-secret") if text in got.text]


def test_the_page_refuses_a_role_that_can_change_bills_and_a_server_without_a_secret_has_no_page(
    billed: Platform,
) -> None:
    with serving(build_api(billed.database, now=lambda: NOW, links=LINKS)) as api:
        assert api.get(page_path("acme", NOW)).status == 503
    with serving(build_api(billed.database, now=lambda: NOW)) as api:
        assert api.get(page_path("acme", NOW)).status == 404


def test_an_issuers_token_makes_links_and_no_other_token_does(
    api: ApiClient, postgres: PostgresServer, billed: Platform
) -> None:
    issuer = operator_token(billed.database, "issuer", NOW - DAY).secret
    got = api.post("/v1/page-links", issuer, {"organization_id": "acme"})
    assert (got.status, got.headers["cache-control"]) == (201, "no-store")
    assert (got.data["organization_id"], got.data["expires_at"]) == ("acme", "2026-10-12T12:00:00Z")
    assert api.get(urlsplit(got.data["url"]).path).status == 200
    own = customer_token(billed.database, "acme", NOW - DAY).secret
    finance = operator_token(billed.database, "finance", NOW - DAY).secret
    wanted = {"organization_id": "acme", "expires_in_days": 90}
    assert [api.post("/v1/page-links", token, wanted).status for token in (None, own, finance)] == [401, 403, 403]
    wrong = [{"organization_id": "nobody"}, {"organization_id": "a\x00"}, {**wanted, "expires_in_days": 91}, {}]
    assert [api.post("/v1/page-links", issuer, each).status for each in wrong] == [404, 404, 422, 422]
    with reading(postgres, billed.database) as reader, serving(build_api(reader, now=lambda: NOW)) as without_secret:
        assert without_secret.post("/v1/page-links", issuer, wanted).status == 503


def test_a_revoked_link_shows_the_page_of_an_expired_one_and_all_others_work(
    api: ApiClient, billed: Platform, clock: Clock
) -> None:
    first, second = (LINKS.make("acme", 7, NOW) for _ in range(2))
    paths = [urlsplit(made.url).path for made in (first, second)]
    assert {api.get(path).status for path in (*paths, WITHOUT_ID)} == {200}
    assert first.shown.id
    assert [revoke_link(billed.database, first.shown.id, who) for who in ("ann", "bob")] == [True, False]
    revoked = api.get(paths[0])
    assert [api.get(path).status for path in (paths[1], WITHOUT_ID, page_path("labs", NOW))] == [200, 200, 200]
    clock.time = NOW + 7 * DAY
    expired = api.get(paths[1])
    assert (revoked.status, revoked.text) == (expired.status, expired.text)
    assert private(revoked) == private(expired)
    assert billed.query("select revoked_by from page_link_revocations") == [{"revoked_by": "ann"}]


def test_an_issuers_token_revokes_a_link_and_no_other_token_does(
    api: ApiClient, postgres: PostgresServer, billed: Platform, clock: Clock
) -> None:
    """The database compares tokens with its own clock, so this test is in the present."""
    clock.time = now = datetime.now(UTC)
    issuer = operator_token(billed.database, "issuer", now - DAY)
    made = api.post("/v1/page-links", issuer.secret, {"organization_id": "acme"}).data
    page, path = urlsplit(made["url"]).path, f"/v1/page-links/{made['id']}"
    own = customer_token(billed.database, "acme", now - DAY)
    finance = operator_token(billed.database, "finance", now - DAY)
    ended = operator_token(billed.database, "issuer", now - DAY)
    revoke(billed.database, ended.id, "ann", now - timedelta(seconds=1))
    refused = [api.send("DELETE", path, bearer(each.secret)).status for each in (own, finance, ended)]
    assert (refused, api.send("DELETE", path, {}).status) == ([403, 403, 401], 401)
    with reading(postgres, billed.database) as reader:
        for each in (own, finance, ended):
            with pytest.raises(Exception, match="may not do that"):
                revoke_link_with_token(reader, uuid4(), each.id)
    assert api.get(page).status == 200

    statuses = [api.send("DELETE", path, bearer(issuer.secret)).status for _ in range(2)]
    assert (statuses, api.get(page).status) == ([204, 204], 404)
    assert api.send("DELETE", "/v1/page-links/none", bearer(issuer.secret)).status == 422
    assert billed.query("select cast(link_id as text) as id, revoked_by from page_link_revocations") == [
        {"id": made["id"], "revoked_by": f"token {issuer.id} (issuer desk)"}
    ]


def test_a_command_prints_a_link(billed: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = billed.database.engine.url.render_as_string(hide_password=False)
    for name in ("DATABASE_URL", "DAGSTER_DATABASE_URL"):
        monkeypatch.setenv(name, url)
    monkeypatch.setenv("FLY_BILLING_DATA_DIR", str(tmp_path / "data"))
    done = CliRunner().invoke(app, ["page-link", "acme"])
    assert (done.exit_code, "FLY_BILLING_LINK_SECRET is not set" in str(done.exception)) == (1, True)
    monkeypatch.setenv("FLY_BILLING_LINK_SECRET", LINK_SECRET)
    monkeypatch.setenv("FLY_BILLING_PAGE_URL", "https://billing.example.com")
    done = CliRunner().invoke(app, ["page-link", "acme", "--days", "2"])
    assert done.exit_code == 0, done.output
    printed = done.output.split()[0]
    assert printed.startswith("https://billing.example.com/statement/")
    outcomes = [CliRunner().invoke(app, ["revoke-page-link", printed]).output for _ in range(2)]
    assert outcomes[0].startswith("Revoked the link ")
    assert outcomes[1].startswith("This link was revoked before: ")
    assert outcomes[0].split()[3] in done.output  # its id
    assert CliRunner().invoke(app, ["revoke-page-link", "acme"]).exit_code == 1
    assert CliRunner().invoke(app, ["page-link", "nobody"]).exit_code == 1
