"""Groups of commands whose modules are imported only when a command runs or shows its help.

A command can therefore live in an optional part of the program: if that part is not installed, the
error names the extra to install.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from model_zoo.errors import MissingExtraError, UnknownNameError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

HELP_NAMES = ["-h", "--help"]

OWN_PACKAGES = ("model_zoo", "stemcli", "trainers")


@dataclass(frozen=True)
class CommandEntry:
    """One row of a command table.

    Attributes:
        target: import path of the command, ``"package.module:attribute"``.
        help: one-line description for listings.
        extra: extra that the command needs; empty if the plain installation is enough.
        is_listed: whether the help lists the command.
    """

    target: str
    help: str
    extra: str = ""
    is_listed: bool = True

    def load(self) -> click.Command:
        """Import the command."""
        module, attribute = self.target.split(":")
        command: click.Command = getattr(import_module(module), attribute)
        # Click keeps the help option of the first context, which others may open without names.
        command.get_help_option(click.Context(command, help_option_names=HELP_NAMES))
        return command


class LazyGroup(click.Group):
    """A :class:`click.Group` over a table of :class:`CommandEntry`."""

    def __init__(self, *args: Any, table: Mapping[str, CommandEntry], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the table, which is the order in which new users need them."""
        return [name for name, entry in self.table.items() if entry.is_listed]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command; None if the name is unknown."""
        entry = self.table.get(cmd_name)
        if entry is None:
            return None
        with naming_the_extra(entry):
            return entry.load()

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List names and one-line descriptions without loading any command."""
        with formatter.section("Commands"):
            names = self.list_commands(ctx)
            formatter.write_dl([(name, self.table[name].help) for name in names])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        """Propose commands without loading them, and the options of the group."""
        from click.shell_completion import CompletionItem

        found = [
            CompletionItem(name, help=entry.help)
            for name, entry in self.table.items()
            if entry.is_listed and name.startswith(incomplete)
        ]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command in ``args``; for an unknown name the error suggests the nearest one."""
        name = args[0]
        if name not in self.table and (name == "-" or not name.startswith("-")):
            raise self.unknown_command(ctx, name)
        return super().resolve_command(ctx, args)

    def unknown_command(self, ctx: click.Context, name: str) -> Exception:
        """Return the error for a command that does not exist."""
        known = self.list_commands(ctx)
        return UnknownNameError("command", name, known, f"{ctx.command_path} --help")

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a missing package is reported as the extra that installs it."""
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            with naming_the_extra(self.table.get(ctx.invoked_subcommand or "")):
                raise error


@contextmanager
def naming_the_extra(entry: CommandEntry | None) -> Iterator[None]:
    """Turn the import error of a third-party module into the name of the extra that installs it.

    Raises:
        MissingExtraError: a third-party module is missing and ``entry`` needs an extra.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if entry is None or not entry.extra or package in OWN_PACKAGES:
            raise
        raise MissingExtraError(package, entry.extra) from error
