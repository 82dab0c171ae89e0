"""Habits from other training programs, answered with what to type for ``stem train``.

Expected: sentences written by hand; that every key and option they name exists.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from stemcli.cli.app import stem
from tests.stemcli.cli.results import error_line
from tests.trainers.commands import assert_error, set_options, train
from trainers.cli.other_trainers import KEYS, refused
from trainers.cli.train import command
from trainers.config import Recipe


@pytest.mark.parametrize("key", KEYS.values())
def test_every_key_exists(key: str, recipe: Recipe) -> None:
    section, name = key.split(".")
    assert name in {field.name for field in fields(getattr(recipe, section))}


def test_advice_names_options_of_ours_and_is_not_in_the_help() -> None:
    options = {name: option for option in command.params for name in option.opts}
    for row in refused():
        assert row.advice.split("Use ")[1].split()[0] in options
        for name in row.spellings:
            option = options[name]
            assert isinstance(option, click.Option)
            assert option.hidden


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            "--epochs 3",
            "There is no option --epochs. A run is counted in steps. Use --set schedule",
        ),
        ("--steps 500", "There is no option --steps. Use --set schedule.steps=500."),
        ("--batch_size=4", "There is no option --batch-size. Use --set loop.batch_size=4."),
        ("--lr 0.1", "There is no option --lr. Use --set optimizer.lr=0.1."),
        ("--model melrnn", "There is no option --model. Use --recipe melrnn."),
        ("songs", "has options only, found 'songs'. Try: stem train --data songs (See"),
        ("melrnn", "has options only, found 'melrnn'. Try: stem train --recipe melrnn (See"),
        ("none", "found 'none'. Try: stem train --data DIR, with the folder of your songs"),
    ],
)
def test_habits_are_answered(workdir: Path, words: str, sentence: str) -> None:
    result = CliRunner().invoke(stem, ["train", *words.split()])
    assert sentence in error_line(result, 2)


@pytest.mark.parametrize(
    ("change", "advice"),
    [
        ("steps=4", "there is no key steps. Try: --set schedule.steps=4"),
        ("batch_size=2", "there is no key batch_size. Try: --set loop.batch_size=2"),
        ("lr=0.1", "there is no key lr. Try: --set optimizer.lr=0.1"),
        ("loop.lr=0.1", "there is no key loop.lr. Try: --set optimizer.lr=0.1"),
        ("loop.seed=1", "there is no key loop.seed. Try: --set seed=1"),
        ("songs=1", "Try: --set validation.songs=1 or --set log.songs=1"),
        ("nonsense=1", "unknown key 'nonsense'"),
        ("loop.batch_sise=1", "unknown key 'batch_sise', did you mean 'batch_size'?"),
    ],
)
def test_keys_in_the_wrong_section(tiny: Path, workdir: Path, change: str, advice: str) -> None:
    assert_error(train("--set", change), 2, advice)


def test_all_keys_in_the_wrong_section_are_named_at_once(tiny: Path, workdir: Path) -> None:
    result = train(*set_options("steps=4", "lr=1"))
    assert_error(result, 2, "--set schedule.steps=4", "--set optimizer.lr=1")
