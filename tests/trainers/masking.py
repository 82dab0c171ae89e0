"""A tiny separation model and a loop that trains it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.model_zoo.blocks.weights import pattern
from trainers.separation_model import SpectrogramMaskModel

Sections = dict[str, dict[str, Any]]


def sections(folder: Path, **training: Any) -> Sections:
    """Config of a U-Net with two levels for 33 frequencies and 13 frames."""
    return {
        "model_params": {
            **{"model_type": "SpectrogramNetSimple", "model_name": "tiny"},
            **{"save_dir": str(folder), "hidden_channels": 4, "num_levels": 2, "dropout_p": 0.0},
        },
        "dataset_params": {
            **{"sample_length": 0.1, "sample_rate": 2000, "num_fft": 64, "window_size": 64},
            **{"hop_length": 16, "targets": ["vocals"]},
        },
        "training_params": {"lr": 0.01, **training},
    }


def make_model(folder: Path, **training: Any) -> SpectrogramMaskModel:
    torch.manual_seed(0)
    return SpectrogramMaskModel(sections(folder, **training), device="cpu")


def voice(length: int = 200) -> Tensor:
    return torch.sin(0.3 * torch.arange(length))[None, None]


def song(number: int = 0, length: int = 200) -> Tensor:
    return voice(length) + pattern(1, 1, length, phase=number)


def train_steps(model: SpectrogramMaskModel, *numbers: int) -> list[float]:
    """Take one training step per song; return the losses."""
    losses = []
    for number in numbers:
        model.train()
        model.set_data(song(number), voice())
        model.forward()
        losses.append(model.compute_loss())
        model.backward()
        model.optimizer_step()
    return losses


def validate(model: SpectrogramMaskModel) -> float:
    model.set_data(song(99), voice())
    model.test()
    return model.compute_loss()


def open_masks(model: SpectrogramMaskModel) -> SpectrogramMaskModel:
    """Set all masks to 1, within rounding."""
    with torch.no_grad():
        model.separator.network.soft_conv.weight.zero_()
        model.separator.network.soft_conv.bias.fill_(20.0)
    return model
