"""``stem help`` and ``stem version``: other spellings of ``--help`` and ``--version``."""

from __future__ import annotations

import click

from stemcli.cli.app import version_line
from stemcli.cli.lazy import LazyGroup


@click.command("help")
@click.argument("words", nargs=-1, metavar="[COMMAND]...")
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
