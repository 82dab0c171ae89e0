"""A tiny data set and recipe: voices are chirps and backings noise, so that tests take seconds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.trainers.commands import RATE, write_recipe
from trainers.config import AdversaryRecipe, Recipe
from trainers.data.synthetic import render_songs


@pytest.fixture
def recordings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one voice (a gliding tone, mono) and one backing (filtered noise, stereo)."""
    monkeypatch.setenv("STEM_CACHE", str(tmp_path / "cache"))
    time = np.arange(4 * RATE) / RATE
    voice = 0.3 * np.sin(2 * np.pi * (600 * time + 40 * np.sin(2 * np.pi * time)))
    noise = np.random.default_rng(0).standard_normal((len(time), 2))
    backing = 0.1 * (noise + np.roll(noise, 1, axis=0))
    soundfile.write(tmp_path / "voice.wav", voice, RATE)
    soundfile.write(tmp_path / "backing.wav", backing, RATE)
    return tmp_path


@pytest.fixture
def recipe() -> Recipe:
    """A MelRoFormer of a few thousand parameters and a run of four steps."""
    return Recipe.from_dict(
        {
            "seed": 3,
            "model": {
                "architecture": "melroformer",
                "options": {
                    "hidden_channels": 16,
                    "num_layers": 1,
                    "num_heads": 2,
                    "window_size": 256,
                    "hop_size": 128,
                    "sample_rate": RATE,
                    "num_bands": 8,
                    "audio_channels": 2,
                    "features": "magnitude",
                    "mask_mult": "gain",
                    "mask_activation": "sigmoid",
                    "overlap_norm": "count",
                    "segment": RATE,
                },
            },
            "data": {
                "layout": "voices",
                "clip_seconds": 0.5,
                "voices": {
                    "vocals": [{"file": "voice.wav"}],
                    "backings": [{"file": "backing.wav"}],
                },
            },
            "losses": {"waveform_l1": 1.0, "multi_resolution_stft": 0.5},
            "optimizer": {"name": "muon", "lr": 0.003, "muon_lr": 0.01},
            "schedule": {"steps": 4, "warmup": 0, "decay": 0.0},
            "loop": {"batch_size": 2, "checkpoint_every": 2, "num_workers": 0},
            "validation": {"every": 2},
            "log": {"songs": 0},  # drawing spectrograms would take longer than training
        }
    )


@pytest.fixture
def adversarial(recipe: Recipe) -> Recipe:
    """The tiny recipe with a tiny discriminator of one resolution."""
    options = {"multi_frequency": {"window_sizes": [256], "hidden_channels": 2}}
    return replace(
        recipe,
        losses={**recipe.losses, "generator": 1.0, "feature_matching": 2.0},
        adversary=AdversaryRecipe(("multi_frequency",), options),
    )


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of commands, with the folder ``songs``."""
    render_songs(tmp_path / "songs", songs=3, seconds=1.0, sample_rate=RATE, seed=0)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STEM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("STEM_HOME", str(tmp_path / "zoo"))
    return tmp_path


@pytest.fixture
def tiny(workdir: Path, recipe: Recipe) -> Path:
    """The tiny recipe for songs, as ``tiny.yaml``."""
    return write_recipe(workdir / "tiny.yaml", recipe)


@pytest.fixture
def gan(workdir: Path, adversarial: Recipe) -> Path:
    """The tiny adversarial recipe for songs, as ``gan.yaml``."""
    return write_recipe(workdir / "gan.yaml", adversarial)
