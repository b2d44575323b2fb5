"""The intake refuses exactly the events that landing would reject for their form, for the same reason."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator

from fly_billing.usage.readers.staged_rows import LONGEST_LINE
from fly_billing.usage_intake.reading import read_posted
from fly_billing.usage_intake.rules.posted_text import NotEvents
from tests.support.builders import DAY, Platform, write_text

# JSON as a sender may write it. Each list begins with valid values. `#` becomes a number, so that ids differ.
ID = [
    '"e#"',
    "7000#",
    '"é #"',
    '" # "',
    '"e\\u0041#"',
    '"e\\u0000#"',
    '"\\ud800#"',
    "1.5#",
    "1e#",
    "true",
    "null",
    '""',
    '"\\\\#"',
    "[#]",
    "-#",
    '"\u2028#"',
    '"\\n#"',
]
TYPE = ['"requests"', '"reque\\u0073ts"', "null", '""', "[]", "1.5"]
SUBJECT = ['"acme"', '"acm\\u0065"', "null", '""', "{}", "false"]
TIME = [
    '"2026-09-15T12:00:00Z"',
    '"2026-09-15 12:00:00z"',
    '"2026-09-15t12:00:00.123456789+05:30"',
    '"2026-06-30T23:59:60Z"',
    '"2026-09-16T23:59:59.999999Z"',
    '"2026-09-17T00:00:00Z"',
    '"2026-09-17T02:00:00+02:01"',
    '"2026-09-16T23:59:00-00:01"',
    '"2022-12-31T23:59:59Z"',
    '"9999-12-31T23:59:59Z"',
    '"9999-12-31T23:59:59-01:00"',
    '"0001-01-01T00:00:00+01:00"',
    '"20260915T120000Z"',
    '"2026-09-15T12:00Z"',
    '"2026-09-15T12:00:00"',
    '"2026-09-15T24:00:00Z"',
    '"2026-02-30T12:00:00Z"',
    '"2026-09-15T12:00:00+24:00"',
    '"2026-09-15T12:00:60Z"',
    '" 2026-09-15T12:00:00Z"',
    '"2026-09-15T12:00:00,5Z"',
    '"٢٠٢٦-09-15T12:00:00Z"',
    "1789473600",
    "null",
    '""',
    "true",
    "{}",
]
QUANTITY = [
    "1",
    "0",
    "1.50",
    '"2.5"',
    "1.5e3",
    "-0",
    '"-0"',
    "-0.0",
    "12345678901234567890.000000000000001",
    "1e-15",
    '"1E+2"',
    "0.1000000000000000000",
    "1e19",
    "1e20",
    "1e-16",
    "1e999",
    "1E400000000",
    "-1",
    '"-0.5"',
    "-1e2",
    '"+5"',
    '"007"',
    '".5"',
    '"5."',
    '"1,000"',
    '"1_000"',
    '"0x10"',
    "NaN",
    '"NaN"',
    "Infinity",
    "-Infinity",
    "true",
    '" 1"',
    "[1]",
    '{"a": 1}',
    '"١"',
    "9" * 1500,
    f'"{"9" * 1500}"',
]
DATA = [
    '{"quantity": 1}',
    '{"quantity": 1, "app": "web", "nested": {"a": [1, 2.50, "é"]}}',
    '{"quantity": 1, "n": 1.0e5}',
    '{"a": "\\u00e9", "quantity": "3"}',
    '{"quantity": 1, "quantity": 2}',
    '{"quantity": 1, "a": 1, "a": 1}',
    '{"quantity": 1, "a": NaN}',
    '{"quantity": 1, "a": "\\udc00"}',
    '{"quantity": 1, "a": {"b": 1, "b": 2}}',
    "null",
    '"text"',
    "[1]",
    "5",
    '{"quantity": 1,}',
    '{"quantity": 1',
    "{'quantity': 1}",
    '{"quantity": 01}',
    '{"a\\u0000": "x", "quantity": 1}',
    '{"quantity": 1, "a": "\\ud83d\\ude00"}',
    '{"quantity": 1, "a": "tab\there"}',
    f'{{"quantity": 1, "a": {"[" * 5000}}}',
]
WHOLE = [
    '{"id": "w#"}',
    "{}",
    "[]",
    "5",
    '"e"',
    "null",
    '{"id": "w#", "id": "w#"}',
    '{"id": "w#", "source": "proxy", "type": "requests", "subject": "acme", "time": "2026-09-15T12:00:00Z"}',
    '{"id": "w#", "source": "", "type": "requests", "subject": "acme", "time": "2026-09-15T12:00:00Z",'
    ' "data": {"quantity": 1}}',
    '{\n "id": "w#",\r\n\t"source": "proxy", "type": "requests", "subject": "acme",\n"time": "2026-09-15T12:00:00Z",\n'
    '"data": {\n"quantity": 1.50}, "extension": {"any": 1e400}}',
]


def written(number: int, id: str, type: str, subject: str, time: str, data: str) -> str:
    id = id.replace("#", str(number))
    return f'{{"id": {id}, "source": "proxy", "type": {type}, "subject": {subject}, "time": {time}, "data": {data}}}'


def events() -> Iterator[str]:
    """Yield each odd value in an otherwise valid event, then events with several odd values."""
    numbers = itertools.count(1000)
    data = [*DATA, *(f'{{"quantity": {quantity}}}' for quantity in QUANTITY)]
    columns = [ID, TYPE, SUBJECT, TIME, data]
    for place, values in enumerate(columns):
        for value in values:
            cells = [column[0] for column in columns]
            cells[place] = value
            yield written(next(numbers), *cells)
    chance = random.Random(1)
    for _ in range(1500):
        yield written(
            next(numbers), *(chance.choice(column if chance.random() < 0.3 else column[:2]) for column in columns)
        )
    for whole in WHOLE:
        yield whole.replace("#", str(next(numbers)))
    for longer in (0, 1):
        line = written(next(numbers), '"e#"', '"requests"', '"acme"', TIME[0], '{"quantity": 1, "a": "#"}')
        yield line.replace("#", "x" * (LONGEST_LINE - len(line) + 1 + longer))


def refused_by_http(text: str) -> str | None:
    """Return the reason of a refusal. An event of a batch that is not JSON refuses its whole request."""
    try:
        (event,) = read_posted(f"[{text}]", "proxy", DAY)
    except NotEvents:
        return "bad_json"
    assert event.refusal or event.line == f"{text}\n".replace("\r\n", " \n").encode() or "\n" in text
    return event.refusal.reason if event.refusal else None


def test_what_the_intake_accepts_landing_accepts_and_what_it_refuses_landing_rejects(platform: Platform) -> None:
    texts = list(events())
    lines = [text.replace("\n", " ").replace("\r", " ") for text in texts]
    write_text(platform.landing_dir, DAY, "usage.jsonl", "".join(f"{line}\n" for line in lines))
    platform.land(DAY)
    landing = {row["line"]: row["reason"] for row in platform.rejected()}
    assert 0 not in landing, "the whole file was rejected"
    differing = {
        (text[:200], refused, landing.get(number))
        for number, text in enumerate(texts, start=1)
        if (refused := refused_by_http(text)) != landing.get(number)
    }
    assert differing == set()
    assert len(texts) - len(landing) > 100
    assert {
        "bad_json",
        "bad_shape",
        "bad_text",
        "missing_field",
        "bad_time",
        "time_too_early",
        "time_in_future",
        "bad_quantity",
        "negative_quantity",
        "line_too_long",
    } == set(landing.values())


def test_what_depends_on_the_price_book_is_left_to_landing() -> None:
    """An event of a type without a meter, of an unknown organization, or without a quantity, may be billed later."""
    odd: list[dict[str, object]] = [
        {"type": "unknown"},
        {"subject": "unknown"},
        {"data": {}},
        {"data": {"quantity": ""}},
    ]
    for changes in odd:
        event = {"id": "a", "source": "proxy", "type": "requests", "subject": "acme", "time": "2026-09-15T12:00:00Z"}
        (posted,) = read_posted(json.dumps(event | {"data": {"quantity": 1}} | changes), "proxy", DAY)
        assert posted.refusal is None


def test_what_the_intake_calls_a_duplicate_is_one_at_landing_and_a_conflict_is_rejected_there(
    platform: Platform,
) -> None:
    """Each variant has the key of a plain event. A duplicate is not stored, so it must never be another event."""
    plain = '{"id": "#", "source": "proxy", "type": "egress_gb", "subject": "acme", "time": "2026-09-15T12:00:00Z",'
    plain += ' "data": {"quantity": 100, "region": "ams", "size": 5, "note": {"a": 1, "b": 2}}}'
    variants = {
        plain: True,
        plain.replace("100", "1e2"): True,
        plain.replace("100", '"100.000"'): True,
        plain.replace('"quantity": 100, "region": "ams"', '"region": "\\u0061ms", "quantity": 100.0'): True,
        plain.replace('"a": 1, "b": 2', '"b": 2, "a": 1'): True,
        plain.replace("12:00:00Z", "14:00:00+02:00"): True,
        plain.replace("12:00:00Z", "12:00:00.0000009z"): True,
        plain.replace("}}}", '}}, "specversion": "1.0", "x": 1}'): True,
        plain.replace("100", "100.000000000000001"): False,
        plain.replace("100", "10"): False,
        plain.replace("ams", "fra"): False,
        plain.replace("ams", "ams "): False,
        plain.replace("acme", "labs"): False,
        plain.replace("egress_gb", "requests"): False,
        plain.replace("12:00:00Z", "12:00:00.000001Z"): False,
    }
    platform.add_organization("labs")
    lines: list[str] = []
    for number, (variant, is_same) in enumerate(variants.items()):
        pair = [text.replace('"#"', f'"{number}"') for text in (plain, variant)]
        lines += pair
        (first,), (second,) = (read_posted(text, "proxy", DAY) for text in pair)
        assert first.key == second.key
        assert (first.content == second.content) == is_same, variant
    write_text(platform.landing_dir, DAY, "usage.jsonl", "\n".join(lines))
    (file,) = platform.land(DAY)
    assert (file.accepted, file.duplicate, file.rejected) == (15, 8, 7)
    assert {row["reason"] for row in platform.rejected()} == {"conflicting_duplicate"}
