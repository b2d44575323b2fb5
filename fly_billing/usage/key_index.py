"""Says on which landing days an event's key may have landed before, at a cost that does not grow with history.

`(source, id)` is unique over all history, so every key that lands is looked up among all that ever landed. The index
is a hint that never misses: it names landing days, whose events are then read for just these keys. Entries may be stale
(the event is gone by now): that costs a look, and nothing else. It can be built again from the usage table at any time.

An entry is 64 bits: 48 of the key's hash, 16 for the landing day. It is in an open-addressing table in a memory-mapped
file, at a place that grows with its hash, so sorted keys are looked up from front to back. There are two such tables:
`recent` takes new keys, and goes into `main` when it is half full, in one sorted pass; so a landing writes pages of the
small one only. Keeps out: what becomes of a key that landed before (`landing`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb
import numpy as np
from numpy.typing import NDArray

from fly_billing.output_files import make_folder
from fly_billing.postgres.statements import sql
from fly_billing.usage.usage_table import UsageTableVersion

Words = NDArray[np.uint64]
FORMAT = 2
DAY_BITS = np.uint64(16)
DAY_MASK = np.uint64(0xFFFF)
EPOCH = date(1970, 1, 1)
SMALLEST = 1 << 14
# `recent` has so much fewer slots than `main`: a larger one goes into `main` less often, and takes more of the disk.
RECENT_SHARE = 4
ENTRIES_AT_ONCE = 1 << 22
WORDS_IN_CACHE = 1 << 14
# In the table's own folder, so that it goes where the table goes. Readers see only files that the table's log lists.
FOLDER = "_key_index"
UNFINISHED = "unfinished"
PARTS = ("main", "recent")


@dataclass(frozen=True)
class Hits:
    """Landing days on which keys with these hashes may have landed; one row per hash and day, of both the same number.

    `prefixes` are the first 48 bits of `hash(source, id)`.
    """

    prefixes: Words
    days: NDArray[Any]

    def without(self, days: Collection[date]) -> Hits:
        others = ~np.isin(self.days, [(day - EPOCH).days for day in days])
        return Hits(self.prefixes[others], self.days[others])

    def distinct_days(self) -> list[date]:
        return [EPOCH + timedelta(days=int(day)) for day in np.unique(self.days)]


class KeyTable:
    """One memory-mapped open-addressing table of entries. At most half of its slots are to be used."""

    def __init__(self, path: Path, slots: int, used: int) -> None:
        self.path = path
        self.slots = slots
        self.used = used
        self._file = np.memmap(path, np.uint64, "r+", shape=(slots,))
        self._words: Words = np.asarray(self._file)

    @classmethod
    def make(cls, folder: Path, slots: int) -> KeyTable:
        path = folder / f"{uuid4().hex}.keys"
        with path.open("wb") as file:
            file.truncate(slots * 8)
        return cls(path, slots, 0)

    def find(self, hashes: Words) -> Words:
        """Return the entries with the same 48 bits as one of these. `hashes` should be sorted."""
        found: list[Words] = [np.empty(0, np.uint64)]
        for some in _in_cache(hashes):
            places, wanted = self._first_places(some), some >> DAY_BITS
            while len(places):
                words = self._words[places]
                is_hit = words >> DAY_BITS == wanted
                if is_hit.any():
                    found.append(words[is_hit])
                is_used = words != 0
                places, wanted = self._next(places[is_used]), wanted[is_used]
        return np.concatenate(found)

    def add(self, entries: Words) -> None:
        """Add entries that are not there yet. They should be sorted, and there must be room."""
        for some in _in_cache(entries):
            left, places = some, self._first_places(some)
            while len(left):
                is_free = self._words[places] == 0
                self._words[places[is_free]] = left[is_free]
                is_there = self._words[places] == left
                self.used += int(np.count_nonzero(is_there & is_free))
                left, places = left[~is_there], self._next(places[~is_there])

    def entries(self) -> Iterator[Words]:
        """Yield all entries, sorted some at a time."""
        for first in range(0, self.slots, ENTRIES_AT_ONCE):
            words = self._words[first : first + ENTRIES_AT_ONCE]
            yield np.sort(words[words != 0])

    def count_again(self) -> None:
        """Count the entries: after a landing was killed there may be more than it wrote down."""
        some = (self._words[first : first + ENTRIES_AT_ONCE] for first in range(0, self.slots, ENTRIES_AT_ONCE))
        self.used = sum(int(np.count_nonzero(words)) for words in some)

    def flush(self) -> None:
        self._file.flush()

    def written_at(self) -> int:
        """Return when its file was last written to, in nanoseconds since 1970. It stays so once it is flushed."""
        return self.path.stat().st_mtime_ns

    def _first_places(self, hashes: Words) -> NDArray[Any]:
        return ((hashes >> np.uint64(32)) * np.uint64(self.slots) >> np.uint64(32)).astype(np.int64)

    def _next(self, places: NDArray[Any]) -> NDArray[Any]:
        following = places + 1
        following[following == self.slots] = 0
        return following


class KeyIndex:
    """The index of one usage table. Only a landing, which has the lock `land_usage`, opens it."""

    def __init__(self, folder: Path, main: KeyTable, recent: KeyTable) -> None:
        self.folder = folder
        self.main = main
        self.recent = recent

    @classmethod
    def open(
        cls, duck: duckdb.DuckDBPyConnection, table: UsageTableVersion, progress: Callable[[str], None] = lambda _: None
    ) -> KeyIndex:
        """Open the index if it has all keys of this version of the table, else build it again from the table."""
        folder = table.path / FOLDER
        index = cls._read(folder, duck, table)
        if index is None:
            make_folder(folder)
            index = cls(folder, KeyTable.make(folder, SMALLEST), KeyTable.make(folder, SMALLEST))
            index._build(duck, table, progress)
            index.commit(duck, table, table.version)
        (folder / UNFINISHED).touch()
        return index

    @classmethod
    def _read(cls, folder: Path, duck: duckdb.DuckDBPyConnection, table: UsageTableVersion) -> KeyIndex | None:
        try:
            state = json.loads((folder / "state.json").read_bytes())
            is_ours = (state["format"], state["table_id"], state["hashes"]) == (FORMAT, _id(table), _hashes(duck))
            # A later version has more keys than this one; an earlier one may lack some.
            if not is_ours or state["version"] < table.version:
                return None
            tables = []
            for name in PARTS:
                path, slots, used = folder / state[name]["file"], state[name]["slots"], state[name]["used"]
                if path.stat().st_size != slots * 8:
                    return None
                tables.append(KeyTable(path, slots, used))
            if (folder / UNFINISHED).exists():  # a landing was killed: it may have added entries that nobody counted
                for one in tables:
                    at_least = one.used
                    one.count_again()
                    if one.used < at_least:
                        return None
            elif any(one.written_at() != state[name]["written_at"] for name, one in zip(PARTS, tables, strict=True)):
                return None  # somebody else wrote to it: an entry that is gone would let a key be billed twice
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return cls(folder, *tables)

    def find_and_add(self, entries: Words) -> Hits:
        """Return the landing days on which keys with these hashes may have landed before; add these entries.

        `entries` are as `entries_of` makes them. Those that are there already are among what is found.
        """
        found = np.concatenate([table.find(entries) for table in (self.main, self.recent)])
        if len(found) and len(entries):
            at = np.minimum(np.searchsorted(entries, found), len(entries) - 1)
            is_new = np.ones(len(entries), bool)
            is_new[at[entries[at] == found]] = False
            entries = entries[is_new]
        self._make_room(len(entries))
        self.recent.add(entries)
        return Hits(found >> DAY_BITS, (found & DAY_MASK).astype(np.int64))

    def commit(self, duck: duckdb.DuckDBPyConnection, table: UsageTableVersion, version: int) -> None:
        """Bring it to the disk, and write down that it has all keys up to this version of the table."""
        self.flush()
        state = {"format": FORMAT, "table_id": _id(table), "hashes": _hashes(duck), "version": version} | {
            name: {"file": one.path.name, "slots": one.slots, "used": one.used, "written_at": one.written_at()}
            for name, one in zip(PARTS, (self.main, self.recent), strict=True)
        }
        written = self.folder / "state.json.new"
        with written.open("w", encoding="utf-8") as file:
            json.dump(state, file)
            file.flush()
            os.fsync(file.fileno())
        written.replace(self.folder / "state.json")
        for path in self.folder.glob("*.keys"):
            if path not in (self.main.path, self.recent.path):
                path.unlink()
        (self.folder / UNFINISHED).unlink(missing_ok=True)

    def flush(self) -> None:
        """Bring what was added to the disk."""
        for one in (self.main, self.recent):
            one.flush()

    def _make_room(self, more: int) -> None:
        """Move `recent` into `main` if it would be more than half full; both grow with what is in them."""
        if 2 * (self.recent.used + more) <= self.recent.slots:
            return
        needed = self.main.used + self.recent.used
        if 2 * needed > self.main.slots:
            grown = KeyTable.make(self.folder, max(SMALLEST, needed * 4))
            for entries in self.main.entries():
                grown.add(entries)
            self.main = grown
        for entries in self.recent.entries():
            self.main.add(entries)
        self.main.flush()
        self.recent = KeyTable.make(self.folder, max(SMALLEST, self.main.slots // RECENT_SHARE, 4 * more))

    def _build(
        self, duck: duckdb.DuckDBPyConnection, table: UsageTableVersion, progress: Callable[[str], None]
    ) -> None:
        rows = sum(part.rows for part in table.parts.values())
        if not rows:
            return
        progress(f"building the index of keys again from {rows} events")
        table.open_view(duck, "indexed")
        done = 0
        for batch in duck.execute(sql("keys_of_events")).to_arrow_reader(ENTRIES_AT_ONCE):
            self.find_and_add(entries_of(batch.column(0).to_numpy(), batch.column(1).to_numpy()))
            done += batch.num_rows
            progress(f"indexed {done} of {rows} events")


def _in_cache(words: Words) -> Iterator[Words]:
    """Cut them so that what is calculated with them on the way stays in the processor's cache: twice as fast."""
    for first in range(0, len(words), WORDS_IN_CACHE):
        yield words[first : first + WORDS_IN_CACHE]


def entries_of(hashes: Words, days: NDArray[Any]) -> Words:
    """Return the index entries of keys with these hashes (64 bits) that landed on these days (since 1970-01-01).

    Sorted, each but once. (`np.unique` takes 70 times as long as sorting.)
    """
    entries = (clipped(hashes) & ~DAY_MASK) | days.astype(np.uint64)
    entries.sort()
    is_first = np.ones(len(entries), bool)
    is_first[1:] = entries[1:] != entries[:-1]
    return entries[is_first]


def clipped(hashes: Words) -> Words:
    """Return the hashes with at least one of the first 48 bits set, so that no entry looks like a free slot."""
    return np.maximum(hashes, np.uint64(1) << DAY_BITS)


def _id(table: UsageTableVersion) -> str | None:
    return str(table.delta.metadata().id) if table.delta else None


def _hashes(duck: duckdb.DuckDBPyConnection) -> str:
    """Return some hashes: another version of DuckDB may calculate them in another way."""
    return str(duck.execute("select hash('', ''), hash('source', 'id'), hash('é', repeat('x', 99))").fetchone())
