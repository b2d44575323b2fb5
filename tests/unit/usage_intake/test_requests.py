"""Requests: their content types, compression up to a limit, events as headers; and the keys that are remembered."""

from __future__ import annotations

import gzip
import json
import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from fly_billing.usage_intake.request_text import MOST_UNPACKED, Refused, check_headers, text_of_body, unpack
from fly_billing.usage_intake.rules.file_names import HIDDEN, file_name, is_ours
from fly_billing.usage_intake.rules.recent_keys import RecentKeys

NOW = datetime(2026, 9, 15, 12, 30, 5, tzinfo=UTC)


@given(st.binary(max_size=200), st.integers(1, 4))
def test_gzip_is_unpacked_also_in_several_members(content: bytes, members: int) -> None:
    assert unpack(gzip.compress(content) * members) == content * members


def test_a_few_bytes_that_unpack_to_gigabytes_are_refused_without_unpacking_them() -> None:
    assert len(unpack(gzip.compress(b" " * MOST_UNPACKED))) == MOST_UNPACKED
    with pytest.raises(Refused, match="decompresses to more than") as problem:
        unpack(gzip.compress(b" " * (MOST_UNPACKED + 1)))
    assert problem.value.status == 413
    with pytest.raises(Refused, match="decompresses to more than"):
        unpack(gzip.compress(b" " * MOST_UNPACKED) * 1000)


# Without a time, so that each worker of pytest gives the tests the same names.
@pytest.mark.parametrize(
    "body", [b"{}", gzip.compress(b"{}", mtime=0)[:-1], gzip.compress(b"{}", mtime=0) + b"x", b"\x1f\x8b"]
)
def test_a_body_that_is_not_gzip_or_not_complete_is_refused(body: bytes) -> None:
    with pytest.raises(Refused, match="gzip") as problem:
        unpack(body)
    assert problem.value.status == 400


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "application/json"},
        {"content-type": "Application/CloudEvents+JSON; charset=UTF-8"},
        {"content-type": "application/cloudevents-batch+json", "content-encoding": "GZIP"},
        {"content-type": "application/json", "content-encoding": "identity"},
    ],
    ids=str,
)
def test_json_and_cloudevents_are_accepted_plain_and_as_gzip(headers: dict[str, str]) -> None:
    check_headers(Headers(headers))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": ""},
        {"content-type": "text/plain"},
        {"content-type": "application/cloudevents+avro"},
        {"content-type": "application/json; charset=utf-16"},
        {"content-type": "application/json", "content-encoding": "br"},
        {"content-type": "application/json", "content-encoding": "gzip, gzip"},
    ],
    ids=str,
)
def test_another_format_is_refused_with_the_accepted_ones(headers: dict[str, str]) -> None:
    with pytest.raises(Refused) as problem:
        check_headers(Headers(headers))
    assert problem.value.status == 415


def test_an_event_may_be_headers_with_its_data_as_the_body() -> None:
    headers = {"content-type": "application/json", "ce-id": "a%20%C3%A9", "ce-source": "proxy", "ce-specversion": "1.0"}
    found = json.loads(text_of_body(Headers(headers), b'{"quantity": 5}'))
    assert found == {"id": "a é", "source": "proxy", "specversion": "1.0", "data": {"quantity": 5}}
    structured = Headers(headers | {"content-type": "application/cloudevents+json"})
    assert text_of_body(structured, b'{"id": "b"}') == '{"id": "b"}'
    with pytest.raises(Refused, match="percent-encoded UTF-8"):
        text_of_body(Headers(headers | {"ce-id": "%ff"}), b"{}")
    with pytest.raises(Refused, match="not UTF-8"):
        text_of_body(Headers({"content-type": "application/json"}), b'"\xff"')


@pytest.mark.parametrize(
    "source", ["machines", "proxy-7", "https://fly.io/a b", "../../etc", "é", "." * 300, "a\0b", ""]
)
def test_all_files_of_a_source_have_one_name_apart_from_numbers(source: str) -> None:
    """Landing knows the source of a file by its path with # for each number."""
    names = [file_name(source, NOW, digits) for digits in (0, 123456789)]
    assert all(is_ours(name) and not is_ours(f"{HIDDEN}{name}") for name in names)
    assert len({re.sub("[0-9]+", "#", name) for name in names}) == 1
    assert re.fullmatch(r"[A-Za-z0-9_~.-]{1,150}", names[0])
    assert names[0] != names[1]


def test_sources_that_look_alike_as_file_names_stay_apart() -> None:
    assert file_name("machines", NOW, 7) == "machines.http-20260915T123005-000000007.jsonl"
    assert file_name("a/b", NOW, 7) != file_name("a-b", NOW, 7) != file_name("a b", NOW, 7)
    assert not is_ours("machines.jsonl")


def test_the_newest_keys_are_remembered_and_no_more_than_allowed() -> None:
    keys = RecentKeys(10)
    for number in range(100):
        keys.add({number: -number})
        assert all(keys.find(known) == -known for known in range(max(0, number - 4), number + 1))
        assert len(keys) <= 10
    assert keys.find(50) is None
