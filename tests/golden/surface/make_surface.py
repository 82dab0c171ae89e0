"""Writes the golden files for tensor names and shapes and for the help of every command.

    python -m tests.golden.surface.make_surface

rewrites ``tensors.txt`` and ``help.txt`` beside this file; the diff then shows how a change
affects users' checkpoints and the help.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
from click.testing import CliRunner

from model_zoo import registry
from model_zoo.introspection import build_on_meta
from model_zoo.separator import Separator
from stemcli.cli.app import stem

HERE = Path(__file__).parent
TENSORS, HELP = HERE / "tensors.txt", HERE / "help.txt"
WIDTH = 100
"""Width of the help in columns."""


def tensor_names() -> str:
    """Architecture, name and shape of every tensor of the small networks, one per line."""
    return "\n".join(
        f"{name} {key} {'x'.join(map(str, value.shape))}"
        for name in sorted(registry.ARCHITECTURES)
        for key, value in _small(name).state_dict().items()
    )


def _small(name: str) -> Separator:
    return build_on_meta(name, registry.architecture(name).small_options)


def help_texts() -> str:
    """The printed help of every command, one below the other."""
    return "\n".join(_helps(stem, ()))


def _helps(command: click.Command, path: tuple[str, ...]) -> Iterator[str]:
    yield (
        CliRunner()
        .invoke(
            stem, [*path, "--help"], prog_name="stem", terminal_width=WIDTH, catch_exceptions=False
        )
        .output
    )
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            subcommand = command.get_command(context, name)
            assert subcommand is not None
            yield from _helps(subcommand, (*path, name))


def main() -> None:
    """Write both files."""
    TENSORS.write_text(tensor_names() + "\n", encoding="utf-8")
    HELP.write_text(help_texts(), encoding="utf-8")


if __name__ == "__main__":
    main()
