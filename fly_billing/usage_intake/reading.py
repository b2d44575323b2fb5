"""Reads the events of a request as landing will read them. Not here: HTTP (`app`), the rules (`rules.form`)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from fly_billing.usage.readers.json_lines import stage_json_line
from fly_billing.usage.readers.staged_rows import LONGEST_LINE
from fly_billing.usage.readers.text_files import TOO_LONG
from fly_billing.usage_intake.rules.form import Refusal, digest_content, find_refusal, identify
from fly_billing.usage_intake.rules.posted_text import split_events

_TOO_LONG = Refusal("line_too_long", TOO_LONG)


@dataclass(frozen=True, slots=True)
class PostedEvent:
    """An event of a request.

    Attributes:
        id: As posted; None if it can't be read.
        refusal: Why it is refused, or None.
        key: The number of (source, id); 0 if it is refused.
        content: The digest of its content; 0 if it is refused.
        line: Its line in the landing file, with the line end; empty if it is refused.
    """

    id: str | None
    refusal: Refusal | None
    key: int = 0
    content: int = 0
    line: bytes = b""


def read_posted(text: str, source: str, today: date) -> list[PostedEvent]:
    """Read the events of a request. Raises NotEvents or TooManyEvents (`rules.posted_text`)."""
    return [_read(line, event, source, today) for line, event in split_events(text)]


def _read(line: str, event: object, source: str, today: date) -> PostedEvent:
    if len(line) > LONGEST_LINE:
        return PostedEvent(_shown_id(event), _TOO_LONG)
    staged = stage_json_line(1, line)
    refusal = find_refusal(event, staged, source, today)
    if refusal:
        return PostedEvent(staged.get("id") or _shown_id(event), refusal)
    key = identify(source, staged["id"])
    return PostedEvent(staged["id"], None, key, digest_content(staged), f"{line}\n".encode())


def _shown_id(event: object) -> str | None:
    """Return the id of an event that can't be read otherwise, so that its sender finds it."""
    found = event.get("id") if isinstance(event, dict) else None
    return found.encode(errors="replace").decode() if isinstance(found, str) else None


def key_of_line(line: str) -> tuple[int, int] | None:
    """Return key and content of a line that the intake wrote; None for any other line."""
    staged = stage_json_line(1, line)
    if staged.get("problem") or not (staged["source"] and staged["id"] and staged["moment"]):
        return None
    return identify(staged["source"], staged["id"]), digest_content(staged)
