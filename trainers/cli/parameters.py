"""Parameter types of training commands, and the values that shells propose for them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stemcli.cli import candidates
from trainers.recipes import recipe_names

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


def recipe_candidates(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem[str]]:
    """Propose the bundled recipes to a shell; where none fits, it lists files."""
    found = candidates.beginning_with(incomplete, recipe_names())
    return [*candidates.files(context, parameter, incomplete), *found]


class FolderOrUrl(click.ParamType[Path]):
    """A local folder, or a URL."""

    name = "place"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Turn the argument into a path."""
        from stemcli.remote_path import as_path

        return as_path(value) if isinstance(value, str) else value

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        """Let the shell list folders."""
        return candidates.folders(ctx, param, incomplete)
