"""A file with a small ensemble of discriminators, as a training run writes it."""

from __future__ import annotations

from pathlib import Path

import torch

from model_zoo.discriminators.ensemble import EnsembleSpec
from model_zoo.weights import save_discriminator

DISCRIMINATOR_RATE = 8000


def spec(channels: int = 1) -> EnsembleSpec:
    """Two spectral discriminators of a few thousand parameters."""
    return EnsembleSpec(
        ("multi_frequency", "multi_resolution"),
        {
            "multi_frequency": {"window_sizes": [256, 64], "hidden_channels": 2},
            "multi_resolution": {"window_lengths": [128], "hidden_channels": 2},
        },
        channels,
        DISCRIMINATOR_RATE,
    )


def write_discriminator(folder: Path, channels: int = 1) -> Path:
    path = folder / "discriminator.safetensors"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_discriminator(path, spec(channels).build(), spec(channels))
    return path
