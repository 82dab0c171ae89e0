"""Habits from other training programs, answered with what to type for ``stem train``.

Expected: sentences written by hand; that every key and option they name exists.
"""

from __future__ import annotations

import re
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
        named = re.findall(r"--[a-z-]+", row.advice)
        assert named or "Leave it out" in row.advice
        assert not [name for name in named if name not in options or options[name].hidden]
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
        ("--model_type x", "There is no option --model-type. Use --recipe NAME, e.g. --recipe m"),
        ("--results_path runs/a", "There is no option --results-path. Use --output runs/a."),
        ("--num_workers 4", "There is no option --num-workers. Use --set loop.num_workers=4."),
        ("--device_ids 0", "There is no option --device-ids. Use --device cuda:N, or --cluster"),
        ("--valid_path songs", "There is no option --valid-path. Use --validation songs."),
        ("--loss l1_loss", "There is no option --loss. Use --set losses.NAME=WEIGHT for each"),
        ("--pin_memory", "There is no option --pin-memory. Leave it out: memory is pinned if"),
        ("songs", "has options only, found 'songs'. Try: stem train --data songs (See"),
        ("melrnn", "has options only, found 'melrnn'. Try: stem train --recipe melrnn (See"),
        ("none", "found 'none'. Try: stem train --data DIR, with the folder of your songs"),
    ],
)
def test_habits_are_answered(workdir: Path, words: str, sentence: str) -> None:
    result = CliRunner().invoke(stem, ["train", *words.split()])
    assert sentence in error_line(result, 2)


MSST = """
--model_type --config_path --start_check_point --results_path --data_path --dataset_type
--valid_path --num_workers --pin_memory --seed --device_ids --loss --masked_loss_coef
--mse_loss_coef --l1_loss_coef --log_wmse_loss_coef --multistft_loss_coef --spec_masked_loss_coef
--spec_rmse_loss_coef --wandb_key --pre_valid --metrics --metric_for_scheduler --train_lora
--lora_checkpoint --each_metrics_in_name --use_standard_loss --save_weights_every_epoch
"""
"""Options of train.py: parse_args_train in utils/settings.py at commit 02b46f8 (2025)."""


def test_every_option_of_msst_is_known() -> None:
    known = {name for option in command.params for name in option.opts}
    assert {option.replace("_", "-") for option in MSST.split()} <= known


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
