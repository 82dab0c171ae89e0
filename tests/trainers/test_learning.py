"""Every architecture learns. Truth: songs made by formula, whose stems are known.

Some start from the same seed twice: alone, and against discriminators.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from model_zoo.registry import ARCHITECTURES, architecture
from stemcli.engine.events import Event
from tests.trainers.runs import CPU
from trainers.config import Recipe
from trainers.data.synthetic import render_songs
from trainers.data.training_data import open_data
from trainers.loop.events import StepDone, Validated
from trainers.loop.trainer import train
from trainers.metrics.sdr import global_sdr

RATE = 8000
COST = 1.0
"""Decibels that the network may lose to its adversary."""


@dataclass(frozen=True)
class Pupil:
    """A small network and what is expected of it.

    Attributes:
        options: of the network.
        lr: AdamW's learning rate; a network of convolutions has hardly a matrix that Muon moves.
        gain: decibels by which the SDR shall rise above that of the mixture itself.
        batch_size: clips of a step.
        seconds: length of a clip.
        heard: seconds of each song that it is validated by; 0 for all.
        losses: weights.
        groups: stems of the network that are sums of stems of the songs.
    """

    options: Mapping[str, Any]
    lr: float = 0.005
    gain: float = 5.0
    batch_size: int = 4
    seconds: float = 1.5
    heard: float = 0.0
    groups: Mapping[str, list[str]] = field(default_factory=dict)
    losses: Mapping[str, float] = field(
        default_factory=lambda: {"waveform_l1": 1.0, "multi_resolution_stft": 1.0}
    )


FRAMES = {"window_size": 512, "hop_size": 256, "sample_rate": RATE, "segment": 2 * RATE}
MEL = {
    **{**FRAMES, "num_bands": 24, "features": "magnitude", "output": "mask", "mask_mult": "gain"},
    **{"mask_activation": "sigmoid", "overlap_norm": "count"},
}
SPLEETER = {
    **{
        "stems": ("vocals", "instrumental"),
        "num_bins": 128,
        "num_frames": 32,
        "filters": (8, 16, 32),
    },
    **{"num_levels": 3, "dropout": 0.0, "window_size": 512, "hop_size": 128, "sample_rate": RATE},
}
U_NET = {
    **{"num_fft_bins": 256, "num_frames": 47, "hidden_channels": 4, "num_levels": 4},
    **{"dropout_p": 0.0, "normalize_input": True, "normalize_output": True},
    **{"hop_size": 256, "sample_rate": RATE},
}
TFSWA = {
    **{**FRAMES, "window_size": 256, "depths": [1, 1], "attention_window": 4, "shift_size": 2},
    **{"num_heads": 1, "stems": ["vocals"]},
}
BINS: dict[str, Any] = {"gain": 4.0, "batch_size": 1, "seconds": 0.5, "heard": 4.0}
"""Attention over single bins is slow on a processor: little is heard at once."""

PUPILS = {
    "melroformer": Pupil({**MEL, "hidden_channels": 32, "num_layers": 2, "num_heads": 2}),
    "melrnn": Pupil({**MEL, "hidden_channels": 32, "num_layers": 2, "num_groups": 2}),
    "melunet": Pupil({**MEL, "hidden_channels": 12, "num_layers": 2}, lr=0.002),
    "frame_transformer": Pupil(
        {
            **{**FRAMES, "stems": ("vocals",), "channels": 2, "expansion": 2, "dropout": 0.0},
            **{"multipliers": (1, 2), "num_heads": (8,)},
        },
        lr=0.001,
    ),
    "spectrogram_net_simple": Pupil(U_NET),
    "spleeter": Pupil(SPLEETER, groups={"instrumental": ["bass", "drums", "other"]}),
    "spectrogram_net_lstm": Pupil({**U_NET, "recurrent_depth": 1, "hidden_size": 64}),
    "spectrogram_net_vae": Pupil(
        {**U_NET, "recurrent_depth": 1, "hidden_size": 64},
        losses={"waveform_l1": 1.0, "multi_resolution_stft": 1.0, "divergence": 0.01},
    ),
    "tfswa_unet": Pupil(
        {**TFSWA, "dims": [8, 16], "hop_size": 128}, lr=0.01, **{**BINS, "seconds": 1.0}
    ),
    "tfswa_resunet": Pupil(
        {**FRAMES, "dims": [8, 16], "num_layers": 1, "bottleneck": 1, "num_heads": 2}, gain=4.0
    ),
    "multi_scale_tfswa": Pupil(
        {**TFSWA, "dims": [4, 8], "hop_size": 64, "scales": 2}, lr=0.01, **BINS
    ),
    "lightweight_tfswa": Pupil(
        {**TFSWA, "dims": [16, 32], "hop_size": 128, "patch": 4}, gain=4.0, batch_size=2
    ),
}
QUICK = {
    "melroformer",
    "frame_transformer",
    "spectrogram_net_simple",
    "spleeter",
    "tfswa_unet",
    "tfswa_resunet",
}
"""Of every family one at least; the others are marked slow."""

STEPS = 60
JUDGED = ("melroformer", "melrnn", "melunet")
"""Architectures that learn against discriminators as well."""

ADVERSARY = {
    "discriminators": ["multi_frequency", "multi_resolution"],
    "loss": "hinge",
    "options": {
        "multi_frequency": {"hidden_channels": 2, "window_sizes": [512]},
        "multi_resolution": {"hidden_channels": 2, "window_lengths": [512]},
    },
}


def learning(architecture: str, *, adversary: bool) -> Recipe:
    pupil = PUPILS[architecture]
    judged = {"generator": 0.02, "feature_matching": 0.04} if adversary else {}
    return Recipe.from_dict(
        {
            "seed": 1,
            "model": {"architecture": architecture, "options": pupil.options},
            "data": {
                **{"clip_seconds": pupil.seconds, "groups": pupil.groups},
                "augmentation": {"remix": {"chance": 0.3}},
            },
            "losses": {**pupil.losses, **judged},
            "adversary": ADVERSARY if adversary else {},
            "optimizer": {"name": "muon", "lr": pupil.lr, "muon_lr": 0.01},
            "schedule": {"steps": STEPS, "warmup": 5, "shape": "linear", "decay": 0.5},
            "loop": {
                **{"batch_size": pupil.batch_size, "ema_decay": 0.95},
                **{"num_workers": 0, "checkpoint_every": STEPS},
            },
            "validation": {"every": 10, "seconds": pupil.heard},
            "log": {"songs": 0},
        }
    )


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("songs")
    render_songs(folder, songs=10, seconds=10.0, sample_rate=RATE, seed=0)
    return folder


def learn(recipe: Recipe, songs: Path, folder: Path) -> tuple[list[StepDone], list[float]]:
    """Every step, and the mean SDR in dB of every validation."""
    events: list[Event] = []
    train(recipe, songs, (), folder, CPU, events.append)
    steps = [event for event in events if isinstance(event, StepDone)]
    return steps, [event.mean for event in events if isinstance(event, Validated)]


def sdr_of_mixtures(recipe: Recipe, songs: Path) -> float:
    """Mean SDR in dB that the mixture itself has as an estimate of the vocals."""
    found = [song.read() for song in open_data(recipe, songs, (), ("vocals",), RATE).validation]
    scores = [global_sdr(track.mixture, track.stems[0]).item() for track in found]
    return sum(scores) / len(scores)


def test_all_architectures_are_here() -> None:
    separating = {name for name in ARCHITECTURES if architecture(name).role == "stems"}
    assert PUPILS.keys() == separating


@pytest.mark.learns
@pytest.mark.parametrize(
    "architecture",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in PUPILS],
)
def test_it_learns(
    architecture: str, songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEM_CACHE", str(tmp_path / "cache"))
    made = partial(learning, architecture)
    alone, judged = made(adversary=False), made(adversary=True)
    before = sdr_of_mixtures(alone, songs)
    _, supervised = learn(alone, songs, tmp_path / "alone")
    print(f"\n{architecture}: mixture {before:.2f} dB, every 10 steps {rounded(supervised)}")
    assert supervised[-1] > before + PUPILS[architecture].gain
    if architecture in JUDGED:
        steps, adversarial = learn(judged, songs, tmp_path / "judged")
        print(f"  against an adversary {rounded(adversarial)}")
        assert adversarial[-1] > supervised[-1] - COST
        losses = [loss for step in steps for loss in step.losses.values()]
        assert all(math.isfinite(loss) for loss in losses)
        assert {"discriminator", "generator", "feature_matching"} <= steps[0].losses.keys()


def rounded(scores: list[float]) -> str:
    return " ".join(f"{score:.2f}" for score in scores)


@pytest.mark.learns
@pytest.mark.slow
def test_judges_learn_to_tell(songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that stays as it is: its estimates are told from true stems ever better."""
    monkeypatch.setenv("STEM_CACHE", str(tmp_path / "cache"))
    recipe = learning("melunet", adversary=True)
    still = replace(recipe, optimizer=replace(recipe.optimizer, name="adamw", lr=1e-12))
    sharp = replace(still.adversary, optimizer=replace(still.adversary.optimizer, lr=2e-3))
    steps, _ = learn(replace(still, adversary=sharp), songs, tmp_path / "run")
    losses = [step.losses["discriminator"] for step in steps]
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])
