"""Mutations of files: bytes flipped, cut off, put in, swapped or zeroed; wrong names, encodings and headers."""

from __future__ import annotations

import random
from collections.abc import Callable


def flip(rng: random.Random, content: bytes) -> bytes:
    found = bytearray(content)
    for _ in range(rng.randint(1, 20)):
        if found:
            found[rng.randrange(len(found))] = rng.randrange(256)
    return bytes(found)


def cut(rng: random.Random, content: bytes) -> bytes:
    return content[: rng.randrange(len(content) + 1)]


def cut_the_head(rng: random.Random, content: bytes) -> bytes:
    return content[rng.randrange(len(content) + 1) :]


def put_in(rng: random.Random, content: bytes) -> bytes:
    place = rng.randrange(len(content) + 1)
    found = rng.choice(
        [rng.randbytes(rng.randint(1, 200)), b"\0" * 50, b'"', b"\n", b"\xff\xfe", b"\xed\xa0\x80", b"["]
    )
    return content[:place] + found + content[place:]


def swap_blocks(rng: random.Random, content: bytes) -> bytes:
    first, second, third = sorted(rng.randrange(len(content) + 1) for _ in range(3))
    return content[:first] + content[second:third] + content[first:second] + content[third:]


def repeat_a_block(rng: random.Random, content: bytes) -> bytes:
    first, second = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    return content[:second] + content[first:]


def zero_a_page(rng: random.Random, content: bytes) -> bytes:
    place, size = rng.randrange(len(content) + 1), rng.choice([16, 512, 4096])
    return content[:place] + b"\0" * min(size, len(content) - place) + content[place + size :]


def other_encoding(rng: random.Random, content: bytes) -> bytes:
    text = content.decode(errors="replace")
    return rng.choice([text.encode("utf-16"), text.encode("latin-1", errors="replace"), b"\xef\xbb\xbf" + content])


def mixed_encodings(rng: random.Random, content: bytes) -> bytes:
    place = rng.randrange(len(content) + 1)
    return content[:place] + "Zürich ".encode("latin-1") + content[place:]


def other_line_ends(rng: random.Random, content: bytes) -> bytes:
    return content.replace(b"\n", rng.choice([b"\r\n", b"\r", b"\n\n", b"\x0b", b"\0\n"]))


def first_line_twice(rng: random.Random, content: bytes) -> bytes:
    return content.partition(b"\n")[0] + b"\n" + content


def column_twice(rng: random.Random, content: bytes) -> bytes:
    """In CSV, and in JSON lines a key; in Parquet a name of the footer becomes another's."""
    names = [b"quantity", b"subject", b"source", b"region", b"type", b"time", b"id"]
    return content.replace(rng.choice(names), rng.choice(names), rng.choice([1, 2, 1000]))


def nothing(rng: random.Random, content: bytes) -> bytes:
    return content


MUTATIONS: dict[str, Callable[[random.Random, bytes], bytes]] = {
    mutation.__name__.replace("_", " "): mutation
    for mutation in (
        flip,
        cut,
        cut_the_head,
        put_in,
        swap_blocks,
        repeat_a_block,
        zero_a_page,
        other_encoding,
        mixed_encodings,
        other_line_ends,
        first_line_twice,
        column_twice,
        nothing,
    )
}
NAMES = (
    "{}",
    "{} x",
    "quantity=5/{}",
    "[{}]",
    "{}*",
    "ü{}",
    "a\nb{}",
    "subject=other/{}",
    "'{}'",
    "{}%41",
    "{}?",
    "\udcff{}",
)
ENDINGS = (".jsonl", ".csv", ".parquet", ".JSONL", ".ndjson", ".txt", "", ".gz")


def odd_name(rng: random.Random, stem: str, ending: str) -> str:
    """Return a name which is odd in one of ten cases, and has another ending in one of thirty."""
    name = rng.choice(NAMES) if rng.random() < 0.1 else "{}"
    return name.format(stem) + (rng.choice(ENDINGS) if rng.random() < 0.03 else ending)
