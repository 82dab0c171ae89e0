"""Every command explains itself: walked over the whole tree of commands."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from stemcli.cli.app import LazyGroup, stem
from tests.stemcli.cli.conftest import Typed

OURS = ("separate", "batch", "models", "doctor")


def paths(group: LazyGroup, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name in group.table:
        if before or name in OURS:
            command = group.get_command(click.Context(group), name)
            yield (*before, name)
            if isinstance(command, LazyGroup):
                yield from paths(command, (*before, name))


ALL = [*paths(stem)]


def leaf(path: tuple[str, ...]) -> click.Command:
    command: click.Command = stem
    for name in path:
        assert isinstance(command, LazyGroup)
        found = command.get_command(click.Context(command), name)
        assert found
        command = found
    return command


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_help_has_a_sentence_and_examples_that_begin_with_the_command(
    path: tuple[str, ...], typed: Typed
) -> None:
    result = typed(*path, "--help")
    assert result.exit_code == 0
    assert result.output.startswith(f"Usage: stem {' '.join(path)} ")
    examples = result.output.split("Examples:\n")[1]
    assert 2 <= examples.count(f"stem {path[0]}") + examples.count("stem models") <= 6


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_option_is_explained(path: tuple[str, ...]) -> None:
    options = [each for each in leaf(path).params if isinstance(each, click.Option)]
    assert [option.name for option in options if not option.help] == []


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_no_line_is_wider_than_the_terminal(path: tuple[str, ...], typed: Typed) -> None:
    assert max(map(len, typed(*path, "-h").output.splitlines())) <= 100


@pytest.mark.parametrize("path", [path for path in ALL if path != ("models",)], ids=" ".join)
def test_all_commands_share_one_grammar(path: tuple[str, ...]) -> None:
    names = {name for option in leaf(path).params for name in option.opts}
    assert {"--json", "--quiet", "--verbose"} <= names
