"""Reads a command's parameters when the command is used. Typer reads those of all commands, for one of them.

That took a quarter of the time of `fly-billing --help`. Not here: the commands (`cli.commands`).
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import cached_property, partial
from typing import Any, cast

import typer
from typer.core import TyperCommand
from typer.main import get_command_from_info
from typer.models import CommandInfo


def defer_parameters(app: typer.Typer) -> None:
    """Make every command of the app, and of the apps in it, read its parameters when it is used."""
    for info in app.registered_commands:
        made = partial(_DeferredCommand, copy(info))
        info.cls, info.callback = cast("type[TyperCommand]", made), _without_parameters(info.callback)
    for group in app.registered_groups:
        if group.typer_instance:
            defer_parameters(group.typer_instance)


def _without_parameters(callback: Callable[..., Any] | None) -> Callable[..., Any]:
    """Return a function with the name and the docstring of a command, from which Typer makes the list of commands."""

    def listed() -> None:
        raise AssertionError("a deferred command calls its own function")

    listed.__name__, listed.__doc__ = getattr(callback, "__name__", ""), getattr(callback, "__doc__", None)
    return listed


class _DeferredCommand(TyperCommand):
    """A command whose parameters and function are those of `info`, read at the first use."""

    def __init__(self, info: CommandInfo, **listed: Any) -> None:
        self._info = info
        super().__init__(**listed)

    @cached_property
    def _read(self) -> Any:
        return get_command_from_info(self._info, pretty_exceptions_short=False, rich_markup_mode=self.rich_markup_mode)

    @property
    def params(self) -> Any:
        return self._read.params

    @params.setter
    def params(self, of_the_list: object) -> None:
        """Ignore the parameters that the list was made with: it has none."""

    @property
    def callback(self) -> Any:
        return self._read.callback

    @callback.setter
    def callback(self, of_the_list: object) -> None:
        """Ignore the function that the list was made with."""
