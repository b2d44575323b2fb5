"""The organizations, tokens and addresses of the campaign. Everything of an organization has its mark in it."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from uuid import UUID

from fly_billing.api.page_links import PAGE_PATH, PageLinks, link_id_of, revoke_link
from fly_billing.api.rules.access import ROLES, SCOPES
from fly_billing.api.rules.tokens import CUSTOMER, OPERATOR, token_of
from fly_billing.api.token_store import NewToken, issue, revoke
from fly_billing.customer_alerts.thresholds import add_threshold, thresholds
from fly_billing.postgres.database import BillingDatabase
from tests.support.api import LINKS, page_path
from tests.support.builders import Platform, event, write_jsonl

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Target:
    """An organization with a final invoice. `marks`: texts that only its own answers may have."""

    id: str
    marks: tuple[str, ...]
    alerts: tuple[str, ...]
    invoices: tuple[str, ...]
    items: tuple[str, ...]


@dataclass(frozen=True)
class Key:
    """A token, or the path of a page, and the data that a request with it may get.

    Attributes:
        text: None: the request has no token.
        organization: The organization that it reads; None for an operator's.
        works: False if every request must be a 401, or a 404 of a page.
        is_page: `text` is the path of a page.
    """

    kind: str
    text: str | None
    organization: str | None
    works: bool
    scopes: tuple[str, ...] = ()
    is_page: bool = False


@dataclass(frozen=True)
class Targets:
    """Everything that requests are made of."""

    organizations: Sequence[Target]
    keys: Sequence[Key]

    @cached_property
    def owner_of(self) -> dict[str, str]:
        return {mark: target.id for target in self.organizations for mark in target.marks}

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        return re.compile("|".join(map(re.escape, self.owner_of)))

    def owners_in(self, text: str) -> set[str]:
        """Return the organizations that a text has data of."""
        return {self.owner_of[found] for found in self.pattern.findall(text)}


def prepare(platform: Platform, number: int, chance: random.Random, now: datetime) -> Targets:
    """Bill September for organizations with marks in their names and regions, and issue tokens of every kind."""
    marks = [f"{chance.getrandbits(48):012x}" for _ in range(number)]
    usage = []
    for place, mark in enumerate(marks):
        platform.add_organization(f"org-{mark}")
        subject = {"subject": f"org-{mark}", "type": "egress_gb", "region": f"region {mark}"}
        usage += [event(f"{mark} {n}", str(150 + place + n), **subject) for n in range(3)]
    platform.execute("update organizations set name = 'Name of ' || id")
    write_jsonl(platform.landing_dir, usage)
    platform.close()
    organizations = [_target(platform, mark) for mark in marks]
    keys = [
        *_keys(platform.database, organizations, chance, now),
        *_pages(organizations, chance, now),
        *_revoked_pages(platform.database, organizations, now),
    ]
    return Targets(organizations, keys)


def _target(platform: Platform, mark: str) -> Target:
    found = platform.query(
        "select cast(i.id as text) as invoice, cast(t.id as text) as item from invoices as i"
        " join invoice_items as t on t.invoice_id = i.id where i.organization_id = :id",
        id=f"org-{mark}",
    )
    invoices, items = ({row[name] for row in found} for name in ("invoice", "item"))
    add_threshold(platform.database, f"org-{mark}", "1000")
    alerts = [str(each.id) for each in thresholds(platform.database, f"org-{mark}")]
    return Target(f"org-{mark}", (mark, *alerts, *invoices, *items), tuple(alerts), tuple(invoices), tuple(items))


def _keys(
    database: BillingDatabase, organizations: Sequence[Target], chance: random.Random, now: datetime
) -> list[Key]:
    keys = [Key("missing", None, None, works=False), Key("empty", "", None, works=False)]
    for target in organizations:
        for scopes in (SCOPES, ("statement",), ("invoices", "usage")):
            wanted = NewToken("fuzz", now + DAY, target.id, None, scopes)
            secret = issue(database, wanted, "fuzz", now - DAY).secret
            keys.append(Key("customer", secret, target.id, works=True, scopes=scopes))
        keys.append(Key("malformed", secret[:-1] + chance.choice("xyz"), target.id, works=False))
        expired = issue(database, NewToken("fuzz", now - DAY, target.id, None, SCOPES), "fuzz", now - 2 * DAY)
        revoked = issue(database, NewToken("fuzz", now + DAY, target.id, None, SCOPES), "fuzz", now - DAY)
        revoke(database, revoked.id, "fuzz", now - timedelta(hours=1))
        keys += [
            Key("expired", expired.secret, target.id, works=False),
            Key("revoked", revoked.secret, target.id, works=False),
            Key("unknown", token_of(chance.randbytes(32), chance.choice((CUSTOMER, OPERATOR))), None, works=False),
        ]
    for role, reads in ROLES.items():
        secret = issue(database, NewToken(role, now + DAY, None, role), "fuzz", now - DAY).secret
        keys.append(Key(role, secret, None, works=True, scopes=reads))
    return keys


def _revoked_pages(database: BillingDatabase, organizations: Sequence[Target], now: datetime) -> Iterator[Key]:
    for target in organizations:
        made = LINKS.make(target.id, 7, now)
        revoke_link(database, link_id_of(made.url), "fuzz")
        yield Key("revoked page", PAGE_PATH + made.url.rpartition("/")[2], None, works=False, is_page=True)


def _pages(organizations: Sequence[Target], chance: random.Random, now: datetime) -> Iterator[Key]:
    """Yield links to pages: one that works, and some that are changed, expired, of another secret, or of nobody."""
    for target in organizations:
        path = page_path(target.id, now)
        yield Key("page", path, target.id, works=True, is_page=True)
        yield Key("page of nobody", page_path(f"{target.id}x", now), None, works=True, is_page=True)
        at = chance.randrange(len(PAGE_PATH), len(path))
        other = chance.choice(sorted(set("Aa0-_") - {path[at]}))
        for broken in (
            path[:at] + other + path[at + 1 :],
            path[:at],
            path + chance.choice(("A", "=", "/", "%00", "\u0131".encode().hex())),
            page_path(target.id, now - 8 * DAY),
            page_path(target.id, now, links=PageLinks((chance.randbytes(32).hex(),))),
            PAGE_PATH + target.id,
        ):
            yield Key("broken page", broken, None, works=False, is_page=True)


def any_id(chance: random.Random, known: Sequence[str]) -> str:
    """Return an id that exists, one that nobody has, or text that is none."""
    return chance.choice([*known, *known, str(UUID(int=chance.getrandbits(128))), "0", "%00", "..", "a" * 300])
