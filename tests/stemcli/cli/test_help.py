"""Help texts of all commands and subcommands."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from stemcli.cli.app import stem
from stemcli.cli.lazy import LazyGroup
from tests.stemcli.cli.conftest import RunStem

OURS = ("separate", "batch", "models", "config", "doctor", "completion")


def paths(group: LazyGroup, prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name in group.table:
        if prefix or name in OURS:
            command = group.get_command(click.Context(group), name)
            yield (*prefix, name)
            if isinstance(command, LazyGroup):
                yield from paths(command, (*prefix, name))


ALL = [*paths(stem)]


def command_of(path: tuple[str, ...]) -> click.Command:
    command: click.Command = stem
    for name in path:
        assert isinstance(command, LazyGroup)
        subcommand = command.get_command(click.Context(command), name)
        assert subcommand
        command = subcommand
    return command


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_help_has_examples(path: tuple[str, ...], run_stem: RunStem) -> None:
    result = run_stem(*path, "--help")
    assert result.exit_code == 0
    assert result.output.startswith(f"Usage: stem {' '.join(path)} ")
    examples = result.output.split("Examples:\n")[1]
    assert 2 <= examples.count(f"stem {path[0]}") + examples.count("stem models") <= 6


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_option_has_a_help_text(path: tuple[str, ...]) -> None:
    options = [each for each in command_of(path).params if isinstance(each, click.Option)]
    assert [option.name for option in options if not option.help] == []


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_no_line_is_wider_than_the_terminal(path: tuple[str, ...], run_stem: RunStem) -> None:
    assert max(map(len, run_stem(*path, "-h").output.splitlines())) <= 100


@pytest.mark.parametrize(
    "path", [path for path in ALL if path not in (("models",), ("config",))], ids=" ".join
)
def test_all_commands_share_the_console_options(path: tuple[str, ...]) -> None:
    names = {name for option in command_of(path).params for name in option.opts}
    assert {"--json", "--quiet", "--verbose"} <= names
