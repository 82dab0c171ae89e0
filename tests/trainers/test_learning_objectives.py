"""Objectives other than separation are learned, on audio with a known solution."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from model_zoo.catalogue import resolve
from model_zoo.catalogue.resolve import BEST
from stemcli.engine.events import Event
from tests.trainers.commands import RATE
from tests.trainers.frames import with_objective
from tests.trainers.runs import CPU, FULL
from trainers.config import Recipe
from trainers.data.synthetic import render_songs
from trainers.data.training_data import open_data
from trainers.loop.events import Validated
from trainers.loop.state import TrainState
from trainers.loop.step import TrainingTask
from trainers.loop.trainer import train

pytestmark = pytest.mark.learns

SMALL = {"in_channels": 1, "num_heads": [4], "segment": 2 * RATE}
PRETRAINING_LOSSES = {"noise_l1": 1.0}
SEPARATION_LOSSES = {"waveform_l1": 1.0, "multi_resolution_stft": 1.0}


def validated_recipe(recipe: Recipe, objective: str, steps: int, **options: Any) -> Recipe:
    """A recipe for this objective, with ten validations."""
    values = with_objective(recipe, objective, dropout=0.0, **options).to_dict()
    values["data"] = {"clip_seconds": 1.0}
    values["optimizer"]["lr"] = 0.003
    values["schedule"] = {"steps": steps, "warmup": 5, "shape": "linear", "decay": 0.5}
    values["loop"] = {
        "batch_size": 4,
        "ema_decay": 0.9,
        "num_workers": 0,
        "checkpoint_every": steps,
    }
    values["validation"] = {"every": steps // 10}
    values["log"] = {"songs": 0}
    return Recipe.from_dict(values)


def train_and_validate(recipe: Recipe, songs: Path, folder: Path, origin: str = "") -> list[float]:
    """Train; return the score in dB of every validation."""
    events: list[Event] = []
    train(recipe, songs, (), folder, CPU, events.append, origin=origin)
    return [event.mean for event in events if isinstance(event, Validated)]


def rounded(scores: list[float]) -> str:
    return " ".join(f"{score:.2f}" for score in scores)


def clicks(folder: Path, songs: int, seconds: float) -> Path:
    """Write songs of short, equal pulses.

    The levels of neighboring frames say where a pulse lies in them, which is its phase.
    """
    rng, pulse = np.random.default_rng(0), np.hanning(13)
    for number in range(songs):
        wave = np.zeros(round(seconds * RATE))
        places = np.cumsum(rng.integers(60, 200, len(wave) // 60))
        places = places[places < len(wave)]
        wave[places] = rng.uniform(0.3, 0.9, len(places))
        (folder / f"song{number}").mkdir(parents=True)
        clicks_wave = np.convolve(wave, pulse, "same")
        soundfile.write(folder / f"song{number}" / "mixture.wav", clicks_wave, RATE)
        soundfile.write(folder / f"song{number}" / "clicks.wav", clicks_wave / 2, RATE)
    return folder


def test_phases_are_learned(
    tmp_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The score beats that of angles of 0 and of random angles.

    The error of random angles has the energy of the song and of an unrelated wave, which is weaker
    because its overlapping frames disagree.
    """
    monkeypatch.setenv("STEM_CACHE", str(tmp_path / "cache"))
    songs = clicks(tmp_path / "songs", 8, 2.0)
    options = {"in_channels": 1, "window_size": 32, "hop_size": 16, "segment": RATE // 2}
    phase = validated_recipe(recipe, "phase", 60, **options)
    state = TrainState.fresh(phase, CPU)
    task, model = TrainingTask.of(phase, state.separator, FULL), state.ema.model
    track = open_data(phase, songs, (), model.stems, RATE).validation[0].read()

    def score(angles: Any) -> float:
        monkeypatch.setattr(type(model.core), "forward", lambda _, seen: angles(seen))
        found = task.objective.score(model, track, FULL)["sound"]
        monkeypatch.undo()
        return found

    zero = score(torch.zeros_like)
    random = score(lambda seen: 2 * torch.rand_like(seen) - 1)
    monkeypatch.setenv("STEM_CACHE", str(tmp_path / "cache"))
    scores = train_and_validate(phase, songs, tmp_path / "run")
    print(f"\nzero {zero:.2f} dB, random {random:.2f} dB, every 6 steps {rounded(scores)}")
    assert -3.1 < random < 0
    assert scores[-1] > max(zero, random) + 4


def test_codes_are_learned(tmp_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """The decoded wave is closer than silence, which scores 0 dB, and many codes are used."""
    monkeypatch.setenv("STEM_CACHE", str(tmp_path / "cache"))
    (tmp_path / "songs").mkdir()
    render_songs(tmp_path / "songs", songs=5, seconds=6.0, sample_rate=RATE, seed=0)
    values = validated_recipe(recipe, "codes", 60, num_embeddings=64, patience=5).to_dict()
    values["losses"] = {"multi_resolution_stft": 1.0, "codebook": 1.0, "commitment": 1.0}
    values["optimizer"]["lr"] = 0.001
    scores = train_and_validate(Recipe.from_dict(values), tmp_path / "songs", tmp_path / "run")
    network: Any = resolve.load(str(tmp_path / "run" / BEST)).core
    usage = network.quantiser.usage()
    print(f"\nevery 6 steps {rounded(scores)} dB, {usage}")
    assert scores[-1] > 2.5
    assert scores[-1] > scores[0] + 2
    assert usage.codes > 1
    assert usage.perplexity > 4


@pytest.mark.slow
def test_a_pretrained_network_needs_fewer_steps_to_separate(
    tmp_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After pretraining by denoising the mixtures, half of the steps reach a better score.

    The learning rate is constant, so that a shorter run is the beginning of a longer one.
    """
    monkeypatch.setenv("STEM_CACHE", str(tmp_path / "cache"))
    (tmp_path / "songs").mkdir()
    render_songs(tmp_path / "songs", songs=10, seconds=10.0, sample_rate=RATE, seed=0)

    def make_recipe(objective: str, steps: int, lr: float, **options: float) -> Recipe:
        values = validated_recipe(recipe, objective, steps, **SMALL).to_dict()
        values["data"] = {"clip_seconds": 0.5, "augmentation": {"remix": {"chance": 0.3}}}
        values["objective"] |= options
        values["losses"] = PRETRAINING_LOSSES if objective == "denoising" else SEPARATION_LOSSES
        values["optimizer"]["lr"] = lr
        values["schedule"] |= {"warmup": 10, "shape": "constant"}
        values["loop"]["batch_size"] = 8
        return Recipe.from_dict(values)

    noise = train_and_validate(
        make_recipe("denoising", 150, 0.005, gamma=0.6), tmp_path / "songs", tmp_path / "pre"
    )
    scratch = train_and_validate(
        make_recipe("separation", 80, 0.004), tmp_path / "songs", tmp_path / "scratch"
    )
    half, origin = make_recipe("separation", 40, 0.004), str(tmp_path / "pre")
    tuned = train_and_validate(half, tmp_path / "songs", tmp_path / "tuned", origin)
    print(f"\nnoise, every 15 steps {rounded(noise)} dB")
    print(f"from scratch, every 8 steps {rounded(scratch)} dB")
    print(f"from pretrained, every 4 steps {rounded(tuned)} dB")
    assert max(tuned) > max(scratch)
