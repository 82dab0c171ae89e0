"""``stem train`` as it is typed. Truth: numbers by hand, files, exit codes."""

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
from tests.stemcli.cli.watching import errors
from tests.trainers.commands import RATE
from trainers.cli import train
from trainers.cli.train import songs
from trainers.config import Recipe
from trainers.data.synthetic import render_songs
from trainers.data.voices import VoiceMixes
from trainers.loop.state import EMA
from trainers.recipes.loading import recipe_names


@pytest.fixture
def typed(recordings: Path, recipe: Recipe) -> list[str]:
    """A command that trains the tiny recipe into the folder ``run``."""
    file = recordings / "tiny.yaml"
    file.write_text(yaml.safe_dump(json.loads(json.dumps(recipe.to_dict()))))
    arguments = ["train", "--recipe", str(file), "--data", str(recordings), "--device", "cpu"]
    return [*arguments, "--output", str(recordings / "run")]


def enter(*arguments: str) -> Result:
    return CliRunner().invoke(stem, arguments)


def test_a_run_for_people(typed: list[str], recordings: Path) -> None:
    done = enter(*typed, "--set", "schedule.steps=12")
    assert done.exit_code == 0
    best = recordings / "run" / "best.safetensors"
    lines = done.stderr.splitlines()
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


def test_a_run_for_programs(typed: list[str], recordings: Path) -> None:
    events = [json.loads(line) for line in enter(*typed, "--json").stdout.splitlines()]
    kinds = [event["event"] for event in events]
    assert kinds == ["run_started", *4 * ["step_done"], "run_finished"]
    assert [event.get("step") for event in events] == [None, 1, 2, 3, 4, 4]
    assert events[1]["losses"].keys() == {"waveform_l1", "multi_resolution_stft", "total"}


def test_quiet_says_nothing(typed: list[str]) -> None:
    assert enter(*typed, "--quiet").output == ""


def test_validation_is_shown(typed: list[str], recordings: Path) -> None:
    track = recordings / "track"
    track.mkdir()
    for name in ("mixture", "vocals"):
        soundfile.write(track / f"{name}.wav", np.full((RATE, 2), 0.1), RATE)
    lines = enter(*typed, "--validation", str(track)).stderr.splitlines()
    shown = [line.split(" vocals")[0] for line in lines if " vocals " in line]
    assert shown == ["step 2: SDR", "step 4: SDR"]


def test_ctrl_c_says_how_to_go_on(
    typed: list[str], recordings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    update = EMA.update

    def press(average: EMA, model: torch.nn.Module) -> None:
        update(average, model)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(EMA, "update", press)
    stopped = enter(*typed)
    assert stopped.exit_code == 130
    assert stopped.stderr.endswith("Interrupted. To resume, run the same command with --resume.\n")
    monkeypatch.setattr(EMA, "update", update)
    first, second, *_ = enter(*typed, "--resume", "--json").stdout.splitlines()
    assert json.loads(first)["first_step"] == 1
    assert json.loads(second)["step"] == 2


def test_ctrl_c_before_the_first_checkpoint(
    typed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(VoiceMixes, "__init__", lambda *_, **__: signal.raise_signal(signal.SIGINT))
    stopped = enter(*typed)
    assert stopped.exit_code == 130
    assert stopped.stderr == "Interrupted.\n"


def test_starting_from_another_run(typed: list[str], recordings: Path) -> None:
    assert enter(*typed).exit_code == 0
    first = str(recordings / "run" / "best.safetensors")
    again = [*typed[:-1], str(recordings / "second"), "--from", first]
    assert enter(*again).exit_code == 0
    other = enter(*again[:-3], str(recordings / "third"), "--from", "no-such-model")
    assert other.exit_code == 2
    assert "Unknown model 'no-such-model'" in other.stderr


@pytest.mark.parametrize(
    ("change", "exit_code", "sentence"),
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
def test_mistakes_are_one_sentence(
    typed: list[str], change: str, exit_code: int, sentence: str
) -> None:
    done = enter(*typed, "--set", change)
    assert done.exit_code == exit_code
    assert sentence in done.stderr
    assert len(errors(done.stderr)) == 1


def test_every_option_of_training_is_explained() -> None:
    shown = CliRunner().invoke(stem, ["train", "--help"], terminal_width=100).output
    assert max(map(len, shown.splitlines())) <= 100
    command = train.command
    options = [option for option in command.params if isinstance(option, click.Option)]
    assert [option.name for option in options if not option.help] == []
    unfolded = "".join(shown.split())  # a line may end at the hyphen of a name
    assert all(name in unfolded for name in recipe_names())
    assert "trainers/recipes" in shown


def written(folder: Path) -> dict[str, Any]:
    """The recipe that a run has written down."""
    values: dict[str, Any] = json.loads((folder / "recipe.json").read_text())
    return values


def test_options_change_the_recipe(typed: list[str], recordings: Path) -> None:
    words = ["--precision", "fp32", "--seed", "8", "--layout", "auto"]
    changed = [*typed, "--set", "seed=2", "--set", "loop.precision=bf16", *words]
    assert enter(*changed).exit_code == 0
    values = written(recordings / "run")
    assert (values["seed"], values["loop"]["precision"]) == (8, "fp32")
    assert values["data"]["layout"] == "auto"


def test_a_run_goes_on_by_its_own_recipe(typed: list[str], recordings: Path) -> None:
    assert enter(*typed, "--seed", "7").exit_code == 0
    own = [*typed[:1], *typed[3:], "--resume"]  # without --recipe
    assert enter(*own, "--set", "schedule.steps=6").exit_code == 0
    values = written(recordings / "run")
    assert (values["seed"], values["schedule"]["steps"]) == (7, 6)
    (recordings / "run" / "recipe.json").unlink()
    assert "has no recipe.json. Use --recipe" in enter(*own).stderr
    assert enter(*typed, "--resume").exit_code == 0


def test_a_run_that_is_not_there_cannot_go_on(typed: list[str], recordings: Path) -> None:
    done = enter(*typed[:1], *typed[3:-1], str(recordings / "other"), "--resume")
    assert done.exit_code == 2
    assert "other does not exist, so there is no run to resume" in done.stderr


def test_the_best_weights_become_a_model(
    typed: list[str], recordings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEM_HOME", str(recordings / "zoo"))
    done = enter(*typed, "--export", "mine")
    assert done.exit_code == 0, done.output
    assert done.stderr.splitlines()[-3:] == [
        f"Weights: {recordings / 'run' / 'best.safetensors'}",
        "Model: mine",
        "Try: stem separate SONG --model mine",
    ]
    ours, best = resolve.load("mine"), resolve.load(recordings / "run" / "best.safetensors")
    for one, other in zip(ours.parameters(), best.parameters(), strict=True):
        assert one.equal(other)
    assert find("mine").outputs == ("vocals", "instrumental")
    taken = enter(*typed[:-1], str(recordings / "second"), "--export", "mine")
    assert (taken.exit_code, (recordings / "second").exists()) == (2, False)
    assert "--export: 'mine' is in your zoo already" in taken.stderr
    again = [*typed[:-1], str(recordings / "second"), "--export", "mine", "--overwrite", "--json"]
    events = [json.loads(line) for line in enter(*again).stdout.splitlines()]
    (added,) = [event for event in events if event["event"] == "model_added"]
    assert added["card"]["sha256"] == find("mine").sha256


def test_a_dry_run_trains_nothing(typed: list[str], recordings: Path) -> None:
    """Two steps are taken, whatever the recipe has; the whole run is that of the recipe."""
    dry_run = [*typed, "--dry-run", "--set", "schedule.steps=7200"]
    done = enter(*dry_run)
    assert (done.exit_code, (recordings / "run").exists()) == (0, False)
    assert done.stdout.splitlines()[-1].endswith("7,200 steps")
    found = json.loads(enter(*dry_run, "--json").stdout)
    assert (found["event"], found["steps"], found["run"]["steps"]) == ("dry_run_finished", 7200, 2)
    assert found["hours"] == pytest.approx(2 * found["seconds_per_step"])
    assert found["losses"].keys() == {"waveform_l1", "multi_resolution_stft", "total"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--overwrite"], "--overwrite needs --export NAME, whose model it replaces"),
        (["--export", "Mine!"], "--export: a name has lower-case letters"),
        (["--export", "melroformer"], "Use another name, e.g. --export my-melroformer"),
        (
            ["--export", "mine", "--recipe", "frame_transformer-pretrain"],
            "--export adds a model that separates, but denoising only pretrains one. Leave it out",
        ),
        (["--data", "nowhere"], "'nowhere' does not exist. Use a folder or a .csv file"),
        (["--layout", "heap"], "'heap' is not one of"),
        (["--precision", "int8"], "'int8' is not one of"),
        (["--seed", "-1"], "-1 is not in the range"),
        (["--recipe", "xyzzy"], f"Unknown recipe 'xyzzy': known: {', '.join(recipe_names())}."),
        (["--layout", "tracks"], "layout tracks does not use the recordings listed below voices"),
    ],
)
def test_wrong_usage_is_one_sentence(
    typed: list[str], recordings: Path, words: list[str], said: str
) -> None:
    done = enter(*typed, *words)
    assert done.exit_code == 2
    assert said in done.stderr
    assert len(errors(done.stderr)) == 1
    assert not (recordings / "run").exists()


def test_data_are_a_folder_or_a_table(typed: list[str], recordings: Path) -> None:
    done = enter(*typed, "--data", str(recordings / "voice.wav"))
    assert (done.exit_code, "is neither a folder nor a .csv file" in done.stderr) == (2, True)
    table = recordings / "songs.csv"
    table.touch()
    assert songs(str(table)) == table


def test_a_run_from_a_model_trains_its_network(typed: list[str], recordings: Path) -> None:
    """The tiny network is not that of the default recipe; nothing has to be typed for it."""
    assert enter(*typed).exit_code == 0
    first, second = (str(recordings / name) for name in ("run/best.safetensors", "finer"))
    render_songs(recordings / "songs", songs=3, seconds=3.0, sample_rate=RATE, seed=0)
    finer = ["train", "--data", str(recordings / "songs"), "--from", first, "--output", second]
    shorter = ("--set", "schedule.steps=1", "--set", "loop.num_workers=0")
    assert enter(*finer, *shorter, "--device", "cpu").exit_code == 0
    ours, theirs = (weights.read(Path(path)) for path in (first, f"{second}/best.safetensors"))
    assert (ours.architecture, ours.config) == (theirs.architecture, theirs.config)
    assert ours.metadata["residual"] == theirs.metadata["residual"]
