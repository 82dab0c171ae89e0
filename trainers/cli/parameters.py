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
    return found or candidates.files(context, parameter, incomplete)


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


TABLE = ".csv"


class SongsPath(click.ParamType[Path]):
    """A folder of songs, or a CSV file that lists them."""

    name = "place"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Check that the argument exists and can hold songs."""
        path = Path(value)
        if not str(value) or not path.exists():
            raise click.BadParameter(f"'{value}' does not exist. Use a folder or a {TABLE} file")
        if not path.is_dir() and path.suffix.lower() != TABLE:
            is_option = isinstance(param, click.Option)
            option = param.opts[0] if is_option and param else "stem data check"
            raise click.BadParameter(f"'{value}' {_what_instead(path, option)}")
        return path


def _what_instead(file: Path, option: str) -> str:
    """Say which folder to use instead of a file."""
    from trainers.data.layouts.detection import explain_folder

    unknown = f"is neither a folder nor a {TABLE} file"
    return explain_folder(file, frozenset(), option) or unknown
