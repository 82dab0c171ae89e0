"""``stem help`` and ``stem version``: other spellings of ``--help`` and ``--version``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from stemcli.cli.app import version_line
from stemcli.cli.lazy import LazyGroup

if TYPE_CHECKING:
    from stemcli.cli.candidates import Items


def complete_command(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """Propose the commands of the group that the words before name."""
    group: click.Command | None = ctx.find_root().command
    for word in ctx.params.get("words") or ():
        group = group.get_command(ctx, word) if isinstance(group, LazyGroup) else None
    if not isinstance(group, LazyGroup):
        return []
    return [
        CompletionItem(name, help=group.table[name].help)
        for name in group.list_commands(ctx)
        if name.startswith(incomplete)
    ]


@click.command("help")
@click.argument("words", nargs=-1, metavar="[COMMAND]...", shell_complete=complete_command)
@click.pass_context
def command(ctx: click.Context, *, words: tuple[str, ...]) -> None:
    """Show the help of a command, as COMMAND --help does."""
    shown = ctx.find_root()
    for number, word in enumerate(words):
        group = shown.command
        if not isinstance(group, LazyGroup):
            raise click.UsageError(f"{shown.command_path} has no subcommands.", shown)
        name, found, _ = group.resolve_command(shown, [*words[number:]])
        assert found
        shown = click.Context(found, info_name=name or word, parent=shown)
    click.echo(shown.get_help())


@click.command("version")
def version() -> None:
    """Show the version, as --version does."""
    click.echo(version_line())
