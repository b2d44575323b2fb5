"""Nobody reads the bills of others: every route refuses every other token, and no refusal reveals what exists."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from typer.testing import CliRunner

from fly_billing.api import ApiLimits, build_api
from fly_billing.api.rules.access import ROLES, SCOPES
from fly_billing.api.rules.tokens import CUSTOMER, token_of
from fly_billing.api.token_store import TokenRefused, list_tokens, revoke, rotate
from fly_billing.cli.main import app
from fly_billing.embedded_postgres import PostgresServer
from fly_billing.embedded_postgres.roles import PIPELINE, READER
from fly_billing.postgres.database import BillingDatabase
from tests.integration.api.conftest import NOW, Clock
from tests.support.api import (
    ORGANIZATION_ROUTES,
    ApiClient,
    customer_token,
    operator_token,
    serving,
    serving_api,
)
from tests.support.builders import Platform

DAY = timedelta(days=1)
NOBODY = str(uuid4())
SCOPE_OF = {
    "statement": "statement", "upcoming-invoice": "statement", "estimate": "statement",
    "invoices": "invoices",
    "invoices/{invoice}": "invoices", "items/{item}/explanation": "invoices", "usage": "usage", "balance": "balance",
    "credits": "balance", "alerts": "alerts",
}  # fmt: skip
# What no answer to acme may have: labs' id, name, and totals.
FOREIGN = ("labs", "Labs", "0.70", "0.90")


def paths(platform: Platform, organization: str) -> dict[str, str]:
    """Route -> path of the organization, with its own invoice and item."""
    found = platform.query(
        "select i.id as invoice, t.id as item from invoices as i join invoice_items as t on t.invoice_id = i.id"
        " where i.organization_id = :organization and i.month = '2026-09-01' order by t.position limit 1",
        organization=organization,
    )[0]
    return {
        route: f"/v1/organizations/{organization}/{route}".format(invoice=found["invoice"], item=found["item"])
        for route in ORGANIZATION_ROUTES
    }


def test_every_route_of_the_document_is_tried_here(api: ApiClient) -> None:
    prefix = "/v1/organizations/{organization_id}/"
    paths = api.get("/openapi.json").data["paths"]
    documented = {path.removeprefix(prefix) for path, operations in paths.items() if "get" in operations}
    assert documented == {
        route.replace("{invoice}", "{invoice_id}").replace("{item}", "{item_id}") for route in ORGANIZATION_ROUTES
    }


@pytest.mark.parametrize("route", ORGANIZATION_ROUTES)
def test_only_a_token_that_works_for_the_organization_and_the_scope_reads_a_route(
    api: ApiClient, billed: Platform, clock: Clock, route: str
) -> None:
    database, own, others = billed.database, paths(billed, "acme")[route], paths(billed, "labs")[route]
    token = customer_token(database, "acme", NOW - DAY)
    other_scopes = customer_token(database, "acme", NOW - DAY, [scope for scope in SCOPES if scope != SCOPE_OF[route]])
    revoked = customer_token(database, "acme", NOW - DAY)
    revoke(database, revoked.id, "ann", NOW - timedelta(seconds=1))
    expired = customer_token(database, "acme", NOW - 2 * DAY, lasts=DAY)
    unknown = token_of(b"\x00" * 32, CUSTOMER)

    got = api.get(own, token.secret)
    assert got.status == 200
    for refused in (None, "", "abc", token.secret[:-1], token.secret.upper(), unknown, revoked.secret, expired.secret):
        got = api.get(own, refused)
        assert (got.status, got.headers["content-type"]) == (401, "application/problem+json"), refused
        assert got.data["detail"] == "send a token that works: Authorization: Bearer fbc_..."
    assert api.get(own, other_scopes.secret).status == 403
    assert api.get(others, other_scopes.secret).status == 403  # as of nobody: nothing is told
    for organization in ("labs", "nobody", "", "acme%00", "ACME"):
        path = f"/v1/organizations/{organization}/" + own.split("/", 4)[4]
        assert api.get(path, token.secret).data == not_found(), organization
    missing = [api.get(others, token.secret)]
    if "{" in route:
        mixed = f"/v1/organizations/acme/{others.split('/', 4)[4]}"
        nobodys = f"/v1/organizations/acme/{route.format(invoice=NOBODY, item=NOBODY)}"
        missing += [api.get(mixed, token.secret), api.get(nobodys, token.secret)]
    assert [got.data for got in missing] == [not_found()] * len(missing)
    for got in (api.get(own, token.secret), *missing):
        assert not [text for text in FOREIGN if text in got.text]


def not_found() -> dict[str, object]:
    return {"title": "Not Found", "status": 404, "detail": "nothing that this token may read is here"}


def test_operators_read_all_organizations_as_far_as_their_role_goes(api: ApiClient, billed: Platform) -> None:
    tokens = {role: operator_token(billed.database, role, NOW - DAY).secret for role in ROLES}
    read = {
        role: {route for route, path in paths(billed, "labs").items() if api.get(path, secret).status == 200}
        for role, secret in tokens.items()
    }
    assert read == {
        "finance": set(ORGANIZATION_ROUTES),
        "support": {"statement", "upcoming-invoice", "estimate", "usage", "alerts"},
        "issuer": set(),
    }
    assert api.of("labz", "statement", tokens["finance"]).data == not_found()  # without "did you mean labs?"


def test_a_rotated_token_and_its_successor_both_work_until_the_overlap_ends(
    api: ApiClient, billed: Platform, clock: Clock
) -> None:
    old = customer_token(billed.database, "acme", NOW - DAY, ["balance"])
    new = rotate(billed.database, old.id, "ann", NOW, timedelta(hours=24), NOW + 365 * DAY)
    for hours, statuses in ((0, (200, 200)), (23, (200, 200)), (24, (401, 200))):
        clock.time = NOW + timedelta(hours=hours)
        got = tuple(api.of("acme", "balance", each.secret).status for each in (old, new))
        assert got == statuses, hours
    with pytest.raises(TokenRefused, match="is revoked"):
        rotate(billed.database, old.id, "ann", clock.time, DAY, clock.time + DAY)
    assert api.of("acme", "usage", new.secret).status == 403  # it reads the same


def test_a_token_that_was_just_used_ends_on_time_and_issues_nothing_from_its_revocation_on(
    api: ApiClient, billed: Platform, clock: Clock
) -> None:
    """The API remembers tokens for two seconds of reading. Their end is known, and what writes asks the database."""
    short = customer_token(billed.database, "acme", NOW - DAY, ["balance"], lasts=DAY + timedelta(seconds=1))
    assert api.of("acme", "balance", short.secret).status == 200
    clock.time = NOW + timedelta(seconds=1)
    assert api.of("acme", "balance", short.secret).status == 401

    issuer = operator_token(billed.database, "issuer", NOW - DAY)
    assert api.of("acme", "balance", issuer.secret).status == 403  # read, and so remembered
    revoke(billed.database, issuer.id, "ann", NOW)
    wanted = {"organization_id": "acme", "expires_in_days": 1}
    assert api.post("/v1/page-links", issuer.secret, wanted).status == 401


def test_a_token_in_its_overlap_can_be_ended_at_once_and_no_revocation_can_be_taken_back(billed: Platform) -> None:
    old = customer_token(billed.database, "acme", NOW - DAY)
    rotate(billed.database, old.id, "ann", NOW, DAY, NOW + 365 * DAY)
    revoke(billed.database, old.id, "bob", NOW + timedelta(hours=1))
    token = next(each for each in list_tokens(billed.database, "acme") if each.id == old.id)
    assert (token.revoked_at, token.revoked_by, token.state(NOW + DAY)) == (NOW + timedelta(hours=1), "bob", "revoked")
    with pytest.raises(TokenRefused, match="revoked already, since 2026-10-05 13:00 UTC"):
        revoke(billed.database, old.id, "ann", NOW + DAY)


def test_an_issuers_token_issues_tokens_of_organizations_with_the_rights_of_a_reader(
    api: ApiClient, billed: Platform, clock: Clock
) -> None:
    """The database compares with its own clock, so this test is in the present."""
    clock.time = now = datetime.now(UTC)
    issuer = operator_token(billed.database, "issuer", now - DAY)
    wanted = {"organization_id": "labs", "name": "billing page", "scopes": ["usage", "statement"]}
    got = api.post("/v1/tokens", issuer.secret, wanted)
    assert (got.status, got.headers["cache-control"]) == (201, "no-store")
    assert (got.data["organization_id"], got.data["scopes"]) == ("labs", ["statement", "usage"])
    assert datetime.fromisoformat(got.data["expires_at"]) == now + 365 * DAY
    stored = next(each for each in list_tokens(billed.database, "labs"))
    assert (str(stored.id), stored.issued_by) == (got.data["id"], "issuer desk")
    assert got.data["token"] not in str(billed.query("select * from api_tokens"))

    finance = operator_token(billed.database, "finance", now - DAY).secret
    own = customer_token(billed.database, "acme", now - DAY).secret
    assert [api.post("/v1/tokens", token, wanted).status for token in (None, own, finance)] == [401, 403, 403]
    wrong = [
        {**wanted, "organization_id": "nobody"}, {**wanted, "organization_id": "a\x00"}, {**wanted, "scopes": ["all"]},
        {**wanted, "name": " "}, {**wanted, "expires_in_days": 731}, {**wanted, "role": "finance"}, {}, b"{", b"\xff",
        b'{"organization_id": "\\ud800", "name": "x", "scopes": ["usage"]}', b"x" * 20_000,
    ]  # fmt: skip
    statuses = [api.post("/v1/tokens", issuer.secret, each).status for each in wrong]
    assert statuses == [404, 404, 422, 422, 422, 422, 422, 422, 400, 422, 413]
    revoke(billed.database, issuer.id, "ann", now - timedelta(seconds=1))
    assert api.post("/v1/tokens", issuer.secret, wanted).status == 401


def test_a_reader_without_a_working_issuers_token_can_not_issue_in_the_database_either(
    postgres: PostgresServer, billed: Platform
) -> None:
    finance = operator_token(billed.database, "finance", NOW - DAY)
    name = str(billed.database.engine.url.database)
    for role, message in ((READER, "may not issue tokens"), (PIPELINE, "permission denied for function")):
        database = BillingDatabase(postgres.url(name, role=role))
        with pytest.raises(Exception, match=message):
            database.rows(
                "issue_organization_token",
                id=uuid4(), sha256="0" * 64, organization_id="acme", scopes=["usage"], name="x",
                expires_at=NOW + DAY, issuer_id=finance.id,
            )  # fmt: skip
        database.engine.dispose()


def test_a_token_that_asks_too_often_waits_and_others_do_not(
    postgres: PostgresServer, billed: Platform, clock: Clock
) -> None:
    first, second = (customer_token(billed.database, name, NOW - DAY).secret for name in ("acme", "labs"))
    slow = ApiLimits(per_second=0.001, burst=2)
    with serving_api(postgres, billed.database, clock, slow) as api:
        assert [api.of("acme", "alerts", first).status for _ in range(3)] == [200, 200, 429]
        refused = api.of("acme", "alerts", first)
        assert refused.headers["content-type"] == "application/problem+json"
        assert 900 < int(refused.headers["retry-after"]) <= 1000
        assert api.of("labs", "alerts", second).status == 200


def test_a_database_that_is_down_is_a_503_that_names_neither_server_nor_password() -> None:
    database = BillingDatabase("postgresql://me:very-secret@127.0.0.1:1/billing")
    with serving(build_api(database, now=lambda: NOW)) as api:
        for got in (api.of("acme", "statement", token_of(b"\x01" * 32, CUSTOMER)), api.get("/health")):
            assert (got.status, got.headers["content-type"]) == (503, "application/problem+json")
            assert int(got.headers["retry-after"]) > 0
            assert "127.0.0.1" not in got.text
            assert "very-secret" not in got.text
        assert api.of("acme", "statement", None).status == 401


def test_the_api_refuses_a_role_that_can_change_bills(billed: Platform) -> None:
    token = customer_token(billed.database, "acme", NOW - DAY).secret
    with serving(build_api(billed.database, now=lambda: NOW)) as api:
        assert api.of("acme", "statement", token).status == 503


def test_no_token_and_no_organization_is_in_the_log_or_the_metrics(
    api: ApiClient, billed: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    issued = customer_token(billed.database, "acme", NOW - DAY)
    with caplog.at_level(logging.DEBUG):
        api.of("acme", "balance", issued.secret)
        api.of("acme", f"balance?token={issued.secret}", None)
        api.of("acme", "balance", issued.secret[:-1])
    assert f"{issued.id} GET /v1/organizations/{{organization_id}}/balance 200 ms=" in caplog.text
    metrics = api.get("/metrics").text
    assert 'route="/v1/organizations/{organization_id}/balance",status="200"} 1.0' in metrics
    for text in (issued.secret[:20], "acme"):
        assert text not in caplog.text
        assert text not in metrics


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 404), ("/v1", 401), ("/v1/nothing", 401), ("/v2/organizations/acme/statement", 404), ("/docs", 404),
        ("/health", 200), ("/metrics", 200),
    ],
)  # fmt: skip
def test_paths_without_a_token(api: ApiClient, path: str, status: int) -> None:
    got = api.get(path)
    assert got.status == status
    assert status == 200 or got.headers["content-type"] == "application/problem+json"


def test_a_request_with_a_mistake_is_told_where_it_is(api: ApiClient, billed: Platform) -> None:
    token = customer_token(billed.database, "acme", NOW - DAY).secret
    for path in ("statement?month=9", "usage?month=2026-13", "invoices?limit=0", "invoices/no-id"):
        got = api.of("acme", path, token)
        assert (got.status, got.headers["content-type"]) == (422, "application/problem+json"), path
    assert api.of("acme", "invoices?limit=0", token).data["errors"][0]["where"] == "query/limit"
    assert api.of("acme", "statement?month=2025-01", token).data == not_found()
    assert api.send("DELETE", "/v1/organizations/acme/statement", {"Authorization": f"Bearer {token}"}).status == 405


def test_a_command_issues_lists_rotates_and_revokes_tokens(
    billed: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = billed.database.engine.url.render_as_string(hide_password=False)
    for name in ("DATABASE_URL", "DAGSTER_DATABASE_URL"):
        monkeypatch.setenv(name, url)
    monkeypatch.setenv("FLY_BILLING_DATA_DIR", str(tmp_path / "data"))

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(app, ["token", *arguments])
        assert done.exit_code == 0, (arguments, done.output, done.exception)
        return done.output

    issued = run("issue", "acme", "--name", "site", "--scopes", "usage,statement", "--days", "30")
    assert "Token, shown only now: fbc_" in issued
    assert "reads acme: statement, usage" in issued
    run("issue", "--role", "finance", "--name", "controller")
    first = next(token for token in list_tokens(billed.database) if token.organization_id)
    assert (first.expires_at - first.issued_at).days == 30
    assert "works for 2 more hours" in run("rotate", str(first.id), "--overlap-hours", "2")
    listed = run("list", "acme")
    assert "ends soon" in listed
    assert "fbc_" not in listed
    assert "Revoked" in run("revoke", str(first.id))
    for wrong in (["issue"], ["issue", "acme", "--role", "finance"], ["issue", "acme", "--scopes", "all"]):
        assert CliRunner().invoke(app, ["token", *wrong, "--name", "x"]).exit_code == 2
