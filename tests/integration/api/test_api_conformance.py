"""Requests made from the OpenAPI document: each answer has a documented status, form and type, and none is a 500.

`make fuzz-api` sends many more. Here each operation gets a few, with a token that may do it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.integration.api.conftest import NOW
from tests.support.api import ApiClient, bearer, operator_token
from tests.support.builders import Platform

CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES = 25
FIXED: dict[str, dict[str, Any]] = {"known": {"organization_id": "acme"}, "anything": {}}


@pytest.mark.parametrize("organization", FIXED)
def test_every_answer_is_as_the_document_says(api: ApiClient, billed: Platform, organization: str) -> None:
    schema: Any = schemathesis.openapi.from_url(f"http://127.0.0.1:{api.port}/openapi.json")
    tokens = {role: operator_token(billed.database, role, NOW - timedelta(days=1)) for role in ("finance", "issuer")}
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) == 20
    for operation in operations:
        secret = tokens["finance" if operation.method == "get" else "issuer"].secret
        call_with_many_values(operation, secret, FIXED[organization])


def call_with_many_values(operation: Any, secret: str, fixed: dict[str, Any]) -> None:
    @hypothesis.settings(max_examples=EXAMPLES, database=None, derandomize=True)
    @hypothesis.given(operation.as_strategy())
    def call(case: Any) -> None:
        if "organization_id" in (case.path_parameters or {}):
            case.path_parameters.update(fixed)
        answer = case.call(headers=bearer(secret))
        case.validate_response(answer, checks=CHECKS)

    call()
