"""Runs the intake: its settings, its folder, its log, and its end. Not here: HTTP (`app`)."""

from __future__ import annotations

import contextlib
import logging
import re
import secrets
from collections.abc import Callable
from pathlib import Path

import uvicorn

from fly_billing.http_limits import configuration
from fly_billing.output_files import make_folder
from fly_billing.settings import Settings, SettingsError
from fly_billing.usage.landing_folder import describe_error
from fly_billing.usage_intake.app import PATH, build_app
from fly_billing.usage_intake.intake import PUBLISH_AFTER, UsageIntake
from fly_billing.usage_intake.rules.tokens import (
    SECRET_BYTES,
    InvalidTokenLine,
    SourceToken,
    digest_token,
    read_tokens,
    token_of,
)


def serve(
    settings: Settings, host: str, port: int, say: Callable[[str], None], publish_after: float = PUBLISH_AFTER
) -> None:
    """Serve until SIGINT or SIGTERM, finish the current requests, and publish all files. Raises SettingsError.

    Args:
        say: Called with a line for the terminal.
        publish_after: Seconds after which stored events are in their day folder.
    """
    tokens = configured_tokens(settings)
    landing_dir = local_landing_dir(settings)
    # The service's log has one line per request. It never contains a token.
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    intake = UsageIntake(landing_dir, publish_after)
    try:
        intake.start()
    except OSError as problem:
        raise SettingsError(f"the landing folder {landing_dir} can't be used: {describe_error(problem)}") from problem
    try:
        config = configuration(build_app(tokens, intake), host=host, port=port, log_level="warning")
        say(f"Listening for usage at http://{host}:{port}{PATH} - press Ctrl-C to stop.")
        with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises the signal again after it has stopped
            uvicorn.Server(config).run()
    finally:
        intake.close()


def configured_tokens(settings: Settings) -> list[SourceToken]:
    """Return the tokens of FLY_BILLING_USAGE_TOKENS and of the file of that name. Raises SettingsError."""
    texts: dict[str, list[str]] = {}
    if settings.usage_tokens:
        texts["FLY_BILLING_USAGE_TOKENS"] = re.split("[;\n]", settings.usage_tokens.get_secret_value())
    if path := settings.usage_tokens_file:
        try:
            texts[str(path)] = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as problem:
            raise SettingsError(
                f"FLY_BILLING_USAGE_TOKENS_FILE={path} can't be read: {describe_error(problem)}"
            ) from None
    found: list[SourceToken] = []
    for place, lines in texts.items():
        try:
            found += read_tokens(lines)
        except InvalidTokenLine as problem:
            raise SettingsError(f"{place}: {problem}") from None
    if not found:
        raise SettingsError(
            "no source may post usage yet: make a token with `fly-billing usage-token SOURCE`, and put the line that it"
            " prints into FLY_BILLING_USAGE_TOKENS, or into a file that FLY_BILLING_USAGE_TOKENS_FILE names"
        )
    return found


def local_landing_dir(settings: Settings) -> Path:
    """Return the landing folder. Makes it only if no setting names it: a share may not be mounted yet.

    Raises:
        SettingsError: It is the address of an object store, or does not exist.
    """
    folder = settings.local_landing_dir("in which events can't be appended and synced")
    if not settings.sets("FLY_BILLING_LANDING_DIR"):
        make_folder(folder)
    if not folder.is_dir():
        raise SettingsError(f"the landing folder {folder} does not exist. Is it mounted? Nothing was started")
    return folder.resolve()


def make_token(source: str) -> tuple[str, SourceToken]:
    """Return a new token of the source, and what to configure for it. Raises InvalidTokenLine for an unusable name."""
    token = token_of(secrets.token_bytes(SECRET_BYTES))
    made = SourceToken(source, digest_token(token))
    try:
        is_read_back = source.isprintable() and ";" not in source and read_tokens([made.line()]) == [made]
    except InvalidTokenLine:
        is_read_back = False
    if not is_read_back:
        raise InvalidTokenLine(
            "a source has no spaces at its ends, no line breaks, no `;`, and does not begin with #: it is the `source`"
            " of its events"
        )
    return token, made
