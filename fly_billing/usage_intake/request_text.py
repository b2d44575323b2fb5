"""Turns a request into the JSON text of its events: content types, compression and CloudEvents' binary mode.

Not here: reading the body from the connection (`app`), the events in the text (`reading`).
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from email.message import Message
from urllib.parse import unquote

from fly_billing.usage_intake.rules.posted_text import ATTRIBUTE, event_of_headers

# A body as it is sent, and decompressed.
MOST_BYTES = 2 * 2**20
MOST_UNPACKED = 8 * 2**20
TYPES = ("application/cloudevents-batch+json", "application/cloudevents+json", "application/json")
ENCODINGS = ("", "identity", "gzip")
_GZIP = 16 + zlib.MAX_WBITS


class Refused(Exception):
    """The request is refused. The text is for the sender.

    Attributes:
        status: The HTTP status.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


def check_headers(headers: Mapping[str, str]) -> None:
    """Refuse other formats before the body is read. Raises Refused."""
    message = Message()
    message["Content-Type"] = headers.get("content-type", "")
    if message.get_content_type() not in TYPES or "content-type" not in headers:
        raise Refused(415, f"the Content-Type must be one of {', '.join(TYPES)}")
    if (message.get_content_charset() or "utf-8") not in ("utf-8", "us-ascii"):
        raise Refused(415, "the charset must be UTF-8")
    if _encoding(headers) not in ENCODINGS:
        raise Refused(415, "the Content-Encoding must be gzip, or none")


def text_of_body(headers: Mapping[str, str], body: bytes) -> str:
    """Return the JSON text of the request's events. Raises Refused, or NotEvents (`rules.posted_text`)."""
    content = unpack(body) if _encoding(headers) == "gzip" else body
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise Refused(400, "the body is not UTF-8") from None
    is_structured = "cloudevents" in headers.get("content-type", "").lower()
    if is_structured or f"{ATTRIBUTE}id" not in headers:
        return text
    return event_of_headers(_attributes(headers), text)


def _encoding(headers: Mapping[str, str]) -> str:
    return headers.get("content-encoding", "").strip().lower()


def _attributes(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the attributes of CloudEvents' binary mode. Their values are percent-encoded UTF-8."""
    try:
        return {
            name.removeprefix(ATTRIBUTE): unquote(value, errors="strict")
            for name, value in headers.items()
            if name.startswith(ATTRIBUTE)
        }
    except UnicodeDecodeError:
        raise Refused(400, f"a header {ATTRIBUTE}... is not percent-encoded UTF-8") from None


def unpack(body: bytes) -> bytes:
    """Decompress gzip, up to MOST_UNPACKED bytes. Raises Refused."""
    found = bytearray()
    try:
        while body:
            member = zlib.decompressobj(_GZIP)
            found += member.decompress(body, MOST_UNPACKED + 1 - len(found))
            if len(found) > MOST_UNPACKED:
                raise Refused(
                    413, f"the body decompresses to more than {MOST_UNPACKED} bytes: send fewer events at once"
                )
            if not member.eof:
                raise Refused(400, "the gzip body is not complete")
            body = member.unused_data
    except zlib.error:
        raise Refused(400, "the body is not gzip") from None
    return bytes(found)
