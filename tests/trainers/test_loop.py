"""The training loop: averages by hand, properties of its steps, and a run that learns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from model_zoo.catalogue import resolve
from model_zoo.errors import (
    ConfigError,
    NumericalError,
)
from stemcli.engine.events import Event
from tests.trainers.runs import (
    CPU,
    FULL,
    HELD_OUT,
    batch,
    fresh,
    make_track,
    run_steps,
    validation_song,
    voices,
)
from trainers.config import Recipe
from trainers.loop.events import Validated
from trainers.loop.step import training_step
from trainers.loop.trainer import train
from trainers.metrics.sdr import global_sdr
from trainers.objectives.base import folded, unfolded


def test_average_by_hand(recipe: Recipe) -> None:
    """Decay starts at 1/10: one update goes 0.9 of the way to the new weight."""
    state, _ = fresh(recipe)
    with torch.no_grad():
        for weight in state.ema.model.parameters():
            weight.zero_()
        for weight in state.separator.parameters():
            weight.fill_(1.0)
    state.ema.update(state.separator)
    averaged = torch.cat([weight.flatten() for weight in state.ema.model.parameters()])
    assert torch.allclose(averaged, torch.full_like(averaged, 0.9))


def test_average_decay_rises_to_its_limit(recipe: Recipe) -> None:
    """From 0 towards 1: the difference shrinks to 1/10 of itself, then 2/11, then 0.2 each time."""
    state, _ = fresh(replace(recipe, loop=replace(recipe.loop, ema_decay=0.2)))
    with torch.no_grad():
        for average, weight in zip(
            state.ema.model.parameters(), state.separator.parameters(), strict=True
        ):
            average.zero_()
            weight.fill_(1.0)
    for _ in range(4):
        state.ema.update(state.separator)
    difference = 1 - next(state.ema.model.parameters())
    expected = 1 / 10 * 2 / 11 * 0.2 * 0.2
    assert torch.allclose(difference, torch.full_like(difference, expected), atol=1e-6)


def test_accumulated_gradients_equal_those_of_the_batch(recordings: Path, recipe: Recipe) -> None:
    """Losses are means over items, so four parts of one item equal a batch of four."""
    four = batch(recordings, recipe, range(4))
    gradients, losses = [], []
    for parts in (1, 2, 4):
        loop = replace(recipe.loop, batch_size=4, accumulation_steps=parts)
        state, task = fresh(replace(recipe, loop=loop))
        losses.append(training_step(state, task, four).losses)
        gradients.append([weight.grad for weight in state.separator.parameters()])
    for i in (1, 2):
        assert losses[i] == pytest.approx(losses[0], rel=1e-5)
        torch.testing.assert_close(gradients[i], gradients[0], atol=1e-7, rtol=1e-4)


def test_a_run_with_accumulation_has_the_same_losses(recordings: Path, recipe: Recipe) -> None:
    parts = replace(recipe, loop=replace(recipe.loop, accumulation_steps=2))
    full = run_steps(recipe, 2, recordings, recordings / "whole")
    accumulated = run_steps(parts, 2, recordings, recordings / "apart")
    for expected, found in zip(full, accumulated, strict=True):
        assert found.losses == pytest.approx(expected.losses, rel=1e-3)


def test_a_non_finite_gradient_changes_no_weights(recordings: Path, recipe: Recipe) -> None:
    state, task = fresh(recipe)
    broken = batch(recordings, recipe, range(2))
    broken.stems[0, 0, 0, 0] = float("inf")
    before = {name: value.clone() for name, value in state.separator.state_dict().items()}
    with pytest.raises(NumericalError, match=r"is not finite in step 1.*optimizer\.lr=0\.0015 "):
        training_step(state, task, broken)
    after = state.separator.state_dict()
    assert all(value.equal(before[name]) for name, value in after.items())
    assert state.progress.step == state.ema.updates == 0


def test_a_mono_network_processes_each_channel_separately(recordings: Path, recipe: Recipe) -> None:
    options = recipe.model.options | {"audio_channels": 1}
    recipe = replace(recipe, model=replace(recipe.model, options=options))
    state, task = fresh(recipe)
    model = state.separator
    mixture = batch(recordings, recipe, range(2)).mixture
    alone = torch.stack([model(mixture[:, [side]])[:, :, 0] for side in (0, 1)], dim=2)
    torch.testing.assert_close(unfolded(model(folded(mixture, 1)), 2), alone)
    folder = make_track(voices(recipe, recordings), recordings)
    track = validation_song(folder, model.stems).read()
    assert task.objective.score(model, track, FULL).keys() == {"vocals"}
    assert len(run_steps(recipe, 2, recordings, recordings / "run")) == 2


def test_blocks_are_compiled_one_by_one(
    recordings: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two band layers, and the network's one layer has a block along each axis."""
    compiled: list[str] = []

    def record(block: torch.nn.Module, **options: object) -> None:
        compiled.append(type(block).__name__)

    monkeypatch.setattr(torch.nn.Module, "compile", record)
    recipe = replace(recipe, loop=replace(recipe.loop, compile=True))
    run_steps(recipe, 1, recordings, recordings / "run")
    assert sorted(compiled) == ["BandLinear", "BandLinear", "RoFormerBlock", "RoFormerBlock"]


def test_stems_missing_from_the_mixes_are_refused(recordings: Path, recipe: Recipe) -> None:
    options = recipe.model.options | {"stems": ["vocals", "drums"]}
    recipe = replace(recipe, model=replace(recipe.model, options=options))
    with pytest.raises(ConfigError, match=r"has the stem vocals, found vocals, drums"):
        run_steps(recipe, 2, recordings, recordings / "run")


def test_training_improves_separation(recordings: Path, recipe: Recipe) -> None:
    """A gliding tone in equally loud noise: 40 steps gain 4.5 dB over the mixture."""
    values = recipe.to_dict()
    values["data"]["voices"] |= {"silent": 0.0, "bare": 0.0, "effects": 0.0, "level": [0.0, 0.0]}
    values["optimizer"] |= {"lr": 0.01, "muon_lr": 0.02}
    values["schedule"] |= {"steps": 40, "decay": 0.3}
    values["validation"] |= {"every": 20}
    values["loop"] |= {"ema_decay": 0.8}
    recipe = Recipe.from_dict(values)
    mixes = voices(recipe, recordings)
    track = make_track(mixes, recordings / "track")
    mixture, stems = mixes[HELD_OUT]
    events: list[Event] = []
    best = train(recipe, recordings, (track,), recordings / "run", CPU, events.append)
    scores = [event.sdr["vocals"] for event in events if isinstance(event, Validated)]
    assert max(scores) > global_sdr(mixture, stems[0]).item() + 4.5
    assert resolve.load(best).stems == ("vocals",)
