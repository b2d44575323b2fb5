"""An index of event keys: finds the landing days on which a key may have landed before, however long the history is.

`(source, id)` is unique over all history, so a landing looks up each of its keys among all keys that ever landed. The
index may be wrong in one direction only: it never misses a key, but may list one whose event is gone. The landing
then reads these days' events for the given keys. The index can be rebuilt from the usage table at any time.

An entry has 64 bits: 48 of the key's hash and 16 for the landing day. Entries are in open-addressing hash tables in
memory-mapped files, at a place that grows with the hash, so that sorted keys are looked up from front to back. `recent`
takes new entries. When it is half full, one sorted pass merges it into `main`. So landings write to a small file only.

Not here: deciding which event of a key counts (`landing`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import uuid4

import duckdb
import numpy as np
from deltalake import DeltaTable
from numpy.typing import NDArray

from fly_billing.money import counted
from fly_billing.output_files import make_folder
from fly_billing.postgres.statements import sql
from fly_billing.usage.data_files import Partition, PartitionKey, list_data_files, sum_partitions
from fly_billing.usage.usage_table import UsageTableVersion

Words = NDArray[np.uint64]
FORMAT = 2
DAY_BITS = np.uint64(16)
DAY_MASK = np.uint64(0xFFFF)
EPOCH = date(1970, 1, 1)
SMALLEST = 1 << 14
# `main` has this many times the slots of `recent`. A larger `recent` is merged less often, but takes more disk space.
RECENT_SHARE = 4
ENTRIES_AT_ONCE = 1 << 22
WORDS_IN_CACHE = 1 << 14
# The index is in the table's folder, to move with it. Readers ignore it: they only see files that the Delta log lists.
FOLDER = "_key_index"
UNFINISHED = "unfinished"
PARTS = ("main", "recent")


@dataclass(frozen=True)
class KeyMatches:
    """The landing days on which keys may have landed. Both arrays have one element per pair of hash and day.

    Attributes:
        prefixes: The first 48 bits of `hash(source, id)`.
        days: Days since 1970-01-01.
    """

    prefixes: Words
    days: NDArray[Any]

    def without(self, days: Collection[date]) -> KeyMatches:
        others = ~np.isin(self.days, [(day - EPOCH).days for day in days])
        return KeyMatches(self.prefixes[others], self.days[others])

    def distinct_days(self) -> list[date]:
        return [EPOCH + timedelta(days=int(day)) for day in np.unique(self.days)]


class KeyTable:
    """A memory-mapped open-addressing hash table of entries. The caller keeps it at most half full."""

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
        """Return all entries that share their 48 hash bits with one of `hashes`. Sorted hashes are fastest."""
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
        """Add entries that are not in the table yet. Sorted entries are fastest. The table must have room."""
        for some in _in_cache(entries):
            left, places = some, self._first_places(some)
            while len(left):
                is_free = self._words[places] == 0
                self._words[places[is_free]] = left[is_free]
                is_there = self._words[places] == left
                self.used += int(np.count_nonzero(is_there & is_free))
                left, places = left[~is_there], self._next(places[~is_there])

    def entries(self) -> Iterator[Words]:
        """Yield all entries in sorted blocks."""
        for first in range(0, self.slots, ENTRIES_AT_ONCE):
            words = self._words[first : first + ENTRIES_AT_ONCE]
            yield np.sort(words[words != 0])

    def recount(self) -> None:
        """Count the entries again: a killed landing may have added more than it recorded."""
        some = (self._words[first : first + ENTRIES_AT_ONCE] for first in range(0, self.slots, ENTRIES_AT_ONCE))
        self.used = sum(int(np.count_nonzero(words)) for words in some)

    def flush(self) -> None:
        self._file.flush()

    def written_at(self) -> int:
        """Return the modification time of the file, in nanoseconds since 1970. Flushing sets it for the last time."""
        return self.path.stat().st_mtime_ns

    def _first_places(self, hashes: Words) -> NDArray[Any]:
        return ((hashes >> np.uint64(32)) * np.uint64(self.slots) >> np.uint64(32)).astype(np.int64)

    def _next(self, places: NDArray[Any]) -> NDArray[Any]:
        following = places + 1
        following[following == self.slots] = 0
        return following


class KeyIndex:
    """The index of a usage table. Only a landing that holds the lock `land_usage` opens it."""

    def __init__(
        self, folder: Path, main: KeyTable, recent: KeyTable, indexed: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self.folder = folder
        self.main = main
        self.recent = recent
        self._indexed = indexed

    @classmethod
    def open(
        cls, duck: duckdb.DuckDBPyConnection, table: UsageTableVersion, progress: Callable[[str], None] = lambda _: None
    ) -> KeyIndex:
        """Open the index if it has all keys of this version of the table; otherwise rebuild it from the table."""
        folder = table.usage_table.local_folder / FOLDER
        index = cls._read(folder, duck, table)
        if index is None:
            make_folder(folder)
            index = cls(folder, KeyTable.make(folder, SMALLEST), KeyTable.make(folder, SMALLEST))
            index._build(duck, table, table.partitions, progress)
            index._save(duck, table, table.version, table.partitions)
        elif missing := index.missing(table):
            index._build(duck, table, missing, progress)
            index._save(duck, table, table.version, table.partitions)
        (folder / UNFINISHED).touch()
        return index

    @classmethod
    def _read(cls, folder: Path, duck: duckdb.DuckDBPyConnection, table: UsageTableVersion) -> KeyIndex | None:
        try:
            state = json.loads((folder / "state.json").read_bytes())
            is_ours = (state["format"], state["table_id"], state["hashes"]) == (FORMAT, _id(table), _hashes(duck))
            # The index of a later version has all keys of this one. That of an earlier version may miss some: `missing`
            # finds them if other machines land into the table, too.
            if not is_ours or (state["version"] < table.version and not table.usage_table.is_in_store):
                return None
            tables = []
            for name in PARTS:
                path, slots, used = folder / state[name]["file"], state[name]["slots"], state[name]["used"]
                if path.stat().st_size != slots * 8:
                    return None
                tables.append(KeyTable(path, slots, used))
            if (folder / UNFINISHED).exists():  # a landing was killed and may have added entries without counting them
                for part in tables:
                    at_least = part.used
                    part.recount()
                    if part.used < at_least:
                        return None
            elif any(part.written_at() != state[name]["written_at"] for name, part in zip(PARTS, tables, strict=True)):
                return None  # another program wrote to it: a deleted entry would let an event be billed twice
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return cls(folder, tables[0], tables[1], state.get("partitions", {}))

    def missing(self, table: UsageTableVersion) -> dict[PartitionKey, Partition]:
        """Return the partitions of the table whose keys may be missing.

        The index is on this machine's disk, and a table in an object store may have landings of other machines.
        """
        if not table.usage_table.is_in_store:
            return {}
        return {key: part for key, part in table.partitions.items() if self._indexed.get(_name(key)) != part.files}

    def find_and_add(self, entries: Words) -> KeyMatches:
        """Find the landing days on which these keys may have landed before, then add the entries.

        Args:
            entries: From `make_entries`. Entries that the index already has are found, too.
        """
        found = np.concatenate([table.find(entries) for table in (self.main, self.recent)])
        if len(found) and len(entries):
            at = np.minimum(np.searchsorted(entries, found), len(entries) - 1)
            is_new = np.ones(len(entries), bool)
            is_new[at[entries[at] == found]] = False
            entries = entries[is_new]
        self._make_room(len(entries))
        self.recent.add(entries)
        return KeyMatches(found >> DAY_BITS, (found & DAY_MASK).astype(np.int64))

    def commit(self, duck: duckdb.DuckDBPyConnection, table: UsageTableVersion, written: DeltaTable) -> None:
        """Write the index to disk, and record that it has all keys up to the version that was written to the table."""
        is_in_store = table.usage_table.is_in_store
        partitions = sum_partitions(table.path, list_data_files(written)) if is_in_store else {}
        self._save(duck, table, written.version() + table.shift, partitions)

    def _save(
        self,
        duck: duckdb.DuckDBPyConnection,
        table: UsageTableVersion,
        version: int,
        partitions: Mapping[PartitionKey, Partition],
    ) -> None:
        self.flush()
        indexed = {"partitions": {_name(key): part.files for key, part in partitions.items()}}
        state: dict[str, Any] = {
            "format": FORMAT,
            "table_id": _id(table),
            "hashes": _hashes(duck),
            "version": version,
        } | {
            name: {"file": part.path.name, "slots": part.slots, "used": part.used, "written_at": part.written_at()}
            for name, part in zip(PARTS, (self.main, self.recent), strict=True)
        }
        state |= indexed if table.usage_table.is_in_store else {}
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
        """Write the added entries to disk."""
        for part in (self.main, self.recent):
            part.flush()

    def _make_room(self, more: int) -> None:
        """Merge `recent` into `main` if it would be more than half full. Both grow with the number of entries."""
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
        self,
        duck: duckdb.DuckDBPyConnection,
        table: UsageTableVersion,
        partitions: Mapping[PartitionKey, Partition],
        progress: Callable[[str], None],
    ) -> None:
        """Add the keys of the landing days of these partitions."""
        rows = sum(part.rows for part in partitions.values())
        if not rows:
            return
        progress(f"rebuilding the index of event keys from {counted(rows, 'event')}")
        table.open_view(duck, "indexed", days={day for day, _ in partitions})
        done = 0
        for batch in duck.execute(sql("event_keys")).to_arrow_reader(ENTRIES_AT_ONCE):
            self.find_and_add(make_entries(batch.column(0).to_numpy(), batch.column(1).to_numpy()))
            done += batch.num_rows
            progress(f"indexed {done} of {counted(rows, 'event')}")


def _in_cache(words: Words) -> Iterator[Words]:
    """Yield blocks that fit into the processor's cache with their intermediate results: this takes half the time."""
    for first in range(0, len(words), WORDS_IN_CACHE):
        yield words[first : first + WORDS_IN_CACHE]


def make_entries(hashes: Words, days: NDArray[Any]) -> Words:
    """Return the sorted, distinct index entries of keys that landed on these days.

    Sorting takes a seventieth of the time of `np.unique`.

    Args:
        hashes: 64-bit hashes of the keys.
        days: Landing days since 1970-01-01, one per hash.
    """
    entries = (avoid_zero(hashes) & ~DAY_MASK) | days.astype(np.uint64)
    entries.sort()
    is_first = np.ones(len(entries), bool)
    is_first[1:] = entries[1:] != entries[:-1]
    return entries[is_first]


def find_repeated(hashes: Words) -> Words:
    """Return the first 48 bits of the hashes that occur more than once, each once, sorted.

    Two keys may share these bits, so the caller compares the keys themselves.
    """
    prefixes = np.sort(avoid_zero(hashes) >> DAY_BITS)
    repeated = prefixes[1:][prefixes[1:] == prefixes[:-1]]
    is_first = np.ones(len(repeated), bool)
    is_first[1:] = repeated[1:] != repeated[:-1]
    distinct: Words = repeated[is_first]
    return distinct


def avoid_zero(hashes: Words) -> Words:
    """Set one of the first 48 bits if none is set, so that no entry looks like a free slot."""
    return np.maximum(hashes, np.uint64(1) << DAY_BITS)


def _name(key: PartitionKey) -> str:
    return f"{key[0]} {key[1]}"


def _id(table: UsageTableVersion) -> str | None:
    return str(table.delta.metadata().id) if table.delta else None


def _hashes(duck: duckdb.DuckDBPyConnection) -> str:
    """Return sample hashes, which show whether this version of DuckDB calculates the same hashes as before."""
    return str(duck.execute("select hash('', ''), hash('source', 'id'), hash('é', repeat('x', 99))").fetchone())
