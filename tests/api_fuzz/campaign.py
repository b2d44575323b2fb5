"""Sends random requests over HTTP and checks each response: its status, its form, and whose data it has.

One of ten sets or removes a threshold or a cap: what was written is compared with who may, when all are sent.
"""

from __future__ import annotations

import http.client
import json
import random
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from fly_billing.api.page_links import link_id_of
from fly_billing.api.rules.access import READING, WRITE_ALERTS
from tests.api_fuzz.targets import Key, Target, Targets, any_id
from tests.support.api import ORGANIZATION_ROUTES

SENDERS = 4
QUERIES = (
    "", "", "", "?month=2026-09", "?month=2026-13", "?month=9", "?month=%00", "?limit=1", "?limit=0", "?limit=x",
    "?cursor=bm9uZQ", "?cursor=%ff", "?month=2026-09&month=2026-08", "?access_token=x", "?month=2026-09%27--",
)  # fmt: skip
PAGE_QUERIES = (
    "", "", "?by=app", "?by=region", "?by=%00", "?month=2026-09", "?month=2026-09&by=app", "?month=2020-01", "?month=x",
    "?month=%00", "?month=2026-09&month=2026-08", "?by=app&by=region", "?month=2026-09%27--",
)  # fmt: skip
METHODS = ("GET",) * 40 + ("HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")
WRONG_BODIES = (
    b"{", b"[]", b"\xff", b"{}", b'{"kind": "percent", "percent": 0}', b'{"kind": "?", "percent": 150}',
    b'{"kind": "app", "name": "\\u0000", "amount": {"amount": "1", "currency": "USD"}}',
    b'{"amount": {"amount": "9999999999999999999999", "currency": "USD"}}',
    b'{"kind": "amount", "amount": {"amount": "1", "currency": "EUR"}}',
)  # fmt: skip
ODD = ("nobody", "", "..", "%00", "%2e%2e%2f", "*", "%", "' or 1=1 --", "a" * 300, "\u202e", "{organization_id}")


@dataclass
class FuzzReport:
    """What was sent and what came back. `leaks`, `wrong`: one line per response that must not be."""

    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    leaks: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def requests(self) -> int:
        return self.statuses.total()


@dataclass(frozen=True)
class _Sent:
    """A request, and the organization that it asks for, if its address names one."""

    key: Key
    method: str
    path: str
    asked: str | None
    headers: Mapping[str, str]
    body: bytes | None
    is_write: bool = False


def run_campaign(port: int, targets: Targets, number: int, seed: int) -> FuzzReport:
    """Send this many requests from several threads. Raises OSError if the API does not answer."""
    report, lock = FuzzReport(), threading.Lock()
    failures: list[Exception] = []

    def send(thread: int) -> None:
        chance = random.Random(seed * 1000 + thread)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        etags: dict[str, str] = {}
        try:
            for _ in range(number // SENDERS):
                sent = _request(chance, targets, etags)
                answer = _send(connection, sent)
                with lock:
                    _check(sent, *answer, targets, report)
                if tag := answer[1].get("etag"):
                    etags[sent.asked or ""] = tag
        except Exception as problem:  # noqa: BLE001 told to the caller
            failures.append(problem)
        finally:
            connection.close()

    threads = [threading.Thread(target=send, args=(thread,)) for thread in range(SENDERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return report


def _send(connection: http.client.HTTPConnection, sent: _Sent) -> tuple[int, dict[str, str], str]:
    connection.request(sent.method, sent.path, sent.body, dict(sent.headers))
    answer = connection.getresponse()
    headers = {name.lower(): value for name, value in answer.getheaders()}
    return answer.status, headers, answer.read().decode()


def _request(chance: random.Random, targets: Targets, etags: Mapping[str, str]) -> _Sent:
    key, method = chance.choice(targets.keys), chance.choice(METHODS)
    if key.is_page:
        return _Sent(key, method, f"{key.text}{chance.choice(PAGE_QUERIES)}", key.organization, {}, None)
    headers = _credentials(chance, key)
    if chance.random() < 0.2 and etags:
        headers["If-None-Match"] = chance.choice([*etags.values(), "*", 'W/"x"'])
    if chance.random() < 0.05:
        wanted = {"organization_id": chance.choice(targets.organizations).id, "name": "fuzz", "scopes": ["usage"]}
        body = chance.choice([json.dumps(wanted).encode(), b"{}", b"{", b"[1]", b"\xff", b""])
        headers["Content-Type"] = "application/json"
        asked = wanted["organization_id"] if key.kind == "issuer" else None
        return _Sent(key, "POST", "/v1/tokens", str(asked) if asked else None, headers, body)
    if chance.random() < 0.02 and key.kind != "issuer":
        links = [each.text for each in targets.keys if each.is_page and each.works and each.text]
        return _Sent(key, "DELETE", f"/v1/page-links/{link_id_of(chance.choice(links))}", None, headers, None, True)
    if chance.random() < 0.1:
        return _write(chance, targets)
    asked = _organization(chance, key, targets)
    target = next((each for each in targets.organizations if each.id == asked), None)
    route = _route(chance, target, targets)
    path = f"/v1/organizations/{asked if '%' in asked else quote(asked, safe='')}/{route}{chance.choice(QUERIES)}"
    return _Sent(key, method, path, asked, headers, None)


def _write(chance: random.Random, targets: Targets) -> _Sent:
    """Return a request that sets or removes a threshold or a cap, or acknowledges a call: half with a right token."""
    writers = [key for key in targets.keys if key.works and WRITE_ALERTS in key.scopes]
    key = chance.choice([chance.choice(writers), chance.choice([key for key in targets.keys if not key.is_page])])
    headers = _credentials(chance, key)
    asked = _organization(chance, key, targets)
    alert = any_id(chance, chance.choice(targets.organizations).alerts)
    call = f"cap-calls/{chance.choice((0, 1, 2**31))}/acknowledgement"
    method, path = chance.choice(
        (("POST", "alerts"), ("DELETE", f"alerts/{alert}"), ("PUT", "cap"), ("DELETE", "cap"), ("PUT", call))
        if chance.random() < 0.8
        else (("PUT", "alert-address"), ("DELETE", "alert-address"))
    )
    amount = {"amount": str(chance.randint(1, 5000)), "currency": "USD"}
    right = {
        "cap": {"amount": amount}, "alert-address": {"email": "fuzz@example.com"}
    }.get(path, {"kind": "amount", "amount": amount})  # fmt: skip
    body = json.dumps(right).encode() if chance.random() < 0.6 else chance.choice(WRONG_BODIES)
    address = f"/v1/organizations/{asked if '%' in asked else quote(asked, safe='')}/{path}"
    return _Sent(key, method, address, asked, {**headers, "Content-Type": "application/json"}, body, is_write=True)


def _credentials(chance: random.Random, key: Key) -> dict[str, str]:
    if key.text is None:
        return {}
    scheme = "Bearer" if key.works else chance.choice(("Bearer", "Bearer", "bearer", "Basic", "Token"))
    return {"Authorization": f"{scheme} {key.text}"}


def _organization(chance: random.Random, key: Key, targets: Targets) -> str:
    """Return the token's own organization, another one, or text that is nobody's."""
    other = chance.choice(targets.organizations).id
    choices = [key.organization or other, other, chance.choice(ODD), other.upper(), other[:-1], f"{other}%00"]
    return chance.choices(choices, (50, 30, 10, 4, 3, 3))[0]


def _route(chance: random.Random, target: Target | None, targets: Targets) -> str:
    of = target if target and chance.random() < 0.6 else chance.choice(targets.organizations)
    route = chance.choice((*ORGANIZATION_ROUTES, "nothing", "", "invoices/"))
    return route.format(invoice=any_id(chance, of.invoices), item=any_id(chance, of.items))


def _check(
    sent: _Sent, status: int, headers: Mapping[str, str], text: str, targets: Targets, report: FuzzReport
) -> None:
    report.statuses[sent.key.kind, status] += 1
    described = f"{sent.key.kind} {sent.method} {sent.path}: {status} {text[:200]}"
    told = targets.owners_in(text + " ".join(f"{name} {value}" for name, value in headers.items()))
    if told - _allowed(sent):
        report.leaks.append(described)
    if status >= 500 or (not sent.key.works and status != (404 if sent.key.is_page else 401)):
        report.wrong.append(described)
    if sent.key.is_page:
        if "<script" in text or (headers.get("cache-control") != "no-store" and status != 405):
            report.wrong.append(described)
        return
    if status >= 400 and sent.method != "HEAD" and headers.get("content-type") != "application/problem+json":
        report.wrong.append(described)
    if status in (200, 201, 204, 304) and not (_may(sent) or sent.path == "/v1/tokens"):
        report.wrong.append(described)


def _may(sent: _Sent) -> bool:
    """Return True if the key may read, or write, of the organization that is asked for."""
    if sent.key.is_page:
        return sent.key.works
    has_scope = WRITE_ALERTS in sent.key.scopes if sent.is_write else bool({*READING} & {*sent.key.scopes})
    return sent.key.works and has_scope and sent.key.organization in (None, sent.asked)


def _allowed(sent: _Sent) -> set[str]:
    """Return the organizations whose data the response may have."""
    may = _may(sent) or sent.key.kind == "issuer"
    return {sent.asked} if may and sent.asked else set()
