"""Stores posted events: one thread settles, writes and syncs the events of all waiting requests together.

So the number of syncs and files does not grow with the number of requests. While the disk works, more requests gather
for the next round; there is no other delay. A file ends after `publish_after` seconds or MOST_BYTES, and is published
into the folder of the day of that moment: nothing appears in the folder of a day that is over, and a file that landing
may have read never changes. Not here: HTTP (`app`), files (`open_file`).
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fly_billing.foreign_text import visible
from fly_billing.money import counted
from fly_billing.usage.landing_folder import describe_error
from fly_billing.usage_intake.open_file import OpenFile, Sync, find_left_open
from fly_billing.usage_intake.reading import PostedEvent, key_of_line
from fly_billing.usage_intake.rules.file_names import is_ours
from fly_billing.usage_intake.rules.form import CONFLICT, Refusal
from fly_billing.usage_intake.rules.recent_keys import RecentKeys

# Seconds after which a file is published: at most 288 files a day of a source that sends little.
PUBLISH_AFTER = 300.0
# Landing reads files of up to 16 MiB together with others.
MOST_BYTES = 15 * 2**20
# About 125 MB of memory.
MOST_KEYS = 1_000_000
# Landing folders whose files a starting process reads for keys: today's, and this many days before.
DAYS_BEFORE = timedelta(days=1)
# Seconds between two looks for files to publish.
_PAUSE = 1.0

log = logging.getLogger(__name__)


class NotStored(Exception):
    """The events are not known to be on disk. The sender must post them again, with the same ids."""


@dataclass(frozen=True, slots=True)
class PostedOutcome:
    """The outcome of one event: `accepted`, `duplicate`, or refused for a reason."""

    id: str | None
    is_duplicate: bool = False
    refusal: Refusal | None = None

    @property
    def word(self) -> str:
        return "rejected" if self.refusal else "duplicate" if self.is_duplicate else "accepted"


@dataclass
class _Submission:
    source: str
    events: Sequence[PostedEvent]
    answer: Future[list[PostedOutcome]] = field(default_factory=Future)


class UsageIntake:
    """Stores events of many requests and threads. `close` ends it; a killed one loses nothing that it answered.

    Args of the constructor:
        landing_dir: A folder that exists.
        publish_after: Seconds after which a file is published.
        most_keys: How many event keys are remembered.
        now: The clock, in UTC.
        sync: Waits until a file or folder is on disk.
    """

    def __init__(
        self,
        landing_dir: Path,
        publish_after: float = PUBLISH_AFTER,
        most_keys: int = MOST_KEYS,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        sync: Sync = os.fsync,
    ) -> None:
        self.now = now
        self._landing_dir = landing_dir
        self._publish_after = publish_after
        self._sync = sync
        self._keys = RecentKeys(most_keys)
        self._most_keys = most_keys
        self._files: dict[str, OpenFile] = {}
        self._ended: list[OpenFile] = []
        self._waiting: queue.SimpleQueue[_Submission | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="usage intake")
        self._unpublished: str | None = None
        self._next_try = 0.0
        self._unwritten: tuple[float, str] | None = None

    def start(self) -> None:
        """Publish what a killed process left, read the keys of today and yesterday, and begin. Raises OSError."""
        left = list(find_left_open(self._landing_dir, time.monotonic(), self._sync))
        for file in left:
            file.publish(self._landing_dir, self.now().date())
        if left:
            log.info("published %s of a process that was killed", counted(len(left), "file"))
        self._remember_published()
        self._thread.start()

    def submit(self, source: str, events: Sequence[PostedEvent]) -> Future[list[PostedOutcome]]:
        """Store the events of one request, all with this source.

        Returns:
            Gives an outcome per event, in their order, as soon as all accepted ones are on disk. Fails with NotStored.
        """
        submission = _Submission(source, events)
        self._waiting.put(submission)
        return submission.answer

    def close(self) -> None:
        """Store what was submitted before, publish all files, and end."""
        self._waiting.put(None)
        self._thread.join()

    def problem(self, seconds: float = 10) -> str | None:
        """Return why events can't be stored or published, or None. A failed write counts for some seconds."""
        unwritten = self._unwritten
        if unwritten and time.monotonic() - unwritten[0] < seconds:
            return unwritten[1]
        return self._unpublished

    def _remember_published(self) -> None:
        """Remember the keys of the newest published files, one file after the other, the newest last."""
        newest: list[Path] = []
        number = 0
        for path in self._published_files():
            newest.append(path)
            number += path.read_bytes().count(b"\n")
            if number >= self._most_keys // 2:  # more would push the first ones out again
                break
        for path in reversed(newest):
            lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
            self._keys.add(dict(key for line in lines if line and (key := key_of_line(line))))
        log.info("remembers %s", counted(len(self._keys), "event key"))

    def _published_files(self) -> Iterable[Path]:
        """List the files of the intake in the folders of today and the days before, the newest first."""
        today = self.now().date()
        folders = [self._landing_dir / day.isoformat() for day in (today, today - DAYS_BEFORE)]
        found = [path for folder in folders if folder.is_dir() for path in folder.iterdir() if is_ours(path.name)]
        return sorted(found, key=lambda path: path.stat().st_mtime_ns, reverse=True)

    def _run(self) -> None:
        is_open = True
        while is_open:
            group = self._take()
            is_open = None not in group
            by_source: dict[str, list[_Submission]] = defaultdict(list)
            for submission in group:
                if submission and submission.answer.set_running_or_notify_cancel():
                    by_source[submission.source].append(submission)
            for source, submissions in by_source.items():
                self._settle(source, submissions)
            self._publish(is_last=not is_open)

    def _take(self) -> list[_Submission | None]:
        """Return all waiting submissions; wait a moment for the first. None: no more will come."""
        group: list[_Submission | None] = []
        with suppress(queue.Empty):
            group.append(self._waiting.get(timeout=_PAUSE))
            while group[-1] is not None:
                group.append(self._waiting.get_nowait())
        return group

    def _settle(self, source: str, submissions: Sequence[_Submission]) -> None:
        """Decide on each event, write the accepted ones, and answer. A failure is that of these requests only."""
        new: dict[int, int] = {}
        lines: list[bytes] = []
        try:
            outcomes = [[self._decide(event, new, lines) for event in each.events] for each in submissions]
            if lines:
                self._append(source, b"".join(lines))
        except Exception as problem:
            is_of_the_disk = isinstance(problem, OSError)
            reason = describe_error(problem) if is_of_the_disk else type(problem).__name__
            log.error("events of %s could not be stored: %s", visible(source), reason, exc_info=not is_of_the_disk)
            self._unwritten = (time.monotonic(), f"events can't be stored: {reason}")
            for submission in submissions:
                submission.answer.set_exception(NotStored(reason))
            return
        self._keys.add(new)
        if lines:
            self._unwritten = None
        for submission, answer in zip(submissions, outcomes, strict=True):
            submission.answer.set_result(answer)

    def _decide(self, event: PostedEvent, new: dict[int, int], lines: list[bytes]) -> PostedOutcome:
        if event.refusal:
            return PostedOutcome(event.id, refusal=event.refusal)
        content = new.get(event.key)
        if content is None:
            content = self._keys.find(event.key)
        if content is None:
            new[event.key] = event.content
            lines.append(event.line)
            return PostedOutcome(event.id)
        if content != event.content:
            return PostedOutcome(event.id, refusal=CONFLICT)
        return PostedOutcome(event.id, is_duplicate=True)

    def _append(self, source: str, lines: bytes) -> None:
        file = self._files.get(source)
        if file and file.size and file.size + len(lines) > MOST_BYTES:
            self._ended.append(self._files.pop(source))
            file = None
        if file is None:
            file = OpenFile.begin(self._landing_dir, source, self.now(), time.monotonic(), self._sync)
            self._files[source] = file
        try:
            file.append(lines)
        finally:
            if not file.is_sound:
                self._ended.append(self._files.pop(source))

    def _publish(self, *, is_last: bool) -> None:
        """Publish the files that ended. A failure is tried again, at the latest at the next start."""
        now = time.monotonic()
        if self._unpublished and now < self._next_try and not is_last:
            return
        for source, file in list(self._files.items()):
            if is_last or now - file.begun_at >= self._publish_after:
                self._ended.append(self._files.pop(source))
        ended, self._ended = self._ended, []
        self._unpublished = None
        for file in ended:
            try:
                file.publish(self._landing_dir, self.now().date())
            except OSError as problem:
                self._ended.append(file)
                self._unpublished = f"stored events can't be published to landing: {describe_error(problem)}"
                self._next_try = now + _PAUSE
                log.error("%s: %s", visible(str(file.path)), self._unpublished)
