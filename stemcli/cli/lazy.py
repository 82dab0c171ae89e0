"""A group that knows its commands by name and loads one only when it is asked for.

``stem --help`` prints a table of strings; the module of a command, and with it torch, is imported
when that command runs or shows its own help. So a command may also live in an optional part of
the program: where that part is not installed, the user reads which extra to install.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import click

from model_zoo.errors import MissingExtraError, UnknownNameError

OWN_PACKAGES = ("model_zoo", "stemcli", "trainers")


@dataclass(frozen=True)
class Entry:
    """One row of a command table.

    Attributes:
        target: where the command lives, ``"package.module:attribute"``.
        help: the line that a listing shows.
        extra: the optional extra it needs, empty when the plain installation has it all.
    """

    target: str
    help: str
    extra: str = ""

    def load(self) -> click.Command:
        """Import the command."""
        module, attribute = self.target.split(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command


class LazyGroup(click.Group):
    """A :class:`click.Group` over a table of :class:`Entry`."""

    def __init__(self, *args: Any, table: Mapping[str, Entry], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names in the order of the table, which is the order of a first day."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load the command of that name, or None when there is none."""
        entry = self.table.get(cmd_name)
        if entry is None:
            return None
        with naming_the_extra(entry):
            return entry.load()

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List names and short helps without loading anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in self.table.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command of ``args``; an unknown one is answered with the nearest known."""
        name = args[0]
        if name not in self.table and not name.startswith("-"):
            raise self.unknown_command(ctx, name)
        return super().resolve_command(ctx, args)

    def unknown_command(self, ctx: click.Context, name: str) -> Exception:
        """The error for a command that does not exist."""
        return UnknownNameError("command", name, self.table, f"{ctx.command_path} --help")

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what it misses is reported as the extra that brings it."""
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            with naming_the_extra(self.table.get(ctx.invoked_subcommand or "")):
                raise error


@contextmanager
def naming_the_extra(entry: Entry | None) -> Iterator[None]:
    """Turn the absence of a module that only an extra installs into that extra's name.

    Raises:
        MissingExtraError: when a foreign module is missing and ``entry`` needs an extra.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if entry is None or not entry.extra or package in OWN_PACKAGES:
            raise
        raise MissingExtraError(package, entry.extra) from error
