"""The loop: numbers by hand, resuming by law, and proof that it learns."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner

from model_zoo import weights
from model_zoo.errors import CheckpointError, DecodeError, OutputError
from tests.trainers.conftest import RATE
from trainers.cli.evaluate import command as eval_command
from trainers.config import Recipe, ScheduleRecipe
from trainers.data.mixing import RandomMixes
from trainers.loop.checkpoint import LAST, load_checkpoint
from trainers.loop.run import run
from trainers.loop.schedule import factor
from trainers.loop.state import TrainState
from trainers.loop.train import StepDone, Validated
from trainers.loop.validation import open_track
from trainers.loop.worker import LocalWorker
from trainers.metrics.sdr import global_sdr

CPU = LocalWorker(torch.device("cpu"))
HELD_OUT = 10**9
"""Number of a mix that training never draws."""


def test_schedule_by_hand() -> None:
    recipe = ScheduleRecipe(steps=100, warmup=10, decay=0.4)
    factors = [factor(step, recipe) for step in (0, 4, 9, 50, 60, 80, 99, 100)]
    assert factors == pytest.approx([0.1, 0.5, 1, 1, 1, 0.5, 0.025, 0])


def test_average_by_hand(recipe: Recipe) -> None:
    """Decay starts at 1/10: after one update 0.9 of the way to the new weight."""
    state = TrainState.fresh(recipe, CPU.device)
    with torch.no_grad():
        for weight in state.average.model.parameters():
            weight.zero_()
        for weight in state.model.parameters():
            weight.fill_(1.0)
    state.average.update(state.model)
    averaged = torch.cat([weight.flatten() for weight in state.average.model.parameters()])
    assert torch.allclose(averaged, torch.full_like(averaged, 0.9))


def run_steps(
    recipe: Recipe, steps: int, recordings: Path, folder: Path, *, resume: bool = False
) -> list[StepDone | Validated]:
    values = recipe.to_dict()
    values["schedule"]["steps"] = steps
    events: list[StepDone | Validated] = []
    run(Recipe.from_dict(values), recordings, (), folder, CPU, events.append, resume=resume)
    return events


def test_resumed_run_continues_bit_for_bit(recordings: Path, recipe: Recipe) -> None:
    whole = run_steps(recipe, 4, recordings, recordings / "whole")
    first = run_steps(recipe, 2, recordings, recordings / "parts")
    second = run_steps(recipe, 4, recordings, recordings / "parts", resume=True)
    losses = [event.losses for event in whole if isinstance(event, StepDone)]
    parts = [event.losses for event in first + second if isinstance(event, StepDone)]
    assert parts == losses
    states = [TrainState.fresh(recipe, CPU.device) for _ in range(2)]
    for state, name in zip(states, ("whole", "parts"), strict=True):
        load_checkpoint(state, recordings / name)
    for one, other in zip(states[0].model.parameters(), states[1].model.parameters(), strict=True):
        assert one.equal(other)


def test_a_run_is_not_overwritten(recordings: Path, recipe: Recipe) -> None:
    run_steps(recipe, 2, recordings, recordings / "run")
    with pytest.raises(OutputError, match="already holds a run"):
        run_steps(recipe, 2, recordings, recordings / "run")


def test_checkpoints_that_cannot_be_resumed(recordings: Path, recipe: Recipe) -> None:
    folder = recordings / "run"
    with pytest.raises(CheckpointError, match="without --resume"):
        run_steps(recipe, 2, recordings, folder, resume=True)
    run_steps(recipe, 2, recordings, folder)
    wider = recipe.to_dict()
    wider["model"]["options"]["hidden_channels"] = 32
    with pytest.raises(CheckpointError, match="does not fit this recipe"):
        run_steps(Recipe.from_dict(wider), 4, recordings, folder, resume=True)
    content = (folder / LAST).read_bytes()
    (folder / LAST).write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match="damaged"):
        run_steps(recipe, 4, recordings, folder, resume=True)


def make_track(mixes: RandomMixes, folder: Path) -> Path:
    """A validation track from a mix that training never draws."""
    folder.mkdir()
    mixture, stems = mixes[HELD_OUT]
    soundfile.write(folder / "mixture.wav", mixture.T.numpy(), RATE, "FLOAT")
    soundfile.write(folder / "vocals.wav", stems[0].T.numpy(), RATE, "FLOAT")
    return folder


def test_training_improves_separation(recordings: Path, recipe: Recipe) -> None:
    """A gliding tone in noise as loud as itself: 40 steps gain 4.5 dB over the mixture."""
    values = recipe.to_dict()
    values["data"] |= {"silent": 0.0, "bare": 0.0, "effects": 0.0, "level": [0.0, 0.0]}
    values["optimiser"] |= {"lr": 0.01, "muon_lr": 0.02}
    values["schedule"] |= {"steps": 40, "decay": 0.3}
    values["loop"] |= {"validate_every": 20, "ema": 0.8}
    recipe = Recipe.from_dict(values)
    mixes = RandomMixes(recipe.data, recordings, RATE, 9)
    track = make_track(mixes, recordings / "track")
    mixture, stems = mixes[HELD_OUT]
    events: list[StepDone | Validated] = []
    best = run(recipe, recordings, (track,), recordings / "run", CPU, events.append)
    scores = [event.sdr["vocals"] for event in events if isinstance(event, Validated)]
    assert max(scores) > global_sdr(mixture, stems[0]).item() + 4.5
    assert weights.load(best).stems == ("vocals",)


def test_validation_track_with_a_missing_stem_is_named(recordings: Path) -> None:
    with pytest.raises(DecodeError, match=r"No file mixture\.\*"):
        open_track(recordings, ("vocals",), RATE)


def test_validation_track_at_another_rate_is_named(recordings: Path) -> None:
    soundfile.write(recordings / "mixture.wav", np.zeros(99), RATE)
    with pytest.raises(DecodeError, match="convert it to 44100 Hz"):
        open_track(recordings, ("vocals",), 44100)


def test_eval_folder_prints_the_sdr_worked_by_hand(tmp_path: Path) -> None:
    """An estimate of 0.9 times the truth is 20 dB away from it."""
    truth = np.full((1000, 2), 0.5)
    for folder, gain in (("true", 1.0), ("found", 0.9)):
        (tmp_path / folder).mkdir()
        soundfile.write(tmp_path / folder / "vocals.wav", gain * truth, RATE, "FLOAT")
    arguments = ["folder", str(tmp_path / "true"), str(tmp_path / "found")]
    plain = CliRunner().invoke(eval_command, arguments)
    assert plain.output == "vocals: 20.00 dB global SDR\n"
    machine = json.loads(CliRunner().invoke(eval_command, [*arguments, "--json"]).output)
    assert machine["stems"]["vocals"] == pytest.approx(20, abs=1e-4)
