"""Every architecture learns to separate synthetic songs, whose stems are known.

Some are trained twice from the same seed: without and with discriminators.
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
MAX_DROP_DB = 1.0
"""SDR in dB that an adversarial run may lose."""


@dataclass(frozen=True)
class SmallNetwork:
    """A small network, how it is trained, and the gain it must reach.

    Attributes:
        options: of the network.
        lr: learning rate of AdamW, which trains nearly all weights of convolutional networks.
        gain: dB by which the SDR must exceed that of the mixture itself.
        batch_size: clips per step.
        seconds: length of a clip.
        validated: seconds of each song to validate on; 0 for all.
        losses: weights of the losses.
        groups: stems of the network that are sums of stems of the songs.
    """

    options: Mapping[str, Any]
    lr: float = 0.005
    gain: float = 5.0
    batch_size: int = 4
    seconds: float = 1.5
    validated: float = 0.0
    groups: Mapping[str, list[str]] = field(default_factory=dict)
    losses: Mapping[str, float] = field(
        default_factory=lambda: {"waveform_l1": 1.0, "multi_resolution_stft": 1.0}
    )


FRAMES = {"window_size": 512, "hop_size": 256, "sample_rate": RATE, "segment": 2 * RATE}
MEL = {
    **{**FRAMES, "num_bands": 24, "features": "magnitude", "output": "mask", "mask_mult": "gain"},
    **{"mask_activation": "sigmoid", "overlap_norm": "count"},
}
ROFORMER = {
    **{**FRAMES, "hidden_channels": 32, "num_layers": 2, "num_heads": 2, "head_channels": 16},
    **{"mask_layers": 2, "mask_expansion": 1, "dropout": 0.0, "audio_channels": 1},
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
OPEN_UNMIX = {
    **{**FRAMES, "stems": ("vocals", "instrumental"), "hidden_size": 64, "num_layers": 1},
    **{"num_bins": 192},
}
U_NET = {
    **{"num_fft_bins": 256, "num_frames": 47, "hidden_channels": 4, "num_levels": 4},
    **{"dropout_p": 0.0, "normalize_input": True, "normalize_output": True},
    **{"hop_size": 256, "sample_rate": RATE},
}
DEMUCS = {
    **{"channels": 8, "dconv_comp": 4, "sample_rate": RATE, "segment": 2 * RATE},
    "stems": ("vocals",),
}
TFSWA = {
    **{**FRAMES, "window_size": 256, "depths": [1, 1], "attention_window": 4, "shift_size": 2},
    **{"num_heads": 1, "stems": ["vocals"]},
}
STEREO = {"stems": ("vocals",), "sample_rate": RATE, "segment": 2 * RATE}
SCNET = {
    # Spectrograms that a network maps begin near silence, and stay there for thousands of steps.
    **{**STEREO, "widths": (8, 16), "num_layers": 2, "output": "mask"},
    **{"window_size": 512, "hop_size": 256},
}
MDX23C = {
    **{**STEREO, "num_bins": 256, "num_scales": 2, "num_blocks": 1, "hidden_channels": 8},
    **{"growth": 8, "bottleneck_factor": 4, "window_size": 512, "hop_size": 256},
}
BINS: dict[str, Any] = {"gain": 4.0, "batch_size": 1, "seconds": 0.5, "validated": 4.0}
"""Attention over single bins is slow on a CPU: short clips, small batches."""

NETWORKS = {
    "melroformer": SmallNetwork({**MEL, "hidden_channels": 32, "num_layers": 2, "num_heads": 2}),
    "melrnn": SmallNetwork({**MEL, "hidden_channels": 32, "num_layers": 2, "num_groups": 2}),
    "melunet": SmallNetwork({**MEL, "hidden_channels": 12, "num_layers": 2}, lr=0.002),
    "mel_band_roformer": SmallNetwork({**ROFORMER, "num_bands": 24}),
    "bs_roformer": SmallNetwork(ROFORMER),
    "frame_transformer": SmallNetwork(
        {
            **{**FRAMES, "stems": ("vocals",), "channels": 2, "expansion": 2, "dropout": 0.0},
            **{"multipliers": (1, 2), "num_heads": (8,)},
        },
        lr=0.001,
    ),
    "spectrogram_net_simple": SmallNetwork(U_NET),
    "spleeter": SmallNetwork(SPLEETER, groups={"instrumental": ["bass", "drums", "other"]}),
    "open_unmix": SmallNetwork(OPEN_UNMIX, groups={"instrumental": ["bass", "drums", "other"]}),
    "scnet": SmallNetwork(SCNET, lr=0.01),
    "mdx23c": SmallNetwork(MDX23C),
    "spectrogram_net_lstm": SmallNetwork({**U_NET, "recurrent_depth": 1, "hidden_size": 64}),
    "spectrogram_net_vae": SmallNetwork(
        {**U_NET, "recurrent_depth": 1, "hidden_size": 64},
        losses={"waveform_l1": 1.0, "multi_resolution_stft": 1.0, "divergence": 0.01},
    ),
    "hdemucs": SmallNetwork(
        {
            **{**DEMUCS, "depth": 4, "window_size": 256},
            **{"norm_starts": 2, "dconv_lstm": 3, "dconv_attn": 3},
        },
        gain=3.0,
    ),
    "htdemucs": SmallNetwork(
        {
            **{**DEMUCS, "depth": 3, "window_size": 512, "bottom_channels": None},
            **{"t_layers": 2, "t_heads": 2, "t_dropout": 0.0},
        },
    ),
    "tfswa_unet": SmallNetwork(
        {**TFSWA, "dims": [8, 16], "hop_size": 128}, lr=0.01, **{**BINS, "seconds": 1.0}
    ),
    "tfswa_resunet": SmallNetwork(
        {**FRAMES, "dims": [8, 16], "num_layers": 1, "bottleneck": 1, "num_heads": 2}, gain=4.0
    ),
    "multi_scale_tfswa": SmallNetwork(
        {**TFSWA, "dims": [4, 8], "hop_size": 64, "scales": 2}, lr=0.01, **BINS
    ),
    "lightweight_tfswa": SmallNetwork(
        {**TFSWA, "dims": [16, 32], "hop_size": 128, "patch": 4}, gain=4.0, batch_size=2
    ),
}
QUICK = {"melroformer", "open_unmix"}
"""One with discriminators and one without; the others are marked slow."""

STEPS = 60
ADVERSARIAL = ("melroformer", "melrnn", "melunet")
"""Architectures that are also trained with discriminators."""

ADVERSARY = {
    "discriminators": ["multi_frequency", "multi_resolution"],
    "loss": "hinge",
    "options": {
        "multi_frequency": {"hidden_channels": 2, "window_sizes": [512]},
        "multi_resolution": {"hidden_channels": 2, "window_lengths": [512]},
    },
}


def small_recipe(architecture: str, *, adversary: bool) -> Recipe:
    network = NETWORKS[architecture]
    adversarial_losses = {"generator": 0.02, "feature_matching": 0.04} if adversary else {}
    return Recipe.from_dict(
        {
            "seed": 1,
            "model": {"architecture": architecture, "options": network.options},
            "data": {
                **{"clip_seconds": network.seconds, "groups": network.groups},
                "augmentation": {"remix": {"chance": 0.3}},
            },
            "losses": {**network.losses, **adversarial_losses},
            "adversary": ADVERSARY if adversary else {},
            "optimizer": {"name": "muon", "lr": network.lr, "muon_lr": 0.01},
            "schedule": {"steps": STEPS, "warmup": 5, "shape": "linear", "decay": 0.5},
            "loop": {
                **{"batch_size": network.batch_size, "ema_decay": 0.95},
                **{"num_workers": 0, "checkpoint_every": STEPS},
            },
            "validation": {"every": 10, "seconds": network.validated},
            "log": {"songs": 0},
        }
    )


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("songs")
    render_songs(folder, songs=10, seconds=10.0, sample_rate=RATE, seed=0)
    return folder


def train_and_validate(
    recipe: Recipe, songs: Path, folder: Path
) -> tuple[list[StepDone], list[float]]:
    """Train; return every step, and the mean SDR in dB of every validation."""
    events: list[Event] = []
    train(recipe, songs, (), folder, CPU, events.append)
    steps = [event for event in events if isinstance(event, StepDone)]
    return steps, [event.mean for event in events if isinstance(event, Validated)]


def sdr_of_mixtures(recipe: Recipe, songs: Path) -> float:
    """Mean SDR in dB of the mixture as an estimate of the vocals."""
    found = [song.read() for song in open_data(recipe, songs, (), ("vocals",), RATE).validation]
    scores = [global_sdr(track.mixture, track.stems[0]).item() for track in found]
    return sum(scores) / len(scores)


def test_all_separating_architectures_are_tested() -> None:
    separating = {name for name in ARCHITECTURES if architecture(name).role == "stems"}
    assert NETWORKS.keys() == separating


@pytest.mark.learns
@pytest.mark.parametrize(
    "architecture",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in NETWORKS],
)
def test_an_architecture_learns(
    architecture: str, songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEM_CACHE", str(tmp_path / "cache"))
    make_recipe = partial(small_recipe, architecture)
    recipe, adversarial_recipe = make_recipe(adversary=False), make_recipe(adversary=True)
    before = sdr_of_mixtures(recipe, songs)
    _, supervised = train_and_validate(recipe, songs, tmp_path / "alone")
    print(f"\n{architecture}: mixture {before:.2f} dB, every 10 steps {rounded(supervised)}")
    assert supervised[-1] > before + NETWORKS[architecture].gain
    if architecture in ADVERSARIAL:
        steps, adversarial = train_and_validate(adversarial_recipe, songs, tmp_path / "adversarial")
        print(f"  against an adversary {rounded(adversarial)}")
        assert adversarial[-1] > supervised[-1] - MAX_DROP_DB
        losses = [loss for step in steps for loss in step.losses.values()]
        assert all(math.isfinite(loss) for loss in losses)
        assert {"discriminator", "generator", "feature_matching"} <= steps[0].losses.keys()


def rounded(scores: list[float]) -> str:
    return " ".join(f"{score:.2f}" for score in scores)


@pytest.mark.learns
@pytest.mark.slow
def test_discriminators_learn_to_recognize_estimates(
    songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a network that does not change, discriminators learn to recognize its estimates."""
    monkeypatch.setenv("STEM_CACHE", str(tmp_path / "cache"))
    recipe = small_recipe("melunet", adversary=True)
    frozen = replace(recipe, optimizer=replace(recipe.optimizer, name="adamw", lr=1e-12))
    adversary = replace(frozen.adversary, optimizer=replace(frozen.adversary.optimizer, lr=2e-3))
    steps, _ = train_and_validate(replace(frozen, adversary=adversary), songs, tmp_path / "run")
    losses = [step.losses["discriminator"] for step in steps]
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])
