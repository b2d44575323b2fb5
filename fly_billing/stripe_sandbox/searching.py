"""/v1/customers/search and /v1/invoices/search: Stripe's query language over the stored objects.

A query is a list of clauses such as `email:'a@b.test' AND -metadata['org']:null AND created>1700000000`. Unlike
Stripe's, this search never lags. Not here: which objects there are.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fly_billing.stripe_sandbox import balances, lines, params
from fly_billing.stripe_sandbox.errors import StripeError
from fly_billing.stripe_sandbox.store import Json, Store

SEARCH: params.Spec = {
    **params.EXPAND,
    "limit": params.integer(1, 100),
    "page": params.string(unsettable=False),
    "query": params.required(params.string(unsettable=False)),
}
CLAUSE = re.compile(
    r"""\s*(?P<minus>-?)(?P<field>\w+)(?:\[(?P<mark>["'])(?P<key>.*?)(?P=mark)\])?\s*(?P<sign>:|~|>=|<=|>|<)\s*"""
    r"""(?P<value>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|-?\d+|null)\s*(?P<joint>AND|OR|and|or|$)"""
)
WORDS: Mapping[str, frozenset[str]] = {
    "customer": frozenset({"email", "name", "phone"}),
    "invoice": frozenset({"currency", "customer", "number", "receipt_number", "status", "subscription"}),
}
NUMBERS: Mapping[str, frozenset[str]] = {
    "customer": frozenset({"created"}),
    "invoice": frozenset({"created", "total"}),
}
COMPARED: Mapping[str, Callable[[int, int], bool]] = {
    ":": lambda left, right: left == right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
}
ALL = "select body from objects where object = ? and body ->> '$.deleted' is null order by seq desc"


@dataclass(frozen=True)
class Clause:
    """One condition of a query; `value` is None for null."""

    field: str
    key: str | None
    sign: str
    value: str | int | None
    negated: bool

    def fits(self, body: Json) -> bool:
        """Return True if an object meets the condition."""
        return self._holds(body) != self.negated

    def _holds(self, body: Json) -> bool:
        found: Any = body["metadata"].get(self.key) if self.field == "metadata" else body.get(self.field)
        if self.value is None or found is None:
            return self.value is None and found is None
        if isinstance(self.value, int):
            return COMPARED[self.sign](int(found), self.value)
        text, wanted = str(found).casefold(), self.value.casefold()
        return wanted in text if self.sign == "~" else text == wanted


def parsed(query: str, kind: str) -> tuple[list[Clause], bool]:
    """Return the clauses of a query, and True if one of them is enough. Raises StripeError."""
    clauses: list[Clause] = []
    joints: list[str] = []
    rest = query
    while rest or not clauses:
        match = CLAUSE.match(rest)
        if match is None:
            raise _unreadable(query)
        clauses.append(_clause(match, kind, query))
        joints.append(match["joint"].upper())
        rest = rest[match.end() :]
    if joints[-1] or len(set(joints[:-1])) > 1:
        raise _unreadable(query)  # ends with AND, or has both AND and OR
    return clauses, "OR" in joints


def _clause(match: re.Match[str], kind: str, query: str) -> Clause:
    field, sign, text = match["field"], match["sign"], match["value"]
    if field not in {*WORDS[kind], *NUMBERS[kind], "metadata"} or (field == "metadata") != (match["key"] is not None):
        raise StripeError(
            f"Field `{field}` is an unsupported search field for resource `{kind}s`. See "
            "https://stripe.com/docs/search#query-fields-for-each-resource for a list of supported fields.",
            param="query",
        )
    is_number, is_quoted = field in NUMBERS[kind], text[0] in "'\""
    if text != "null" and ((is_number and sign == "~") or (not is_number and (sign not in ":~" or not is_quoted))):
        raise _unreadable(query)
    word = re.sub(r"\\(.)", r"\1", text[1:-1]) if is_quoted else text
    if is_number and text != "null" and not re.fullmatch(r"-?\d{1,18}", word):
        raise _unreadable(query)
    value = None if text == "null" else int(word) if is_number else word
    return Clause(field, match["key"], sign, value, bool(match["minus"]))


def _unreadable(query: str) -> StripeError:
    return StripeError(
        f"We were unable to parse your search query: {query[:200]}. See https://stripe.com/docs/search#search-query-language"
        " for the syntax.",
        param="query",
    )


def customers(store: Store, ids: Json, wanted: Json) -> Json:
    """Search customers that are not deleted, newest first."""
    found, page = _found(store, "customer", wanted)
    return _result("/v1/customers/search", [balances.shown(body) for body in found], page)


def invoices(store: Store, ids: Json, wanted: Json) -> Json:
    """Search invoices, newest first, each with its first ten lines."""
    found, page = _found(store, "invoice", wanted)
    return _result("/v1/invoices/search", [lines.shown(store, body) for body in found], page)


def _found(store: Store, kind: str, wanted: Json) -> tuple[list[Json], str | None]:
    """Return one page of matches, and the name of the next page: how many matches come before it."""
    clauses, any_is_enough = parsed(wanted["query"], kind)
    given, limit = wanted.get("page", "0"), wanted.get("limit", 10)
    if not re.fullmatch(r"\d{1,9}", given):
        raise StripeError("Invalid page: use the next_page of the previous response.", param="page")
    combined = any if any_is_enough else all
    matches = [body for body in store.bodies(ALL, (kind,)) if combined(clause.fits(body) for clause in clauses)]
    end = int(given) + limit
    return matches[int(given) : end], str(end) if end < len(matches) else None


def _result(url: str, data: list[Json], page: str | None) -> Json:
    return {"object": "search_result", "data": data, "has_more": page is not None, "next_page": page, "url": url}
