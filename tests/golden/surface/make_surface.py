"""What others rely on, as it was: names and shapes of tensors, and the help of every command.

    python -m tests.golden.surface.make_surface

writes ``tensors.txt`` and ``help.txt`` beside this file anew; the difference then shows what a
change does to checkpoints on users' disks, and to those who read the help.
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
"""Columns of the help."""


def tensor_names() -> str:
    """Architecture, name and shape of every tensor of the small networks, one to a line."""
    return "\n".join(
        f"{name} {key} {'x'.join(map(str, value.shape))}"
        for name in sorted(registry.ARCHITECTURES)
        for key, value in _small(name).state_dict().items()
    )


def _small(name: str) -> Separator:
    return build_on_meta(name, registry.architecture(name).small_options)


def help_texts() -> str:
    """The help of every command as it is printed, one below the other."""
    return "\n".join(_helps(stem, ()))


def _helps(command: click.Command, words: tuple[str, ...]) -> Iterator[str]:
    yield (
        CliRunner()
        .invoke(
            stem, [*words, "--help"], prog_name="stem", terminal_width=WIDTH, catch_exceptions=False
        )
        .output
    )
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from _helps(found, (*words, name))


def main() -> None:
    """Write both files."""
    TENSORS.write_text(tensor_names() + "\n", encoding="utf-8")
    HELP.write_text(help_texts(), encoding="utf-8")


if __name__ == "__main__":
    main()
