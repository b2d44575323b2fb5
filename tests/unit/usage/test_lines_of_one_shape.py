"""Lines of one shape are read at once, and to the same rows as by the exact reader, line by line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fly_billing.usage.landing_folder import LandingFile
from fly_billing.usage.landing_staging import stage_files
from fly_billing.usage.readers import event_shapes
from fly_billing.usage.readers.event_shapes import learn_shape, read_shaped
from fly_billing.usage.readers.files import read_landing_file
from fly_billing.usage.readers.json_lines import register_json_functions, stage_json_line
from fly_billing.usage.readers.jsonl_batches import stage_plain_jsonl
from fly_billing.usage.readers.line_block import LineBlock
from fly_billing.usage.readers.staged_rows import STAGED
from fly_billing.usage.rules.cells import object_problem, read_document
from fly_billing.usage.usage_table import open_duckdb
from tests.support.builders import DAY, event, json_line

MACHINE = (
    '{{"id":"{0}","source":"/collectors/machines","type":"machine_seconds","subject":"acme",'
    '"time":"2026-09-15T12:00:00.25Z","data":{{"app":"{1}","region":"ams","quantity":{2}}}}}'
)


def shaped_rows(*lines: str) -> list[dict[str, Any]]:
    """Return the rows of the lines that are read by their shape, in the order of the lines."""
    block = LineBlock.of("".join(f"{line}\n" for line in lines).encode())
    found = {}
    for rows in read_shaped(block):
        columns = {name: column.to_pylist() for name, column in rows.columns.items()}
        for place, line in enumerate(rows.lines.tolist()):
            found[line] = {name: values[place] for name, values in columns.items()}
    return [found[line] for line in sorted(found)]


def as_read(row: dict[str, Any]) -> dict[str, Any]:
    """Return a staged row with `data` as a document: readers may write other spaces into it.

    A key that occurs twice in `data` is found by the exact reader, or else by validation, with the same message.
    """
    whole = {name: row.get(name) for name in STAGED.names}
    if problem := object_problem(whole["data"]):
        nothing = dict.fromkeys(STAGED.names)
        return nothing | {"line": row["line"], "raw": row["raw"], "problem": "bad_json", "problem_message": problem}
    return whole | {"data": whole["data"] and read_document(whole["data"])}


# --- What is read at once ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "quantity", ['"3540.000000"', "3540.000000", "7", "0.000000000000001", '"99999999999999999999"']
)
def test_the_digits_of_a_quantity_are_those_of_the_line(quantity: str) -> None:
    (row,) = shaped_rows(MACHINE.format("e1", "api", quantity))
    assert row["quantity"] == quantity.strip('"')
    assert row["data"] == '{"app":"api","region":"ams"}'


def test_texts_of_a_block_are_whole_arrow_values_however_long() -> None:
    """Arrow compares the first four bytes of a long text, which its view repeats, before the text itself."""
    block = LineBlock.of(b"twelve bytes\nmore than twelve bytes\n")
    texts = block.texts(block.starts, block.ends)
    texts.validate(full=True)
    assert texts.to_pylist() == ["twelve bytes", "more than twelve bytes"]


def test_lines_with_other_texts_and_numbers_are_read_by_the_shape_of_the_first() -> None:
    """Texts of 12 bytes are kept otherwise than longer ones."""
    texts = ["", "a", "eleven byte", "twelve bytes", "thirteen byte", "é", "日本" * 40, "{,}:[", "\x7f\u2028"]
    lines = [MACHINE.format(f"id of {text}", text, f"{number}.5") for number, text in enumerate(texts)]
    found = shaped_rows(*lines)
    assert [(row["id"], json.loads(row["data"])["app"], row["quantity"]) for row in found] == [
        (f"id of {text}", text, f"{number}.5") for number, text in enumerate(texts)
    ]
    assert [row["raw"] for row in found] == lines


def test_spaces_between_keys_and_carriage_returns_are_no_part_of_a_value() -> None:
    spaced = json_line(event("e1", "1.5", region="ams", app="api"))
    assert ": " in spaced
    (first, second) = shaped_rows(f" {spaced}\r", f"{spaced}\t \r")
    assert first["raw"] == second["raw"] == spaced
    assert json.loads(first["data"]) == {"region": "ams", "app": "api"}


def test_the_data_around_a_quantity_is_joined_without_it() -> None:
    line = MACHINE.replace('"region":"ams","quantity":{2}', '"quantity":{2},"cpus":8,"spot":true,"region":"ams"')
    (row,) = shaped_rows(line.format("e1", "api", "5"))
    assert row["data"] == '{"app":"api","cpus":8,"spot":true,"region":"ams"}'
    only = MACHINE.replace('"app":"{1}","region":"ams",', "")
    (row,) = shaped_rows(only.format("e1", "", "5"))
    assert row["data"] == "{}"


# --- What is left to the other readers -----------------------------------------------------------------------------

PLAIN = MACHINE.format("e1", "api", '"1.5"')
LEFT = {
    "an escape": PLAIN.replace("api", "\\u0061pi"),
    "a tab in a text": PLAIN.replace("api", "a\tpi"),
    "a NUL": PLAIN.replace("api", "a\0pi"),
    "a quantity twice": PLAIN.replace('"quantity"', '"quantity":"2","quantity"'),
    "the same quantity twice": PLAIN.replace('"quantity":', '"quantity":"1.5","quantity":'),
    "the same number twice as quantity": PLAIN.replace('"quantity":"1.5"', '"quantity":1.5,"quantity":1.5'),
    "a quantity beside data": PLAIN.replace('{"id"', '{"quantity":"2","id"'),
    "no quantity": PLAIN.replace('"quantity"', '"size"'),
    "an exponent": PLAIN.replace('"1.5"', "15e-1"),
    "an exponent as text": PLAIN.replace("1.5", "15e-1"),
    "a negative quantity": PLAIN.replace("1.5", "-1.5"),
    "a quantity of 21 digits": PLAIN.replace("1.5", "1" * 21),
    "16 decimals": PLAIN.replace("1.5", "0.0000000000000001"),
    "a leading zero": PLAIN.replace('"1.5"', "01"),
    "two points": PLAIN.replace('"1.5"', "1.2.3"),
    "a quantity that is true": PLAIN.replace('"1.5"', "true"),
    "a key twice": PLAIN.replace('{"id"', '{"subject":"other","id"'),
    "a key of data twice": PLAIN.replace('"region"', '"app"'),
    "an object in data": PLAIN.replace('"api"', '{"name":"api"}'),
    "an object beside data": PLAIN.replace('{"id"', '{"trace":{"x":"1"},"id"'),
    "a list": PLAIN.replace('"api"', '["api"]'),
    "a number with a point in data": PLAIN.replace('"api"', "1.5"),
    "a large number in data": PLAIN.replace('"api"', "1234567890123456789"),
    "a minus zero in data": PLAIN.replace('"api"', "-0"),
    "a word that is not JSON": PLAIN.replace('"api"', "NaN"),
    "a comma at the end": PLAIN.replace("}}", ",}}"),
    "a comma missing": PLAIN.replace('","region"', '" "region"'),
    "a brace too many": PLAIN + "}",
    "a text behind": PLAIN + '"x"',
    "two events": PLAIN + PLAIN,
    "half an event": PLAIN[:80],
    "a quote missing": PLAIN.replace('"api"', '"api'),
    "an id of digits": PLAIN.replace('"e1"', "17"),
    "no subject": PLAIN.replace('"subject"', '"payer"'),
    "a time without offset": PLAIN.replace("25Z", "25"),
    "a date that does not exist": PLAIN.replace("2026-09-15", "2026-02-30"),
    "a leap second": PLAIN.replace("12:00:00.25", "23:59:60"),
    "data as text": '{"id":"e1","source":"s","type":"t","subject":"acme","time":"2026-09-15T12:00:00Z","data":"x"}',
    "no object": '"data"',
}


@pytest.mark.parametrize("case", LEFT)
def test_a_line_that_is_not_plainly_right_is_left_and_its_neighbours_are_read(case: str) -> None:
    """It comes first once, where the shape is learned, and once after a plain line."""
    neighbour = MACHINE.format("e2", "web", '"2.5"')
    assert [row["id"] for row in shaped_rows(LEFT[case], PLAIN, neighbour)] == ["e1", "e2"]
    assert [row["id"] for row in shaped_rows(PLAIN, LEFT[case], neighbour)] == ["e1", "e2"]


@pytest.mark.parametrize("line", ["", '"', "{}", '{"data":{}}', "5", "[]", '{"data":{"quantity":"1"}}'])
def test_a_line_that_is_no_event_has_no_shape(line: str) -> None:
    assert learn_shape(line.encode()) is None


def test_long_lines_and_lines_of_many_values_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Learning the shape of one line of a megabyte took a minute."""
    many = ",".join(f'"k{number}":"v"' for number in range(300))
    assert learn_shape(PLAIN.replace('"app"', f'{many},"app"').encode()) is None
    assert learn_shape(PLAIN.replace("api", "a" * 70_000).encode()) is None
    assert learn_shape(PLAIN.replace("api", "a" * 60_000).encode()) is not None
    monkeypatch.setattr(event_shapes, "_split", None)  # such a line is not even looked at
    assert learn_shape(b'""' * 500_000) is None


def test_lines_that_all_have_a_shape_of_their_own_are_not_compared_with_each_other() -> None:
    lines = [PLAIN.replace('"api"', str(number)) for number in range(1, 40)]
    assert len(shaped_rows(*lines)) == 4


# --- The same rows as by the exact reader --------------------------------------------------------------------------

TEXTS = st.one_of(
    st.sampled_from(["", "acme", "machine_seconds", "quantity", "1.5", "\\u00e9", "\\\\", '\\"', "\x00"]),
    st.text(st.characters(exclude_characters='"\\\n', exclude_categories=["Cs"]), max_size=20),
)
TIMES = st.sampled_from(
    ["2026-09-15T12:00:00Z", "2026-09-15 12:00:00.123456+05:30", "1970-01-01T00:00:00Z", "2026-02-30T12:00:00Z",
     "2026-09-14T23:59:60Z", "2026-09-15T12:00:00", "2026-09-15T12:00:00.1234567Z", "1969-12-31T23:59:59Z"]
)  # fmt: skip
NUMBERS = ["0", "7", "1.50", "12345678901234567890.123456789012345", "15e-1", "1E3", "-1", "-0", "0.00", "1e-16"]
QUANTITIES = st.sampled_from(
    NUMBERS + [f'"{number}"' for number in NUMBERS] + ['"01"', "01", "1.", '""', "null", "true", "NaN", '"x"']
)
OTHERS = ["4", "-0", "1.5", "true", "null", "1e3", "1234567890123456789", '{"x": 1}', "[1]", "01"]
VALUES = st.one_of(TEXTS.map('"{}"'.format), TEXTS.map('"{}"'.format), st.sampled_from(OTHERS))
DAMAGE = [
    "",
    '"',
    "\\",
    "{",
    "}",
    ",",
    ":",
    "0",
    " ",
    "\t",
    "\r",
    "\0",
    "\x1f",
    "\u2028",
    '"quantity":1,',
    "null",
    "e5",
]


@dataclass(frozen=True)
class Program:
    """The keys that a program writes, in their order, and its spaces."""

    names: Sequence[str]
    data: Sequence[str]
    comma: str
    colon: str

    def line(self, draw: st.DrawFn) -> str:
        data = self._object(self.data, {"quantity": draw(QUANTITIES)}, draw)
        return self._object(self.names, {"time": f'"{draw(TIMES)}"', "data": data}, draw)

    def _object(self, names: Sequence[str], known: dict[str, str], draw: st.DrawFn) -> str:
        fields = [f'"{name}"{self.colon}{known.get(name) or draw(VALUES)}' for name in names]
        return "{" + self.comma.join(fields) + "}"


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Some repeat a key, and some have a second quantity."""
    names = ["id", "source", "type", "subject", "time", "data"]
    names += draw(st.lists(st.sampled_from(["specversion", "quantity", "id"]), max_size=1))
    data = ["quantity", *draw(st.lists(st.sampled_from(["app", "région", "quantity"]), max_size=3))]
    comma, colon = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", " : ")]))
    return Program(draw(st.permutations(names)), draw(st.permutations(data)), comma, colon)


@st.composite
def contents(draw: st.DrawFn) -> bytes:
    """A file of a few programs. Some of its lines are damaged."""
    writers = draw(st.lists(programs(), min_size=1, max_size=3))
    lines = [draw(st.sampled_from(writers)).line(draw) for _ in range(draw(st.integers(1, 12)))]
    for number in draw(st.lists(st.integers(0, len(lines) - 1), max_size=2)):
        place = draw(st.integers(0, len(lines[number])))
        kept = place + draw(st.integers(0, 2))
        lines[number] = lines[number][:place] + draw(st.sampled_from(DAMAGE)) + lines[number][kept:]
    end = draw(st.sampled_from(["\n", "\r\n", "\n\n", " \n\t"]))
    return (
        draw(st.sampled_from(["", "\ufeff"])).encode() + (end.join(lines) + draw(st.sampled_from(["", end]))).encode()
    )


def expected(content: bytes) -> list[dict[str, Any]]:
    lines = [line.strip(" \t\r") for line in content.decode("utf-8-sig").split("\n")]
    return [as_read(stage_json_line(number, line)) for number, line in enumerate(lines, start=1) if line]


def staged(content: bytes) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the rows of a file that is read among many, and of the same file read alone."""
    with TemporaryDirectory() as folder, open_duckdb() as duck:
        path = Path(folder) / "usage.jsonl"
        path.write_bytes(content)
        register_json_functions(duck)
        stage_files(duck, [], lambda _: None)
        assert stage_plain_jsonl(duck, [LandingFile(DAY, path.name, path)]) == []
        among = duck.execute("select * exclude (landing_day, path) from staged order by line").to_arrow_table()
        alone = pa.concat_tables([STAGED.empty_table(), *read_landing_file(path, duck)]).sort_by("line")
    return [as_read(row) for row in among.to_pylist()], [as_read(row) for row in alone.to_pylist()]


@given(content=contents())
@example(content=LEFT["the same quantity twice"].encode() + b"\n")
@example(content=f"{PLAIN}\n{PLAIN.replace('api', 'web')}\n{LEFT['a key twice']}\n".encode())
@settings(max_examples=200, deadline=None)
def test_a_file_has_the_same_rows_as_by_the_exact_reader(content: bytes) -> None:
    among, alone = staged(content)
    assert among == expected(content)
    assert alone == among
