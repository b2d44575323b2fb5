"""The parameters of the sandbox are Stripe's: the same names, and no value that Stripe's schema refuses."""

from __future__ import annotations

from typing import Any

import pytest

from fly_billing.stripe_sandbox import params
from fly_billing.stripe_sandbox.endpoints import ENDPOINTS, Endpoint
from fly_billing.stripe_sandbox.errors import InvalidParamsError
from fly_billing.stripe_sandbox.params import Param, Spec
from tests.support.stripe_openapi import Json, stripe_schema

# Values to try on every parameter: valid and invalid ones of each type.
WORDS = [
    "word",
    "usd",
    "a@b.test",
    "7",
    "-7",
    "1.5",
    "true",
    "",
    *("x" * n for n in (13, 21, 41, 141, 151, 257, 513, 5001, 40001)),
]
HASHES: list[Json] = [{"x": "word"}, {"0": "word"}, {"0": "7"}, {"gte": "7"}, {"0": "data.payment.payment_intent"}]


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.name)
def test_each_parameter_of_the_sandbox_is_stripes_and_accepts_only_what_stripe_accepts(
    endpoint: Endpoint,
) -> None:
    operation = stripe_schema().find(endpoint.method, endpoint.path)
    assert operation is not None
    assert endpoint.spec is not None
    assert differences(endpoint.spec, operation.parameters) == []


def differences(spec: Spec, theirs: Json, inside: str = "") -> list[str]:
    """List the differences of parameters from Stripe's: in names, in required ones, and in accepted values."""
    schema, properties = stripe_schema(), theirs.get("properties", {})
    found = [f"{inside}{name}: only one of us has it" for name in spec.keys() ^ properties.keys()]
    required = spec.keys() & theirs.get("required", [])
    found += [f"{inside}{name}: must be there" for name in required if not spec[name].required]
    for name in spec.keys() & properties.keys():
        param, wanted = spec[name], properties[name]
        if not is_supported(param):
            continue
        examples = [*WORDS, *HASHES, *words_of(wanted), example(wanted, param.fields)]
        taken = [value for value in examples if takes(param, value)]
        too_much = [value for value in taken if schema.judge(schema.typed(value, wanted), wanted)]
        found += [f"{inside}{name}: takes {value!r:.60}" for value in too_much]
        found += [f"{inside}{name}: refuses {word!r}" for word in words_of(wanted) if word not in taken]
        found += [f"{inside}{name}: takes nothing"] if set(map(str, taken)) <= {""} else []
        if param.fields:
            found += differences(param.fields, hash_in(wanted), f"{inside}{name}.")
    return found


def is_supported(param: Param) -> bool:
    try:
        param.read("it", "word")
    except InvalidParamsError as refused:
        return "does not support" not in refused.message
    return True


def takes(param: Param, raw: Any) -> bool:
    try:
        params.read({"it": raw}, {"it": param})
    except InvalidParamsError:
        return False
    return True


def words_of(theirs: Json) -> list[str]:
    """List the words of Stripe's enum for a parameter, without the empty one, which only unsets."""
    return [word for word in theirs.get("enum", []) if word]


def hash_in(theirs: Json) -> Json:
    """Return the schema of the hash, or of the list of hashes, that a parameter is."""
    if "properties" in theirs:
        return theirs
    inner = [*theirs.get("anyOf", []), *([theirs["items"]] if "items" in theirs else [])]
    return next((found for schema in inner if (found := hash_in(schema))), {})


def example(theirs: Json, ours: Spec) -> Any:
    """Make a value that Stripe accepts; a hash gets every field that the sandbox supports."""
    if "anyOf" in theirs:
        return example(theirs["anyOf"][0], ours)
    if theirs["type"] == "array":
        return {"0": example(theirs["items"], ours)}
    if theirs["type"] == "object":
        named = {name: schema for name, schema in theirs.get("properties", {}).items() if name in ours}
        supported = {
            name: example(schema, ours[name].fields) for name, schema in named.items() if is_supported(ours[name])
        }
        return supported or {"a": "b"}
    words = {"currency": "usd", "decimal": "1.5", "number": "1.5", "integer": "7", "boolean": "true", "string": "word"}
    return next(iter(words_of(theirs)), words.get(theirs.get("format", "")) or words[theirs["type"]])


def test_a_parameter_that_differs_from_stripes_is_found() -> None:
    theirs: Json = {
        "type": "object",
        "required": ["count"],
        "properties": {
            "count": {"type": "integer"},
            "word": {"type": "string", "enum": ["a", "b"]},
            "place": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
    right = {
        "count": params.required(params.integer()),
        "word": params.choice("a", "b"),
        "place": params.hash_of({"city": params.string()}),
    }
    assert differences(right, theirs) == []
    assert differences({**right, "more": params.string()}, theirs) == ["more: only one of us has it"]
    assert differences({**right, "count": params.integer()}, theirs) == ["count: must be there"]
    assert "count: takes '1.5'" in differences({**right, "count": params.required(params.decimal())}, theirs)
    assert differences({**right, "word": params.choice("a")}, theirs) == ["word: refuses 'b'"]
    narrow = {**right, "place": params.hash_of({"town": params.string()})}
    assert "place.town: only one of us has it" in differences(narrow, theirs)
