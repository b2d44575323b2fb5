"""Finds the Stripe sandbox that runs on this machine, for the commands that change it.

Not here: starting one (`local_platform`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TypeVar

from fly_billing.cli.data_folder import SANDBOX_ADDRESS
from fly_billing.errors import ActionableError
from fly_billing.settings import Settings
from fly_billing.stripe_sandbox import SandboxControl, SandboxError

Answer = TypeVar("Answer")


class NoSandbox(ActionableError):
    """No Stripe sandbox runs here."""


def running_sandbox() -> SandboxControl:
    """Return the control of the sandbox at STRIPE_API_BASE, or of the one that runs on the data folder.

    Raises NoSandbox.
    """
    settings = Settings.from_environment()
    if settings.stripe_api_base:
        return SandboxControl(settings.stripe_api_base)
    address = settings.data_dir / SANDBOX_ADDRESS
    try:
        return SandboxControl(str(json.loads(address.read_text(encoding="utf-8"))["url"]))
    except OSError as problem:
        raise NoSandbox(
            f"no Stripe sandbox runs on {settings.data_dir}: start `fly-billing dev`, or set STRIPE_API_BASE to the"
            " address of one"
        ) from problem


def ask_sandbox(call: Callable[[], Answer]) -> Answer:
    """Call the control API. Raises NoSandbox if there is none at the address, SandboxError if it refuses."""
    try:
        return call()
    except SandboxError as refused:
        if refused.reason is not None:
            raise
        raise NoSandbox(f"the Stripe sandbox does not answer: {refused}. Is STRIPE_API_BASE a sandbox?") from refused
    except OSError as problem:
        raise NoSandbox(f"the Stripe sandbox does not answer: {problem}. Is STRIPE_API_BASE a sandbox?") from problem
