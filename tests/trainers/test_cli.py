"""``stem train`` on the command line: its output, files and exit codes."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import soundfile
import torch
import yaml
from click.testing import CliRunner, Result

from model_zoo import weights
from model_zoo.catalogue import resolve
from model_zoo.catalogue.cards import find
from stemcli.cli.app import stem
from tests.stemcli.cli.results import errors
from tests.trainers.commands import RATE
from trainers.cli import train
from trainers.cli.parameters import SongsPath
from trainers.config import Recipe
from trainers.data.synthetic import render_songs
from trainers.data.voices import VoiceMixes
from trainers.loop.state import EMA
from trainers.recipes.loading import recipe_names


@pytest.fixture
def arguments(recordings: Path, recipe: Recipe) -> list[str]:
    """Arguments that train the tiny recipe into the folder ``run``."""
    file = recordings / "tiny.yaml"
    file.write_text(yaml.safe_dump(json.loads(json.dumps(recipe.to_dict()))))
    start = ["train", "--recipe", str(file), "--data", str(recordings), "--device", "cpu"]
    return [*start, "--output", str(recordings / "run")]


def run_stem(*arguments: str) -> Result:
    return CliRunner().invoke(stem, arguments)


def test_lines_of_a_run(arguments: list[str], recordings: Path) -> None:
    result = run_stem(*arguments, "--set", "schedule.steps=12")
    assert result.exit_code == 0
    best = recordings / "run" / "best.safetensors"
    lines = result.stderr.splitlines()
    assert lines[0] == "Recipe tiny: melroformer, 49 k parameters, on cpu, fp32"
    assert (
        lines[1]
        == f"Data: {recordings}, recordings of the recipe for training, none for validation"
    )
    assert [line.split("  ")[0] for line in lines[2:4]] == ["step 10/12", "step 12/12"]
    assert lines[4:] == [
        "Finished after 12 steps: all steps are done",
        f"Weights: {best}",
        f"Try: stem separate SONG --model {best.parent}",
    ]
    assert resolve.load(best).stems == ("vocals",)


def test_json_events_of_a_run(arguments: list[str], recordings: Path) -> None:
    events = [json.loads(line) for line in run_stem(*arguments, "--json").stdout.splitlines()]
    saved = [event["step"] for event in events if event.get("stage") == "saving"]
    assert saved == [2, 4, 4]
    events = [event for event in events if event["event"] != "stage_progress"]
    kinds = [event["event"] for event in events]
    assert kinds == ["run_started", *4 * ["step_done"], "run_finished"]
    assert [event.get("step") for event in events] == [None, 1, 2, 3, 4, 4]
    assert events[1]["losses"].keys() == {"waveform_l1", "multi_resolution_stft", "total"}


def test_quiet_prints_nothing(arguments: list[str]) -> None:
    assert run_stem(*arguments, "--quiet").output == ""


def test_validation_is_shown(arguments: list[str], recordings: Path) -> None:
    track = recordings / "track"
    track.mkdir()
    for name in ("mixture", "vocals"):
        soundfile.write(track / f"{name}.wav", np.full((RATE, 2), 0.1), RATE)
    lines = run_stem(*arguments, "--validation", str(track)).stderr.splitlines()
    shown = [line.split(" vocals")[0] for line in lines if " vocals " in line]
    assert shown == ["step 2: SDR", "step 4: SDR"]


def test_ctrl_c_says_how_to_resume(
    arguments: list[str], recordings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    update = EMA.update

    def update_and_interrupt(average: EMA, model: torch.nn.Module) -> None:
        update(average, model)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(EMA, "update", update_and_interrupt)
    interrupted = run_stem(*arguments)
    assert interrupted.exit_code == 130
    assert interrupted.stderr.endswith(
        "Interrupted. To resume, run the same command with --resume.\n"
    )
    monkeypatch.setattr(EMA, "update", update)
    first, second, *_ = run_stem(*arguments, "--resume", "--json").stdout.splitlines()
    assert json.loads(first)["first_step"] == 1
    assert json.loads(second)["step"] == 2


def test_ctrl_c_before_the_first_checkpoint(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(VoiceMixes, "__init__", lambda *_, **__: signal.raise_signal(signal.SIGINT))
    interrupted = run_stem(*arguments)
    assert interrupted.exit_code == 130
    assert interrupted.stderr == "Interrupted.\n"


def test_starting_from_another_run(arguments: list[str], recordings: Path) -> None:
    assert run_stem(*arguments).exit_code == 0
    first = str(recordings / "run" / "best.safetensors")
    again = [*arguments[:-1], str(recordings / "second"), "--from", first]
    assert run_stem(*again).exit_code == 0
    unknown = run_stem(*again[:-3], str(recordings / "third"), "--from", "no-such-model")
    assert unknown.exit_code == 2
    assert "Unknown model 'no-such-model'" in unknown.stderr


@pytest.mark.parametrize(
    ("change", "exit_code", "message"),
    [
        ("loop.accumulation_steps=3", 2, "accumulation_steps must divide batch_size=2"),
        ("losses.waveform_l2=1", 2, "Unknown loss 'waveform_l2': did you mean 'waveform_l1'?"),
        ("model.architecture=melnet", 2, "Unknown architecture 'melnet'"),
        ("data.voices.vocals=[{file: no.wav}]", 1, "There is no file"),
        (
            "optimizer={name: adamw, lr: 1e+20}",
            1,
            "is not finite in step 2. Run it again with smaller learning rates",
        ),
    ],
)
def test_errors_are_one_message(
    arguments: list[str], change: str, exit_code: int, message: str
) -> None:
    result = run_stem(*arguments, "--set", change)
    assert result.exit_code == exit_code
    assert message in result.stderr
    assert len(errors(result.stderr)) == 1


def test_every_train_option_has_help() -> None:
    help_text = CliRunner().invoke(stem, ["train", "--help"], terminal_width=100).output
    assert max(map(len, help_text.splitlines())) <= 100
    command = train.command
    options = [option for option in command.params if isinstance(option, click.Option)]
    assert [option.name for option in options if not option.help] == []
    unfolded = "".join(help_text.split())  # a line may end at the hyphen of a name
    assert all(name in unfolded for name in recipe_names())
    assert "trainers/recipes" in help_text


def saved_recipe(folder: Path) -> dict[str, Any]:
    """The recipe that a run has saved."""
    values: dict[str, Any] = json.loads((folder / "recipe.json").read_text())
    return values


def test_options_change_the_recipe(arguments: list[str], recordings: Path) -> None:
    options = ["--precision", "fp32", "--seed", "8", "--layout", "auto"]
    changed = [*arguments, "--set", "seed=2", "--set", "loop.precision=bf16", *options]
    assert run_stem(*changed).exit_code == 0
    values = saved_recipe(recordings / "run")
    assert (values["seed"], values["loop"]["precision"]) == (8, "fp32")
    assert values["data"]["layout"] == "auto"


def test_a_run_resumes_with_its_own_recipe(arguments: list[str], recordings: Path) -> None:
    assert run_stem(*arguments, "--seed", "7").exit_code == 0
    own = [*arguments[:1], *arguments[3:], "--resume"]  # without --recipe
    assert run_stem(*own, "--set", "schedule.steps=6").exit_code == 0
    values = saved_recipe(recordings / "run")
    assert (values["seed"], values["schedule"]["steps"]) == (7, 6)
    (recordings / "run" / "recipe.json").unlink()
    assert "has no recipe.json. Use --recipe" in run_stem(*own).stderr
    assert run_stem(*arguments, "--resume").exit_code == 0


def test_a_missing_run_cannot_be_resumed(arguments: list[str], recordings: Path) -> None:
    result = run_stem(*arguments[:1], *arguments[3:-1], str(recordings / "other"), "--resume")
    assert result.exit_code == 2
    assert "other does not exist, so there is no run to resume" in result.stderr


def test_export_adds_the_best_weights_as_a_model(
    arguments: list[str], recordings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEM_HOME", str(recordings / "zoo"))
    result = run_stem(*arguments, "--export", "mine")
    assert result.exit_code == 0, result.output
    assert result.stderr.splitlines()[-3:] == [
        f"Weights: {recordings / 'run' / 'best.safetensors'}",
        "Model: mine",
        "Try: stem separate SONG --model mine",
    ]
    ours, best = resolve.load("mine"), resolve.load(recordings / "run" / "best.safetensors")
    for weight, expected in zip(ours.parameters(), best.parameters(), strict=True):
        assert weight.equal(expected)
    assert find("mine").outputs == ("vocals", "instrumental")
    name_taken = run_stem(*arguments[:-1], str(recordings / "second"), "--export", "mine")
    assert (name_taken.exit_code, (recordings / "second").exists()) == (2, False)
    assert "--export: 'mine' is in your zoo already" in name_taken.stderr
    again = [
        *arguments[:-1],
        str(recordings / "second"),
        "--export",
        "mine",
        "--overwrite",
        "--json",
    ]
    events = [json.loads(line) for line in run_stem(*again).stdout.splitlines()]
    (added,) = [event for event in events if event["event"] == "model_added"]
    assert added["card"]["sha256"] == find("mine").sha256


def test_a_dry_run_trains_nothing(arguments: list[str], recordings: Path) -> None:
    """A dry run takes two steps whatever the recipe says, and estimates the full run."""
    dry_run = [*arguments, "--dry-run", "--set", "schedule.steps=7200"]
    result = run_stem(*dry_run)
    assert (result.exit_code, (recordings / "run").exists()) == (0, False)
    assert result.stdout.splitlines()[-1].endswith("7,200 steps")
    found = json.loads(run_stem(*dry_run, "--json").stdout)
    assert (found["event"], found["steps"], found["run"]["steps"]) == ("dry_run_finished", 7200, 2)
    assert found["hours"] == pytest.approx(2 * found["seconds_per_step"])
    assert found["losses"].keys() == {"waveform_l1", "multi_resolution_stft", "total"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--overwrite"], "--overwrite needs --export NAME, whose model it replaces"),
        (["--export", "Mine!"], "--export: a name has lower-case letters"),
        (["--export", "melroformer"], "Use another name, e.g. --export my-melroformer"),
        (
            ["--export", "mine", "--recipe", "frame_transformer-pretrain"],
            "--export adds a model that separates, but denoising only pretrains one. Leave it out",
        ),
        (["--data", "nowhere"], "'nowhere' does not exist. Use a folder or a .csv file"),
        (["--data", r"D:\Songs"], r"'D:\Songs' does not exist. Use a folder or a .csv file"),
        (["--layout", "heap"], "'heap' is not one of"),
        (["--precision", "int8"], "'int8' is not one of"),
        (["--seed", "-1"], "'-1' is not a whole number of at least 0"),
        (["--wait", "0:30"], "'0:30' is not a number of 0 or more"),
        (["--recipe", "xyzzy"], f"Unknown recipe 'xyzzy': known: {', '.join(recipe_names())}."),
        (["--layout", "tracks"], "layout tracks does not use the recordings listed below voices"),
    ],
)
def test_usage_errors_are_one_message(
    arguments: list[str], recordings: Path, options: list[str], message: str
) -> None:
    result = run_stem(*arguments, *options)
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(errors(result.stderr)) == 1
    assert not (recordings / "run").exists()


def test_data_is_a_folder_or_a_csv_file(arguments: list[str], recordings: Path) -> None:
    result = run_stem(*arguments, "--data", str(recordings / "voice.wav"))
    assert (
        result.exit_code,
        "is one stem of a song. Use the folder of all songs" in result.stderr,
    ) == (2, True)
    table = recordings / "songs.csv"
    table.touch()
    assert SongsPath()(str(table)) == table


def test_from_trains_the_network_of_the_model(arguments: list[str], recordings: Path) -> None:
    """Reference: the model's network, which the default recipe does not have and need not name."""
    assert run_stem(*arguments).exit_code == 0
    first, second = (str(recordings / name) for name in ("run/best.safetensors", "finer"))
    render_songs(recordings / "songs", songs=3, seconds=3.0, sample_rate=RATE, seed=0)
    finetune = ["train", "--data", str(recordings / "songs"), "--from", first, "--output", second]
    shorter = ("--set", "schedule.steps=1", "--set", "loop.num_workers=0")
    assert run_stem(*finetune, *shorter, "--device", "cpu").exit_code == 0
    ours, theirs = (weights.read(Path(path)) for path in (first, f"{second}/best.safetensors"))
    assert (ours.architecture, ours.config) == (theirs.architecture, theirs.config)
    assert ours.metadata["residual"] == theirs.metadata["residual"]
